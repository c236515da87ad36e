//! What `keepfast run` tells Prometheus: the numbers, the endpoint, the files that go with it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::daemon::Daemon;
use lab::http;
use lab::require::Need;
use lab::wait;
use std::net::SocketAddr;
use std::time::Duration;

#[path = "metrics/failover.rs"]
mod failover;
#[path = "metrics/files.rs"]
mod files;
#[path = "metrics/hostile.rs"]
mod hostile;
#[path = "metrics/page.rs"]
mod page;
#[path = "metrics/prometheus.rs"]
mod prometheus;
#[path = "metrics/states.rs"]
mod states;

use page::Page;

/// How long something may take.
const LIMIT: Duration = Duration::from_secs(30);

/// [`lab::alone`] with what these tests need.
fn alone(test: impl FnOnce()) {
    lab::alone(
        &[
            Need::Root,
            Need::Tool("keepalived"),
            Need::Tool("prometheus"),
            Need::Tool("promtool"),
        ],
        test,
    );
}

/// A daemon that tells its metrics at a port of its own choice, started.
fn daemon(role: &str) -> Daemon {
    let mut daemon = Daemon::prepare(role).unwrap();
    daemon = daemon.arguments(&["--metrics", "127.0.0.1:0"]);
    daemon.start().unwrap();
    daemon
}

/// Where a daemon tells its metrics.
fn endpoint(daemon: &Daemon) -> SocketAddr {
    daemon.endpoint().unwrap()
}

/// What a daemon tells.
fn scrape(daemon: &Daemon) -> Page {
    Page::read(&http::get(endpoint(daemon), "text/plain").unwrap())
}

/// Waits until a daemon tells this value.
fn wait_value(daemon: &Daemon, series: &str, expected: f64) {
    wait::until(&format!("{series} {expected}"), LIMIT, || {
        match scrape(daemon).value(series) {
            Some(value) if value == expected => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .unwrap();
}
