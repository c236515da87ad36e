//! The agent: it loads the kernel programs, reads what they report, and tells.
#![cfg_attr(
    test,
    allow(clippy::panic, reason = "a test may stop at the first surprise")
)]

pub mod cli;

pub mod exit;

pub mod kernel;

pub mod netlink;

pub mod netns;

pub mod watch;

pub mod check;

pub mod tracker;

pub mod pcap;

pub mod replay;

pub mod report;

#[cfg(test)]
mod frames;
