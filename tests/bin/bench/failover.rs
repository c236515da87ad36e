//! How long a client is without its router when the primary is lost, with the fast path and
//! without it.
//!
//! KEEPFAST_RUNS is how often each loss is done with the fast path, 50 times unless it says
//! otherwise. KEEPFAST_ONLY, if set, is what the names of the losses to be done contain.

use crate::failover::run::{Outcome, Run};
use crate::failover::scenario::{SCENARIOS, Scenario};
use crate::report::{Cell, Findings, Table, Target};
use crate::spread::Spread;
use anyhow::{Context, Result, ensure};
use std::env;

/// What is done to the primary, and undone.
pub(crate) mod loss;

/// One loss, from the start state back to it.
mod run;

/// All that is lost, and how.
mod scenario;

/// What the agent says of a takeover.
pub(crate) mod steps;

const RUNS: usize = 50;
/// Without the fast path each takes seconds, and little depends on chance.
const RUNS_OFF: usize = 3;

const COLUMNS: &[&str] = &[
    "lost",
    "fast path",
    "runs",
    "median ms",
    "worst ms",
    "false",
    "decided ms",
    "master ms",
    "runs off",
    "median off ms",
    "worst off ms",
    "times shorter",
];

/// One scenario's results.
struct Measured {
    scenario: &'static Scenario,
    armed: Outcome,
    off: Outcome,
}

pub(crate) fn measure() -> Result<Findings> {
    let runs = runs()?;
    let only = env::var("KEEPFAST_ONLY").unwrap_or_default();
    let mut measured = Vec::new();
    for scenario in SCENARIOS.iter().filter(|it| it.name.contains(&only)) {
        println!("{}: {}, {runs} times", scenario.name, scenario.told());
        let armed = run::repeat(scenario, true, runs);
        let off_runs = RUNS_OFF.min(runs);
        println!("{}: fast path off, {off_runs} times", scenario.name);
        let off = run::repeat(scenario, false, off_runs);
        measured.push(Measured {
            scenario,
            armed,
            off,
        });
    }
    ensure!(
        !measured.is_empty(),
        "KEEPFAST_ONLY: no loss is called {only:?}"
    );
    let rows = measured.iter().map(Measured::row);
    Ok(Findings {
        tables: vec![Table {
            title: "The primary is lost: how long a client that asks every 0.5 ms has no answer; \
                    from the loss (medians), when takeover was decided and \
                    keepalived master",
            columns: COLUMNS,
            rows: rows.collect::<Result<_>>()?,
        }],
        targets: targets(&measured),
        faults: measured.iter().flat_map(Measured::faults).collect(),
    })
}

fn runs() -> Result<usize> {
    let Ok(text) = env::var("KEEPFAST_RUNS") else {
        return Ok(RUNS);
    };
    let runs = text.parse().ok().filter(|runs| *runs > 0);
    runs.with_context(|| format!("KEEPFAST_RUNS: {text:?} is no number of runs"))
}

fn targets(measured: &[Measured]) -> Vec<Target> {
    let mut targets = Vec::new();
    for it in measured {
        if let (Some((what, limit)), Ok(spread)) = (it.scenario.target, it.armed.outage()) {
            targets.push(Target {
                what,
                unit: "ms",
                measured: spread.p50,
                limit,
            });
        }
    }
    if measured.iter().any(|it| !it.armed.runs.is_empty()) {
        let unfounded = measured.iter().map(|it| it.armed.unfounded());
        targets.push(Target {
            what: "takeovers without a loss",
            unit: "times",
            measured: unfounded.sum::<usize>() as f64,
            limit: 0.0,
        });
    }
    targets
}

impl Measured {
    fn row(&self) -> Result<Vec<Cell>> {
        let Self {
            scenario,
            armed,
            off,
        } = self;
        let mut row = vec![Cell::text(scenario.name), Cell::text(scenario.told())];
        row.push(Cell::count(armed.runs.len()));
        row.extend(armed.spread_cells());
        row.push(Cell::count(armed.unfounded()));
        let steps: [fn(&Run) -> Option<f64>; 2] =
            [|run| run.steps.decided_ms, |run| run.steps.master_ms];
        for step in steps {
            let median = Spread::of(armed.runs.iter().filter_map(step));
            row.push(median.map_or(Cell::text("-"), |it| Cell::Number(it.p50, 2)));
        }
        row.push(Cell::count(off.runs.len()));
        row.extend(off.spread_cells());
        row.push(match (armed.outage(), off.outage()) {
            (Ok(armed), Ok(off)) => Cell::Number(off.p50 / armed.p50, 0),
            _ => Cell::text("-"),
        });
        Ok(row)
    }

    fn faults(&self) -> Vec<String> {
        let told = |how: &str, outcome: &Outcome| {
            let fault = outcome.fault.as_ref()?;
            let done = outcome.runs.len();
            let name = self.scenario.name;
            Some(format!("{name}, {how}, after {done} runs: {fault:#}"))
        };
        // Else the figures are keepalived's, and no takeover counts as one without a loss.
        let untold = self.armed.untold();
        let name = self.scenario.name;
        let untold = (untold > 0).then(|| {
            format!(
                "{name}: of {untold} takeovers the fast path says nothing: they are keepalived's"
            )
        });
        let faults = [
            told(self.scenario.told(), &self.armed),
            untold,
            told("fast path off", &self.off),
        ];
        faults.into_iter().flatten().collect()
    }
}

impl Outcome {
    fn outage(&self) -> Result<Spread> {
        Spread::of(self.runs.iter().map(|run| run.outage_ms))
    }

    fn unfounded(&self) -> usize {
        self.runs.iter().map(|run| run.unfounded).sum()
    }

    /// Losses that were overcome without the fast path.
    fn untold(&self) -> usize {
        let by_keepalived = |run: &&Run| run.steps.decided_ms.is_none();
        self.runs.iter().filter(by_keepalived).count()
    }

    fn spread_cells(&self) -> [Cell; 2] {
        match self.outage() {
            Ok(spread) => [spread.p50, spread.max].map(|value| Cell::Number(value, 2)),
            Err(_) => [Cell::text("-"), Cell::text("-")],
        }
    }
}
