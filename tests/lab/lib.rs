//! The lab: real routers, switches and clients in network namespaces.
//!
//! Everything here is made by the test that uses it, under a name that no other run has, and
//! is removed when its guard is dropped. Traffic never leaves those namespaces. Every wait has
//! a limit and says what it saw when the limit ran out.
//!
//! Start reading at [`netns`] and [`segment`] (where things run), then [`keepalived`] and
//! [`frr`] (the routers), [`capture`] and [`oracle`] (what was on the wire, read by tshark and
//! so by none of this project's own code) and [`prober`] (what a client noticed). Of the agent
//! itself, [`watcher`] is `keepfast watch`, and [`daemon`] with [`router`] is `keepfast run`.
//! Between them [`fault`] loses frames, and [`flood`] adds those of an attacker.

pub mod netns;

pub mod segment;

/// Shutting a port of a switch at once.
pub mod gate;

pub mod link;

pub mod fault;

pub mod flood;

pub mod keepalived;

pub mod frr;

pub mod capture;

pub mod oracle;

pub mod prober;

pub mod load;

pub mod require;

pub mod leftovers;

pub mod arp;
pub mod binary;

pub mod watcher;

pub mod sender;

pub mod shim;

pub mod neutron;

pub mod ear;

pub mod daemon;

pub mod router;

pub mod many;

pub mod http;

pub mod listener;

pub mod addresses;

mod alone;
pub use alone::alone;

pub mod process;

pub mod pty;

pub mod workdir;

pub mod folder;

pub mod wait;

pub mod interrupt;

pub mod adverts;

pub mod clock;
