//! The daemon as a service: what the service manager is told ([`notify`]), when it is
//! told that all is well ([`watchdog`]), and how messages are written ([`log`]).

pub mod log;

pub mod notify;

pub mod watchdog;
