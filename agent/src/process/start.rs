//! Starting processes: detached from the agent in all that it has not been asked to
//! pass on.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, killpg, pthread_sigmask, signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, setsid};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;
use tracing::warn;

use super::Process;
use crate::netns::Namespace;

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much is kept of what a program said last, bytes.
const OUTPUT_LIMIT: usize = 16 * 1024;
/// What programs expect; some close every descriptor up to it, or use `select`.
const DESCRIPTORS: libc::rlim_t = 1024;

/// What to start.
#[derive(Debug)]
pub struct Start<'a> {
    /// An absolute path, or a name that is looked for where system programs are.
    pub program: &'a str,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its network namespace; `None`: the agent's.
    pub namespace: Option<&'a Namespace>,
    /// Its environment, besides PATH and LANG.
    pub environment: &'a [(&'a str, &'a str)],
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// The end of what it wrote to standard output and standard error, up to
    /// 16 KiB.
    pub output: String,
}

/// Starts a process that outlives the agent: in a session of its own, and what it
/// writes to standard output or standard error is lost.
///
/// # Errors
///
/// There is no such program, its namespace is gone, or the kernel refuses.
pub fn start(start: &Start<'_>) -> Result<Process> {
    let mut command = start.command(false)?;
    command.stdout(Stdio::null()).stderr(Stdio::null());
    start.spawn(command)
}

/// Runs a program to its end, for `limit` at most. It dies with the agent, and when
/// this is not awaited any longer.
///
/// # Errors
///
/// As [`start`], and when the limit is over: then it is killed with all that it
/// started in its process group, and the error holds what it said.
pub async fn run(start: &Start<'_>, limit: Duration) -> Result<Finished> {
    let doing = || format!("run {}", start.program);
    let (reader, writer) = io::pipe().with_context(doing)?;
    let mut command = start.command(true)?;
    command.stdout(writer.try_clone().with_context(doing)?);
    command.stderr(writer);
    let mut output = Receiver::from_owned_fd(reader.into()).with_context(doing)?;
    let process = Helper(start.spawn(command)?);
    let mut tail = Tail::default();
    match timeout(limit, follow(&process.0, &mut output, &mut tail)).await {
        Ok(status) => Ok(Finished {
            status: status.with_context(doing)?,
            output: tail.into_text(),
        }),
        Err(_) => bail!(
            "{} took longer than {limit:?} and was killed; it said: {:?}",
            start.program,
            tail.into_text()
        ),
    }
}

impl Start<'_> {
    fn command(&self, dies_with_agent: bool) -> Result<Command> {
        ensure!(
            self.program.starts_with('/') || !self.program.contains('/'),
            "program {:?}: expected an absolute path or a name",
            self.program
        );
        let mut command = Command::new(self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C")
            .envs(self.environment.iter().copied())
            .current_dir("/")
            .stdin(Stdio::null());
        // SAFETY: runs between fork and exec; `detach` makes system calls only, and
        // neither allocates nor locks.
        unsafe { command.pre_exec(move || detach(dies_with_agent)) };
        Ok(command)
    }

    /// Takes the command: it holds descriptors that only the child should.
    fn spawn(&self, mut command: Command) -> Result<Process> {
        let mut spawn = || {
            command
                .spawn()
                .with_context(|| format!("start {}", self.program))
        };
        let child = match self.namespace {
            Some(namespace) => namespace.enter(spawn),
            None => spawn(),
        }?;
        // Not reaped yet: the id is its own, even if it has ended.
        Process::hold(child.id() as i32, true)?
            .with_context(|| format!("{} has no process", self.program))
    }
}

/// A process that is killed when nobody waits for it any longer.
struct Helper(Process);

impl Drop for Helper {
    fn drop(&mut self) {
        // While it is not reaped, no other process group can have its id.
        if self.0.0.status.get().is_none() {
            let pid = self.0.pid();
            if let Err(error) = killpg(Pid::from_raw(pid), Signal::SIGKILL) {
                warn!("kill process group {pid}: {error}");
            }
        }
    }
}

/// Waits for the end of a process and keeps what it says. Whoever inherited its
/// output is not waited for.
async fn follow(process: &Process, output: &mut Receiver, tail: &mut Tail) -> Result<ExitStatus> {
    let mut buffer = [0; 1024];
    let mut open = true;
    let status = loop {
        tokio::select! {
            read = output.read(&mut buffer), if open => {
                let read = read.context("read its output")?;
                tail.push(buffer.get(..read).unwrap_or_default());
                open = read > 0;
            }
            status = process.exited() => break status?,
        }
    };
    // Up to the end, or to what somebody else may still write.
    while let Ok(read @ 1..) = output.try_read(&mut buffer) {
        tail.push(buffer.get(..read).unwrap_or_default());
    }
    status.context("no status")
}

/// The end of a text.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let surplus = self.0.len().saturating_sub(OUTPUT_LIMIT);
        self.0.drain(..surplus);
    }

    fn into_text(self) -> String {
        String::from_utf8_lossy(&self.0).trim_end().to_owned()
    }
}

/// Undoes, in a child, what it has from the agent.
fn detach(dies_with_agent: bool) -> io::Result<()> {
    // Away from the terminal, whose Ctrl-C is meant for the agent.
    setsid()?;
    if dies_with_agent {
        set_pdeathsig(Signal::SIGKILL)?;
    }
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    for number in Signal::iterator() {
        if !matches!(number, Signal::SIGKILL | Signal::SIGSTOP) {
            // SAFETY: the default handler is no code of ours.
            unsafe { signal(number, SigHandler::SigDfl) }?;
        }
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    // The agent raises its own.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS), hard)?;
    close_on_exec()
}

/// Lets no descriptor through but the standard ones, however it was opened.
fn close_on_exec() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    // SAFETY: marks descriptors and closes none; takes numbers only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
