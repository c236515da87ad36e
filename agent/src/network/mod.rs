//! The network configuration of a namespace.
