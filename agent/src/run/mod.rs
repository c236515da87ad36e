//! The daemon: it does what the engine decides.
