//! Running programs: short ones to their end, long ones in a guard that stops them.

use crate::wait;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// How long a short program may take.
const SHORT: Duration = Duration::from_secs(60);
/// How long a long-running program has between being asked to stop and being killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// When it cannot be started, fails, or takes longer than a minute; with what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    output_with_input(command, "")
}

/// As [`output`], with `input` on its standard input.
///
/// # Errors
/// As [`output`].
pub fn output_with_input(command: &mut Command, input: &str) -> Result<String> {
    let what = format!("{command:?}");
    let mut stdin = scratch_file()?;
    stdin.write_all(input.as_bytes())?;
    stdin.rewind()?;
    let mut stdout = scratch_file()?;
    let mut stderr = scratch_file()?;
    let mut child = command
        .stdin(stdin)
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()
        .with_context(|| format!("start {what}"))?;
    let status = match wait_for(&mut child, SHORT) {
        Ok(status) => status,
        Err(error) => {
            child.kill()?;
            child.wait()?;
            return Err(error.context(what));
        }
    };
    let printed = read_back(&mut stdout)?;
    ensure!(
        status.success(),
        "{what}: {status}: {}",
        read_back(&mut stderr)?.trim()
    );
    Ok(printed)
}

/// A file in memory: no pipe that fills, no name to remove.
fn scratch_file() -> Result<File> {
    Ok(memfd_create("lab", MFdFlags::MFD_CLOEXEC)
        .context("make a file in memory")?
        .into())
}

fn read_back(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(crate) fn wait_for(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    wait::until("its end", limit, || match child.try_wait() {
        Ok(Some(status)) => Ok(Ok(status)),
        Ok(None) => Err("it still running".into()),
        Err(error) => Ok(Err(error)),
    })?
    .context("wait for a child")
}

/// A program that runs until it is stopped, at the latest when this guard is dropped.
///
/// What it prints goes to a file, which is shown when the guard is dropped by a failing test.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, with its output in the file `log`.
    ///
    /// # Errors
    /// When the log cannot be made or the program not be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        Self::start_with_input(name, command, Stdio::null(), log)
    }

    /// As [`Process::start`], with `input` as its standard input.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start_with_input(
        name: &str,
        command: &mut Command,
        input: Stdio,
        log: &Path,
    ) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("make {}", log.display()))?;
        let child = command
            .stdin(input)
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// What it printed up to now.
    #[must_use]
    pub fn log(&self) -> String {
        match fs::read(&self.log) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(read {}: {error})", self.log.display()),
        }
    }

    /// Waits until `find` finds what it looks for in the log.
    ///
    /// # Errors
    /// When `limit` is over or the program ends first; with the log.
    pub fn wait_log<T>(
        &mut self,
        what: &str,
        limit: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let found = wait::until(what, limit, || {
            let ended = self.child.try_wait().ok().flatten();
            let log = self.log();
            match (find(&log), ended) {
                (Some(value), _) => Ok(Some(value)),
                (None, Some(_)) => Ok(None),
                (None, None) => Err(format!("this log:\n{log}")),
            }
        })?;
        found.with_context(|| format!("{} ended before {what}:\n{}", self.name, self.log()))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// Asks it to stop with `signal`, waits, and kills it if it does not.
    ///
    /// # Errors
    /// When it had to be killed, or cannot be waited for.
    pub fn stop(&mut self, signal: Signal) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        self.signal(signal)?;
        // A frozen process does not see the signal before it is thawed.
        self.signal(Signal::SIGCONT)?;
        if let Err(error) = wait_for(&mut self.child, PATIENCE) {
            self.child.kill()?;
            self.child.wait()?;
            bail!("{} had to be killed after {signal}: {error}", self.name);
        }
        Ok(())
    }

    /// Waits until it has ended, by itself or by a signal already sent.
    ///
    /// # Errors
    /// When it has not after five seconds.
    pub fn wait_end(&mut self) -> Result<ExitStatus> {
        self.wait_end_within(PATIENCE)
    }

    /// As [`Process::wait_end`], for as long as `limit`.
    ///
    /// # Errors
    /// When it has not ended by then.
    pub fn wait_end_within(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait_for(&mut self.child, limit).with_context(|| format!("wait for {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop(Signal::SIGTERM) {
            eprintln!("{error:#}");
        }
        if thread::panicking() {
            eprintln!("---- log of {} ----\n{}", self.name, self.log());
        }
    }
}

/// The children of a process, from /proc; none if it is gone.
#[must_use]
pub fn children(pid: Pid) -> Vec<Pid> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let list = fs::read_to_string(path).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(Pid::from_raw)
        .collect()
}

/// Waits until a process that is not our own child is gone, or dead and only unread by its parent.
///
/// # Errors
/// When it still runs after five seconds.
pub fn wait_gone(pid: Pid) -> Result<()> {
    wait::until(
        &format!("the end of process {pid}"),
        PATIENCE,
        || match state(pid) {
            None | Some(b'Z' | b'X') => Ok(()),
            Some(state) => Err(format!("state {}", char::from(state))),
        },
    )
}

/// Waits until a process sleeps: it has done all that there was to do.
///
/// # Errors
/// When it does not within five seconds.
pub fn wait_asleep(pid: Pid) -> Result<()> {
    wait::until(
        &format!("sleep of process {pid}"),
        PATIENCE,
        || match state(pid) {
            Some(b'S') => Ok(()),
            other => Err(format!("state {:?}", other.map(char::from))),
        },
    )
}

/// The letter that /proc gives for a process's state; none if it is gone.
fn state(pid: Pid) -> Option<u8> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // It is the first field after the name, which is in brackets.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.bytes().next()
}
