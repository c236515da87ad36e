//! The agent as a service and as a package: what it tells the service manager, the unit, the
//! Debian package in a fresh system.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::leftovers::Snapshot;
use lab::require::{Need, require};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[path = "package/container.rs"]
mod container;
#[path = "package/debian.rs"]
mod debian;
#[path = "package/manager.rs"]
mod manager;
#[path = "package/options.rs"]
mod options;
#[path = "package/privileges.rs"]
mod privileges;
#[path = "package/teardown.rs"]
mod teardown;
#[path = "package/unit.rs"]
mod unit;

/// How long something may take that follows at once.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs one test at a time, for a starting agent tidies up after killed ones, and checks that
/// it leaves nothing.
fn alone(needs: &[Need], test: impl FnOnce()) {
    static ALONE: Mutex<()> = Mutex::new(());
    if !require(needs) {
        return;
    }
    let _guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = Snapshot::of_this_process().unwrap();
    test();
    before.check().unwrap();
}

/// A file of the project.
fn project_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}
