//! Whether the fast path takes over from a primary that lives, while its host has other things
//! to do.
//!
//! KEEPFAST_SECONDS is how long it is watched in all, ten minutes unless it says otherwise.

use crate::cluster::{Cluster, ROUTER, Setup, Style};
use crate::failover::steps::attempts;
use crate::report::{Cell, Findings, Table, Target};
use crate::steady::strain::{STRAINS, Strain};
use anyhow::{Context, Result};
use lab::clock::monotonic_ns;
use serde_json::Value;
use std::env;
use std::time::Duration;

/// What else happens.
mod strain;

const SECONDS: u64 = 600;
/// What the fast path is told, and how that is called.
const TOLD: [(&str, &str); 2] = [
    ("1 ms, default", "interval = \"1ms\"\n"),
    ("1 ms x 3", "interval = \"1ms\"\nmultiplier = 3\n"),
];

/// What was seen under one strain.
struct Seen {
    fast_path: &'static str,
    strain: Strain,
    watched: Duration,
    /// By the fast path, tried or done.
    takeovers: usize,
    /// Routers that became the primary, by whatever means.
    changes: usize,
    /// What the backup's fast path says of itself, before and after.
    told: [Value; 2],
}

pub(crate) fn measure() -> Result<Findings> {
    let cells = u32::try_from(STRAINS.len() * TOLD.len())?;
    let span = watched()? / cells;
    let mut seen = Vec::new();
    let mut faults = Vec::new();
    for (fast_path, keys) in TOLD {
        if let Err(error) = watch(fast_path, keys, span, &mut seen) {
            faults.push(format!("{fast_path}: {error:#}"));
        }
    }
    Ok(Findings {
        tables: vec![Table {
            title: "Two hosts, VRRPv3, a primary that lives: takeovers that should not be",
            columns: &[
                "fast path",
                "meanwhile",
                "s",
                "takeovers",
                "became primary",
                "suspicions",
                "slowest answer us",
            ],
            rows: seen.iter().map(Seen::row).collect(),
        }],
        targets: targets(&seen),
        faults,
    })
}

/// None where nothing was seen.
fn targets(seen: &[Seen]) -> Vec<Target> {
    let target = |what, counted: fn(&Seen) -> usize| Target {
        what,
        unit: "times",
        measured: seen.iter().map(counted).sum::<usize>() as f64,
        limit: 0.0,
    };
    match seen {
        [] => Vec::new(),
        _ => vec![
            target("takeovers from a living primary", |it| it.takeovers),
            target("changes of the primary, whoever brought them about", |it| {
                it.changes
            }),
        ],
    }
}

fn watched() -> Result<Duration> {
    let Ok(text) = env::var("KEEPFAST_SECONDS") else {
        return Ok(Duration::from_secs(SECONDS));
    };
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
    let seconds =
        seconds.with_context(|| format!("KEEPFAST_SECONDS: {text:?} is no number of seconds"))?;
    Ok(Duration::from_secs(seconds))
}

/// Watches a pair for `span` under each strain.
fn watch(fast_path: &'static str, keys: &str, span: Duration, seen: &mut Vec<Seen>) -> Result<()> {
    let mut cluster = Cluster::start(&Setup {
        style: Style::V3,
        hosts: 2,
        peer_forwards: None,
        fast_path: Some(format!("mode = \"armed\"\n{keys}")),
        keys: String::new(),
    })?;
    for strain in STRAINS {
        let primary = cluster.settle()?;
        let backup = usize::from(primary == 0);
        println!("{fast_path}: {}, {} s", strain.name(), span.as_secs());
        let since_ns = monotonic_ns()?;
        let before = told(&cluster, backup)?;
        strain
            .put(&mut cluster, primary, span)
            .with_context(|| strain.name())?;
        let mut events = cluster.events(0, since_ns)?;
        events.extend(cluster.events(1, since_ns)?);
        let watched = Duration::from_nanos(monotonic_ns()?.saturating_sub(since_ns));
        seen.push(Seen {
            fast_path,
            strain,
            watched,
            takeovers: attempts(&events).count(),
            changes: events.iter().filter(|event| became_primary(event)).count(),
            told: [before, told(&cluster, backup)?],
        });
    }
    Ok(())
}

/// What a member's fast path says of itself.
fn told(cluster: &Cluster, member: usize) -> Result<Value> {
    let (daemon, _) = cluster.at(member)?.0.managed()?;
    let mut shown = daemon.show(ROUTER)?;
    Ok(shown["fast_path"].take())
}

fn became_primary(event: &Value) -> bool {
    let detail = event["detail"].as_str().unwrap_or_default();
    // An agent that has just started finds what is there already.
    let found = detail.starts_with("unknown ");
    event["event"] == "state" && detail.contains("-> primary:") && !found
}

impl Seen {
    fn row(&self) -> Vec<Cell> {
        let [before, after] = &self.told;
        let number = |value: &Value| value.as_f64();
        let suspicions = number(&before["suspected"])
            .zip(number(&after["suspected"]))
            .map(|(before, after)| after - before);
        let slowest = number(&after["worst_answer_us"]);
        let cell = |value: Option<f64>| value.map_or(Cell::text("-"), |it| Cell::Number(it, 0));
        vec![
            Cell::text(self.fast_path),
            Cell::text(self.strain.name()),
            Cell::Number(self.watched.as_secs_f64(), 0),
            Cell::count(self.takeovers),
            Cell::count(self.changes),
            cell(suspicions),
            cell(slowest),
        ]
    }
}
