//! One host's agent: `keepfast run` with the file that declares its router.

use anyhow::{Context, Result, anyhow};
use lab::daemon::Daemon;
use lab::interrupt;
use lab::wait;
use serde_json::Value;
use std::time::Duration;

/// What the router is called on both hosts.
pub(crate) const ROUTER: &str = "demo";

/// A running agent.
pub(crate) struct Agent {
    pub(crate) daemon: Daemon,
    /// How many of its router's events have been told.
    told: usize,
}

impl Agent {
    /// Starts it with one router, and shows the file that declares it.
    pub(crate) fn start(host: &str, toml: &str) -> Result<Self> {
        let daemon = Daemon::prepare(host)?;
        daemon.declare(ROUTER, toml)?;
        let mut agent = Self { daemon, told: 0 };
        let routers = agent.daemon.routers();
        println!("{}/{ROUTER}.toml:", routers.display());
        indent(toml);
        agent.daemon.start()?;
        println!();
        Ok(agent)
    }

    /// Has its router declared anew; the agent watches the file.
    pub(crate) fn declare(&self, toml: &str) -> Result<()> {
        self.daemon.declare(ROUTER, toml)
    }

    /// Waits until the state file says `state`.
    ///
    /// # Errors
    /// After `limit`, and at an interrupt.
    pub(crate) fn wait_state(&self, state: &str, limit: Duration) -> Result<()> {
        wait_for(&format!("state {state}"), limit, || {
            match self.daemon.state_file(ROUTER) {
                Ok(said) if said == state => Ok(()),
                Ok(said) => Err(said),
                Err(error) => Err(format!("{error:#}")),
            }
        })
    }

    /// Waits until its fast path watches the primary.
    ///
    /// # Errors
    /// After `limit`, and at an interrupt.
    pub(crate) fn wait_session(&self, limit: Duration) -> Result<()> {
        wait_for("a session of the fast path", limit, || {
            let shown = self.daemon.show(ROUTER);
            let shown = shown.map_err(|error| format!("{error:#}"))?;
            match &shown["fast_path"] {
                fast_path if fast_path["session"] == "up" => Ok(()),
                other => Err(other.to_string()),
            }
        })
    }

    /// Its router's events since `since_ns`.
    pub(crate) fn events_since(&self, since_ns: u64) -> Result<Vec<Event>> {
        let events = self.daemon.events(ROUTER)?.into_iter().map(Event);
        let mut since = Vec::new();
        for event in events {
            if event.time_ns()? >= since_ns {
                since.push(event);
            }
        }
        Ok(since)
    }

    /// Prints the events that were not told yet.
    pub(crate) fn tell_new(&mut self, host: &str) -> Result<()> {
        let events = self.daemon.events(ROUTER)?;
        for event in events.into_iter().skip(self.told).map(Event) {
            println!("  {}  {host}  {}", event.time_of_day()?, event.words());
            self.told += 1;
        }
        Ok(())
    }

    /// What `keepfast router list` says.
    pub(crate) fn list(&self) -> Result<String> {
        self.daemon.router(&["list"], "")
    }
}

/// Waits as [`wait::until`] does, but not beyond an interrupt.
fn wait_for(
    what: &str,
    limit: Duration,
    mut seen: impl FnMut() -> Result<(), String>,
) -> Result<()> {
    wait::until(what, limit, || match interrupt::came() {
        true => Ok(Err(anyhow!("interrupted"))),
        false => seen().map(Ok),
    })?
}

/// Shows a file, or a part of one.
pub(crate) fn indent(toml: &str) {
    toml.lines().for_each(|line| println!("  {line}"));
}

/// One line of an event log.
#[derive(Debug)]
pub(crate) struct Event(Value);

impl Event {
    /// When, CLOCK_MONOTONIC.
    pub(crate) fn time_ns(&self) -> Result<u64> {
        let time = self.0["monotonic_ns"].as_u64();
        time.with_context(|| format!("find the time in {}", self.0))
    }

    /// What kind of thing it tells.
    pub(crate) fn name(&self) -> &str {
        self.0["event"].as_str().unwrap_or_default()
    }

    /// What.
    pub(crate) fn words(&self) -> String {
        let text = |key: &str| self.0[key].as_str().unwrap_or_default();
        match text("detail") {
            "" => self.name().to_owned(),
            detail => format!("{}: {detail}", self.name()),
        }
    }

    fn time_of_day(&self) -> Result<&str> {
        let time = self.0["time"]
            .as_str()
            .and_then(|time| time.split_once('T'));
        let (_, time) = time.with_context(|| format!("find the time of day in {}", self.0))?;
        Ok(time.get(..15).unwrap_or(time))
    }
}
