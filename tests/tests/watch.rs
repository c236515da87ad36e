//! The agent as its users run it: what it prints, what it survives and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::leftovers::Snapshot;
use lab::netns::Namespace;
use lab::require::{Need, require};
use lab::segment::{Port, Segment};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[path = "watch/addresses.rs"]
mod addresses;
#[path = "watch/adverts.rs"]
mod adverts;
#[path = "watch/ending.rs"]
mod ending;
#[path = "watch/interfaces.rs"]
mod interfaces;

/// How long an event may take that follows at once.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs one test at a time, for a starting agent tidies up after killed ones, and checks that
/// it leaves nothing.
fn alone(test: impl FnOnce()) {
    static ALONE: Mutex<()> = Mutex::new(());
    if !require(&[Need::Root, Need::Tool("bpftool"), Need::Tool("arping")]) {
        return;
    }
    let _guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = Snapshot::of_this_process().unwrap();
    test();
    before.check().unwrap();
}

/// Host n of one segment has the address 10.99.0.n, and fd99::n, on its eth0.
struct Hosts {
    segment: Segment,
    hosts: Vec<Namespace>,
    ports: Vec<Port>,
}

impl Hosts {
    fn new<const N: usize>(roles: [&str; N]) -> Self {
        let segment = Segment::new("switch").unwrap();
        let hosts: Vec<_> = roles.map(|role| Namespace::new(role).unwrap()).into();
        let ports = (1..).zip(&hosts).map(|(number, host)| {
            let addresses = [format!("10.99.0.{number}/24"), format!("fd99::{number}/64")];
            let addresses = addresses.each_ref().map(String::as_str);
            segment.attach(host, "eth0", &addresses).unwrap()
        });
        let ports = ports.collect();
        Self {
            segment,
            hosts,
            ports,
        }
    }
}
