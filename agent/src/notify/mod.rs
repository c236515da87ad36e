//! Telling others of a router's state.
//!
//! A [`Notifier`] belongs to one router and has a task for each of its hooks.
//! [`Notifier::tell`] puts a transition into the hook's mailbox, where it is decided
//! what is told and when; the task takes it from there to the hook's program or
//! socket. For each hook:
//!
//! - Transitions are told in their order, one at a time.
//! - While the hook is only busy, they wait, up to 64 of them.
//! - As soon as an attempt fails, only the newest is kept, and tried again, after a
//!   pause that grows from 50 ms to 1 s (sockets) or 5 s (programs), until it is
//!   delivered or a newer one takes its place. A program that ran and said no is
//!   tried three more times; then nothing is told before the next transition.
//! - `primary` is held back for the hook's settle time and dropped where `backup`
//!   comes before that is over.
//!
//! Every transition ends as delivered or as skipped; [`HookStatus`] counts both.

mod mailbox;

mod hook;

mod program;

mod socket;

mod shared;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::config::{Hook, RouterId};
use crate::engine::Published;
use hook::HookTask;

pub use shared::Shared;

/// A router's state has changed.
#[derive(Debug, Clone)]
pub struct Transition {
    /// The router.
    pub router: Arc<str>,
    /// What its state is.
    pub state: Published,
    /// Counts the transitions of the router.
    pub sequence: u64,
    /// When it happened, on the wall clock.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// What the state was before; `None` at first.
    pub previous: Option<Published>,
}

impl Transition {
    /// [`Transition::at`] as RFC 3339, UTC, nine decimals.
    fn time(&self) -> String {
        format!("{:.9}", self.at)
    }
}

/// How a hook fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HookStatus {
    /// The hook's name.
    pub name: String,
    /// Transitions that were delivered.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Transitions that are never delivered, for a newer one was there or the
    /// program said no.
    pub skipped: u64,
    /// Transitions on their way.
    pub pending: usize,
    /// Why the last failed attempt failed.
    pub last_error: Option<String>,
    /// When the last delivery was complete, in nanoseconds of CLOCK_MONOTONIC.
    pub last_delivered_ns: Option<u64>,
}

/// Tells one router's hooks of its state, until it is dropped.
#[derive(Debug)]
pub struct Notifier {
    tasks: Vec<HookTask>,
}

impl Notifier {
    /// Starts a task for each of `hooks`, on the current runtime.
    #[must_use]
    pub fn new(router: &RouterId, hooks: &[Hook], shared: &Shared) -> Self {
        let tasks = hooks
            .iter()
            .map(|hook| HookTask::start(router, hook, shared))
            .collect();
        Self { tasks }
    }

    /// Tells every hook of `transition`, soon: this never waits.
    pub fn tell(&self, transition: Transition) {
        let transition = Arc::new(transition);
        for task in &self.tasks {
            task.tell(Arc::clone(&transition));
        }
    }

    /// How each hook fares, in the order that they are declared.
    #[must_use]
    pub fn status(&self) -> Vec<HookStatus> {
        self.tasks.iter().map(HookTask::status).collect()
    }
}

#[cfg(test)]
mod tests;
