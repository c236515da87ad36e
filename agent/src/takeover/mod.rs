//! When a router's keepalived is made to take over, and what follows: pure, inputs
//! in, actions out, time passed in.
//!
//! Reading order: [`io`], [`decision`], [`note`].

pub mod io;

pub mod decision;

pub mod note;

pub use decision::{Cause, Occasion, Reason, Restraint, Verdict, decide};
pub use io::{Action, Event, Forgery, Input, Mode, Phase, Policy, Role, Session, Snapshot};
pub use note::Note;

#[cfg(test)]
mod fixture;
