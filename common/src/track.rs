//! Who is master of a virtual router, as the wire tells.
//!
//! One [`VirtualRouter`] is one (namespace, interface, VLAN, family, VRID). It
//! takes adverts, received ones and this host's own ones, and the passing of
//! time; each step says what changed. Kernel and host run this code; the caller
//! holds the lock and the clock.
//!
//! | phase    | event                         | next     | reported          |
//! |----------|-------------------------------|----------|-------------------|
//! | vacant, resigned, down | advert          | active   | master appeared   |
//! | active   | advert of the master          | active   | priority changed? |
//! | active   | late time passes              | late     | advert late       |
//! | late     | advert of the master          | active   | advert resumed    |
//! | late     | down time passes              | down     | master down       |
//! | active, late | priority 0 of the master  | resigned | master resigned   |
//! | resigned | an interval passes            | down     | master down       |
//! | active, late | advert of a higher rank   | active   | master changed    |
//! | late, overdue | advert of a lower rank   | active   | master changed    |
//! | active   | advert of a lower rank        | active   | several masters?  |
//!
//! Where the advert is this host's own, "local master", "local resigned",
//! "local stalled" and "local resumed" take the place of these names.

use bytemuck::{Pod, Zeroable};

use crate::event::{Changes, EventKind, Party};
use crate::time::{down_after_ns, interval_ns, late_after_ns};
use crate::wire::Address;
use crate::wire::vrrp::RESIGN;

/// No advert yet.
pub const PHASE_VACANT: u8 = 0;
/// The master advertises in time.
pub const PHASE_ACTIVE: u8 = 1;
/// The master's advert is overdue.
pub const PHASE_LATE: u8 = 2;
/// The master resigned; nobody has followed yet.
pub const PHASE_RESIGNED: u8 = 3;
/// The master is down; nobody has followed yet.
pub const PHASE_DOWN: u8 = 4;

/// How long two adverts may have crossed on the way, in nanoseconds: a router
/// that advertises within this time of a higher-ranked advert has not yet been
/// able to give way.
pub const CROSSING_NS: u64 = 2_000_000;

/// Buckets of [`VirtualRouter::gaps`].
pub const GAP_BUCKETS: usize = 16;

/// How many of the listed virtual addresses are kept.
pub const KEPT_ADDRESSES: usize = 8;

/// What is known of one virtual router.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct VirtualRouter {
    /// The master, or the last one.
    pub master: Party,
    /// Another router that advertises, or did so within its down time.
    pub rival: Party,
    /// When the present phase began (late and active count as one), CLOCK_MONOTONIC nanoseconds.
    pub since_ns: u64,
    /// Adverts received.
    pub adverts_received: u64,
    /// This host's own adverts.
    pub adverts_sent: u64,
    /// The longest time between two adverts of one master, nanoseconds.
    pub gap_max_ns: u64,
    /// How often such a gap was below 1.024 ms, 2.048 ms, ... times two each; the
    /// last bucket holds all longer ones.
    pub gaps: [u32; GAP_BUCKETS],
    /// The first of the listed virtual addresses.
    pub addresses: [Address; KEPT_ADDRESSES],
    /// One of the `PHASE_` constants.
    pub phase: u8,
    /// 1 while several masters are reported.
    pub contested: u8,
    /// The priority of this host's own router, once it has advertised; else 0.
    pub own_priority: u8,
    /// 1 while this host's own router advertises.
    pub own_active: u8,
    /// How many virtual addresses the last advert listed.
    pub address_count: u8,
    /// Zero.
    pub reserved: u8,
    /// Checksum of the advert from which the addresses were taken.
    pub addresses_checksum: u16,
}

const _: () = {
    assert!(size_of::<VirtualRouter>() == 312);
    assert!(core::mem::offset_of!(VirtualRouter, rival) == 40);
    assert!(core::mem::offset_of!(VirtualRouter, gaps) == 112);
    assert!(core::mem::offset_of!(VirtualRouter, phase) == 304);
};

impl VirtualRouter {
    /// Nothing known.
    pub const UNKNOWN: Self = Self {
        master: Party::NOBODY,
        rival: Party::NOBODY,
        since_ns: 0,
        adverts_received: 0,
        adverts_sent: 0,
        gap_max_ns: 0,
        gaps: [0; GAP_BUCKETS],
        addresses: [[0; 16]; KEPT_ADDRESSES],
        phase: PHASE_VACANT,
        contested: 0,
        own_priority: 0,
        own_active: 0,
        address_count: 0,
        reserved: 0,
        addresses_checksum: 0,
    };

    /// An advert was heard (or left) at `speaker.heard_ns`; says in `changes` what
    /// that changed.
    #[inline(always)]
    pub fn heard(&mut self, speaker: &Party, changes: &mut Changes) {
        let now = speaker.heard_ns;
        changes.begin(&self.master, speaker);
        if speaker.local != 0 {
            self.adverts_sent += 1;
            if speaker.priority != RESIGN {
                self.own_priority = speaker.priority;
            }
        } else {
            self.adverts_received += 1;
            if self.is_own(speaker) {
                // Our own advert came back from the segment.
                return;
            }
        }
        if speaker.priority == RESIGN {
            self.resign(speaker, changes);
        } else if self.phase != PHASE_ACTIVE && self.phase != PHASE_LATE {
            if self.phase == PHASE_DOWN && speaker.is(&self.master) {
                self.count_gap(now);
            }
            self.enthrone(speaker, changes, EventKind::MasterAppeared);
        } else if speaker.is(&self.master) {
            self.go_on(speaker, now, changes);
        } else {
            self.contest(speaker, now, changes);
        }
    }

    /// The deadline that [`Self::next_deadline`] named has passed; says in
    /// `changes` what that changed.
    ///
    /// One deadline a step, the earliest: another one that has passed, too, is
    /// what [`Self::next_deadline`] names next.
    #[inline(always)]
    pub fn expire(&mut self, now: u64, changes: &mut Changes) {
        changes.begin(&self.master, &Party::NOBODY);
        let due = self.next_deadline();
        if due == 0 || now < due {
            return;
        }
        changes.due_ns = due;
        if self.rival.heard_ns != 0 && due == self.rival_deadline() {
            changes.new = self.rival;
            self.forget_rival(changes);
        } else if self.phase == PHASE_ACTIVE {
            self.phase = PHASE_LATE;
            changes.kinds |= if self.master.local != 0 {
                EventKind::LocalStalled.bit()
            } else {
                EventKind::AdvertLate.bit()
            };
        } else if self.phase == PHASE_LATE && self.rival.heard_ns > self.master.heard_ns {
            let heir = self.rival;
            changes.new = heir;
            self.enthrone(&heir, changes, EventKind::MasterChanged);
        } else {
            if self.master.local != 0 {
                self.own_active = 0;
            }
            self.phase = PHASE_DOWN;
            self.since_ns = now;
            changes.kinds |= EventKind::MasterDown.bit();
        }
    }

    /// When [`Self::expire`] has something to do, CLOCK_MONOTONIC nanoseconds; 0
    /// for never.
    #[inline(always)]
    pub fn next_deadline(&self) -> u64 {
        let main = match self.phase {
            PHASE_ACTIVE => self.master.heard_ns + late_after_ns(self.master.interval_cs),
            PHASE_LATE | PHASE_RESIGNED => self.vacancy_deadline(),
            _ => 0,
        };
        if self.rival.heard_ns == 0 {
            return main;
        }
        let rival = self.rival_deadline();
        if main == 0 || rival < main {
            rival
        } else {
            main
        }
    }

    /// When a late master is down, or the place of a resigned one is vacant.
    ///
    /// The skew is that of this host's own router where it is known, for then
    /// this is the moment at which that router acts; else that of an equal of
    /// the master. After a resignation every backup acts within an interval.
    #[inline(always)]
    fn vacancy_deadline(&self) -> u64 {
        if self.phase == PHASE_RESIGNED {
            return self.since_ns + interval_ns(self.master.interval_cs);
        }
        self.master.heard_ns + self.down_after(&self.master)
    }

    #[inline(always)]
    fn rival_deadline(&self) -> u64 {
        self.rival.heard_ns + self.down_after(&self.rival)
    }

    #[inline(always)]
    fn down_after(&self, party: &Party) -> u64 {
        let priority = if self.own_priority != 0 {
            self.own_priority
        } else {
            party.priority
        };
        down_after_ns(party.version, party.interval_cs, priority)
    }

    #[inline(always)]
    fn is_own(&self, speaker: &Party) -> bool {
        (self.master.local != 0 && speaker.is(&self.master))
            || (self.rival.local != 0 && speaker.is(&self.rival))
    }

    /// `speaker` is master from now on.
    #[inline(always)]
    fn enthrone(&mut self, speaker: &Party, changes: &mut Changes, kind: EventKind) {
        if self.rival.heard_ns != 0 && speaker.is(&self.rival) {
            self.rival = Party::NOBODY;
        }
        if kind as u8 == EventKind::MasterChanged as u8 {
            // The deposed one may go on: then there are two.
            self.rival = self.master;
        } else if self.contested != 0 && self.rival.heard_ns == 0 {
            self.contested = 0;
            changes.kinds |= EventKind::SingleMaster.bit();
        }
        if speaker.local != 0 {
            self.own_active = 1;
            changes.kinds |= EventKind::LocalMaster.bit();
        } else {
            self.own_active = 0;
            changes.kinds |= kind.bit();
        }
        self.master = *speaker;
        self.phase = PHASE_ACTIVE;
        self.since_ns = speaker.heard_ns;
    }

    /// The master advertises.
    #[inline(always)]
    fn go_on(&mut self, speaker: &Party, now: u64, changes: &mut Changes) {
        self.count_gap(now);
        if self.phase == PHASE_LATE {
            self.phase = PHASE_ACTIVE;
            changes.kinds |= if speaker.local != 0 {
                EventKind::LocalResumed.bit()
            } else {
                EventKind::AdvertResumed.bit()
            };
        }
        if speaker.priority != self.master.priority {
            changes.kinds |= EventKind::PriorityChanged.bit();
        }
        self.master = *speaker;
    }

    /// Somebody else than the master advertises.
    #[inline(always)]
    fn contest(&mut self, speaker: &Party, now: u64, changes: &mut Changes) {
        let before = if self.rival.heard_ns != 0 && speaker.is(&self.rival) {
            self.rival.heard_ns
        } else {
            0
        };
        // Passed over in silence until it has shown that it insists, but for
        // this host's own router: that it became master is a fact at once.
        let overdue = now > self.master.heard_ns + interval_ns(self.master.interval_cs);
        let replaced = self.phase == PHASE_LATE
            || (before > self.master.heard_ns && overdue)
            || (speaker.local != 0 && before == 0);
        if speaker.outranks(&self.master) || replaced {
            self.enthrone(speaker, changes, EventKind::MasterChanged);
            return;
        }
        let insists = before != 0
            && self.master.heard_ns > before
            && now > self.master.heard_ns + CROSSING_NS;
        if insists && self.contested == 0 {
            self.contested = 1;
            changes.kinds |= EventKind::MultipleMasters.bit();
        }
        self.rival = *speaker;
    }

    #[inline(always)]
    fn resign(&mut self, speaker: &Party, changes: &mut Changes) {
        let reigning = self.phase == PHASE_ACTIVE || self.phase == PHASE_LATE;
        let own = speaker.local != 0 && self.own_active != 0;
        if reigning && speaker.is(&self.master) {
            self.phase = PHASE_RESIGNED;
            self.since_ns = speaker.heard_ns;
            changes.kinds |= if own {
                EventKind::LocalResigned.bit()
            } else {
                EventKind::MasterResigned.bit()
            };
            if self.contested != 0 {
                self.contested = 0;
                changes.kinds |= EventKind::SingleMaster.bit();
            }
        } else if self.rival.heard_ns != 0 && speaker.is(&self.rival) {
            if own {
                changes.kinds |= EventKind::LocalResigned.bit();
            }
            self.forget_rival(changes);
        }
        if speaker.local != 0 {
            self.own_active = 0;
            // Stopped or faulty: nothing on this host waits for a down time now.
            self.own_priority = 0;
        }
    }

    #[inline(always)]
    fn forget_rival(&mut self, changes: &mut Changes) {
        self.rival = Party::NOBODY;
        if self.contested != 0 {
            self.contested = 0;
            changes.kinds |= EventKind::SingleMaster.bit();
        }
    }

    /// Counts the time since the master's last advert, in its bucket too; without
    /// an index computed at run time, which the verifier could not bound.
    #[inline(always)]
    fn count_gap(&mut self, now: u64) {
        let gap_ns = now.saturating_sub(self.master.heard_ns);
        if gap_ns > self.gap_max_ns {
            self.gap_max_ns = gap_ns;
        }
        let mut limit_ns = 1_024_000;
        let mut index = 0;
        for bucket in &mut self.gaps {
            index += 1;
            if gap_ns < limit_ns || index == GAP_BUCKETS {
                *bucket = bucket.wrapping_add(1);
                return;
            }
            limit_ns *= 2;
        }
    }
}
