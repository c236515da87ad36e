//! The agent as a service and as a package: what it tells the service manager, the unit, the
//! Debian package in a fresh system.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::require::Need;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[path = "package/container.rs"]
mod container;
#[path = "package/debian.rs"]
mod debian;
#[path = "package/manager.rs"]
mod manager;
#[path = "package/options.rs"]
mod options;
#[path = "package/path.rs"]
mod path;
#[path = "package/privileges.rs"]
mod privileges;
#[path = "package/site.rs"]
mod site;
#[path = "package/teardown.rs"]
mod teardown;
#[path = "package/unit.rs"]
mod unit;

/// How long something may take that follows at once.
const LIMIT: Duration = Duration::from_secs(10);

/// [`lab::alone`] with what these tests need.
fn alone(needs: &[Need], test: impl FnOnce()) {
    lab::alone(needs, test);
}

/// A file of the project.
fn project_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}
