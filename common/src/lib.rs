//! What kernel and host both run: frame parsing and the tracking of routers,
//! gateways and addresses.
//!
//! The kernel programs decide nothing themselves: they read a frame through
//! [`wire::Frame`], let [`wire::classify`] say what it is, hand it to the state
//! machines in [`track`], [`neighbour`], [`session`] and [`heirs`], and report what changed as
//! [`event::Event`]s. `keepfast replay` and the tests run the very same code on
//! the host.
//!
//! Invariants:
//! - no unsafe code, no allocation, no I/O, no clock: time is passed in;
//! - no function panics, whatever the frame says;
//! - all that crosses the border between kernel and agent is declared here,
//!   once, with its layout asserted.
//!
//! Reading order: [`time`], [`wire`], [`track`], [`neighbour`], [`session`], [`heirs`], [`event`], [`blackbox`],
//! [`protect`], [`share`], [`maps`].
#![no_std]
#![forbid(unsafe_code)]

pub mod time;

pub mod wire;

pub mod track;

pub mod neighbour;

pub mod session;

pub mod heirs;

pub mod event;

pub mod blackbox;

pub mod counter;

pub mod protect;

pub mod share;

pub mod maps;

pub mod digest;
