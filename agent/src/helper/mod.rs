//! Programs that run beside a router: radvd, conntrackd.

pub mod radvd;

pub mod conntrackd;
