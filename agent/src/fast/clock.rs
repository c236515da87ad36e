//! When the thread wakes: at a time, at an event of the kernel's, at an order.

use std::os::fd::{BorrowedFd, RawFd};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::engine::Nanos;

/// It wakes at least this often, milliseconds: each wait has a limit.
const LIMIT_MS: u16 = 1_000;

/// Of what has happened: the bell was rung.
const RUNG: u64 = 1;
/// Anything else.
const OTHER: u64 = 0;

/// Wakes the thread when there is an order.
#[derive(Debug)]
pub(super) struct Bell(EventFd);

impl Bell {
    pub(super) fn new() -> Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        EventFd::from_value_and_flags(0, flags)
            .map(Self)
            .context("make an event descriptor")
    }

    /// Rings it. Rung already, it need not be.
    pub(super) fn ring(&self) {
        _ = self.0.write(1);
    }

    fn silence(&self) {
        _ = self.0.read();
    }
}

/// What the thread waits with.
pub(super) struct Clock {
    epoll: Epoll,
    timer: TimerFd,
    /// What the timer is set to.
    set: Option<Nanos>,
}

impl Clock {
    /// Waits for the ring with this descriptor, and the bell.
    pub(super) fn new(ring: RawFd, bell: &Bell) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("make an epoll")?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).context("make a timer")?;
        // SAFETY: the ring lives as long as the thread, which has both.
        let ring = unsafe { BorrowedFd::borrow_raw(ring) };
        let add = |fd: BorrowedFd<'_>, flags, what| {
            epoll
                .add(fd, EpollEvent::new(EpollFlags::EPOLLIN | flags, what))
                .context("wait for events")
        };
        add(ring, EpollFlags::empty(), OTHER)?;
        add(std::os::fd::AsFd::as_fd(&bell.0), EpollFlags::empty(), RUNG)?;
        // Set anew each time, it need not be read.
        add(std::os::fd::AsFd::as_fd(&timer), EpollFlags::EPOLLET, OTHER)?;
        Ok(Self {
            epoll,
            timer,
            set: None,
        })
    }

    /// Waits until `due`, nanoseconds of CLOCK_MONOTONIC, or until something happens.
    pub(super) fn wait(&mut self, due: Option<Nanos>, bell: &Bell) -> Result<()> {
        if due != self.set {
            match due {
                Some(due) => {
                    let at = i64::try_from(due.max(1)).unwrap_or(i64::MAX);
                    let at = Expiration::OneShot(TimeSpec::nanoseconds(at));
                    self.timer
                        .set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)
                        .context("set a timer")?;
                }
                None => self.timer.unset().context("unset a timer")?,
            }
            self.set = due;
        }
        let mut events = [EpollEvent::empty(); 4];
        let count = match self.epoll.wait(&mut events, EpollTimeout::from(LIMIT_MS)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno).context("wait"),
        };
        // One system call less for each probe.
        if events.iter().take(count).any(|event| event.data() == RUNG) {
            bell.silence();
        }
        Ok(())
    }

    /// The time that was waited for has come.
    pub(super) fn passed(&mut self) {
        self.set = None;
    }
}
