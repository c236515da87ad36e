//! What it costs to be asked for metrics by Prometheus, with many routers.

use crate::attached::Attached;
use crate::fleet::advertise;
use crate::report::{Cell, Findings, Table, Target};
use crate::spread::Spread;
use anyhow::{Context, Result, ensure};
use lab::http;
use std::thread;
use std::time::{Duration, Instant};

/// Routers whose keepalived is played by this program.
const ROUTERS: usize = 1_000;
/// How often they are asked for.
const SCRAPES: usize = 100;
/// Longer than a page is given again.
const PAUSE: Duration = Duration::from_millis(250);
/// How the page is asked for, and what is told of each time that it was gathered.
const ACCEPT: &str = "application/openmetrics-text";
const STALLS: &str = "keepfast_scrape_stall_seconds";

/// What was measured of one daemon.
struct Outcome {
    routers: usize,
    series: usize,
    bytes: usize,
    /// Milliseconds until the page was there.
    scrape: Spread,
    stall: Stall,
    /// Bytes that the daemon had before it was first asked, and after it was last asked.
    memory: [u64; 2],
}

/// For how long the daemon did nothing else.
struct Stall {
    mean_ms: f64,
    /// That of the worst one was not longer.
    bound_ms: f64,
}

pub(crate) fn measure() -> Result<Findings> {
    let outcomes = [of(1)?, of(ROUTERS)?];
    let row = |it: &Outcome| {
        let mut row = vec![
            Cell::count(it.routers),
            Cell::count(it.series),
            Cell::Number(it.bytes as f64 / 1e6, 2),
        ];
        row.extend(
            [
                it.scrape.p50,
                it.scrape.p99,
                it.scrape.max,
                it.stall.mean_ms,
                it.stall.bound_ms,
            ]
            .map(|ms| Cell::Number(ms, 2)),
        );
        row.extend(it.memory.map(|bytes| Cell::Number(bytes as f64 / 1e6, 1)));
        row
    };
    let [_, many] = &outcomes;
    Ok(Findings {
        tables: vec![Table {
            title: "Asked for metrics: until the page is there, and how long the daemon stands still",
            columns: &[
                "routers",
                "series",
                "page MB",
                "p50 ms",
                "p99 ms",
                "max ms",
                "stall, mean ms",
                "stall, all below ms",
                "RSS before MB",
                "RSS after MB",
            ],
            rows: outcomes.iter().map(row).collect(),
        }],
        targets: vec![Target {
            what: "1,000 routers gathered, the longest",
            unit: "ms",
            measured: many.stall.bound_ms,
            limit: 100.0,
        }],
        faults: Vec::new(),
    })
}

fn of(count: usize) -> Result<Outcome> {
    let mut routers = Attached::new(count, "")?;
    for number in (0..count).step_by(2) {
        routers.set(number, true)?;
    }
    routers.daemon = routers.daemon.arguments(&["--metrics", "127.0.0.1:0"]);
    routers.daemon.start()?;
    routers.wait_watched()?;
    advertise(&routers.network.sender()?, count)?;
    let endpoint = routers.daemon.endpoint()?;
    let before = routers.daemon.rss()?;
    let mut times = Vec::with_capacity(SCRAPES);
    let mut page = String::new();
    for _ in 0..SCRAPES {
        thread::sleep(PAUSE);
        let begun = Instant::now();
        page = http::get(endpoint, ACCEPT)?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let after = routers.daemon.rss()?;
    let primaries = page.lines().filter(|line| {
        line.starts_with("keepfast_router_state{") && line.ends_with("state=\"primary\"} 1")
    });
    ensure!(
        primaries.count() == count.div_ceil(2),
        "not all primaries are told:\n{page}"
    );
    let outcome = Outcome {
        routers: count,
        series: page.lines().filter(|line| !line.starts_with('#')).count(),
        bytes: page.len(),
        scrape: Spread::of(times)?,
        stall: stall(&page)?,
        memory: [before, after],
    };
    crate::attached::end(&routers.daemon)?;
    Ok(outcome)
}

/// What the page itself says of the times before.
fn stall(page: &str) -> Result<Stall> {
    let value = |name: &str| -> Result<f64> {
        let found = page.lines().find_map(|line| line.strip_prefix(name));
        let found = found.with_context(|| format!("find {name}"))?;
        found
            .trim()
            .parse()
            .with_context(|| format!("read {found}"))
    };
    let count = value(&format!("{STALLS}_count "))?;
    let sum = value(&format!("{STALLS}_sum "))?;
    let start = format!("{STALLS}_bucket{{le=\"");
    let mut buckets = page.lines().filter_map(|line| {
        let (bound, below) = line.strip_prefix(&start)?.split_once("\"} ")?;
        Some((bound.parse::<f64>().ok()?, below.parse::<f64>().ok()?))
    });
    let bound = buckets.find(|(_, below)| *below == count);
    let (bound, _) = bound.context("find the bucket of the longest")?;
    Ok(Stall {
        mean_ms: sum / count * 1e3,
        bound_ms: bound * 1e3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_below_the_first_bound_that_all_are_below() {
        let page = format!(
            "{STALLS}_bucket{{le=\"0.001\"}} 1\n{STALLS}_bucket{{le=\"0.002\"}} 4\n\
             {STALLS}_bucket{{le=\"0.005\"}} 4\n{STALLS}_bucket{{le=\"+Inf\"}} 4\n\
             {STALLS}_sum 0.006\n{STALLS}_count 4\n"
        );
        let stall = stall(&page).unwrap();
        assert!((stall.mean_ms - 1.5).abs() < 1e-9);
        assert!((stall.bound_ms - 2.0).abs() < 1e-9);
    }
}
