//! Whether the fast path takes over from a primary that lives, and how soon from one that does
//! not, while others want the processors, the memory or the disk.
//!
//! KEEPFAST_SECONDS is how long a living primary is watched under each load, ten minutes unless
//! it says otherwise; KEEPFAST_CUTS how often its power is cut, 20; KEEPFAST_ONLY a part of the
//! names of the loads that are put on.

use crate::cluster::{Cluster, Setup, Style};
use crate::failover::loss::Loss;
use crate::failover::steps::{Steps, attempts};
use crate::load::{First, LOADS, Load};
use crate::report::{Cell, Findings, Table, Target};
use crate::spread::Spread;
use anyhow::{Context, Result};
use lab::clock::monotonic_ns;
use lab::interrupt;
use std::env;
use std::thread;
use std::time::Duration;

/// What was seen under one load.
struct Seen {
    load: Load,
    watched: Duration,
    /// By the fast path, tried or done, while the primary lived.
    takeovers: usize,
    /// Verdicts that were read too late to count.
    late_verdicts: usize,
    /// Of the backup's thread: how often it woke, later than half a millisecond, at worst.
    wakes: [u64; 3],
    cuts: Vec<Steps>,
}

pub(crate) fn measure() -> Result<Findings> {
    let span = Duration::from_secs(number("KEEPFAST_SECONDS", 600)?);
    let cuts = number("KEEPFAST_CUTS", 20)?;
    let only = env::var("KEEPFAST_ONLY").unwrap_or_default();
    let mut seen = Vec::new();
    let mut faults = Vec::new();
    for load in LOADS.into_iter().filter(|it| it.name().contains(&only)) {
        interrupt::check()?;
        println!("{}: {} s and {cuts} cuts", load.name(), span.as_secs());
        match watch(load, span, cuts) {
            Ok(it) => seen.push(it),
            Err(error) => faults.push(format!("{}: {error:#}", load.name())),
        }
    }
    let takeovers: usize = seen.iter().map(|it| it.takeovers).sum();
    Ok(Findings {
        tables: vec![Table {
            title: "Two hosts, VRRPv3, 1 ms by default: under starvation",
            columns: &[
                "meanwhile",
                "s",
                "takeovers from a living primary",
                "late verdicts",
                "wakes",
                "late wakes",
                "worst us",
                "cuts",
                "decided p50 ms",
                "p99",
                "master p50 ms",
                "p99",
            ],
            rows: seen.iter().map(Seen::row).collect(),
        }],
        targets: match seen.is_empty() {
            true => Vec::new(),
            false => vec![Target {
                what: "takeovers from a living primary, under any load",
                unit: "times",
                measured: takeovers as f64,
                limit: 0.0,
            }],
        },
        faults,
    })
}

fn number(variable: &str, usual: u64) -> Result<u64> {
    env::var(variable).map_or(Ok(usual), |text| {
        text.parse()
            .with_context(|| format!("{variable}: {text:?} is no number"))
    })
}

/// Watches a pair that lives for `span`, then cuts the primary's power so often.
fn watch(load: Load, span: Duration, cuts: u64) -> Result<Seen> {
    let cluster = Cluster::start(&Setup {
        style: Style::V3,
        hosts: 2,
        peer_forwards: None,
        fast_path: Some("mode = \"armed\"\ninterval = \"1ms\"\n".to_owned()),
        keys: String::new(),
    })?;
    let primary = cluster.settle()?;
    let backup = usize::from(primary == 0);
    let mut seen = {
        let _load = load.put()?;
        let since_ns = monotonic_ns()?;
        interrupt::pause(span)?;
        let mut events = cluster.events(0, since_ns)?;
        events.extend(cluster.events(1, since_ns)?);
        Seen {
            load,
            watched: Duration::from_nanos(monotonic_ns()?.saturating_sub(since_ns)),
            takeovers: attempts(&events).count(),
            late_verdicts: late_verdicts(&events),
            wakes: wakes(&cluster, backup)?,
            cuts: Vec::new(),
        }
    };
    for _ in 0..cuts {
        interrupt::check()?;
        let primary = cluster.settle()?;
        let (lost_ns, successor) = {
            let _load = load.put()?;
            // What it brings about first is not what is measured.
            thread::sleep(Duration::from_millis(500));
            // Above all loads: the loss is to happen when it is said to.
            let _first = First::take()?;
            let lost_ns = monotonic_ns()?;
            Loss::Power.strike(&cluster, primary, true)?;
            (lost_ns, cluster.wait_successor(primary)?)
        };
        let events = cluster.events(successor, lost_ns)?;
        seen.late_verdicts += late_verdicts(&events);
        seen.cuts.push(Steps::of(&events, lost_ns));
        Loss::Power.mend(&cluster, primary, true)?;
    }
    Ok(seen)
}

fn late_verdicts(events: &[serde_json::Value]) -> usize {
    let late = events.iter().filter(|it| it["event"] == "verdict_late");
    late.count()
}

fn wakes(cluster: &Cluster, member: usize) -> Result<[u64; 3]> {
    let status = cluster.at(member)?.0.managed()?.0.status()?;
    let wakes = &status["daemon"]["wake_ups"];
    let numbers = ["count", "late", "worst_us"].map(|word| wakes[word].as_u64());
    let [Some(count), Some(late), Some(worst_us)] = numbers else {
        return None.with_context(|| format!("read {wakes}"));
    };
    Ok([count, late, worst_us])
}

impl Seen {
    fn row(&self) -> Vec<Cell> {
        let mut row = vec![
            Cell::text(self.load.name()),
            Cell::Number(self.watched.as_secs_f64(), 0),
            Cell::count(self.takeovers),
            Cell::count(self.late_verdicts),
        ];
        row.extend(self.wakes.map(|it| Cell::Number(it as f64, 0)));
        row.push(Cell::count(self.cuts.len()));
        let times: [fn(&Steps) -> Option<f64>; 2] = [|it| it.decided_ms, |it| it.master_ms];
        for time in times {
            match Spread::of(self.cuts.iter().filter_map(time)) {
                Ok(it) => row.extend([Cell::Number(it.p50, 1), Cell::Number(it.p99, 1)]),
                Err(_) => row.extend([Cell::text("-"), Cell::text("-")]),
            }
        }
        row
    }
}
