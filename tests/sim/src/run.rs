//! Runs of seeds, and what they come to.

use crate::SECOND;
use crate::checks::Figures;
use crate::faults::Fault;
use crate::setup::{Guard, Setup};
use crate::world::{Occurs, World};

/// What one seed came to.
#[derive(Debug)]
pub struct Outcome {
    /// Which.
    pub seed: u64,
    /// Things that happened.
    pub steps: u64,
    /// Virtual time, nanoseconds.
    pub time_ns: u64,
    /// With the fast path.
    pub figures: Figures,
    /// The same faults for as long without.
    pub stock: Figures,
    /// Rules that were broken, with the time since the beginning in seconds.
    pub broken: Vec<String>,
    /// A line for each thing worth one.
    pub trace: Vec<String>,
}

/// Runs a seed for so many steps.
#[must_use]
pub fn run(seed: u64, steps: u64, without: Option<Guard>, trace: bool) -> Outcome {
    let mut world = begin(seed, true, without, trace);
    let mut done = 0;
    while done < steps && world.step() {
        done += 1;
    }
    let end = world.now;
    let mut stock = begin(seed, false, None, false);
    while stock.next_at().is_some_and(|at| at <= end) && stock.step() {}
    let mut broken = world.checks.broken;
    broken.extend(
        stock
            .checks
            .broken
            .iter()
            .map(|line| format!("without agents: {line}")),
    );
    Outcome {
        seed,
        steps: done,
        time_ns: end - 100 * SECOND,
        figures: world.checks.figures,
        stock: stock.checks.figures,
        broken,
        trace: world.trace.unwrap_or_default(),
    }
}

fn begin(seed: u64, agents: bool, without: Option<Guard>, trace: bool) -> World {
    let mut world = World::new(seed, Setup::of(seed, agents, without), trace);
    let first = world.now + 6 * SECOND;
    world.at(first, Occurs::Fault(Fault::Next));
    world
}

/// What many seeds came to.
#[derive(Debug, Default)]
pub struct Sum {
    /// Seeds.
    pub seeds: u64,
    /// Things that happened.
    pub steps: u64,
    /// Virtual time, nanoseconds.
    pub time_ns: u64,
    /// With the fast path.
    pub figures: Figures,
    /// Without.
    pub stock: Figures,
    /// Seeds of which a rule was broken.
    pub broken: Vec<u64>,
}

impl Sum {
    /// One more.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.time_ns += outcome.time_ns;
        sum(&mut self.figures, &outcome.figures);
        sum(&mut self.stock, &outcome.stock);
        if !outcome.broken.is_empty() {
            self.broken.push(outcome.seed);
        }
    }
}

fn sum(all: &mut Figures, one: &Figures) {
    all.takeovers += one.takeovers;
    all.wrong += one.wrong;
    all.outage_ns += one.outage_ns;
    all.worst_ns = all.worst_ns.max(one.worst_ns);
    all.doubled_ns += one.doubled_ns;
    all.checked += one.checked;
}
