//! How the fast path's thread is scheduled, and that its memory stays where it is.

use nix::errno::Errno;
use nix::libc;
use tracing::{info, warn};

/// Above keepalived's own (`vrrp_rt_priority 50`): a probe is worth nothing late.
pub const PRIORITY: u8 = 51;

/// How the thread is to be scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Of SCHED_FIFO, 1 to 99; 0: like everybody else.
    pub priority: u8,
}

impl Standing {
    /// Takes effect for the calling thread; says so, or why not. What is not as it should
    /// be is returned, too, in words.
    pub(super) fn take(self) -> Vec<String> {
        let mut fallbacks = Vec::new();
        let mut fall_back = |what: String| {
            warn!("{what}");
            fallbacks.push(what);
        };
        if self.priority == 0 {
            info!("the fast path is scheduled like everything else, as asked for");
            return fallbacks;
        }
        let parameters = libc::sched_param {
            sched_priority: i32::from(self.priority),
        };
        // SAFETY: the structure is there until the call returns; 0 is this thread.
        let outcome = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) };
        match Errno::result(outcome) {
            Ok(_) => info!("the fast path runs with SCHED_FIFO {}", self.priority),
            Err(errno) => fall_back(format!(
                "the fast path is scheduled like everything else, verdicts may come late: \
                 SCHED_FIFO {}: {errno}",
                self.priority
            )),
        }
        // What is used is kept; what may be used is not filled.
        // SAFETY: takes no pointers.
        let outcome =
            unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
        if let Err(errno) = Errno::result(outcome) {
            fall_back(format!(
                "memory is not locked, verdicts may come late: {errno}"
            ));
        }
        fallbacks
    }
}
