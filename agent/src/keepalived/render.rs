//! The text of keepalived.conf.
