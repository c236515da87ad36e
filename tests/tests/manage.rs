//! The agent as a service: scenarios of routers that it looks after, against real keepaliveds,
//! each under its number in the inventory of what Neutron's routers do.
//!
//! What depends on the protocol's timers is asserted. How long this machine takes for something
//! is asserted ten times as long as it should be, for others may use the machine, and printed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::addresses::Addresses;
use lab::daemon::Daemon;
use lab::require::Need;
use lab::router::{Declaration, Host, PRIMARY, Rival, Topology};
use serde_json::Value;
use std::time::Duration;

#[path = "manage/failover.rs"]
mod failover;
#[path = "manage/kernel.rs"]
mod kernel;
#[path = "manage/notices.rs"]
mod notices;
#[path = "manage/restart.rs"]
mod restart;

/// How long something may take that follows at once.
const LIMIT: Duration = Duration::from_secs(10);

/// [`lab::alone`] with what these tests need.
fn alone(test: impl FnOnce()) {
    lab::alone(
        &[
            Need::Root,
            Need::Tool("keepalived"),
            Need::Tool("tcpdump"),
            Need::Tool("tshark"),
            Need::Tool("python3"),
        ],
        test,
    );
}

/// A router on two hosts, each with a daemon of its own, and what happens to its addresses.
struct Pair {
    // Before what they look after.
    daemons: Vec<Daemon>,
    addresses: Vec<Addresses>,
    topology: Topology,
}

impl Pair {
    /// Declares the router on the first host, waits until that is the primary, and declares it on
    /// the second one.
    fn start(declare: impl Fn(&Host, &Daemon) -> Declaration) -> Self {
        let topology = Topology::new(2).unwrap();
        let hosts = &topology.hosts;
        let daemons: Vec<_> = hosts
            .iter()
            .map(|host| Daemon::new(&format!("daemon{}", host.number)).unwrap())
            .collect();
        let declarations: Vec<_> = hosts
            .iter()
            .zip(&daemons)
            .map(|(host, daemon)| declare(host, daemon))
            .collect();
        let addresses = hosts
            .iter()
            .map(|host| Addresses::listen(&host.namespace).unwrap())
            .collect();
        for (number, (state, known)) in [("primary", "local_master"), ("backup", "master_appeared")]
            .into_iter()
            .enumerate()
        {
            declarations[number].apply(&daemons[number]).unwrap();
            wait_running(&daemons[number], "r");
            daemons[number]
                .wait_state("r", state, Duration::from_secs(20))
                .unwrap();
            wait_known(&daemons[number], known);
        }
        Self {
            daemons,
            addresses,
            topology,
        }
    }
}

/// A router on one host, and a rival that makes it a backup, or the primary again, at once.
struct Flipped {
    // Before what it looks after.
    daemon: Daemon,
    rival: Rival,
    addresses: Addresses,
    topology: Topology,
}

impl Flipped {
    /// Declares the router, of such priority that its skew is short, and waits until it is the
    /// primary.
    fn start(declare: impl FnOnce(&Host, &Daemon) -> Declaration) -> Self {
        let topology = Topology::new(1).unwrap();
        let host = &topology.hosts[0];
        let daemon = Daemon::new("daemon").unwrap();
        let declaration = Declaration {
            priority: 250,
            ..declare(host, &daemon)
        };
        declaration.apply(&daemon).unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        wait_known(&daemon, "local_master");
        Self {
            rival: Rival::new(&topology.ha).unwrap(),
            addresses: Addresses::listen(&host.namespace).unwrap(),
            daemon,
            topology,
        }
    }
}

/// Waits until a router's keepalived runs.
fn wait_running(daemon: &Daemon, id: &str) {
    let started = |event: &Value| event["event"] == "started" && event["detail"] == "keepalived";
    daemon
        .wait_event(id, 0, "a running keepalived", LIMIT, started)
        .unwrap();
}

/// Waits until the kernel programs know who is master: they are attached a while after the start.
fn wait_known(daemon: &Daemon, event: &str) {
    daemon
        .wait_event("r", 0, event, LIMIT, |it| it["event"] == event)
        .unwrap();
}

/// Waits until a router that was deleted is gone.
fn wait_gone(daemon: &Daemon, id: &str) {
    lab::wait::until("the end of the router", LIMIT, || {
        match daemon.file(id, "").exists() {
            false => Ok(()),
            true => Err("its directory".into()),
        }
    })
    .unwrap();
}

/// When an event happened, in nanoseconds of CLOCK_MONOTONIC.
fn at_ns(event: &Value) -> u64 {
    event["monotonic_ns"].as_u64().unwrap()
}

/// Whether an event says that the state became this one.
fn becomes(event: &Value, state: &str) -> bool {
    let detail = event["detail"].as_str().unwrap_or_default();
    event["event"] == "state" && detail.contains(&format!("-> {state}:"))
}

/// Milliseconds between two moments, the earlier one first; below zero where it was not.
fn ms(from_ns: u64, to_ns: u64) -> f64 {
    (to_ns as f64 - from_ns as f64) / 1e6
}
