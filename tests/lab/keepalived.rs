//! keepalived: a configuration as a value, and a guard around the running daemon.

use crate::netns::Namespace;
use crate::process::{self, Process};
use crate::workdir::WorkDir;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod config;

pub use config::{Authentication, Config, Family, Instance, TrackFile, Unicast, Version, Vmac};

/// How long keepalived has to start or to read its configuration again.
const READY: Duration = Duration::from_secs(5);

/// A state that keepalived logs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It holds the virtual addresses.
    Master,
    /// It listens.
    Backup,
    /// Something that it tracks is down.
    Fault,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
        }
    }
}

/// A running keepalived, stopped when dropped. Its log is shown if the test fails.
#[derive(Debug)]
pub struct Keepalived {
    // Before the directory, which holds its log.
    process: Process,
    config: Config,
    directory: WorkDir,
}

impl Keepalived {
    /// Starts keepalived in a namespace and waits until its VRRP process is ready.
    ///
    /// # Errors
    /// When it does not accept the configuration or does not get ready in five seconds.
    pub fn start(namespace: &Namespace, config: Config) -> Result<Self> {
        let directory = WorkDir::new("keepalived")?;
        let file = directory.file("keepalived.conf");
        config.write(&file)?;
        let mut command = namespace.command("keepalived");
        command
            .args([
                "--vrrp",
                "--dont-fork",
                "--log-console",
                "--no-syslog",
                "--log-detail",
            ])
            .arg("--use-file")
            .arg(&file)
            .arg("--pid")
            .arg(directory.file("keepalived.pid"))
            .arg("--vrrp_pid")
            .arg(directory.file("vrrp.pid"));
        let log = directory.file("log");
        let process = Process::start("keepalived", &mut command, &log)?;
        let mut keepalived = Self {
            process,
            config,
            directory,
        };
        let ready = |log: &str| log.contains("Startup complete").then_some(());
        keepalived
            .process
            .wait_log("keepalived's start", READY, ready)?;
        Ok(keepalived)
    }

    /// The configuration it runs with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its private directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The file with the parent's process id.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.directory.file("keepalived.pid")
    }

    /// The file with the VRRP process's id.
    #[must_use]
    pub fn vrrp_pid_file(&self) -> PathBuf {
        self.directory.file("vrrp.pid")
    }

    /// The parent and its children.
    #[must_use]
    pub fn pids(&self) -> Vec<Pid> {
        let parent = self.process.pid();
        let mut pids = vec![parent];
        pids.extend(process::children(parent));
        pids
    }

    /// What it logged up to now.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The states that an instance entered, in order.
    #[must_use]
    pub fn states(&self, instance: &str) -> Vec<State> {
        states(&self.log(), instance)
    }

    /// Waits until the last state that an instance entered is `state`.
    ///
    /// # Errors
    /// When `limit` is over first; with the log.
    pub fn wait_state(&mut self, instance: &str, state: State, limit: Duration) -> Result<()> {
        let what = format!("{instance} in state {}", state.word());
        self.process.wait_log(&what, limit, |log| {
            (states(log, instance).last() == Some(&state)).then_some(())
        })
    }

    /// Kills it as a crash would: nothing resigns, and its addresses stay.
    ///
    /// # Errors
    /// When it is gone already or does not end.
    pub fn kill(&mut self) -> Result<()> {
        // Frozen first: the VRRP process asked the kernel for SIGTERM at its parent's death, and
        // would resign properly.
        let pids = self.freeze()?;
        for &pid in &pids {
            kill(pid, Signal::SIGKILL).with_context(|| format!("kill {pid}"))?;
        }
        self.process.wait_end()?;
        pids.into_iter().try_for_each(process::wait_gone)
    }

    /// Stops it as the service manager would: it resigns.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop(Signal::SIGTERM)
    }

    /// Freezes it: no adverts, while its addresses go on answering. Returns whom.
    ///
    /// # Errors
    /// When it is gone.
    pub fn freeze(&self) -> Result<Vec<Pid>> {
        self.signal_all(Signal::SIGSTOP)
    }

    /// Ends [`Keepalived::freeze`].
    ///
    /// # Errors
    /// When it is gone.
    pub fn thaw(&self) -> Result<Vec<Pid>> {
        self.signal_all(Signal::SIGCONT)
    }

    /// Replaces the configuration and waits until keepalived has read it.
    ///
    /// # Errors
    /// When it is gone or does not read it in five seconds.
    pub fn reload(&mut self, config: Config) -> Result<()> {
        config.write(&self.directory.file("keepalived.conf"))?;
        self.config = config;
        let reloads = |log: &str| log.matches("Reload complete").count();
        let before = reloads(&self.log());
        self.process.signal(Signal::SIGHUP)?;
        self.process.wait_log("its reload", READY, |log| {
            (reloads(log) > before).then_some(())
        })
    }

    /// Gives an instance another priority, by a reload.
    ///
    /// # Errors
    /// When there is no such instance, and as [`Keepalived::reload`].
    pub fn set_priority(&mut self, instance: &str, priority: u8) -> Result<()> {
        let mut config = self.config.clone();
        let found = config
            .instances
            .iter_mut()
            .find(|candidate| candidate.name == instance);
        found
            .with_context(|| format!("find instance {instance}"))?
            .priority = priority;
        self.reload(config)
    }

    /// Writes a number into a track file; keepalived sees it at once.
    ///
    /// # Errors
    /// When the configuration has no such track file.
    pub fn set_track_file(&self, name: &str, value: i32) -> Result<()> {
        let found = self
            .config
            .track_files
            .iter()
            .find(|candidate| candidate.name == name);
        let file = &found
            .with_context(|| format!("find track file {name}"))?
            .path;
        fs::write(file, format!("{value}\n")).with_context(|| format!("write {}", file.display()))
    }

    fn signal_all(&self, signal: Signal) -> Result<Vec<Pid>> {
        let pids = self.pids();
        ensure!(
            pids.len() > 1,
            "keepalived has no VRRP process:\n{}",
            self.log()
        );
        for &pid in &pids {
            kill(pid, signal).with_context(|| format!("send {signal} to {pid}"))?;
        }
        Ok(pids)
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        // The children too may be frozen, and then could not obey their parent.
        for pid in self.pids() {
            if let Err(error) = kill(pid, Signal::SIGCONT) {
                // Already stopped is the usual case.
                if error != nix::errno::Errno::ESRCH {
                    eprintln!("thaw keepalived's process {pid}: {error}");
                }
            }
        }
    }
}

fn states(log: &str, instance: &str) -> Vec<State> {
    let mark = format!("({instance}) Entering ");
    let after = log.lines().filter_map(|line| line.split_once(&mark));
    after
        .filter_map(|(_, rest)| {
            [State::Master, State::Backup, State::Fault]
                .into_iter()
                .find(|state| rest.starts_with(state.word()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_in_order_and_only_of_the_instance() {
        let log = "Wed (VI_1) Entering BACKUP STATE (init)\n\
                   Wed (VI_10) Entering FAULT STATE\n\
                   Wed (VI_1) Entering MASTER STATE\n";
        assert_eq!(states(log, "VI_1"), [State::Backup, State::Master]);
    }
}
