//! Programs that run beside a router: radvd, conntrackd.
