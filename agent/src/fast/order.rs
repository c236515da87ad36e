//! What the fast path's thread is told, and what it tells.

use std::net::IpAddr;

use keepfast_common::maps::{AddressKey, RouterKey};

use crate::config::secret::Secret;
use crate::config::{FastPath, RouterId};
use crate::engine::Nanos;
use crate::files::Dir;
use crate::netns::Namespace;
use crate::network::announce::Announcement;
use crate::network::lease::LeaseAddress;
use crate::takeover::Policy;

/// What it is told.
pub enum Order {
    /// Guard a router, or guard it otherwise.
    Guard(Box<Guard>),
    /// Guard it no longer.
    Forget(RouterId),
    /// How its keepalived is.
    Know(RouterId, Facts),
    /// Have another host serve.
    HandOver(RouterId),
    /// Take back what was raised or leased, and end.
    End,
    /// The same, but what is known of peers stays for the agent after this one.
    MakeRoom,
}

/// A router to guard. Not to be shown: it may hold a password.
pub struct Guard {
    /// Whose it is.
    pub id: RouterId,
    /// What may be done for it.
    pub policy: Policy,
    /// As declared.
    pub fast_path: FastPath,
    /// The virtual router on the wire.
    pub key: RouterKey,
    /// Where it is.
    pub namespace: Namespace,
    /// What is the same in all its adverts.
    pub speech: Speech,
    /// The password of version 2.
    pub password: Option<Secret>,
    /// Where its raise file is; `None`: its priority cannot be raised.
    pub directory: Option<Dir>,
    /// The virtual addresses.
    pub addresses: Vec<LeaseAddress>,
    /// What is told of them.
    pub announcements: Vec<Announcement>,
    /// Its gateways.
    pub gateways: Vec<Gateway>,
    /// How its keepalived is.
    pub facts: Facts,
}

/// What is the same in all adverts of a host's router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speech {
    /// The hardware address of the interface.
    pub mac: [u8; 6],
    /// This host's own address there.
    pub source: IpAddr,
    /// The priority that is configured.
    pub priority: u8,
    /// Hundredths of a second between two adverts.
    pub interval_cs: u16,
    /// What is advertised.
    pub addresses: Vec<IpAddr>,
}

/// A gateway of a router, watched by the kernel programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Where its holding is.
    pub key: AddressKey,
    /// Its address.
    pub address: IpAddr,
    /// The hardware address of this host's interface there.
    pub mac: [u8; 6],
    /// Who asks: this host's own address there; `None`: it has none while it is a
    /// backup, and asks as nobody.
    pub source: Option<IpAddr>,
}

/// What the daemon knows of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// It is a backup at rest.
    pub backup: bool,
    /// Its keepalived runs, or is not known not to.
    pub keepalived_runs: bool,
    /// Its interfaces carry frames.
    pub link_up: bool,
    /// Why this host gave up its role lately: one of the `REASON_` constants of
    /// [`keepfast_common::blackbox`].
    pub reason: u8,
}

/// What it tells.
#[derive(Debug, Clone)]
pub struct Told {
    /// Of which router.
    pub id: RouterId,
    /// When, nanoseconds of CLOCK_MONOTONIC.
    pub at: Nanos,
    /// A short name.
    pub name: &'static str,
    /// In words.
    pub detail: String,
    /// Why not, in a word, where that is what it tells.
    pub reason: Option<&'static str>,
}
