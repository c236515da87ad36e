//! What goes into a router's engine and what comes out of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::announce::Place;
use super::state::{Adverts, Published, State};
use super::upkeep::Nanos;
use crate::config::{AuthenticationKind, InterfaceName, Protect, Router, Vrid};

/// A router as the engine needs it: declared, and rendered.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The declaration.
    pub router: Arc<Router>,
    /// The text of keepalived.conf; `None` where keepalived is somebody else's.
    pub configuration: Option<Arc<str>>,
    /// The text of radvd.conf, where there is to be a radvd.
    pub radvd: Option<Arc<str>>,
    /// The text of conntrackd.conf, where there is to be a conntrackd.
    pub conntrackd: Option<Arc<str>>,
    /// The virtual addresses; the first one is the primary address, whose presence
    /// means "primary".
    pub addresses: Vec<Place>,
    /// The virtual router on the wire; `None` where somebody else's keepalived is
    /// to say and cannot be read.
    pub instance: Option<Instance>,
    /// Between two adverts.
    pub advert_interval_ns: Nanos,
}

/// A virtual router on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The interface that adverts are exchanged on.
    pub interface: InterfaceName,
    /// Interfaces whose loss is a fault.
    pub tracked: Vec<InterfaceName>,
    /// The virtual router identifier.
    pub vrid: Vrid,
    /// 4 or 6.
    pub family: u8,
    /// 2 or 3.
    pub version: u8,
    /// This host's priority, before anything that is tracked changes it.
    pub priority: u8,
    /// What its adverts list.
    pub advertised: Vec<IpAddr>,
    /// How its adverts are authenticated; `None`: they are not.
    pub authentication: Option<AuthenticationKind>,
    /// What is legitimate for it.
    pub protect: Protect,
    /// Why the fast path can do nothing for it, in words.
    pub obstacle: Option<String>,
}

/// A program of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Program {
    /// keepalived.
    Keepalived,
    /// conntrackd.
    Conntrackd,
    /// radvd.
    Radvd,
    /// A child, by its place among [`Router::children`].
    Child(usize),
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keepalived => f.write_str("keepalived"),
            Self::Conntrackd => f.write_str("conntrackd"),
            Self::Radvd => f.write_str("radvd"),
            Self::Child(number) => write!(f, "child {number}"),
        }
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// The router is declared anew.
    Declared(Box<Plan>),
    /// The router is to go.
    Delete,
    /// What there is of the interfaces that the router needs: those that are not
    /// there, and those that keepalived tracks and that are down; each as people are
    /// told of it, "interface eth0".
    Interfaces {
        /// Not there.
        missing: Vec<String>,
        /// Tracked, there, and down.
        down: Vec<String>,
        /// The indexes of those that are tracked and there: an interface that was deleted and
        /// made anew has another one.
        indexes: BTreeMap<String, u32>,
    },
    /// An address of the namespace appeared or went.
    Address {
        /// Which.
        place: Place,
        /// Whether it is there.
        present: bool,
    },
    /// All addresses that are there have been told.
    Looked,
    /// This host's router was seen to send.
    Adverts(Adverts),
    /// This host's router has missed its own advert, and whether keepalived has been
    /// stopped; else it is only late.
    Stalled {
        /// Stopped as by SIGSTOP.
        stopped: bool,
    },
    /// The host is drained, and its keepalived shall not run; or it may again.
    Halted(bool),
    /// A program was found running when the agent started; keepalived with this
    /// configuration on disk.
    Found(Program, Option<Arc<str>>),
    /// A program runs, as ordered.
    Started(Program),
    /// A program could not be started, and why.
    NotStarted(Program, String),
    /// A program has ended, by itself or as ordered, and how.
    Ended(Program, String),
    /// keepalived took the configuration, or why not.
    Reloaded(Result<(), String>),
    /// conntrackd has done what [`Action::Sync`] asked for.
    Synced,
    /// All that belonged to the router is gone.
    Removed,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write the state file.
    WriteState(Published),
    /// Set forwarding and the acceptance of router advertisements.
    Follow(Published),
    /// Have conntrackd take or give the connections; answered by [`Input::Synced`].
    Sync(Published),
    /// Tell the hooks.
    Tell(Transition),
    /// Write a line into the event log.
    Note(Note),
    /// Start keepalived with this configuration; answered as [`Action::Start`] is.
    StartKeepalived(Arc<str>),
    /// Start another program; answered by [`Input::Started`] or [`Input::NotStarted`].
    Start(Program),
    /// Stop a program; answered by [`Input::Ended`].
    Stop(Program),
    /// Have keepalived read this configuration; answered by [`Input::Reloaded`].
    Reload(Arc<str>),
    /// Remove the addresses and routes that a dead keepalived has left.
    Clear,
    /// Kill a keepalived that is stopped and so cannot end by itself; its end is told
    /// by [`Input::Ended`].
    Kill,
    /// Resign for a keepalived that has ended without doing so.
    Resign,
    /// Announce these addresses.
    Announce(Vec<Place>),
    /// Remove all that belongs to the router; answered by [`Input::Removed`].
    Remove,
}

/// A change of what is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// What it was; `None`: nothing was told before.
    pub from: Option<Published>,
    /// What it is.
    pub to: Published,
    /// Counts the transitions since the agent started, from 1.
    pub sequence: u64,
    /// Why, in words.
    pub reason: String,
}

/// A line of the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The HA state changed.
    State {
        /// What it was.
        from: State,
        /// What it is.
        to: State,
        /// Why, in words.
        reason: String,
    },
    /// Something else happened: a short name, and what there is to say about it.
    Event(&'static str, String),
}
