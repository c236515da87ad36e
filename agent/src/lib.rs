//! The agent: it loads the kernel programs, reads what they report, and tells; and
//! it manages routers.
//!
//! Watching: [`watch`], with [`kernel`], [`netlink`] and [`report`]. Managing: a
//! router is declared ([`config`]), one pure [`engine`] decides what is done about
//! it, and [`run`] does that by means of [`keepalived`], [`network`], [`helper`],
//! [`notify`] and [`files`]; [`control`] is how operators speak with it.
#![cfg_attr(
    test,
    allow(clippy::panic, reason = "a test may stop at the first surprise")
)]

pub mod cli;

pub mod exit;

pub mod config;

pub mod engine;

pub mod takeover;

pub mod moving;

pub mod fast;

pub mod run;

pub mod postmortem;

pub mod control;

pub mod status;

pub mod top;

pub mod keepalived;

pub mod discover;

pub mod helper;

mod lines;

mod printable;

pub mod notify;

pub mod network;

pub mod process;

pub mod service;

pub mod files;

pub mod event_log;

pub mod events;

pub mod kernel;

pub mod netlink;

pub mod netns;

pub mod observe;

pub mod watch;

pub mod metrics;

pub mod check;

pub mod tracker;

pub mod pcap;

pub mod replay;

pub mod report;

pub mod neutron;

#[cfg(test)]
mod frames;
