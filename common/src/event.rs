//! What the kernel tells the agent: one record per transition, never one per
//! advert.

use bytemuck::{Pod, Zeroable};

use crate::wire::{Address, Mac};

/// What changed. The numbers are part of the record format and are never used
/// again for something else.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A master advertises where there was none.
    MasterAppeared = 1,
    /// Another router is master now.
    MasterChanged = 2,
    /// The master advertises another priority than before.
    PriorityChanged = 3,
    /// The master gave up its role (priority 0).
    MasterResigned = 4,
    /// The master's next advert is overdue ([`crate::time::late_after_ns`]).
    AdvertLate = 5,
    /// The master that was late is heard again.
    AdvertResumed = 6,
    /// The master-down time has passed without an advert, or nobody followed a
    /// master that resigned.
    MasterDown = 7,
    /// A router keeps advertising although a higher-ranked one is heard.
    MultipleMasters = 8,
    /// One of several masters gave way or fell silent.
    SingleMaster = 9,
    /// This host's own router became master: its advert left.
    LocalMaster = 10,
    /// This host's own router gave up its role (priority 0).
    LocalResigned = 11,
    /// This host's own router is master and its next advert is overdue.
    LocalStalled = 12,
    /// This host's own stalled router advertises again.
    LocalResumed = 13,
    /// An advert that no router should act on; at most one per second, interface and reason.
    AdvertRejected = 14,
    /// A gateway is heard for the first time, or again after silence.
    GatewaySeen = 15,
    /// A gateway's address is held by another MAC address than before.
    GatewayMacChanged = 16,
    /// A gateway has not answered since it was asked.
    GatewaySilent = 17,
    /// A virtual address is announced by somebody who is not its master.
    AddressClaimed = 18,
    /// Another host uses an address that this host holds.
    AddressConflict = 19,
    /// A peer answers probes, and has done so for the time that it takes to learn how.
    PeerUp = 20,
    /// The first probes in a row are not answered.
    PeerSuspect = 21,
    /// As many probes in a row as count for silence are not answered.
    PeerSilent = 22,
    /// A suspected or silent peer answers, or what spoke against it was void.
    PeerBack = 23,
    /// A peer says that its programs are about to go.
    PeerLeaving = 24,
    /// A backup says that it has taken over from this host.
    TakenOver = 25,
}

impl EventKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::MasterAppeared,
        Self::MasterChanged,
        Self::PriorityChanged,
        Self::MasterResigned,
        Self::AdvertLate,
        Self::AdvertResumed,
        Self::MasterDown,
        Self::MultipleMasters,
        Self::SingleMaster,
        Self::LocalMaster,
        Self::LocalResigned,
        Self::LocalStalled,
        Self::LocalResumed,
        Self::AdvertRejected,
        Self::GatewaySeen,
        Self::GatewayMacChanged,
        Self::GatewaySilent,
        Self::AddressClaimed,
        Self::AddressConflict,
        Self::PeerUp,
        Self::PeerSuspect,
        Self::PeerSilent,
        Self::PeerBack,
        Self::PeerLeaving,
        Self::TakenOver,
    ];

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// This kind as a member of [`Changes::kinds`].
    #[inline(always)]
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// One side of a transition: a router, or for gateways and addresses whoever
/// holds the address.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Party {
    /// When it was last heard, nanoseconds of CLOCK_MONOTONIC; 0: never.
    pub heard_ns: u64,
    /// Its address, network byte order; IPv4 in the first four bytes.
    pub address: Address,
    /// The Ethernet address it was heard from (or that it claims).
    pub mac: Mac,
    /// Its advertisement interval in centiseconds.
    pub interval_cs: u16,
    /// Its priority.
    pub priority: u8,
    /// VRRP version, 2 or 3.
    pub version: u8,
    /// 1: this host's own, seen leaving.
    pub local: u8,
    /// `MARK_` constants of [`crate::wire::vrrp`].
    pub marks: u8,
    /// Zero.
    pub reserved: [u8; 4],
}

impl Party {
    /// Nobody.
    pub const NOBODY: Self = Self {
        heard_ns: 0,
        address: [0; 16],
        mac: [0; 6],
        interval_cs: 0,
        priority: 0,
        version: 0,
        local: 0,
        marks: 0,
        reserved: [0; 4],
    };

    /// Whether both have the same address.
    #[inline(always)]
    pub fn is(&self, other: &Self) -> bool {
        same_address(&self.address, &other.address)
    }

    /// Whether this router wins an election against `other`: by priority, then
    /// by address (RFC 9568 section 6.4.3).
    #[inline(always)]
    pub fn outranks(&self, other: &Self) -> bool {
        if self.priority != other.priority {
            return self.priority > other.priority;
        }
        let (mine, theirs) = (halves(&self.address), halves(&other.address));
        if mine.0 != theirs.0 {
            mine.0 > theirs.0
        } else {
            mine.1 > theirs.1
        }
    }
}

/// Whether two addresses are the same.
///
/// Compared as two numbers: a comparison of arrays becomes a call of `bcmp`,
/// which is not allowed while a BPF spin lock is held.
#[inline(always)]
pub fn same_address(one: &Address, other: &Address) -> bool {
    halves(one) == halves(other)
}

/// Whether two Ethernet addresses are the same; see [`same_address`].
#[inline(always)]
pub fn same_mac(one: &Mac, other: &Mac) -> bool {
    mac_number(one) == mac_number(other)
}

#[inline(always)]
pub(crate) const fn halves(address: &Address) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    (
        u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        u64::from_be_bytes([i, j, k, l, m, n, o, p]),
    )
}

#[inline(always)]
pub(crate) const fn mac_number(mac: &Mac) -> u64 {
    let [a, b, c, d, e, f] = *mac;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// What one step of a state machine changed.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// The deadline that passed, for what a timer found; 0 for what a frame told.
    pub due_ns: u64,
    /// The kinds, each as its [`EventKind::bit`].
    pub kinds: u32,
    /// Zero.
    pub reserved: u32,
    /// Who it was before.
    pub old: Party,
    /// Who it is now, or who did it.
    pub new: Party,
}

impl Changes {
    /// Nothing.
    pub const NONE: Self = Self {
        due_ns: 0,
        kinds: 0,
        reserved: 0,
        old: Party::NOBODY,
        new: Party::NOBODY,
    };

    /// Begins a step: nothing has changed yet between `old` and `new`.
    ///
    /// Steps write their changes through a reference: a BPF program has a stack
    /// of 512 bytes, and keeps them elsewhere.
    #[inline(always)]
    pub const fn begin(&mut self, old: &Party, new: &Party) {
        self.kinds = 0;
        self.due_ns = 0;
        self.old = *old;
        self.new = *new;
    }

    /// Whether this kind is among the changes.
    #[inline(always)]
    pub const fn has(&self, kind: EventKind) -> bool {
        self.kinds & kind.bit() != 0
    }
}

/// A record of the ring buffer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Event {
    /// Counts the events of one CPU from 1 on, lost ones too: a gap is a loss.
    ///
    /// One count for all CPUs could not be taken in the order in which the
    /// records enter the ring.
    pub sequence: u64,
    /// When it happened, nanoseconds of CLOCK_MONOTONIC.
    pub time_ns: u64,
    /// The deadline that passed, same clock; 0 for what a frame told.
    pub due_ns: u64,
    /// Who it was before.
    pub old: Party,
    /// Who it is now, or who did it.
    pub new: Party,
    /// Inode number of the network namespace; 0 where the kernel does not tell.
    pub netns: u32,
    /// Interface index in that namespace.
    pub ifindex: u32,
    /// Outer VLAN identifier, 0 for none.
    pub vlan: u16,
    /// Inner VLAN identifier, 0 for none.
    pub inner_vlan: u16,
    /// 4 or 6.
    pub family: u8,
    /// Virtual router identifier; 0 where none is concerned.
    pub vrid: u8,
    /// An [`EventKind`].
    pub kind: u8,
    /// For a rejected advert, the [`crate::wire::Reject`].
    pub reason: u8,
    /// The CPU whose sequence this is.
    pub cpu: u32,
    /// For what concerns a peer, its session; else zero.
    pub session: u32,
}

const _: () = {
    assert!(size_of::<Party>() == 40);
    assert!(size_of::<Event>() == 128);
    assert!((EventKind::TakenOver as u8) < 32);
    assert!(core::mem::offset_of!(Event, old) == 24);
    assert!(core::mem::offset_of!(Event, netns) == 104);
    assert!(core::mem::offset_of!(Event, kind) == 118);
};
