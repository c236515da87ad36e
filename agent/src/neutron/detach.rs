//! Leaving whoever started the monitor, and its signals.

use std::fs::OpenOptions;
use std::io::{PipeReader, PipeWriter, Read as _, pipe};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

/// Which of the two this process is.
#[derive(Debug)]
pub(super) enum Parent {
    /// The one that was started, which has waited and ends with this.
    Caller(ExitCode),
    /// The monitor. A byte into the pipe lets the caller go.
    Left(Option<PipeWriter>),
}

/// SIGTERM and SIGINT, blocked, as a descriptor. A hang-up is no reason to end.
pub(super) fn signals() -> Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    let mut blocked = signals;
    blocked.add(Signal::SIGHUP);
    blocked.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&signals, flags)?)
}

/// Lets go of standard input, output and error; with `detached` also of the caller, which
/// waits until the pid file is written.
pub(super) fn detach(detached: bool) -> Result<Parent> {
    let parent = if detached {
        leave()?
    } else {
        Parent::Left(None)
    };
    if matches!(parent, Parent::Left(_)) {
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        chdir("/")?;
    }
    Ok(parent)
}

fn leave() -> Result<Parent> {
    let (reader, writer) = pipe().context("make a pipe")?;
    // SAFETY: no other thread runs, so the child may do whatever its parent may.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Parent { .. } => {
            drop(writer);
            Ok(Parent::Caller(outcome(reader)))
        }
        ForkResult::Child => {
            drop(reader);
            setsid().context("begin a session")?;
            Ok(Parent::Left(Some(writer)))
        }
    }
}

/// How the monitor has begun: it writes a byte when it is ready, or ends.
fn outcome(mut reader: PipeReader) -> ExitCode {
    match reader.read(&mut [0]) {
        Ok(1) => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}
