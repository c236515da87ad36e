//! keepalived or FRR on one host, with nobody who looks after it.

use crate::peers::peer::Kind;
use anyhow::{Context, Result};
use lab::netns::Namespace;
use lab::process::{self, Process};
use lab::workdir::WorkDir;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// For a start with hundreds of routers.
const READY: Duration = Duration::from_secs(120);

/// keepalived's options for them, and what they are called here.
const PID_FILES: [(&str, &str); 4] = [
    ("--pid", "pid"),
    ("--vrrp_pid", "vrrp"),
    ("--bfd_pid", "bfd"),
    ("--checkers_pid", "checkers"),
];

/// What runs. Its files go with it.
pub(crate) struct Alone {
    kind: Kind,
    namespace: Namespace,
    // The one that speaks VRRP first, so that it can resign while the other still helps it.
    processes: Vec<Process>,
    /// Where FRR's daemons note crashes; they leave them.
    scratch: Vec<PathBuf>,
    /// Changes to master that were in logs which a new start has replaced.
    earlier: usize,
    directory: WorkDir,
}

impl Alone {
    /// Starts it with this configuration.
    pub(crate) fn start(kind: Kind, namespace: &Namespace, text: &str) -> Result<Self> {
        let directory = WorkDir::new("peer")?;
        let file = directory.file("conf");
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let mut alone = Self {
            kind,
            namespace: namespace.clone(),
            processes: Vec::new(),
            scratch: Vec::new(),
            earlier: 0,
            directory,
        };
        alone.run()?;
        Ok(alone)
    }

    /// Starts it again after [`Alone::kill`] or [`Alone::stop`].
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.earlier = self.masters();
        self.processes.clear();
        self.run()
    }

    fn run(&mut self) -> Result<()> {
        match self.kind {
            Kind::Frr => {
                self.empty_zebra()?;
                let mut zebra = self.frr("zebra")?;
                let socket = self.directory.file("zserv.api");
                zebra.wait_log("zebra's socket", READY, |_| socket.exists().then_some(()))?;
                let mut vrrpd = self.frr("vrrpd")?;
                let started = |log: &str| log.contains("Initialize -> ").then_some(());
                vrrpd.wait_log("a running router", READY, started)?;
                self.processes = vec![vrrpd, zebra];
            }
            Kind::Keepalived | Kind::Keepfast => {
                // A killed one leaves its own, whose numbers others may have by now.
                for (_, name) in PID_FILES {
                    remove(&self.directory.file(name))?;
                }
                let mut command = self.keepalived();
                let log = self.directory.file("log");
                let mut keepalived = Process::start("keepalived", &mut command, &log)?;
                let ready = |log: &str| log.contains("Startup complete").then_some(());
                keepalived.wait_log("keepalived's start", READY, ready)?;
                self.processes = vec![keepalived];
            }
        }
        Ok(())
    }

    /// With VRRP, and BFD where that is configured, but not IPVS.
    fn keepalived(&self) -> Command {
        let mut command = self.namespace.command("keepalived");
        let of = |name: &str| self.directory.file(name);
        command
            .args([
                "--dont-fork",
                "--log-console",
                "--no-syslog",
                "--log-detail",
            ])
            .arg("--use-file")
            .arg(of("conf"))
            .args(match self.bfd() {
                true => &[] as &[&str],
                false => &["--vrrp"],
            });
        for (option, name) in PID_FILES {
            command.arg(option).arg(of(name));
        }
        command
    }

    fn bfd(&self) -> bool {
        let text = fs::read_to_string(self.directory.file("conf"));
        text.is_ok_and(|text| text.contains("bfd_instance"))
    }

    fn empty_zebra(&self) -> Result<()> {
        let of = |name: &str| self.directory.file(name);
        remove(&of("zserv.api"))?;
        fs::write(of("zebra.conf"), "").context("write zebra.conf")?;
        fs::copy(of("conf"), of("vrrpd.conf")).context("write vrrpd.conf")?;
        // They give up root and can then only use what belongs to their own user.
        let user = User::from_name("frr")?.context("find the user frr")?;
        for path in [
            self.directory.path().to_owned(),
            of("zebra.conf"),
            of("vrrpd.conf"),
        ] {
            chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .with_context(|| format!("give away {}", path.display()))?;
        }
        Ok(())
    }

    fn frr(&mut self, name: &str) -> Result<Process> {
        let of = |name: &str| self.directory.file(name);
        let mut command = self.namespace.command(&format!("/usr/lib/frr/{name}"));
        command
            .args(["--log", "stdout", "-P", "0", "--vty_socket"])
            .arg(self.directory.path())
            .arg("-z")
            .arg(of("zserv.api"))
            .arg("-i")
            .arg(of(&format!("{name}.pid")))
            .arg("-f")
            .arg(of(&format!("{name}.conf")));
        let process = Process::start(name, &mut command, &of(&format!("{name}.log")))?;
        let scratch = format!("/var/tmp/frr/{name}.{}", process.pid());
        self.scratch.push(scratch.into());
        Ok(process)
    }

    /// All its processes.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        let mut pids = Vec::new();
        for process in &self.processes {
            pids.push(process.pid());
            pids.extend(process::children(process.pid()));
        }
        pids
    }

    /// Kills those that speak VRRP as a crash would: nothing resigns, and addresses stay.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let Some(speaker) = self.processes.first_mut() else {
            return Ok(());
        };
        let mut pids = vec![speaker.pid()];
        pids.extend(process::children(speaker.pid()));
        // Frozen first: keepalived's children ask the kernel for SIGTERM at their parent's death.
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for &pid in &pids {
                match kill(pid, signal) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(error) => return Err(error).with_context(|| format!("kill {pid}")),
                }
            }
        }
        speaker.wait_end()?;
        pids.into_iter().try_for_each(process::wait_gone)
    }

    /// Asks what speaks VRRP to end, as the service manager does, and does not wait for that.
    pub(crate) fn ask_to_end(&self) -> Result<()> {
        let speaker = self.processes.first().context("nothing runs")?;
        speaker.signal(Signal::SIGTERM)
    }

    /// Stops all of it.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let mut processes = self.processes.iter_mut();
        processes.try_for_each(|process| process.stop(Signal::SIGTERM))
    }

    /// The last state of the first router: `primary`, `backup`, `fault`.
    pub(crate) fn state(&self) -> &'static str {
        let log = self.log();
        let last = match self.kind {
            Kind::Frr => log
                .lines()
                .filter_map(|line| line.split_once("[VRID 1] [IPv4] ")?.1.split_once(" -> "))
                .map(|(_, state)| state)
                .next_back(),
            Kind::Keepalived | Kind::Keepfast => log
                .lines()
                .filter_map(|line| line.split_once("(VR_1) Entering "))
                .map(|(_, rest)| rest)
                .next_back(),
        };
        match last
            .map(|word| word.get(..3).unwrap_or_default().to_lowercase())
            .as_deref()
        {
            Some("mas") => "primary",
            Some("bac") => "backup",
            Some("fau") => "fault",
            _ => "unknown",
        }
    }

    /// How often a router has become master.
    pub(crate) fn masters(&self) -> usize {
        self.earlier + self.entered(true)
    }

    /// How often one has, or has become a backup, since the last start.
    pub(crate) fn entered(&self, master: bool) -> usize {
        let word = match (self.kind, master) {
            (Kind::Frr, true) => " -> Master",
            (Kind::Frr, false) => " -> Backup",
            (_, true) => ") Entering MASTER",
            (_, false) => ") Entering BACKUP",
        };
        self.log().matches(word).count()
    }

    /// What the one that speaks VRRP said.
    pub(crate) fn log(&self) -> String {
        self.processes.first().map(Process::log).unwrap_or_default()
    }
}

/// Removes a file that may be there.
fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{error:#}");
        }
        for scratch in &self.scratch {
            match fs::remove_dir_all(scratch) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    eprintln!("remove {}: {error}", scratch.display());
                }
                _ => {}
            }
        }
    }
}
