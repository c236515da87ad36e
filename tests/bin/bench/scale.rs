//! A thousand interfaces in as many namespaces: how long attaching takes, how much memory, and
//! whether a thousand masters that fall silent at once are all told.
//!
//! Measured from outside, on a process: this program itself, started anew to do what the agent
//! does with the agent's own code, and the agent where KEEPFAST_BIN names it.

use crate::advert::Advert;
use crate::network::Network;
use crate::report::{Cell, Findings, Table, Target};
use crate::spread::micros;
use crate::subject::Subject;
use crate::watch::{Watch, runtime};
use anyhow::{Context, Result, ensure};
use lab::wait;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::env;
use std::io::{self, Write};
use std::process::Command;
use std::time::{Duration, Instant};

/// The argument that makes this program watch.
pub(crate) const WATCH: &str = "watch-as-the-agent-does";
const COUNTS: [usize; 3] = [1, 100, 1_000];
const ATTACHING: Duration = Duration::from_secs(120);
const SILENCE: Duration = Duration::from_secs(20);
/// Of these, one each: the master appears, is late, is down.
const KINDS: [&str; 3] = ["master_appeared", "advert_late", "master_down"];

/// What was measured on one process.
struct Outcome {
    name: &'static str,
    interfaces: usize,
    attached: Duration,
    resident: u64,
    kernel: u64,
    losses: Losses,
}

/// How masters were lost; times in milliseconds.
#[derive(Default)]
struct Losses {
    /// How often each of [`KINDS`] was told as it should.
    told: [usize; 3],
    /// From the first deadline until the last line was read.
    all: f64,
    /// The longest from a deadline until its line was read.
    slowest: f64,
}

pub(crate) fn measure() -> Result<Findings> {
    let network = Network::new(COUNTS.into_iter().max().unwrap_or(0))?;
    let mut outcomes = Vec::new();
    for count in COUNTS {
        let mut command = Command::new(env::current_exe().context("find this program")?);
        command.arg(WATCH);
        command.args(
            network
                .namespaces
                .iter()
                .take(count)
                .map(|namespace| namespace.name()),
        );
        outcomes.push(observe("Kernel::attach", &mut command, &network, count)?);
    }
    match env::var_os("KEEPFAST_BIN") {
        None => println!("KEEPFAST_BIN is not set: the agent itself is not measured"),
        Some(agent) => {
            let mut command = Command::new(agent);
            command.args(["watch", "--json"]);
            for namespace in &network.namespaces {
                command.args(["--netns", namespace.name()]);
            }
            let count = network.namespaces.len();
            outcomes.push(observe("keepfast watch", &mut command, &network, count)?);
        }
    }
    Ok(findings(&outcomes))
}

fn findings(outcomes: &[Outcome]) -> Findings {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let row = |outcome: &Outcome| {
        vec![
            Cell::text(outcome.name),
            Cell::count(outcome.interfaces),
            Cell::Number(outcome.attached.as_secs_f64(), 2),
            Cell::Number(megabytes(outcome.resident), 1),
            Cell::Number(megabytes(outcome.kernel), 1),
            Cell::count(outcome.losses.told[2]),
            Cell::Number(outcome.losses.slowest, 1),
            Cell::Number(outcome.losses.all, 1),
        ]
    };
    let worst = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).fold(0.0, f64::max);
    Findings {
        tables: vec![Table {
            title: "Scale: one interface in each namespace, all masters lost at once, all told",
            columns: &[
                "process",
                "interfaces",
                "attached s",
                "resident MB",
                "maps and programs MB",
                "losses told",
                "slowest ms",
                "first to last ms",
            ],
            rows: outcomes.iter().map(row).collect(),
        }],
        targets: vec![
            Target {
                what: "1,000 interfaces attached in",
                unit: "s",
                measured: worst(|outcome| outcome.attached.as_secs_f64()),
                limit: 30.0,
            },
            Target {
                what: "memory for 1,000 interfaces",
                unit: "MB",
                measured: worst(|outcome| (outcome.resident + outcome.kernel) as f64 / 1e6),
                limit: 100.0,
            },
        ],
        faults: outcomes.iter().filter_map(Outcome::fault).collect(),
    }
}

impl Outcome {
    /// What was not told.
    fn fault(&self) -> Option<String> {
        let Self {
            name,
            interfaces,
            losses: Losses { told, .. },
            ..
        } = self;
        let missing = told.iter().any(|times| times != interfaces);
        missing.then(|| format!("{name}: of {interfaces} masters, told {KINDS:?} {told:?}"))
    }
}

fn observe(
    name: &'static str,
    command: &mut Command,
    network: &Network,
    interfaces: usize,
) -> Result<Outcome> {
    let start = Instant::now();
    let mut subject = Subject::start(command)?;
    wait::until("all programs to be attached", ATTACHING, || {
        match subject.links() {
            // One for each direction.
            Ok(links) if links < 2 * interfaces => Err(format!("{links} links")),
            Ok(_) => Ok(Ok(())),
            Err(error) => Ok(Err(error)),
        }
    })??;
    let attached = start.elapsed();
    let losses = lose_masters(&mut subject, network, interfaces)
        .with_context(|| format!("{name} with {interfaces} interfaces"))?;
    // Now there is all that ever will be: an element in the maps for each router.
    Ok(Outcome {
        name,
        interfaces,
        attached,
        resident: subject.resident()?,
        kernel: subject.kernel_memory()?,
        losses,
    })
}

/// Sends one advert to each namespace, and reads until each master was told to be down.
fn lose_masters(subject: &mut Subject, network: &Network, count: usize) -> Result<Losses> {
    let sender = network.sender()?;
    for number in 0..count {
        sender.send(number, &advert(number).frame())?;
    }
    let names = network.namespaces.iter().map(|namespace| namespace.name());
    let numbers: HashMap<&str, usize> = names.zip(0..count).collect();
    let mut told = HashSet::new();
    let mut first_due = u64::MAX;
    let mut losses = Losses::default();
    while told.len() < KINDS.len() * count {
        let Some((read_ns, line)) = subject.line(SILENCE)? else {
            break;
        };
        let event: Value =
            serde_json::from_str(&line).with_context(|| format!("read line {line}"))?;
        let number = event["netns"]
            .as_str()
            .and_then(|netns| numbers.get(netns).copied())
            .with_context(|| format!("an event of another namespace: {line}"))?;
        let kind = KINDS
            .iter()
            .position(|kind| event["kind"] == *kind)
            .with_context(|| format!("an event that nothing caused: {line}"))?;
        let Advert { vrid, priority, .. } = advert(number);
        let party = if kind == 0 { "new" } else { "old" };
        ensure!(
            event["vrid"] == vrid && event[party]["priority"] == priority,
            "expected vrid {vrid}, priority {priority}: {line}"
        );
        ensure!(told.insert((number, kind)), "told twice: {line}");
        losses.told[kind] += 1;
        if kind == 2 {
            let due = event["due_ns"].as_u64();
            let due = due.with_context(|| format!("a loss without deadline: {line}"))?;
            first_due = first_due.min(due);
            let since = |ns: u64| micros(read_ns.saturating_sub(ns)) / 1e3;
            losses.slowest = losses.slowest.max(since(due));
            losses.all = since(first_due);
        }
    }
    Ok(losses)
}

/// Each master has its own identifier; all have one priority, for that decides when they are down.
fn advert(number: usize) -> Advert {
    Advert {
        vlan: 0,
        vrid: (number % 255) as u8 + 1,
        priority: 100,
        interval_cs: 100,
    }
}

/// What this program does when it is started to be measured.
pub(crate) fn watch(namespaces: &[String]) -> Result<()> {
    runtime()?.block_on(async {
        let mut watch = Watch::start(namespaces.iter().map(String::as_str)).await?;
        let mut output = io::stdout();
        loop {
            let mut lines = String::new();
            watch
                .read(|seen| {
                    lines.push_str(&seen.line);
                    lines.push('\n');
                })
                .await?;
            output
                .write_all(lines.as_bytes())
                .and_then(|()| output.flush())
                .context("print")?;
        }
    })
}
