//! The network configuration of a namespace.
//!
//! [`namespace`] makes and removes it, [`sysctl`] sets its switches, and [`monitor`]
//! tells what changes in it and changes its addresses and routes.

pub mod namespace;

pub mod sysctl;

pub mod monitor;

mod requests;

mod message;
