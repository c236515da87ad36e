//! Waiting until there is something to do, with as little memory as can be.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::engine::Nanos;
use crate::report::clock::monotonic_ns;

use super::{Clean, Monitor, Sync, View};

/// After so long a rest, memory is given back.
pub(super) const REST: Nanos = 300_000_000;

const NANOS_PER_MS: Nanos = 1_000_000;

impl Monitor<'_> {
    /// Waits until there is something to do; returns whether it is to end.
    pub(super) fn wait(&mut self, now: Nanos) -> Result<bool> {
        if self.rest_at.is_some_and(|at| at <= now) {
            self.rest_at = None;
            self.give_back();
        }
        let deadline = self.deadline();
        let woken = {
            let descriptors = [
                Some(self.signals.as_fd()),
                self.leader.lines(),
                self.courier.answers(),
                self.sync.as_ref().and_then(Sync::ends),
                match &self.view {
                    View::Open(netlink) => Some(netlink.as_fd()),
                    View::Blind(_) => None,
                },
            ];
            // What is not there is the first one again, which does no harm.
            let first = self.signals.as_fd();
            let mut waiting =
                descriptors.map(|it| PollFd::new(it.unwrap_or(first), PollFlags::POLLIN));
            let until = [deadline, self.rest_at].into_iter().flatten().min();
            match poll(&mut waiting, timeout(until, now)) {
                Ok(count) => count > 0,
                Err(Errno::EINTR) => false,
                Err(errno) => return Err(errno).context("wait for what happens"),
            }
        };
        let later = monotonic_ns()?;
        if woken || deadline.is_some_and(|at| at <= later) {
            self.rest_at = Some(later.saturating_add(REST));
        }
        Ok(woken
            && self
                .signals
                .read_signal()
                .context("read signals")?
                .is_some())
    }

    /// When something is due without anything happening.
    fn deadline(&self) -> Option<Nanos> {
        let told_next = self
            .outbox
            .next()
            .filter(|_| self.courier.is_idle() && self.sync.is_none());
        let look = match &self.view {
            View::Blind(at) => Some(*at),
            View::Open(_) => None,
        };
        let all = [
            self.leader.deadline(),
            self.courier.deadline(),
            self.sync.as_ref().and_then(Sync::deadline),
            told_next.map(|_| self.outbox.retry_at()),
            self.rewrite_at,
            look,
        ];
        all.into_iter().flatten().min()
    }

    fn give_back(&mut self) {
        if self.clean.is_none() {
            match Clean::find() {
                Ok(clean) => self.clean = Some(clean),
                Err(error) => self.log.debug(&format!("{error:#}")),
            }
        }
        if let Some(clean) = &self.clean {
            clean.give_back();
        }
    }
}

/// Rounded up: what is due is due by then.
fn timeout(until: Option<Nanos>, now: Nanos) -> PollTimeout {
    let Some(until) = until else {
        return PollTimeout::NONE;
    };
    let ms = until.saturating_sub(now).div_ceil(NANOS_PER_MS);
    PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
}
