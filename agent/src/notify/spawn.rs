//! Running a program to its end.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::os::fd::AsFd as _;
use tokio::io::AsyncReadExt as _;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Handle;
use tokio::time::timeout;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const OUTPUT_LIMIT: usize = 16 * 1024;

pub(super) struct Start<'a> {
    pub(super) program: &'a str,
    pub(super) arguments: Vec<OsString>,
    pub(super) namespace: Option<&'a crate::netns::Namespace>,
    pub(super) environment: &'a [(&'a str, &'a str)],
}

pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) output: String,
}

pub(super) async fn run(start: &Start<'_>, limit: Duration) -> Result<Finished> {
    let doing = || format!("run {}", start.program);
    debug_assert!(start.namespace.is_none());
    let (reader, writer) = std::io::pipe().with_context(doing)?;
    let mut command = Command::new(start.program);
    command
        .args(&start.arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", "C")
        .envs(start.environment.iter().copied())
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().with_context(doing)?)
        .stderr(writer);
    let child = command.spawn().with_context(doing)?;
    drop(command);
    let pid = Pid::from_raw(child.id().cast_signed()).context("no id")?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).with_context(doing)?;
    // SAFETY: what is registered owns the descriptor, and so keeps it open.
    let watch = unsafe { AsyncFd::register(pidfd) }.with_context(doing)?;
    let mut helper = Helper {
        pid: nix::unistd::Pid::from_raw(pid.as_raw_pid()),
        pidfd: Some(watch),
    };
    let mut output = Receiver::from_owned_fd(reader.into()).with_context(doing)?;
    let mut tail = Vec::new();
    match timeout(limit, helper.follow(&mut output, &mut tail)).await {
        Ok(status) => Ok(Finished {
            status: status.with_context(doing)?,
            output: String::from_utf8_lossy(&tail).trim_end().to_owned(),
        }),
        Err(_) => bail!(
            "{} took longer than {limit:?} and was killed",
            start.program
        ),
    }
}

struct Helper {
    pid: nix::unistd::Pid,
    pidfd: Option<AsyncFd<OwnedFd>>,
}

impl Helper {
    async fn follow(&mut self, output: &mut Receiver, tail: &mut Vec<u8>) -> Result<ExitStatus> {
        let pidfd = self.pidfd.as_ref().context("ended")?;
        let mut buffer = [0; 1024];
        let mut open = true;
        loop {
            tokio::select! {
                read = output.read(&mut buffer), if open => {
                    let read = read?;
                    tail.extend_from_slice(buffer.get(..read).unwrap_or_default());
                    tail.drain(..tail.len().saturating_sub(OUTPUT_LIMIT));
                    open = read > 0;
                }
                ready = pidfd.readable() => { ready?.retain_ready(); break }
            }
        }
        while let Ok(read @ 1..) = output.try_read(&mut buffer) {
            tail.extend_from_slice(buffer.get(..read).unwrap_or_default());
            tail.drain(..tail.len().saturating_sub(OUTPUT_LIMIT));
        }
        let status = reap(pidfd)?;
        self.pidfd = None;
        Ok(status)
    }
}

fn reap(pidfd: &AsyncFd<OwnedFd>) -> Result<ExitStatus> {
    let ended =
        waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?.context("no status")?;
    let by_code = ended.exit_status().map(|code| (code & 0xff) << 8);
    by_code
        .or(ended.terminating_signal())
        .map(ExitStatus::from_raw)
        .context("no status")
}

impl Drop for Helper {
    fn drop(&mut self) {
        let Some(pidfd) = self.pidfd.take() else {
            return;
        };
        killpg(self.pid, Signal::SIGKILL).unwrap_or_default();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if pidfd.readable().await.is_ok() {
                    drop(reap(&pidfd));
                }
            });
        }
    }
}
