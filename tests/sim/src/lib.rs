//! Hosts with keepalived and the fast path in one process and in virtual time.
//!
//! Each host runs keepfast's own code where it is pure: the takeover engine
//! ([`keepfast::takeover`]), the router's engine ([`keepfast::engine`]), and of `common`
//! what the kernel programs run (the tracker of a virtual router, the session of probes,
//! the heirs). keepalived, the network and the passing of time are simulated. A run
//! follows from its seed alone.
//!
//! Reading order: [`setup`] (who there is), [`keepalived`], [`host`], [`world`] (what
//! happens when), [`kernel`], [`agent`] and [`daemon`] (what a host does about it),
//! [`network`], [`faults`], [`checks`] (what must hold), [`run`].

pub mod dice;

pub mod setup;

pub mod keepalived;

pub mod host;

pub mod network;

pub mod world;

pub mod kernel;

pub mod agent;

pub mod daemon;

pub mod faults;

pub mod checks;

pub mod run;

/// Nanoseconds in a microsecond.
pub const US: u64 = 1_000;

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000 * US;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000 * MS;
