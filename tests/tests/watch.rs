//! The agent as its users run it: what it prints, what it survives and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::netns::Namespace;
use lab::require::Need;
use lab::segment::{Port, Segment};
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

/// [`lab::alone`] with what these tests need.
fn alone(test: impl FnOnce()) {
    lab::alone(
        &[Need::Root, Need::Tool("bpftool"), Need::Tool("arping")],
        test,
    );
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
