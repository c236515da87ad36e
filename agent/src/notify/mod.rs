//! Telling others of a router's state.
