//! What was seen: a line for each step, a table, JSON, and evidence where something was wrong.

use crate::cluster::{Cluster, id};
use crate::kind::KINDS;
use crate::plan::Planned;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What one step came to.
pub(crate) struct Outcome {
    pub(crate) step: usize,
    /// Since the run began.
    pub(crate) at: Duration,
    pub(crate) planned: Vec<Planned>,
    /// What was struck: node and router.
    pub(crate) targets: String,
    /// The longest of all clients.
    pub(crate) outage: Duration,
    pub(crate) settled: Duration,
    pub(crate) wrong: Option<String>,
}

impl Outcome {
    fn kinds(&self) -> String {
        let names: Vec<_> = self.planned.iter().map(|it| it.kind.name()).collect();
        names.join(" + ")
    }

    pub(crate) fn print(&self) {
        println!(
            "{:8.1} s  #{:<4} {:44} {:24} outage {:7.0} ms  settled {:5.1} s  {}",
            self.at.as_secs_f64(),
            self.step,
            self.kinds(),
            self.targets,
            ms(self.outage),
            self.settled.as_secs_f64(),
            self.wrong.as_deref().unwrap_or("right")
        );
    }

    fn json(&self) -> Value {
        json!({
            "step": self.step,
            "at_s": self.at.as_secs_f64(),
            "kinds": self.planned.iter().map(|it| it.kind.name()).collect::<Vec<_>>(),
            "targets": self.targets,
            "outage_ms": ms(self.outage),
            "settled_s": self.settled.as_secs_f64(),
            "wrong": self.wrong,
        })
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The table, in which a step of two faults counts for neither kind but for itself.
pub(crate) fn table(outcomes: &[Outcome]) {
    println!(
        "\n{:24} {:>6} {:>12} {:>12} {:>8}",
        "fault", "times", "median ms", "worst ms", "wrong"
    );
    let row = |name: &str, of: Vec<&Outcome>| {
        let mut outages: Vec<_> = of.iter().map(|it| it.outage).collect();
        outages.sort();
        let (median, worst) = (outages.get(outages.len() / 2), outages.last());
        let wrong = of.iter().filter(|it| it.wrong.is_some()).count();
        if let (Some(median), Some(worst)) = (median, worst) {
            println!(
                "{name:24} {:>6} {:>12.0} {:>12.0} {wrong:>8}",
                of.len(),
                ms(*median),
                ms(*worst)
            );
        }
    };
    for kind in KINDS {
        let alone = |it: &&Outcome| it.planned.len() == 1 && it.planned[0].kind == kind;
        row(kind.name(), outcomes.iter().filter(alone).collect());
    }
    let paired = outcomes.iter().filter(|it| it.planned.len() > 1);
    row("two that overlap", paired.collect());
}

/// Writes all of it as JSON.
pub(crate) fn write(folder: &Path, seed: u64, outcomes: &[Outcome]) -> Result<PathBuf> {
    let file = folder.join("chaos.json");
    let all: Vec<_> = outcomes.iter().map(Outcome::json).collect();
    let text = serde_json::to_string_pretty(&json!({ "seed": seed, "steps": all }))?;
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}

/// Keeps what the daemons know and said.
pub(crate) fn keep(folder: &Path, cluster: &Cluster, step: usize) -> Result<PathBuf> {
    let folder = folder.join(format!("step-{step}"));
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    for (number, node) in cluster.nodes.iter().enumerate() {
        let write = |name: &str, text: String| {
            let file = folder.join(format!("node{number}.{name}"));
            fs::write(&file, text).with_context(|| format!("write {}", file.display()))
        };
        // One that does not answer is part of the evidence.
        let status = node.daemon.status();
        write(
            "status.json",
            status.map_or_else(|error| format!("{error:#}"), |it| format!("{it:#}")),
        )?;
        write("log", node.daemon.messages())?;
        for vrid in cluster.vrids() {
            let events = node.daemon.events(&id(vrid)).unwrap_or_default();
            let lines: Vec<_> = events.iter().map(Value::to_string).collect();
            write(&format!("{}.events.jsonl", id(vrid)), lines.join("\n"))?;
        }
    }
    Ok(folder)
}
