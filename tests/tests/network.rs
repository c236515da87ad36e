//! What the agent does to, and hears from, the network configuration of namespaces.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast::config::Cidr;
use keepfast::netns;
use lab::netns::Namespace;
use std::future::Future;
use std::time::Duration;

#[path = "network/announcing.rs"]
mod announcing;
#[path = "network/changing.rs"]
mod changing;
#[path = "network/following.rs"]
mod following;
#[path = "network/gateway.rs"]
mod gateway;
#[path = "network/switches.rs"]
mod switches;

const LIMIT: Duration = Duration::from_secs(10);

fn entered(namespace: &Namespace) -> netns::Namespace {
    netns::Namespace::named(namespace.name()).unwrap()
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}
