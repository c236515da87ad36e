//! OpenStack Neutron itself, from PyPI, in a virtual environment below the target folder.

use crate::listener::Notice;
use crate::process::{self, Process};
use crate::shim::{self, ADDRESS, Router, StatePath};
use crate::workdir::WorkDir;
use crate::{binary, wait};
use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use std::fs::{self, File, Permissions};
use std::io::{PipeWriter, Write, pipe};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The last release with the monitor in Python, and the newest that runs on Python 3.11.
pub const RELEASES: [&str; 2] = ["28.0.2", "29.0.0"];

/// How long the agent has to start, and to answer: it imports a lot.
const LIMIT: Duration = Duration::from_secs(120);
/// How long it may take to install it.
const INSTALL: Duration = Duration::from_secs(900);

/// Where the programs of a release are, installed if they are not yet.
///
/// # Errors
/// When it cannot be installed; with what pip said.
pub fn programs(release: &str) -> Result<PathBuf> {
    let target = binary::path()
        .ancestors()
        .nth(2)
        .context("find the target folder")?;
    let folder = target.join("neutron");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let home = folder.join(release);
    // Of tests that run at once, one installs it.
    let lock = File::create(folder.join(format!("{release}.lock"))).context("make the lock")?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .context("wait for the lock")?;
    let done = home.join("installed");
    let bin = home.join("bin");
    if done.exists() {
        return Ok(bin);
    }
    drop(fs::remove_dir_all(&home));
    let log = folder.join(format!("{release}.log"));
    install(
        Command::new("python3").args(["-m", "venv"]).arg(&home),
        &log,
    )?;
    let package = format!("neutron=={release}");
    let options = ["install", "--quiet", "--disable-pip-version-check"];
    install(
        Command::new(bin.join("pip")).args(options).arg(package),
        &log,
    )?;
    File::create(&done).context("note that it is installed")?;
    Ok(bin)
}

fn install(command: &mut Command, log: &Path) -> Result<()> {
    let mut process = Process::start("install neutron", command, log)?;
    let ended = process.wait_end_within(INSTALL)?;
    ensure!(ended.success(), "{ended}: {}", process.log());
    Ok(())
}

/// Neutron's own classes: the agent's server, an HA router that starts and ends its monitor, and
/// the reader of its state.
#[derive(Debug)]
pub struct Agent {
    // Before the directory, which holds its log.
    process: Process,
    input: PipeWriter,
    asked: usize,
    directory: WorkDir,
}

impl Agent {
    /// Starts it, with keepfast as the monitor, which knows the daemon at `keepfast_socket`.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start(release: &str, path: &StatePath, keepfast_socket: &Path) -> Result<Self> {
        let programs = programs(release)?;
        let directory = WorkDir::new("agent")?;
        let own = directory.file("bin");
        fs::create_dir(&own).context("make a directory for the monitor")?;
        // Under its name, as a package would install it; and around it what Neutron cannot say.
        symlink(binary::path(), directory.file(shim::NAME)).context("name the monitor")?;
        let wrapper = own.join(shim::NAME);
        let text = format!(
            "#!/bin/sh\nexec {} \"$@\" --keepfast_socket={}\n",
            directory.file(shim::NAME).display(),
            keepfast_socket.display()
        );
        fs::write(&wrapper, text).context("write the wrapper")?;
        fs::set_permissions(&wrapper, Permissions::from_mode(0o755)).context("its mode")?;

        let mut command = Command::new(programs.join("python"));
        let search = std::env::var("PATH").context("PATH")?;
        command.env("PATH", format!("{}:{search}", own.display()));
        command
            .args(["-W", "ignore", "-c", include_str!("neutron/agent.py")])
            .arg(path.path());
        let (reader, input) = pipe().context("make a pipe")?;
        let log = directory.file("log");
        let reader = Stdio::from(reader);
        let mut process = Process::start_with_input("Neutron's agent", &mut command, reader, &log)?;
        let listening = |log: &str| log.contains("listening\n").then_some(());
        process.wait_log("its listening", LIMIT, listening)?;
        Ok(Self {
            process,
            input,
            asked: 0,
            directory,
        })
    }

    /// Starts a router's monitor as `HaRouter.spawn_state_change_monitor` does.
    ///
    /// # Errors
    /// When that fails.
    pub fn spawn(&mut self, router: &Router) -> Result<()> {
        let namespace = router.namespace().name();
        self.ask(&format!("spawn {} {namespace} {ADDRESS}", router.id()))
            .map(drop)
    }

    /// Whether `ProcessManager.active` is true for the monitor.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn active(&mut self, router: &Router) -> Result<bool> {
        Ok(self.ask(&format!("active {}", router.id()))? == "True")
    }

    /// What `HaRouter.ha_state` reads.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn state(&mut self, router: &Router) -> Result<String> {
        self.ask(&format!("state {}", router.id()))
    }

    /// Ends the monitor as `HaRouter.destroy_state_change_monitor` does.
    ///
    /// # Errors
    /// When that fails.
    pub fn destroy(&mut self, router: &Router) -> Result<()> {
        self.ask(&format!("destroy {}", router.id())).map(drop)
    }

    /// What its server was told up to now.
    ///
    /// # Errors
    /// When it said something else.
    pub fn notices(&self) -> Result<Vec<Notice>> {
        let log = self.process.log();
        let whole = log
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let told = whole.filter_map(|line| line.strip_prefix("told "));
        told.map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [received, router, state] = words[..] else {
                bail!("it said {line:?}")
            };
            Ok(Notice {
                router: router.to_owned(),
                state: state.to_owned(),
                received_ns: received.parse()?,
                whole: Value::Null,
            })
        })
        .collect()
    }

    /// Waits until it was told `count` things; all that it was told then.
    ///
    /// # Errors
    /// When `limit` is over first; with what it was told.
    pub fn wait(&self, count: usize, limit: Duration) -> Result<Vec<Notice>> {
        wait::until(&format!("{count} notices"), limit, || {
            let told = self.notices().map_err(|error| format!("{error:#}"))?;
            if told.len() >= count {
                Ok(told)
            } else {
                Err(format!("{told:#?}"))
            }
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> nix::unistd::Pid {
        self.process.pid()
    }

    /// A directory that goes with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        writeln!(self.input, "{line}").with_context(|| format!("ask {line:?}"))?;
        self.asked += 1;
        let asked = self.asked;
        let nth = |log: &str| {
            let whole = log
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let mut answers = whole.filter_map(|line| line.strip_prefix("answer "));
            answers
                .nth(asked - 1)
                .map(|answer| answer.trim().to_owned())
        };
        self.process.wait_log(line, LIMIT, nth)
    }
}

/// The memory of processes, bytes: resident, and each page's share of it.
///
/// # Errors
/// When one is gone.
pub fn memory(pids: &[nix::unistd::Pid]) -> Result<(u64, u64)> {
    let mut sums = [0; 2];
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .with_context(|| format!("read the memory of {pid}"))?;
        for (sum, name) in sums.iter_mut().zip(["Rss:", "Pss:"]) {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
            let kilobytes: u64 = kilobytes.context("read smaps_rollup")?.trim().parse()?;
            *sum += kilobytes * 1024;
        }
    }
    Ok((sums[0], sums[1]))
}

/// A process and all that it has started.
#[must_use]
pub fn family(pid: nix::unistd::Pid) -> Vec<nix::unistd::Pid> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(process::children(*pid));
        next += 1;
    }
    all
}
