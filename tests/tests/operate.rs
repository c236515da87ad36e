//! What operators look at and do: status, events, handing over, draining, shadow, and who may
//! ask for it; against real keepalived.
//!
//! What depends on the protocol's timers is asserted. How long this machine takes for something
//! is asserted about ten times as long as it should be, for others may use the machine, and
//! printed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::daemon::Daemon;
use lab::require::Need;
use lab::router::{Declaration, Host, Topology};
use lab::wait;
use serde_json::Value;
use std::time::Duration;

#[path = "operate/act.rs"]
mod act;
#[path = "operate/control.rs"]
mod control;
#[path = "operate/events.rs"]
mod events;
#[path = "operate/status.rs"]
mod status;
#[path = "operate/top.rs"]
mod top;

/// How long something may take that follows at once, or after a down time.
const LIMIT: Duration = Duration::from_secs(30);

/// [`lab::alone`] with what these tests need.
fn alone(test: impl FnOnce()) {
    lab::alone(
        &[
            Need::Root,
            Need::Tool("keepalived"),
            Need::Tool("jsonschema"),
        ],
        test,
    );
}

/// Two hosts with a daemon each that look after the router "r": the first one is the primary.
struct Pair {
    // Before what they look after.
    first: Daemon,
    second: Daemon,
    topology: Topology,
}

impl Pair {
    /// Declared like this; the first one is the primary.
    fn start(declare: impl Fn(&Host) -> Declaration) -> Self {
        let pair = Self {
            topology: Topology::new(2).unwrap(),
            first: Daemon::new("first").unwrap(),
            second: Daemon::new("second").unwrap(),
        };
        for (daemon, host, state) in [
            (&pair.first, &pair.topology.hosts[0], "primary"),
            (&pair.second, &pair.topology.hosts[1], "backup"),
        ] {
            declare(host).apply(daemon).unwrap();
            daemon.wait_state("r", state, LIMIT).unwrap();
        }
        pair
    }

    /// Both armed, and the backup's session with the primary is up.
    fn armed() -> Self {
        let pair = Self::start(|host| fast(host, "mode = \"armed\""));
        pair.ready(1);
        pair
    }

    /// Waits until the other host of this primary would take over.
    fn ready(&self, primary: usize) {
        let (primary, backup) = if primary == 1 {
            (&self.first, &self.second)
        } else {
            (&self.second, &self.first)
        };
        primary.wait_state("r", "primary", LIMIT).unwrap();
        backup.wait_state("r", "backup", LIMIT).unwrap();
        wait_router(backup, "a session that is up", |router| {
            router["fast_path"]["session"]["phase"] == "up"
        });
        wait_router(primary, "an heir", |router| {
            router["fast_path"]["heirs"] == 1 && router["fast_path"]["doing"] == "idle"
        });
    }
}

/// A router with an advert every second and these keys in its table `[fast_path]`.
fn fast(host: &Host, keys: &str) -> Declaration {
    Declaration {
        interval: Duration::from_secs(1),
        tables: format!("\n[fast_path]\n{keys}\n"),
        ..Declaration::plain(host)
    }
}

/// How "r" is, by `keepfast status`.
fn router(daemon: &Daemon) -> Value {
    let status = daemon.status().unwrap();
    let routers = status["routers"].as_array().unwrap();
    let found = routers.iter().find(|router| router["id"] == "r");
    found.unwrap().clone()
}

/// Waits until "r" is like this.
fn wait_router(daemon: &Daemon, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait::until(what, LIMIT, || {
        let router = router(daemon);
        if wanted(&router) {
            Ok(router)
        } else {
            Err(router.to_string())
        }
    })
    .unwrap()
}
