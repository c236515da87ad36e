//! `keepfast postmortem`: what a failover was made of, and why there was one.
//!
//! The kernel keeps the last that happened to each router ([`keepfast_common::blackbox`]),
//! the event log has what only the agent knows, both with times of CLOCK_MONOTONIC.
//! [`gather`] reads both, without a daemon; [`Report::build`] is pure and makes a
//! [`Report`] of them; [`text`] and [`html`] put it into words and pictures.
//!
//! Reading order: [`report`], [`evidence`], [`turns`], [`cause`], [`build`], [`words`]; [`gather`],
//! [`shelf`], [`command`].

mod build;
mod cause;
pub mod command;
pub mod evidence;
pub mod gather;
pub mod html;
mod identity;
mod reason;
pub mod report;
pub mod shelf;
pub mod text;
mod turns;
mod words;

pub use evidence::{Evidence, Line};
pub use identity::Identity;
pub use reason::{FAILOVER, GIVES_UP, Reason};
pub use report::{Cause, Moment, Report, SCHEMA, Side, Steps, Until};
pub use turns::{Turn, turns};

#[cfg(test)]
mod tests;
