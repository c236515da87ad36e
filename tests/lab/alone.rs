//! One test of a program at a time.

use crate::leftovers::Snapshot;
use crate::require::{Need, require};
use std::sync::{Mutex, PoisonError};

/// Runs one test at a time, for they measure time and a starting agent tidies up after killed
/// ones, and checks that it leaves nothing behind. Without what the test needs it fails where
/// [`require`] says so, and is left out elsewhere.
///
/// # Panics
/// When the test does, or leaves something.
#[expect(clippy::unwrap_used, reason = "it is the end of a test")]
pub fn alone(needs: &[Need], test: impl FnOnce()) {
    static ALONE: Mutex<()> = Mutex::new(());
    if !require(needs) {
        return;
    }
    let _guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = Snapshot::of_this_process().unwrap();
    test();
    before.check().unwrap();
}
