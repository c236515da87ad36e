//! Checking, starting, adopting and ending keepalived.
