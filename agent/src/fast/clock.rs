//! When the thread wakes: at a time, at an event of the kernel's, at an order.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd};
use std::ptr;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::{TimeSpec, TimeValLike as _};

use crate::engine::Nanos;
use crate::report::clock::monotonic_ns;

/// It wakes at least this often: each wait has a limit.
const LIMIT_NS: Nanos = 1_000_000_000;

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
pub(super) struct Clock(Epoll);

impl Clock {
    /// Waits for the ring with this descriptor, and the bell.
    pub(super) fn new(ring: RawFd, bell: &Bell) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("make an epoll")?;
        // SAFETY: the ring lives as long as the thread, which has both.
        let ring = unsafe { BorrowedFd::borrow_raw(ring) };
        for (fd, what) in [(ring, OTHER), (bell.0.as_fd(), RUNG)] {
            epoll
                .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, what))
                .context("wait for events")?;
        }
        Ok(Self(epoll))
    }

    /// Waits until `due`, nanoseconds of CLOCK_MONOTONIC, or until something happens.
    pub(super) fn wait(&self, due: Option<Nanos>, bell: &Bell) -> Result<()> {
        let now = monotonic_ns()?;
        let left = due.map_or(LIMIT_NS, |due| due.saturating_sub(now).min(LIMIT_NS));
        let mut events = [EpollEvent::empty(); 4];
        let count = match wait(&self.0, &mut events, left) {
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
}

/// Waits to the nanosecond (Linux 5.11); how many events there are. A timer of its own
/// would take a system call more for each probe.
fn wait(epoll: &Epoll, events: &mut [EpollEvent; 4], left: Nanos) -> Result<usize, Errno> {
    let limit = TimeSpec::nanoseconds(i64::try_from(left).unwrap_or(i64::MAX));
    let limit: *const libc::timespec = limit.as_ref();
    // SAFETY: there is room for as many events as are asked for, of the kernel's layout
    // (`EpollEvent` is transparent); the time is there until the call returns; there
    // is no set of signals.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.0.as_raw_fd(),
            events.as_mut_ptr(),
            4,
            limit,
            ptr::null::<libc::sigset_t>(),
            0,
        )
    };
    Errno::result(count).map(|count| usize::try_from(count).unwrap_or(0))
}
