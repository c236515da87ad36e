//! The backups that probe a master: who would be next, and whether one of them has
//! taken over.
//!
//! Backups are silent on the wire and so do not know each other; the master that they
//! probe does, and tells each its place in line.

use bytemuck::{Pod, Zeroable};

use crate::event::{halves, same_mac};
use crate::time::SECOND_NS;
use crate::track::VirtualRouter;
use crate::wire::probe::Probe;
use crate::wire::{Address, Mac};

/// How many backups are known at a time.
pub const KEPT_HEIRS: usize = 4;

/// One that was not heard for this long is no backup any more, nanoseconds.
pub const FRESH_NS: u64 = SECOND_NS;

/// How long a master that was taken over from keeps silent about its addresses at
/// most, nanoseconds: by then its keepalived has given way, or was right not to.
pub const FENCE_NS: u64 = 3 * SECOND_NS;

/// A backup that probes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Heir {
    /// When it last probed, CLOCK_MONOTONIC nanoseconds; 0: no entry.
    pub heard_ns: u64,
    /// What it has to show when it says that it has taken over.
    pub token: u64,
    /// Its address in the virtual router.
    pub address: Address,
    /// Its hardware address.
    pub mac: Mac,
    /// Its priority.
    pub priority: u8,
    /// A set of the `SENDER_` constants of [`crate::wire::probe`].
    pub flags: u8,
}

/// The backups of one virtual router; written by the kernel alone.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Heirs {
    /// Until when this host keeps silent about its virtual addresses, CLOCK_MONOTONIC
    /// nanoseconds; 0: it does not.
    pub fenced_ns: u64,
    /// The backups, in no order.
    pub heirs: [Heir; KEPT_HEIRS],
}

const _: () = {
    assert!(size_of::<Heir>() == 40);
    assert!(size_of::<Heirs>() == 8 + 40 * KEPT_HEIRS);
};

impl Heir {
    /// Nobody.
    pub const NOBODY: Self = Self {
        heard_ns: 0,
        token: 0,
        address: [0; 16],
        mac: [0; 6],
        priority: 0,
        flags: 0,
    };

    /// Whether it has probed lately.
    #[inline(always)]
    pub const fn is_fresh(&self, now: u64) -> bool {
        self.heard_ns != 0 && now < self.heard_ns + FRESH_NS
    }
}

impl Heirs {
    /// Nobody known.
    pub const NONE: Self = Self {
        fenced_ns: 0,
        heirs: [Heir::NOBODY; KEPT_HEIRS],
    };

    /// A backup probes at `now`: how many others rank higher, and its token; `fresh`
    /// is that of one that was not known. Where there are too many, the last ones
    /// have a rank behind all that are known, and token 0, with which nothing can be
    /// shown.
    ///
    /// Nobody loses its place to another while it probes, however many others do.
    #[inline(always)]
    pub fn heard(&mut self, probe: &Probe, fresh: u64, now: u64) -> (u8, u64) {
        let mut rank = 0;
        let mut token = 0;
        let mut known = false;
        for heir in &mut self.heirs {
            if heir.heard_ns != 0 && same_mac(&heir.mac, &probe.source) {
                // What was shown once, or given to one that has been away, is void.
                if heir.token == 0 || !heir.is_fresh(now) {
                    heir.token = fresh;
                }
                update(heir, probe, now);
                token = heir.token;
                known = true;
            } else if heir.is_fresh(now) && outranks(heir, probe) {
                rank += 1;
            }
        }
        if known {
            return (rank, token);
        }
        for heir in &mut self.heirs {
            if !known && !heir.is_fresh(now) {
                update(heir, probe, now);
                heir.mac = probe.source;
                heir.token = fresh;
                token = fresh;
                known = true;
            }
        }
        if known {
            (rank, token)
        } else {
            (KEPT_HEIRS as u8, 0)
        }
    }

    /// One says at `now` that it has taken over: whether it showed the token that it
    /// was given, which can be shown once. If so this host keeps silent about the
    /// addresses.
    #[inline(always)]
    pub fn taken(&mut self, probe: &Probe, now: u64) -> bool {
        let mut shown = false;
        for heir in &mut self.heirs {
            if heir.is_fresh(now)
                && heir.token != 0
                && heir.token == probe.stamps.token
                && same_mac(&heir.mac, &probe.source)
            {
                heir.token = 0;
                shown = true;
            }
        }
        if shown {
            self.fenced_ns = now + FENCE_NS;
        }
        shown
    }

    /// Whether this host, of whose `router` these are the backups, keeps silent about
    /// the addresses at `now`: its keepalived was master when it was taken over from,
    /// and is so still. One that becomes master again has every right to speak.
    #[inline(always)]
    pub fn keep_silent(&self, router: &VirtualRouter, now: u64) -> bool {
        if self.fenced_ns == 0 || now >= self.fenced_ns || router.own_active == 0 {
            return false;
        }
        router.master.local == 0 || router.since_ns + FENCE_NS <= self.fenced_ns
    }
}

#[inline(always)]
fn update(heir: &mut Heir, probe: &Probe, now: u64) {
    heir.heard_ns = now;
    heir.address = probe.address;
    heir.priority = probe.priority;
    heir.flags = probe.flags;
}

/// By priority, then by address, as adverts do (RFC 9568 section 6.4.3).
#[inline(always)]
fn outranks(heir: &Heir, probe: &Probe) -> bool {
    if heir.priority != probe.priority {
        return heir.priority > probe.priority;
    }
    let (theirs, own) = (halves(&heir.address), halves(&probe.address));
    if theirs.0 != own.0 {
        theirs.0 > own.0
    } else {
        theirs.1 > own.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 7 * SECOND_NS;

    fn probe(number: u8, priority: u8) -> Probe {
        Probe {
            source: [2, 0, 0, 0, 0, number],
            address: [number; 16],
            priority,
            ..Probe::UNREAD
        }
    }

    fn with_token(mut probe: Probe, token: u64) -> Probe {
        probe.stamps.token = token;
        probe
    }

    #[test]
    fn each_has_its_place_in_line() {
        let mut heirs = Heirs::NONE;
        assert_eq!(heirs.heard(&probe(1, 100), 11, NOW), (0, 11));
        assert_eq!(heirs.heard(&probe(2, 120), 12, NOW), (0, 12));
        assert_eq!(heirs.heard(&probe(3, 100), 13, NOW), (1, 13));
        assert_eq!(heirs.heard(&probe(1, 100), 99, NOW + 1), (2, 11));
        assert_eq!(heirs.heard(&probe(4, 1), 14, NOW), (3, 14));
        assert_eq!(heirs.heard(&probe(5, 1), 15, NOW), (4, 0));
        // The others have gone.
        let later = NOW + FRESH_NS + 1;
        assert_eq!(heirs.heard(&probe(5, 1), 15, later), (0, 15));
    }

    #[test]
    fn a_crowd_takes_nobodys_place() {
        let mut heirs = Heirs::NONE;
        heirs.heard(&probe(1, 100), 11, NOW);
        for number in 2..200 {
            for moment in 0..3 {
                heirs.heard(&probe(number, 255), 1_000 + u64::from(number), NOW + moment);
            }
        }
        let (rank, token) = heirs.heard(&probe(1, 100), 99, NOW + FRESH_NS - 1);
        assert_eq!((usize::from(rank), token), (KEPT_HEIRS - 1, 11));
        assert!(heirs.taken(&with_token(probe(1, 100), 11), NOW + FRESH_NS));
        assert!(!heirs.taken(&with_token(probe(199, 255), 0), NOW));
    }

    #[test]
    fn a_token_is_shown_once_and_by_who_has_not_been_away() {
        let mut heirs = Heirs::NONE;
        heirs.heard(&probe(1, 100), 11, NOW);
        assert!(heirs.taken(&with_token(probe(1, 100), 11), NOW));
        assert!(!heirs.taken(&with_token(probe(1, 100), 11), NOW + 1));
        assert_eq!(heirs.heard(&probe(1, 100), 12, NOW + 2), (0, 12));
        assert!(!heirs.taken(&with_token(probe(1, 100), 11), NOW + 3));
        let later = NOW + 2 + FRESH_NS;
        assert_eq!(heirs.heard(&probe(1, 100), 13, later), (0, 13));
        assert!(!heirs.taken(&with_token(probe(1, 100), 12), later));
        assert!(heirs.taken(&with_token(probe(1, 100), 13), later));
    }

    #[test]
    fn silence_ends_with_the_reign_or_in_time() {
        let mut heirs = Heirs::NONE;
        let mut router = VirtualRouter::UNKNOWN;
        router.own_active = 1;
        router.master.local = 1;
        router.since_ns = NOW - SECOND_NS;
        assert!(!heirs.keep_silent(&router, NOW));
        heirs.heard(&probe(1, 100), 11, NOW);
        assert!(heirs.taken(&with_token(probe(1, 100), 11), NOW));
        assert!(heirs.keep_silent(&router, NOW + FENCE_NS - 1));
        assert!(!heirs.keep_silent(&router, NOW + FENCE_NS));
        // Somebody else is master, too.
        router.master.local = 0;
        router.since_ns = NOW + 1;
        assert!(heirs.keep_silent(&router, NOW + 2));
        // It gives way, and is master again soon.
        router.own_active = 0;
        assert!(!heirs.keep_silent(&router, NOW + 3));
        router.own_active = 1;
        router.master.local = 1;
        router.since_ns = NOW + 4;
        assert!(!heirs.keep_silent(&router, NOW + 4));
    }

    #[test]
    fn only_an_heir_with_its_token_is_believed() {
        let mut heirs = Heirs::NONE;
        heirs.heard(&probe(1, 100), 11, NOW);
        heirs.heard(&probe(2, 100), 12, NOW);
        assert!(!heirs.taken(&with_token(probe(1, 100), 12), NOW));
        assert!(!heirs.taken(&with_token(probe(3, 100), 11), NOW));
        assert!(!heirs.taken(&with_token(probe(3, 100), 0), NOW));
        assert_eq!(heirs.fenced_ns, 0);
        assert!(heirs.taken(&with_token(probe(1, 100), 11), NOW));
        assert_eq!(heirs.fenced_ns, NOW + FENCE_NS);
        assert!(!heirs.taken(&with_token(probe(1, 100), 11), NOW + FRESH_NS));
    }
}
