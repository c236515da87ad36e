//! What a run leaves behind: a list of things before, and the same list after.

use crate::{process, wait};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where keepfast pins.
const PINS: &str = "/sys/fs/bpf/keepfast";
/// The programs that the lab or its tests start.
const PROGRAMS: [&str; 8] = [
    "keepfast",
    "keepalived",
    "radvd",
    "conntrackd",
    "haproxy",
    "vrrpd",
    "zebra",
    "tcpdump",
];
/// The kernel frees what a process held a moment after its end.
const SETTLING: Duration = Duration::from_secs(5);

/// Namespaces, processes, files, BPF programs and links, each as a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    scope: Scope,
    things: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scope {
    Machine,
    ThisProcess,
}

impl Snapshot {
    /// All of the machine, for a run that has it for itself.
    ///
    /// # Errors
    /// When bpftool is missing or without permission.
    pub fn of_machine() -> Result<Self> {
        Self::take(Scope::Machine)
    }

    /// Only what carries a name that this process gave; no BPF, which has no such names.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn of_this_process() -> Result<Self> {
        Self::take(Scope::ThisProcess)
    }

    /// Waits until the same things are there as in this snapshot.
    ///
    /// # Errors
    /// When they still differ after five seconds; names each difference.
    pub fn check(&self) -> Result<()> {
        wait::until("the things of before", SETTLING, || {
            let now = Self::take(self.scope).map_err(|error| format!("{error:#}"))?;
            let left = now
                .things
                .difference(&self.things)
                .map(|thing| format!("left: {thing}"));
            let gone = self
                .things
                .difference(&now.things)
                .map(|thing| format!("gone: {thing}"));
            let differences: Vec<_> = left.chain(gone).collect();
            if differences.is_empty() {
                Ok(())
            } else {
                Err(differences.join("\n"))
            }
        })
    }

    fn take(scope: Scope) -> Result<Self> {
        let mut things = BTreeSet::new();
        list_directory(&mut things, "namespace", Path::new("/run/netns"));
        list_directory(&mut things, "file", &std::env::temp_dir());
        list_processes(&mut things)?;
        match scope {
            Scope::Machine => {
                things.retain(|thing| !thing.starts_with("file ") || thing.starts_with("file kf-"));
                list_directory(&mut things, "pin", Path::new(PINS));
                list_bpf(&mut things, "prog")?;
                list_bpf(&mut things, "link")?;
            }
            Scope::ThisProcess => {
                let ours = format!("kf-{}-", std::process::id());
                things.retain(|thing| thing.contains(&ours));
            }
        }
        Ok(Self { scope, things })
    }
}

fn list_directory(things: &mut BTreeSet<String>, kind: &str, directory: &Path) {
    // A directory that is not there has nothing in it.
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    things.extend(entries.map(|entry| format!("{kind} {}", entry.file_name().display())));
}

fn list_processes(things: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir("/proc").context("list /proc")? {
        let path = entry?.path();
        // Most entries are no processes, and a process may end while it is looked at. One that
        // has ended and waits for its parent has no command line.
        let Ok(name) = fs::read_to_string(path.join("comm")) else {
            continue;
        };
        let Ok(line) = fs::read(path.join("cmdline")) else {
            continue;
        };
        if PROGRAMS.contains(&name.trim()) && !line.is_empty() {
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            things.insert(format!("process {}: {line}", path.display()));
        }
    }
    Ok(())
}

/// Those that look at packets; a service manager's own ones come and go.
fn list_bpf(things: &mut BTreeSet<String>, what: &str) -> Result<()> {
    let listed = process::output(Command::new("bpftool").args(["-j", what, "show"]))?;
    let listed: Value = serde_json::from_str(&listed).context("read bpftool's answer")?;
    for entry in listed.as_array().context("bpftool lists nothing")? {
        let kind = entry["type"].as_str().unwrap_or_default();
        if ["xdp", "sched_cls", "tcx"].contains(&kind) {
            things.insert(format!("{what} {} {kind} {}", entry["id"], entry["name"]));
        }
    }
    Ok(())
}
