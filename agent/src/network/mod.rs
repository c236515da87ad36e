//! The network configuration of a namespace.
//!
//! [`namespace`] makes and removes it, [`sysctl`] sets its switches, [`monitor`]
//! tells what changes in it and changes its addresses and routes, and [`lease`] holds
//! addresses for a while. [`announce`] tells the neighbours where addresses are, and
//! [`advert`] builds VRRP adverts. [`gateway_check`] is a program of its own, run by
//! keepalived; it asks by means of [`probe`].

pub mod namespace;

pub mod sysctl;

pub mod monitor;

pub mod announce;

pub mod gateway_check;

pub mod probe;

pub mod question;

pub mod advert;

pub mod lease;

pub(crate) mod requests;

mod message;

pub(crate) mod raw;

mod frame;
