//! What `keepfast postmortem` says of failovers of real keepalived, against independent captures.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::leftovers::Snapshot;
use lab::require::{Need, require};
use std::sync::{Mutex, PoisonError};

#[path = "postmortem/browser.rs"]
mod browser;
#[path = "postmortem/failovers.rs"]
mod failovers;
#[path = "postmortem/pair.rs"]
mod pair;
#[path = "postmortem/salvage.rs"]
mod salvage;

/// Runs one test at a time, for they measure time, and checks that it leaves nothing.
fn alone(test: impl FnOnce()) {
    static ALONE: Mutex<()> = Mutex::new(());
    if !require(&[
        Need::Root,
        Need::Tool("keepalived"),
        Need::Tool("tcpdump"),
        Need::Tool("tshark"),
    ]) {
        return;
    }
    let _guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = Snapshot::of_this_process().unwrap();
    test();
    before.check().unwrap();
}
