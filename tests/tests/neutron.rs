//! `neutron-keepalived-state-change` as Neutron's agent starts it: what it writes, whom it
//! tells, and that each transition is told once.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::require::{Need, require};
use std::time::Duration;

#[path = "neutron/alone.rs"]
mod alone;

#[path = "neutron/agent.rs"]
mod agent;

#[path = "neutron/daemon.rs"]
mod daemon;

#[path = "neutron/real.rs"]
mod real;

const NEEDS: [Need; 4] = [
    Need::Root,
    Need::Tool("ip"),
    Need::Tool("keepalived"),
    Need::Tool("python3"),
];

/// Generous: nothing here takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(20);

/// How many transitions each test of many makes, unless the environment says.
const TRANSITIONS: usize = 30;

/// Runs a test where it can be run.
fn test(work: impl FnOnce()) {
    if require(&NEEDS) {
        work();
    }
}

/// How many transitions a test of many makes.
fn transitions() -> usize {
    let said = std::env::var("KEEPFAST_NEUTRON_TRANSITIONS").ok();
    said.and_then(|it| it.parse().ok()).unwrap_or(TRANSITIONS)
}
