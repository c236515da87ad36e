//! What happened to a virtual router last, kept in the kernel: there when the agent is
//! not.
//!
//! A [`BlackBox`] has two rings, so that ordinary adverts push nothing else out: the
//! last adverts, and all else. Who writes holds the lock and the clock. One box belongs
//! to each virtual router that the agent looks after, and one to each interface that
//! such routers advertise on: what is heard of peers there concerns all of them.

use bytemuck::{Pod, Zeroable};

use crate::event::{Changes, Party};
use crate::maps::RouterKey;
use crate::wire::{Address, Mac};

/// How many adverts are kept.
pub const ADVERTS: usize = 16;

/// How many other records are kept.
pub const RECORDS: usize = 64;

/// [`Record::kind`]: an advert, received or sent. Kinds below are those of
/// [`crate::event::EventKind`].
pub const ADVERT: u8 = 64;
/// [`Record::kind`]: a virtual address was announced, by gratuitous ARP or an
/// unsolicited neighbour advertisement.
pub const ANNOUNCED: u8 = 65;
/// [`Record::kind`]: the first packet that was forwarded, or came from a virtual
/// address, after this host had announced one.
pub const FIRST_PACKET: u8 = 66;
/// [`Record::kind`]: a peer's host said in its answer why it gives up its role;
/// [`Record::detail`] is one of the `REASON_` constants.
pub const PEER_SAYS: u8 = 67;

/// Nothing is said.
pub const REASON_NONE: u8 = 0;
/// Its keepalived has ended, hangs or was stopped.
pub const REASON_KEEPALIVED: u8 = 1;
/// One of its interfaces is down or gone.
pub const REASON_INTERFACE: u8 = 2;
/// It hands over on an operator's request.
pub const REASON_OPERATOR: u8 = 3;
/// It hands over because its gateway is lost.
pub const REASON_GATEWAY: u8 = 4;

/// How long after a change of master announcements are part of it, nanoseconds.
pub const TURN_NS: u64 = 10 * crate::time::SECOND_NS;

/// Between two announcements on one interface that are both kept, unless the master
/// changed in between, nanoseconds.
pub const PAUSE_NS: u64 = crate::time::SECOND_NS;

/// Something that happened. What a kind has no use for is zero.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Record {
    /// When, CLOCK_MONOTONIC nanoseconds; 0: no record.
    pub time_ns: u64,
    /// Of an event: when the one who was master before was heard last. Of what concerns
    /// a peer: when its last answer came. Same clock; 0: never.
    pub heard_ns: u64,
    /// Of an event: the deadline that passed. Of what concerns a peer: when the first of
    /// the unanswered probes left. Same clock; 0: none.
    pub due_ns: u64,
    /// Who did it, or whom it concerns, network byte order; IPv4 in the first four
    /// bytes.
    pub address: Address,
    /// The Ethernet address.
    pub mac: Mac,
    /// The advertisement interval in centiseconds.
    pub interval_cs: u16,
    /// Index of the interface where it was seen.
    pub ifindex: u32,
    /// For what concerns a peer, its session.
    pub session: u32,
    /// An [`crate::event::EventKind`], or one of the constants above.
    pub kind: u8,
    /// The priority.
    pub priority: u8,
    /// 1: of this host.
    pub local: u8,
    /// Of an event: 1 if it was this host who was master before. Of the first packet: 1
    /// if it was forwarded. Of what a peer says: the reason.
    pub detail: u8,
    /// VRRP version, 2 or 3.
    pub version: u8,
    /// 4 or 6, of [`Self::address`] where that is a virtual address; 0 else.
    pub family: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// The last that happened to a virtual router, or was heard of peers on an interface;
/// made by the agent, written by the kernel alone.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct BlackBox {
    /// How many adverts there were; the next one's place is this modulo [`ADVERTS`].
    pub adverts_total: u64,
    /// The same of the other records.
    pub records_total: u64,
    /// When the last event was, CLOCK_MONOTONIC nanoseconds.
    pub turned_ns: u64,
    /// Since when the first packet is waited for, same clock; 0: it is not.
    pub awaited_ns: u64,
    /// When this host last announced an address, same clock; 0: never.
    pub announced_ns: u64,
    /// When the peer last said why it gives up, same clock.
    pub said_ns: u64,
    /// What it said: one of the `REASON_` constants.
    pub said: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// The last adverts.
    pub adverts: [Record; ADVERTS],
    /// The last of all else.
    pub records: [Record; RECORDS],
}

/// An interface of a router that has a [`BlackBox`]; made by the agent.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Exit {
    /// The virtual router. Where several share the interface: the last to announce an
    /// address.
    pub router: RouterKey,
    /// When the last announcement that was kept was received, and when sent,
    /// CLOCK_MONOTONIC nanoseconds.
    pub announced_ns: [u64; 2],
}

const _: () = {
    assert!(size_of::<Record>() == 64);
    assert!(size_of::<BlackBox>() == 56 + 64 * (ADVERTS + RECORDS));
    assert!(size_of::<Exit>() == 32);
    assert!(ADVERTS.is_power_of_two() && RECORDS.is_power_of_two());
};

impl Record {
    /// None.
    pub const NONE: Self = Self {
        time_ns: 0,
        heard_ns: 0,
        due_ns: 0,
        address: [0; 16],
        mac: [0; 6],
        interval_cs: 0,
        ifindex: 0,
        session: 0,
        kind: 0,
        priority: 0,
        local: 0,
        detail: 0,
        version: 0,
        family: 0,
        reserved: [0; 2],
    };

    #[inline(always)]
    const fn name(&mut self, party: &Party) {
        self.address = party.address;
        self.mac = party.mac;
        self.interval_cs = party.interval_cs;
        self.priority = party.priority;
        self.local = party.local;
        self.version = party.version;
    }
}

impl BlackBox {
    /// Nothing has happened.
    pub const EMPTY: Self = Self {
        adverts_total: 0,
        records_total: 0,
        turned_ns: 0,
        awaited_ns: 0,
        announced_ns: 0,
        said_ns: 0,
        said: REASON_NONE,
        reserved: [0; 7],
        adverts: [Record::NONE; ADVERTS],
        records: [Record::NONE; RECORDS],
    };

    /// An advert was received or sent by `party`.
    #[inline(always)]
    pub fn advert(&mut self, party: &Party, ifindex: u32) {
        let next = (self.adverts_total & (ADVERTS as u64 - 1)) as usize;
        self.adverts_total += 1;
        if let Some(record) = self.adverts.get_mut(next) {
            begin(record, ADVERT, party.heard_ns, ifindex);
            record.name(party);
        }
    }

    /// The state machine of the virtual router made `changes`, of which `kind` is one.
    #[inline(always)]
    pub fn event(&mut self, kind: u8, changes: &Changes, now: u64, ifindex: u32) {
        self.turned_ns = now;
        if let Some(record) = self.next(kind, now, ifindex) {
            // A deadline that passes is about who was heard before.
            if changes.new.heard_ns == 0 {
                record.name(&changes.old);
            } else {
                record.name(&changes.new);
            }
            record.detail = changes.old.local;
            record.heard_ns = changes.old.heard_ns;
            record.due_ns = changes.due_ns;
        }
    }

    /// The place for another record, begun; only to be written by the caller.
    #[inline(always)]
    pub fn next(&mut self, kind: u8, now: u64, ifindex: u32) -> Option<&mut Record> {
        let next = (self.records_total & (RECORDS as u64 - 1)) as usize;
        self.records_total += 1;
        let record = self.records.get_mut(next)?;
        begin(record, kind, now, ifindex);
        Some(record)
    }

    /// This host announced an address at `now`: if it is the first time since the last
    /// event, the first packet is waited for. Returns whether it is.
    #[inline(always)]
    pub fn awaits(&mut self, now: u64) -> bool {
        let first = self.announced_ns <= self.turned_ns;
        self.announced_ns = now;
        if first {
            self.awaited_ns = now;
        }
        self.awaited_ns != 0
    }

    /// A packet leaves that may be the one that is waited for: whether it is.
    #[inline(always)]
    pub fn left(&mut self) -> bool {
        let awaited = self.awaited_ns != 0;
        self.awaited_ns = 0;
        awaited
    }

    /// The master's host says why it gives up: whether that is news.
    #[inline(always)]
    pub fn says(&mut self, reason: u8, now: u64) -> bool {
        let news = self.said != reason || self.said_ns <= self.turned_ns;
        if news {
            self.said = reason;
            self.said_ns = now;
        }
        news
    }
}

impl Exit {
    /// Whether an announcement at `now` (sent here, if `local`) is to be kept: of a
    /// router whose last event was at `turned_ns`. If so, it is noted.
    #[inline(always)]
    pub fn announced(&mut self, router: &RouterKey, local: bool, turned_ns: u64, now: u64) -> bool {
        let Some(last) = self.announced_ns.get_mut(local as usize) else {
            return false;
        };
        if *last > turned_ns && now < *last + PAUSE_NS {
            return false;
        }
        if local {
            self.router = *router;
        }
        *last = now;
        true
    }
}

#[inline(always)]
fn begin(record: &mut Record, kind: u8, now: u64, ifindex: u32) {
    *record = Record::NONE;
    record.kind = kind;
    record.time_ns = now;
    record.ifindex = ifindex;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use crate::time::SECOND_NS;

    fn party(number: u64) -> Party {
        Party {
            heard_ns: number,
            address: [number as u8; 16],
            ..Party::NOBODY
        }
    }

    #[test]
    fn adverts_push_out_adverts_only() {
        let mut kept = BlackBox::EMPTY;
        let mut changes = Changes::NONE;
        changes.begin(&party(7), &Party::NOBODY);
        changes.due_ns = 8;
        kept.event(EventKind::MasterDown as u8, &changes, 9, 3);
        for number in 1..=1_000 {
            kept.advert(&party(number), 3);
        }
        assert_eq!(kept.adverts_total, 1_000);
        let mut times = kept.adverts.map(|record| record.time_ns);
        times.sort_unstable();
        assert!(times.into_iter().eq(985..=1_000), "{times:?}");
        let [first, second, ..] = kept.records;
        assert_eq!(
            (first.kind, first.time_ns, first.heard_ns, first.due_ns),
            (EventKind::MasterDown as u8, 9, 7, 8)
        );
        // A deadline that passed is about who was heard before.
        assert_eq!(first.address, [7; 16]);
        assert_eq!(second, Record::NONE);
    }

    #[test]
    fn any_number_of_records_leaves_the_last_ones_in_their_order() {
        for count in [0, 1, 63, 64, 65, 127, 128, 1_000] {
            let mut kept = BlackBox::EMPTY;
            for number in 1..=count {
                let record = kept.next(FIRST_PACKET, number, 2);
                assert_eq!(record.map(|it| it.time_ns), Some(number));
            }
            let mut times = kept.records.map(|it| it.time_ns);
            times.sort_unstable();
            let first = count.saturating_sub(RECORDS as u64) + 1;
            let kept = times.into_iter().filter(|time| *time != 0);
            assert!(kept.eq(first..=count), "of {count}: {times:?}");
        }
    }

    #[test]
    fn a_count_at_its_end_is_no_danger() {
        let mut kept = BlackBox::EMPTY;
        kept.records_total = u64::MAX - 1;
        assert!(kept.next(FIRST_PACKET, 5, 2).is_some());
        let [.., before, _] = kept.records;
        assert_eq!(before.time_ns, 5);
    }

    #[test]
    fn what_a_peer_says_is_kept_once_for_each_change() {
        let mut kept = BlackBox::EMPTY;
        assert!(kept.says(REASON_OPERATOR, 10));
        assert!(!kept.says(REASON_OPERATOR, 11));
        assert!(kept.says(REASON_GATEWAY, 12));
        kept.event(EventKind::MasterResigned as u8, &Changes::NONE, 13, 2);
        assert!(kept.says(REASON_GATEWAY, 14));
        assert!(!kept.says(REASON_GATEWAY, 15));
    }

    #[test]
    fn of_many_announcements_one_a_second_and_one_a_change_are_kept() {
        let mut exit = Exit::zeroed();
        let router = RouterKey {
            vrid: 7,
            ..RouterKey::zeroed()
        };
        let now = 100 * SECOND_NS;
        assert!(exit.announced(&router, false, 5, now));
        assert_eq!(exit.router.vrid, 0, "it was somebody else");
        assert!(exit.announced(&router, true, 5, now));
        assert_eq!(exit.router.vrid, 7);
        assert!(!exit.announced(&router, true, 5, now + PAUSE_NS - 1));
        assert!(exit.announced(&router, true, 5, now + PAUSE_NS));
        let turned = now + PAUSE_NS + 1;
        assert!(exit.announced(&router, true, turned, turned + 1));
        assert!(!exit.announced(&router, true, turned, turned + 2));
    }

    #[test]
    fn one_packet_is_waited_for_after_each_change() {
        let mut kept = BlackBox::EMPTY;
        kept.event(EventKind::LocalMaster as u8, &Changes::NONE, 5, 2);
        assert!(!kept.left());
        assert!(kept.awaits(6));
        assert!(kept.awaits(7), "of another interface");
        assert!(kept.left());
        assert!(!kept.left());
        assert!(!kept.awaits(8), "it has gone");
        kept.event(EventKind::LocalMaster as u8, &Changes::NONE, 9, 2);
        assert!(kept.awaits(10));
        assert!(kept.left());
    }
}
