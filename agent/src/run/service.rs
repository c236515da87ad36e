//! What the service manager is told of the daemon.

use std::collections::BTreeMap;

use anyhow::Result;
use tracing::{debug, warn};

use crate::report::clock::monotonic_ns;
use crate::service::notify::Manager;
use crate::service::watchdog::{LEAST, Watchdog};

use super::daemon::Daemon;

/// The service manager, and its watchdog.
pub(super) struct Service {
    manager: Manager,
    watchdog: Option<Watchdog>,
    is_ready: bool,
}

impl Service {
    /// As it is named in the environment.
    pub(super) fn new() -> Result<Self> {
        let get = |name| std::env::var(name).ok();
        let watchdog = Watchdog::asked_for(get, std::process::id(), monotonic_ns()?)
            .unwrap_or_else(|error| {
                warn!("the watchdog is not fed: {error:#}");
                None
            });
        if let Some(watchdog) = &watchdog {
            let limit = watchdog.limit();
            debug!("the service manager's watchdog waits {limit:?}");
            if limit < LEAST {
                warn!("the watchdog waits {limit:?}, too short: expected {LEAST:?} at least");
            }
        }
        Ok(Self {
            manager: Manager::of_environment(),
            watchdog,
            is_ready: false,
        })
    }

    /// The declarations are read and the states are known.
    pub(super) fn ready(&mut self, daemon: &Daemon) {
        self.is_ready = true;
        self.tell(daemon);
        self.manager.ready();
    }

    /// Says so while `read` reads the declarations again.
    pub(super) fn reload(&self, read: impl FnOnce()) {
        let now = monotonic_ns().ok().filter(|_| self.is_ready);
        if let Some(now) = now {
            self.manager.reloading(now);
        }
        read();
        if now.is_some() {
            self.manager.ready();
        }
    }

    /// The daemon's loop gets on.
    pub(super) fn turn(&mut self, daemon: &Daemon) {
        let turns = daemon.fast.as_ref().map(|fast| fast.path.turns());
        if let (Some(watchdog), Ok(now)) = (&mut self.watchdog, monotonic_ns())
            && watchdog.is_due(now, turns)
        {
            self.manager.alive();
        }
    }

    /// Every second: how the routers are, in words.
    pub(super) fn tell(&mut self, daemon: &Daemon) {
        // Before, what is not known yet would be told as what is wrong.
        if self.is_ready {
            self.manager.status(&words(daemon));
        }
    }

    pub(super) fn stopping(&self) {
        self.manager.stopping();
    }
}

/// How the routers are, in one line.
fn words(daemon: &Daemon) -> String {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for member in daemon.members.values() {
        *states.entry(member.engine.state().as_str()).or_default() += 1;
    }
    let states: Vec<String> = states
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let mut words = match daemon.members.len() {
        0 => "no routers".to_owned(),
        1 => format!("1 router: {}", states.join(", ")),
        count => format!("{count} routers: {}", states.join(", ")),
    };
    if daemon.observer.is_none() {
        words.push_str("; no kernel programs, addresses tell alone");
    } else if daemon.fast.is_none() {
        words.push_str("; no fast path");
    }
    if !daemon.problems.is_empty() {
        words.push_str(&format!(
            "; {} wrong with the router files",
            daemon.problems.len()
        ));
    }
    words
}
