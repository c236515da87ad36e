//! Who holds the addresses that matter: gateways, virtual addresses, this host's
//! own ones.
//!
//! The agent says which addresses matter and why ([`Watched`]); ARP and
//! neighbour discovery, in both directions, say who holds them ([`Holding`]).
//! Nothing is asked here: silence is what follows a question that somebody else,
//! as a rule this host's own kernel, has sent.

use bytemuck::{Pod, Zeroable};

use crate::event::{Changes, EventKind, Party, same_mac};
use crate::wire::vrrp::virtual_mac;
use crate::wire::{Address, Mac};

/// [`Watched::roles`]: a gateway of this host.
pub const ROLE_GATEWAY: u8 = 1 << 0;
/// [`Watched::roles`]: an address of a virtual router.
pub const ROLE_VIRTUAL: u8 = 1 << 1;
/// [`Watched::roles`]: configured on this host.
pub const ROLE_LOCAL: u8 = 1 << 2;

/// Why an address is watched; written by the agent alone.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Watched {
    /// How long an asked gateway may take to answer, nanoseconds.
    pub silence_ns: u64,
    /// A set of the `ROLE_` constants.
    pub roles: u8,
    /// For a virtual address, its virtual router.
    pub vrid: u8,
    /// The family that this router's adverts have, 4 or 6.
    pub family: u8,
    /// Zero.
    pub reserved: u8,
    /// The interface on which that router exchanges adverts, by its index; 0: not known.
    pub router_ifindex: u32,
}

/// Who holds a watched address; written by the kernel alone.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Holding {
    /// When the holder was last heard, CLOCK_MONOTONIC nanoseconds; 0: never.
    pub heard_ns: u64,
    /// When the first question was sent that is not answered yet; 0: none.
    pub asked_ns: u64,
    /// How long the answer may take, nanoseconds; from [`Watched::silence_ns`].
    pub silence_ns: u64,
    /// The holder.
    pub mac: Mac,
    /// Who claimed a virtual or local address without right, until its rightful
    /// holder speaks again; zero: nobody.
    pub claimant: Mac,
    /// 1 while a question stays without an answer for too long.
    pub silent: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

const _: () = {
    assert!(size_of::<Watched>() == 16);
    assert!(size_of::<Holding>() == 40);
};

/// Somebody said that it holds the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// When, CLOCK_MONOTONIC nanoseconds.
    pub time_ns: u64,
    /// Which address.
    pub address: Address,
    /// 4 or 6.
    pub family: u8,
    /// Who.
    pub mac: Mac,
    /// Sent by this host.
    pub local: bool,
    /// Without having been asked.
    pub unsolicited: bool,
    /// The master of the virtual router whose address it is; zero if unknown.
    pub master: Mac,
}

impl Holding {
    /// Nothing known.
    pub const UNKNOWN: Self = Self {
        heard_ns: 0,
        asked_ns: 0,
        silence_ns: 0,
        mac: [0; 6],
        claimant: [0; 6],
        silent: 0,
        reserved: [0; 3],
    };

    /// Somebody said that it holds the address; says in `changes` what that changed.
    #[inline(always)]
    pub fn announced(&mut self, watched: &Watched, said: &Announcement, changes: &mut Changes) {
        changes.begin(
            &party(self.heard_ns, &said.address, &self.mac, false),
            &party(said.time_ns, &said.address, &said.mac, said.local),
        );
        // The new master announces the address before the old one has given it up.
        let rightful = watched.roles & ROLE_VIRTUAL != 0 && rightful(watched, said);
        if watched.roles & ROLE_LOCAL != 0 && !said.local && !rightful {
            // On this segment the address is ours: whoever else says that it has
            // it, asked or not, is in conflict with us.
            self.claim(said, changes, EventKind::AddressConflict);
            return;
        }
        if watched.roles & ROLE_VIRTUAL != 0 && said.unsolicited && !rightful {
            self.claim(said, changes, EventKind::AddressClaimed);
            return;
        }
        if watched.roles & ROLE_GATEWAY != 0 && !said.local {
            if self.heard_ns == 0 || self.silent != 0 {
                changes.kinds |= EventKind::GatewaySeen.bit();
            } else if !same_mac(&self.mac, &said.mac) {
                changes.kinds |= EventKind::GatewayMacChanged.bit();
            }
        }
        self.heard_ns = said.time_ns;
        self.mac = said.mac;
        self.claimant = [0; 6];
        self.asked_ns = 0;
        self.silent = 0;
    }

    /// Somebody on this host asked who holds the address.
    #[inline(always)]
    pub fn asked(&mut self, watched: &Watched, now: u64) {
        if watched.roles & ROLE_GATEWAY != 0 && self.asked_ns == 0 && self.silent == 0 {
            self.asked_ns = now;
            self.silence_ns = watched.silence_ns;
        }
    }

    /// The deadline that [`Self::next_deadline`] named has passed for `address`;
    /// says in `changes` what that changed.
    #[inline(always)]
    pub fn expire(&mut self, address: &Address, now: u64, changes: &mut Changes) {
        changes.begin(
            &party(self.heard_ns, address, &self.mac, false),
            &party(0, address, &[0; 6], false),
        );
        let due = self.next_deadline();
        if due != 0 && now >= due {
            self.silent = 1;
            self.asked_ns = 0;
            changes.kinds = EventKind::GatewaySilent.bit();
            changes.due_ns = due;
        }
    }

    /// When [`Self::expire`] has something to do, CLOCK_MONOTONIC nanoseconds; 0
    /// for never.
    #[inline(always)]
    pub fn next_deadline(&self) -> u64 {
        if self.asked_ns == 0 {
            0
        } else {
            self.asked_ns.saturating_add(self.silence_ns)
        }
    }

    #[inline(always)]
    fn claim(&mut self, said: &Announcement, changes: &mut Changes, kind: EventKind) {
        if !same_mac(&self.claimant, &said.mac) {
            changes.kinds |= kind.bit();
        }
        self.claimant = said.mac;
    }
}

/// Whether the sender may announce a virtual address: the master that the
/// adverts name, the virtual router's own MAC address, or this host (whose
/// keepalived sends its announcements right behind its first advert).
#[inline(always)]
fn rightful(watched: &Watched, said: &Announcement) -> bool {
    said.local
        || same_mac(&said.mac, &said.master)
        || same_mac(&said.mac, &virtual_mac(said.family, watched.vrid))
}

#[inline(always)]
fn party(heard_ns: u64, address: &Address, mac: &Mac, local: bool) -> Party {
    Party {
        heard_ns,
        address: *address,
        mac: *mac,
        local: local as u8,
        ..Party::NOBODY
    }
}
