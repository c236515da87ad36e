//! Child processes and foreign ones, held by pidfd: a signal cannot reach another
//! process that has got the same id meanwhile.
//!
//! [`start`] makes one that outlives the agent, [`run`] one that does not, [`adopt`]
//! finds one from before. Letting go of a [`Process`] does not end it.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::time::timeout;

mod start;

mod adopt;

pub use adopt::{Adoption, Identity, adopt, adopt_by_pid_file};
pub use rustix::process::Signal;
pub use start::{Finished, Start, run, start};

/// How long a process may take to be gone after SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// A process, which may have ended by now.
#[derive(Debug)]
pub struct Process(Arc<Held>);

#[derive(Debug)]
struct Held {
    pid: i32,
    /// Whether this process started it, and so is told of its exit status.
    own: bool,
    status: OnceLock<ExitStatus>,
    pidfd: Arc<OwnedFd>,
    /// Of its end; registered when it is first waited for.
    watch: OnceLock<AsyncFd<Arc<OwnedFd>>>,
}

/// How [`stop`] ended a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It ended at SIGTERM, or had before.
    Ended,
    /// It had to be killed.
    Killed,
}

impl Process {
    /// Its id.
    pub fn pid(&self) -> i32 {
        self.0.pid
    }

    /// Sends it a signal; false where it is gone.
    ///
    /// # Errors
    ///
    /// There is no privilege to.
    pub fn signal(&self, signal: Signal) -> Result<bool> {
        match pidfd_send_signal(self.0.pidfd.as_fd(), signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(errno).with_context(|| format!("signal process {}", self.pid())),
        }
    }

    /// Waits until it has ended; its status, or `None` where it was not started
    /// here. May be asked again, and by several at once.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub async fn exited(&self) -> Result<Option<ExitStatus>> {
        self.0.exited().await
    }

    /// Whether it has not ended yet.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub fn is_running(&self) -> Result<bool> {
        let mut descriptors = [PollFd::new(self.0.pidfd.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut descriptors, PollTimeout::ZERO)
            .with_context(|| format!("look at process {}", self.pid()))?;
        Ok(ready == 0)
    }

    /// Whether it is stopped, by SIGSTOP or a tracer; `None` where it is gone.
    ///
    /// # Errors
    ///
    /// It cannot be looked at.
    pub fn is_stopped(&self) -> Result<Option<bool>> {
        let stopped = adopt::is_stopped(self.pid())?;
        // The id was its own while it was looked at if it still is.
        Ok(stopped.filter(|_| self.is_running().unwrap_or(false)))
    }

    /// The id of its parent; `None` where it is gone.
    ///
    /// # Errors
    ///
    /// It cannot be looked at.
    pub fn parent(&self) -> Result<Option<i32>> {
        let parent = adopt::parent(self.pid())?;
        // The id was its own while it was looked at if it still is.
        Ok(parent.filter(|_| self.is_running().unwrap_or(false)))
    }

    /// Holds the process that has an id; `None` where none has.
    fn hold(pid: i32, own: bool) -> Result<Option<Self>> {
        let Some(id) = Pid::from_raw(pid).filter(|_| pid > 0) else {
            return Ok(None);
        };
        let pidfd = match pidfd_open(id, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // The latter two: the id of a thread.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno).with_context(|| format!("hold process {pid}")),
        };
        Ok(Some(Self(Arc::new(Held {
            pid,
            own,
            status: OnceLock::new(),
            watch: OnceLock::new(),
            pidfd: Arc::new(pidfd),
        }))))
    }
}

impl Held {
    async fn exited(&self) -> Result<Option<ExitStatus>> {
        let doing = || format!("wait for process {}", self.pid);
        if let Some(status) = self.status.get() {
            return Ok(Some(*status));
        }
        let watch = match self.watch.get() {
            Some(watch) => watch,
            None => {
                let pidfd = Arc::clone(&self.pidfd);
                // SAFETY: what is registered holds the descriptor, and so keeps it open.
                let watch = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }
                    .with_context(doing)?;
                self.watch.get_or_init(|| watch)
            }
        };
        // Readable from its end on, for ever.
        watch.readable().await.with_context(doing)?.retain_ready();
        if self.own && self.status.get().is_none() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            let ended = waitid(WaitId::PidFd(self.pidfd.as_fd()), options).with_context(doing)?;
            let status = ended.and_then(|ended| exit_status(&ended));
            let status = status
                .ok_or_else(|| anyhow!("no status"))
                .with_context(doing)?;
            return Ok(Some(*self.status.get_or_init(|| status)));
        }
        Ok(self.status.get().copied())
    }
}

impl Drop for Process {
    /// Sees to it that a child that nobody waits for leaves no zombie.
    fn drop(&mut self) {
        let held = &self.0;
        if !held.own || held.status.get().is_some() {
            return;
        }
        // Without a runtime the agent is about to end, and init does this.
        if let Ok(runtime) = Handle::try_current() {
            let held = Arc::clone(held);
            runtime.spawn(async move { drop(held.exited().await) });
        }
    }
}

/// Ends a process: SIGTERM, and SIGKILL when `grace` is over.
///
/// # Errors
///
/// It cannot be signalled, or is there even so.
pub async fn stop(process: &Process, grace: Duration) -> Result<Stopped> {
    process.signal(Signal::TERM)?;
    if let Ok(ended) = timeout(grace, process.exited()).await {
        return ended.map(|_| Stopped::Ended);
    }
    kill(process).await.map(|()| Stopped::Killed)
}

/// Kills a process and waits until it is gone.
///
/// # Errors
///
/// It cannot be signalled, or is there even so.
pub async fn kill(process: &Process) -> Result<()> {
    process.signal(Signal::KILL)?;
    let ended = timeout(KILL_LIMIT, process.exited())
        .await
        .with_context(|| {
            format!(
                "process {} is still there {} s after SIGKILL",
                process.pid(),
                KILL_LIMIT.as_secs()
            )
        })?;
    ended.map(drop)
}

fn exit_status(ended: &WaitIdStatus) -> Option<ExitStatus> {
    let by_code = ended.exit_status().map(|code| (code & 0xff) << 8);
    by_code
        .or(ended.terminating_signal())
        .map(ExitStatus::from_raw)
}

#[cfg(test)]
mod tests;
