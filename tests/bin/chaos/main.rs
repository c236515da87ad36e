//! Breaks a cluster of three hosts in all ways, one after the other, and looks from outside
//! whether everything is as it should be after each.
//!
//! `cargo xtask chaos --seconds N --seed S [--routers N]`, as root. The same seed gives the same
//! faults. Prints a line for each and a table, and writes them to `target/chaos/chaos.json`, with
//! evidence beside it where something was wrong; the exit status is then 1.

use anyhow::{Context, Result};
use clap::Parser;
use cluster::{Cluster, NODES};
use fault::Broken;
use lab::clock::monotonic_ns;
use lab::folder;
use lab::interrupt;
use lab::leftovers::Snapshot;
use plan::{Plan, Planned, Where};
use report::Outcome;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

mod cluster;
mod disk;
mod fault;
mod kind;
mod plan;
mod report;

/// What keepalived alone takes for a lost master at the lowest priority: three adverts and the
/// skew.
const STOCK: Duration = Duration::from_millis(3_000 + 610);
/// For a keepalived or an agent that starts again, on a busy machine.
const MARGIN: Duration = Duration::from_secs(2);

#[derive(Parser)]
#[command(about = "Break a cluster of keepaliveds and check it after each fault")]
struct Arguments {
    /// Begin no fault after so many seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The same seed gives the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many routers, 1 to 60
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=60))]
    routers: u8,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    disk::keep_mounts_apart()?;
    interrupt::catch()?;
    let before = Snapshot::of_this_process()?;
    let outcomes = break_all(arguments);
    before.check()?;
    let outcomes = outcomes?;
    report::table(&outcomes);
    let file = report::write(&folder::of_target("chaos")?, arguments.seed, &outcomes)?;
    let wrong = outcomes.iter().filter(|it| it.wrong.is_some()).count();
    println!(
        "\n{} steps with seed {}, {wrong} wrong; written to {}",
        outcomes.len(),
        arguments.seed,
        file.display()
    );
    Ok(ExitCode::from(u8::from(wrong > 0)))
}

fn break_all(arguments: &Arguments) -> Result<Vec<Outcome>> {
    let mut cluster = Cluster::start(arguments.routers)?;
    cluster.settle().context("at the start")?;
    cluster.count_descriptors()?;
    println!("{NODES} hosts, {} routers: in order", arguments.routers);
    let begin = Instant::now();
    let mut plan = Plan::new(arguments.seed, arguments.routers);
    let mut outcomes = Vec::new();
    while begin.elapsed() < Duration::from_secs(arguments.seconds) && !interrupt::came() {
        let mut outcome = Outcome {
            step: outcomes.len() + 1,
            at: begin.elapsed(),
            planned: apart(&cluster, plan.step())?,
            targets: String::new(),
            outage: Duration::ZERO,
            settled: Duration::ZERO,
            wrong: None,
        };
        let done = step(&mut cluster, &mut outcome);
        if interrupt::came() {
            break;
        }
        if let Err(error) = done {
            outcome.wrong = Some(format!("{error:#}"));
        }
        outcome.print();
        let wrong = outcome.wrong.is_some();
        let number = outcome.step;
        outcomes.push(outcome);
        if wrong {
            let kept = report::keep(&folder::of_target("chaos")?, &cluster, number)?;
            println!("kept in {}", kept.display());
            // What comes after it would be judged by what it left.
            cluster.settle().context("it stays wrong")?;
        }
    }
    Ok(outcomes)
}

/// Two faults that overlap are on different hosts: one that undoes the other is none.
fn apart(cluster: &Cluster, mut planned: Vec<Planned>) -> Result<Vec<Planned>> {
    if let [first, second] = &mut planned[..] {
        let node = match first.place {
            Where::Node(node) => node,
            Where::Primary => cluster.primary(first.vrid)?.unwrap_or(0),
        };
        first.place = Where::Node(node);
        second.place = Where::Node((node + 1) % NODES);
    }
    Ok(planned)
}

/// Breaks, mends, waits until all is in order, and measures.
fn step(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let clients = cluster.clients()?;
    thread::sleep(Duration::from_millis(100));
    let from_ns = monotonic_ns()?;
    let begin = Instant::now();
    let mut broken = Vec::new();
    for planned in &outcome.planned {
        let one = Broken::begin(cluster, *planned)?;
        let target = if one.kind.of_host() {
            format!("node {}", one.node)
        } else {
            format!("node {} router {}", one.node, one.vrid)
        };
        if !outcome.targets.is_empty() {
            outcome.targets.push_str(", ");
        }
        outcome.targets.push_str(&target);
        broken.push(one);
    }
    let lasts = outcome.planned.iter().map(|it| it.kind.lasts()).max();
    thread::sleep(lasts.unwrap_or_default());
    for one in broken {
        one.end(cluster)?;
    }
    let ended = begin.elapsed();
    let settled = cluster.settle();
    outcome.settled = begin.elapsed().saturating_sub(ended);
    let outages = cluster::outages(clients, from_ns)?;
    outcome.outage = outages.into_iter().max().unwrap_or_default();
    settled?;
    let bound = ended + STOCK + MARGIN;
    if outcome.outage > bound {
        outcome.wrong = Some(format!(
            "a client was without an answer for longer than {bound:?}"
        ));
    }
    Ok(())
}
