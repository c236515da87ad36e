//! The daemon as a service: what the service manager is told ([`notify`]), when it is
//! told that all is well ([`watchdog`]), how messages are written ([`log`]), what it gives
//! up ([`privileges`]), and how all is removed on purpose ([`teardown`]).

pub mod log;

pub mod notify;

pub mod privileges;

pub mod teardown;

pub mod watchdog;
