//! Having conntrackd synchronise connections with a transition, as Neutron's own monitor does.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::engine::{Nanos, Published};

use super::log::Log;

/// How long one command may take.
const LIMIT: Nanos = 5_000_000_000;

/// Commit what the others told, forget it, read the kernel's connections anew, tell the others.
const PRIMARY: &[&str] = &["-c", "-f", "-R", "-B"];
/// Let dead connections go soon, ask the primary for all.
const BACKUP: &[&str] = &["-t", "-n"];

/// Commands that run one after the other. Failures are logged, and the next one runs.
#[derive(Debug)]
pub(super) struct Sync {
    state: Published,
    configuration: PathBuf,
    left: &'static [&'static str],
    running: Option<Running>,
}

/// Killed when dropped.
#[derive(Debug)]
struct Running {
    child: Child,
    pidfd: OwnedFd,
    limit: Nanos,
}

impl Sync {
    /// Begins.
    pub(super) fn new(state: Published, conf_dir: &Path) -> Self {
        Self {
            state,
            configuration: conf_dir.join("conntrackd.conf"),
            left: match state {
                Published::Primary => PRIMARY,
                Published::Backup => BACKUP,
            },
            running: None,
        }
    }

    pub(super) const fn state(&self) -> Published {
        self.state
    }

    /// What to wait for, besides [`Self::deadline`].
    pub(super) fn ends(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|it| it.pidfd.as_fd())
    }

    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.running.as_ref().map(|it| it.limit)
    }

    /// Goes on as far as possible without waiting; returns whether all is done.
    pub(super) fn go_on(&mut self, now: Nanos, log: &Log) -> bool {
        loop {
            if let Some(running) = &mut self.running {
                match running.child.try_wait() {
                    Ok(None) if now < running.limit => return false,
                    Ok(Some(status)) if status.success() => {}
                    Ok(None) => log.error("conntrackd takes too long: killed"),
                    Ok(Some(status)) => log.error(&format!("conntrackd: {status}")),
                    Err(error) => log.error(&format!("wait for conntrackd: {error}")),
                }
                self.running = None;
            }
            let Some((option, left)) = self.left.split_first() else {
                return true;
            };
            self.left = left;
            match self.start(option, now) {
                Ok(running) => self.running = Some(running),
                Err(error) => log.error(&format!("conntrackd {option}: {error:#}")),
            }
        }
    }

    /// In the router's namespace, for this process is there.
    fn start(&self, option: &str, now: Nanos) -> Result<Running> {
        let mut command = Command::new("conntrackd");
        command.arg("-C").arg(&self.configuration).arg(option);
        // Where to find it, but nothing else of whoever started this.
        command.env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.current_dir("/").spawn().context("start")?;
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("its pid")?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("watch")?;
        Ok(Running {
            child,
            pidfd,
            limit: now.saturating_add(LIMIT),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and that is as well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
