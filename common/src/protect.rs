//! Which adverts cannot be legitimate for a router that is configured, as far as a
//! receiver can tell: [`judge`], the same in the kernel and on the host.
//!
//! Read from the top, the first line that fits counts.
//!
//! | what                                                          | offence        |
//! |---------------------------------------------------------------|----------------|
//! | to the group, with a TTL or hop limit other than 255          | hop limit      |
//! | of another version than the router's, or of none              | version        |
//! | impossible: checksum, length, type, no addresses, interval 0  | malformed      |
//! | authenticated otherwise than the router's                     | authentication |
//! | from this host's own address, and yet received                | own address    |
//! | from an address that is not in the list of peers, if there is one | peer       |
//! | priority 255 from one who is not known to own the addresses   | owner          |
//! | else                                                          | nothing        |
//!
//! Passwords and digests are not looked at: who can hear a password can send it, and a
//! tracker has no keys. What a frame does not say of whom it is, it cannot be judged by:
//! such frames (truncated, fragments, extension headers) are for keepalived to refuse.

use bytemuck::{Pod, Zeroable};

use crate::event::same_address;
use crate::wire::vrrp::{MARK_AH, MARK_PASSWORD};
use crate::wire::{Address, Advert, Mac, Packet, Reject};

/// [`Policy::mode`]: nothing is judged.
pub const MODE_OFF: u8 = 0;
/// [`Policy::mode`]: what cannot be legitimate is counted.
pub const MODE_OBSERVE: u8 = 1;
/// [`Policy::mode`]: it is dropped, too.
pub const MODE_ENFORCE: u8 = 2;

/// [`Policy::authentication`]: none.
pub const PLAIN: u8 = 0;
/// [`Policy::authentication`]: a password in clear.
pub const PASSWORD: u8 = MARK_PASSWORD;
/// [`Policy::authentication`]: an authentication header.
pub const HEADER: u8 = MARK_AH;

/// How many peers, and how many addresses of owners, a policy knows.
pub const KEPT: usize = 8;

/// The priority of the owner of the virtual addresses (RFC 9568 section 5.2.4).
const OWNER: u8 = 255;

/// Why an advert cannot be legitimate. The numbers index [`Tally::dropped`], and are
/// never used again for something else.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offence {
    /// It can be.
    Nothing = 0,
    /// Its TTL or hop limit shows that a router has passed it on.
    HopLimit = 1,
    /// It is of another version of VRRP.
    Version = 2,
    /// It says what no router says.
    Malformed = 3,
    /// It is authenticated otherwise, or not at all.
    Authentication = 4,
    /// It comes from outside and bears this host's own address.
    OwnAddress = 5,
    /// Its source is none of the peers.
    Peer = 6,
    /// It claims to own the addresses, and is not known to.
    Owner = 7,
}

/// How many [`Offence`]s there are, [`Offence::Nothing`] among them.
pub const OFFENCES: usize = 8;

impl Offence {
    /// Every offence but [`Self::Nothing`], in the order of their numbers.
    pub const ALL: [Self; OFFENCES - 1] = [
        Self::HopLimit,
        Self::Version,
        Self::Malformed,
        Self::Authentication,
        Self::OwnAddress,
        Self::Peer,
        Self::Owner,
    ];

    /// The offence with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|it| *it as u8 == number)
    }

    /// A short name, of metrics and of the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::HopLimit => "hop_limit",
            Self::Version => "version",
            Self::Malformed => "malformed",
            Self::Authentication => "authentication",
            Self::OwnAddress => "own_address",
            Self::Peer => "peer",
            Self::Owner => "owner",
        }
    }
}

/// What is legitimate for a router; written by the agent alone.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Policy {
    /// Who else may advertise, [`Self::peer_count`] of them.
    pub peers: [Address; KEPT],
    /// Where an owner of the router's addresses may advertise from: these addresses, and
    /// where it was declared; [`Self::held_count`] of them.
    pub held: [Address; KEPT],
    /// This host's own address; zero: not known.
    pub own: Address,
    /// One of the `MODE_` constants.
    pub mode: u8,
    /// The version of VRRP, 2 or 3.
    pub version: u8,
    /// One of [`PLAIN`], [`PASSWORD`] and [`HEADER`].
    pub authentication: u8,
    /// 0: anybody may be a peer.
    pub peer_count: u8,
    /// See [`Self::held`].
    pub held_count: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// What was found of a router's adverts, on one CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Tally {
    /// By [`Offence`], what was dropped; the first one: what was judged and passed on.
    pub dropped: [u64; OFFENCES],
    /// By [`Offence`], what was only counted; the first one is zero.
    pub observed: [u64; OFFENCES],
    /// When the last offence was, CLOCK_MONOTONIC nanoseconds; 0: there was none.
    pub last_ns: u64,
    /// Where the last one claimed to come from.
    pub last_source: Address,
    /// The Ethernet address that it came from.
    pub last_mac: Mac,
    /// The [`Offence`].
    pub last_offence: u8,
    /// Zero.
    pub reserved: u8,
    /// See [`crate::share::admit`]: of the router's events.
    pub events_ns: u64,
}

const _: () = {
    assert!(size_of::<Policy>() == 280);
    assert!(size_of::<Tally>() == 168);
};

impl Policy {
    /// Nothing is judged.
    pub const OFF: Self = Self {
        peers: [[0; 16]; KEPT],
        held: [[0; 16]; KEPT],
        own: [0; 16],
        mode: MODE_OFF,
        version: 0,
        authentication: PLAIN,
        peer_count: 0,
        held_count: 0,
        reserved: [0; 3],
    };

    /// Whether the hosts that may speak for the router are known, and this is none of
    /// them.
    #[inline(always)]
    pub fn is_stranger(&self, address: &Address) -> bool {
        self.peer_count != 0 && !lists(&self.peers, self.peer_count, address)
    }
}

impl Tally {
    /// Nothing was found yet.
    pub const NONE: Self = Self {
        dropped: [0; OFFENCES],
        observed: [0; OFFENCES],
        last_ns: 0,
        last_source: [0; 16],
        last_mac: [0; 6],
        last_offence: 0,
        reserved: 0,
        events_ns: 0,
    };

    /// Takes note of an advert of which [`judge`] said `offence`, at `now`.
    #[inline(always)]
    pub fn note(&mut self, advert: &Advert, offence: Offence, enforced: bool, now: u64) {
        let counts = if enforced || offence as u8 == 0 {
            &mut self.dropped
        } else {
            &mut self.observed
        };
        // Masked, for the verifier to see that it is an index.
        if let Some(count) = counts.get_mut(offence as usize & (OFFENCES - 1)) {
            *count = count.wrapping_add(1);
        }
        if offence as u8 != 0 {
            self.last_ns = now;
            self.last_source = advert.source;
            self.last_mac = advert.mac;
            self.last_offence = offence as u8;
        }
    }

    /// Adds what another CPU has found.
    pub fn add(&mut self, other: &Self) {
        let mine = self.dropped.iter_mut().chain(&mut self.observed);
        for (mine, theirs) in mine.zip(other.dropped.iter().chain(&other.observed)) {
            *mine = mine.wrapping_add(*theirs);
        }
        if other.last_ns > self.last_ns {
            self.last_ns = other.last_ns;
            self.last_source = other.last_source;
            self.last_mac = other.last_mac;
            self.last_offence = other.last_offence;
        }
    }
}

/// Why a received advert, of the router that `policy` is of, cannot be legitimate; valid
/// or not, its VRID was read.
#[inline(always)]
pub fn judge(packet: &Packet, policy: &Policy) -> Offence {
    let advert = &packet.advert;
    let reject = packet.reject as u8;
    if reject == Reject::HopLimit as u8 {
        return Offence::HopLimit;
    }
    if reject == Reject::Version as u8 || advert.version != policy.version {
        return Offence::Version;
    }
    if reject != Reject::Nothing as u8 {
        return Offence::Malformed;
    }
    if advert.marks & (MARK_AH | MARK_PASSWORD) != policy.authentication
        // A keepalived puts its version 2's field beside the header.
        && !(policy.authentication == HEADER && advert.marks & MARK_AH != 0)
    {
        return Offence::Authentication;
    }
    let known = !same_address(&policy.own, &[0; 16]);
    if known && same_address(&policy.own, &advert.source) {
        return Offence::OwnAddress;
    }
    if policy.is_stranger(&advert.source) {
        return Offence::Peer;
    }
    if advert.priority == OWNER && !lists(&policy.held, policy.held_count, &advert.source) {
        return Offence::Owner;
    }
    Offence::Nothing
}

#[inline(always)]
fn lists(addresses: &[Address; KEPT], count: u8, wanted: &Address) -> bool {
    let mut found = false;
    for (number, address) in addresses.iter().enumerate() {
        if number < usize::from(count) && same_address(address, wanted) {
            found = true;
        }
    }
    found
}

#[cfg(test)]
mod tests;
