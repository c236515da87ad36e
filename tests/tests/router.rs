//! The agent as a service: what its routers are made of, what they leave alone and what they
//! leave behind. Each scenario is under its number in the inventory of what Neutron's routers do.
//!
//! What depends on the protocol's timers is asserted. How long this machine takes for something
//! is asserted ten times as long as it should be, for others may use the machine, and printed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::daemon::Daemon;
use lab::netns::Namespace;
use lab::require::Need;
use lab::router::{Declaration, Host, Topology};
use lab::wait;
use nix::unistd::Pid;
use serde_json::Value;
use std::time::Duration;

#[path = "router/configuration.rs"]
mod configuration;

#[path = "router/raising.rs"]
mod raising;

#[path = "router/announcements.rs"]
mod announcements;

#[path = "router/silence.rs"]
mod silence;

#[path = "router/helpers.rs"]
mod helpers;

#[path = "router/connections.rs"]
mod connections;

#[path = "router/gateways.rs"]
mod gateways;

#[path = "router/restarts.rs"]
mod restarts;

#[path = "router/killing.rs"]
mod killing;

#[path = "router/lifetime.rs"]
mod lifetime;

#[path = "router/hostile.rs"]
mod hostile;

#[path = "router/attached.rs"]
mod attached;

/// How long something may take that follows at once: where namespaces are removed by others, the
/// kernel lets everybody wait who configures a network.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a first router may take to be the primary, of the longest timers here.
const ELECTION: Duration = Duration::from_secs(40);

/// [`lab::alone`] with what these tests need. `tools` are those that not every test here needs.
fn alone(tools: &[&'static str], test: impl FnOnce()) {
    let mut needs = vec![Need::Root];
    let common = ["keepalived", "tcpdump", "tshark"];
    needs.extend(common.iter().chain(tools).map(|tool| Need::Tool(tool)));
    lab::alone(&needs, test);
}

/// Hosts with a daemon each that look after the router "r".
struct Stage {
    // Before what they look after.
    daemons: Vec<Daemon>,
    declarations: Vec<Declaration>,
    topology: Topology,
}

impl Stage {
    /// Declares the router on the first host, waits until that is the primary, and then on the
    /// other ones.
    fn start(hosts: u8, declare: impl Fn(&Host, &Daemon) -> Declaration) -> Self {
        let stage = Self::prepare(hosts, declare);
        (0..stage.daemons.len()).for_each(|number| stage.declare(number));
        stage
    }

    /// Declares the router on a host, and waits until it is the primary there, or a backup where
    /// another host is the primary.
    fn declare(&self, number: usize) {
        let daemon = &self.daemons[number];
        self.declarations[number].apply(daemon).unwrap();
        wait_started(daemon, "r", "keepalived");
        let others = (0..self.daemons.len()).filter(|other| *other != number);
        let taken = others
            .filter_map(|other| self.daemons[other].state_file("r").ok())
            .any(|state| state == "primary");
        let state = if taken { "backup" } else { "primary" };
        // In the log a moment later than in the state file.
        self.wait_state(number, state);
        wait_becomes(daemon, 0, state);
    }

    /// Has the daemons run without a router yet.
    fn prepare(hosts: u8, declare: impl Fn(&Host, &Daemon) -> Declaration) -> Self {
        let topology = Topology::new(hosts).unwrap();
        let daemons: Vec<_> = topology
            .hosts
            .iter()
            .map(|host| Daemon::new(&format!("daemon{}", host.number)).unwrap())
            .collect();
        let hosts = topology.hosts.iter().zip(&daemons);
        let declarations = hosts.map(|(host, daemon)| declare(host, daemon)).collect();
        Self {
            daemons,
            declarations,
            topology,
        }
    }

    fn wait_state(&self, number: usize, state: &str) {
        self.daemons[number]
            .wait_state("r", state, ELECTION)
            .unwrap();
    }

    fn namespace(&self, number: usize) -> &Namespace {
        &self.topology.hosts[number].namespace
    }
}

/// Waits until a program of a router was started.
fn wait_started(daemon: &Daemon, id: &str, program: &str) {
    let started = |event: &Value| event["event"] == "started" && event["detail"] == program;
    daemon
        .wait_event(id, 0, &format!("a running {program}"), ELECTION, started)
        .unwrap();
}

/// Waits until a router that was deleted is gone.
fn wait_gone(daemon: &Daemon, id: &str) {
    wait::until("the end of the router", LIMIT, || {
        let listed = daemon.list().map_err(|error| format!("{error:#}"))?;
        let routers = listed["routers"].as_array().into_iter().flatten();
        let there = routers.filter(|router| router["id"] == id).count();
        match (there, daemon.file(id, "").exists()) {
            (0, false) => Ok(()),
            _ => Err(listed.to_string()),
        }
    })
    .unwrap();
}

/// Those of a router's events, from the `from`-th one on, that have this name.
fn events(daemon: &Daemon, from: usize, name: &str) -> Vec<Value> {
    let events = daemon.events("r").unwrap().into_iter().skip(from);
    events.filter(|event| event["event"] == name).collect()
}

/// The process ids of a router's keepalived and its VRRP process, once it has told them.
fn keepalived(daemon: &Daemon, id: &str) -> [Pid; 2] {
    let pids = wait::until("keepalived's pid files", LIMIT, || {
        daemon.keepalived(id).map_err(|error| format!("{error:#}"))
    });
    pids.unwrap()
}

/// The processes of a daemon's routers that have this name.
fn named(daemon: &Daemon, name: &str) -> Vec<i32> {
    let left = daemon.left_running().unwrap().into_iter();
    left.map(Pid::as_raw)
        .filter(|pid| {
            let found = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            found.is_ok_and(|found| found.trim() == name)
        })
        .collect()
}

/// When an event happened, in nanoseconds of CLOCK_MONOTONIC.
fn at_ns(event: &Value) -> u64 {
    event["monotonic_ns"].as_u64().unwrap()
}

/// Waits until the state of the router "r" becomes this one, and says when it did; what happened
/// before its `from`-th event does not count.
fn wait_becomes(daemon: &Daemon, from: usize, state: &str) -> u64 {
    let becomes = |event: &Value| becomes(event, state);
    let event = daemon.wait_event("r", from, state, ELECTION, becomes);
    at_ns(&event.unwrap())
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

/// Whether a namespace has an address, given with its prefix length.
fn has_address(namespace: &Namespace, address: &str) -> bool {
    shown(namespace, &["-o", "address"]).contains(&format!(" {address} "))
}

/// What `ip` says in a namespace.
fn shown(namespace: &Namespace, arguments: &[&str]) -> String {
    lab::process::output(namespace.command("ip").args(arguments)).unwrap()
}

/// Pauses while nothing is to happen: there is no condition to wait for.
fn nothing_for(time: Duration) {
    std::thread::sleep(time);
}
