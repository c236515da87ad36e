//! What strangers may have of what is there for all: entries in the map of virtual
//! routers, and room in the ring buffer of events.
//!
//! Who can send on a segment can make adverts of routers that nobody has. They must
//! neither keep a configured router out of the map nor its events out of the ring.

use bytemuck::{Pod, Zeroable};

/// The limits, set when the programs are loaded.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Limits {
    /// How many virtual routers that nobody has configured one interface may have; 0: any
    /// number, and no other limit holds either.
    pub routers: u64,
    /// How many all interfaces together may have.
    pub routers_of_all: u64,
    /// So long it takes, in nanoseconds, until one more event about them may be sent.
    pub event_ns: u64,
    /// Events may come this much before their time, in nanoseconds: a burst.
    pub burst_ns: u64,
    /// The same of the events about one router that is configured, on each CPU.
    pub own_event_ns: u64,
    /// The same of its bursts.
    pub own_burst_ns: u64,
}

impl Limits {
    /// There are none.
    pub const NONE: Self = Self {
        routers: 0,
        routers_of_all: 0,
        event_ns: 0,
        burst_ns: 0,
        own_event_ns: 0,
        own_burst_ns: 0,
    };

    /// Those of an agent. The map has room for four times [`Self::routers_of_all`], and
    /// the agent's count of them may lag behind by as much again.
    pub const USUAL: Self = Self {
        routers: 1024,
        routers_of_all: 4096,
        // 500 a second, and 2,000 at once.
        event_ns: 2_000_000,
        burst_ns: 4_000_000_000,
        // 4 a second, and 128 at once: the event log is to last.
        own_event_ns: 250_000_000,
        own_burst_ns: 32_000_000_000,
    };
}

/// What the strangers of an interface have.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Share {
    /// Their virtual routers: counted by the kernel as they come, set right by the agent.
    pub routers: u64,
    /// See [`admit`].
    pub events_ns: u64,
}

const _: () = {
    assert!(size_of::<Limits>() == 48);
    assert!(size_of::<Share>() == 16);
};

impl Share {
    /// Nothing.
    pub const NONE: Self = Self {
        routers: 0,
        events_ns: 0,
    };
}

/// Whether one more may come at `now`: each takes `each_ns`, and they may be early by
/// `burst_ns` together. `due_ns` is when the next one would be in time; 0 at first.
#[inline(always)]
pub const fn admit(due_ns: &mut u64, now: u64, each_ns: u64, burst_ns: u64) -> bool {
    let due = if *due_ns > now { *due_ns } else { now };
    if due - now > burst_ns {
        return false;
    }
    *due_ns = due.saturating_add(each_ns);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_as_many_as_are_due() {
        let (each, burst) = (10, 100);
        let mut due = 0;
        let count =
            |due: &mut u64, now: u64| (0..1_000).filter(|_| admit(due, now, each, burst)).count();
        assert_eq!(count(&mut due, 5_000), 11);
        assert_eq!(count(&mut due, 5_000), 0);
        assert_eq!(count(&mut due, 5_010), 1);
        assert_eq!(count(&mut due, 5_035), 2);
        // A long rest gives no more than a burst.
        assert_eq!(count(&mut due, 1_000_000), 11);
    }

    #[test]
    fn neither_a_clock_that_goes_back_nor_a_full_one_panics() {
        let mut due = u64::MAX;
        assert!(!admit(&mut due, 1, 10, 100));
        let mut due = 0;
        assert!(admit(&mut due, u64::MAX, 10, 100));
        assert!(admit(&mut due, u64::MAX, 10, 100));
    }
}
