//! Measures the kernel programs and the agent, and sets the numbers beside what was promised.
//!
//! `cargo xtask bench [cost] [latency] [timer] [scale] [states] [storm] [fleet]
//! [failover] [steady] [starve] [probing] [metrics] [neutron] [operate]`, as root; all of them without a name. The
//! last ten are of `keepfast run`.
//! Prints tables and writes them as JSON to `target/bench/keepfast.json`. A target that is missed
//! is told, not an error: it may be the machine's fault. A wrong, lost or missing event is one:
//! told as a fault, and the exit status is then 1.
//!
//! All traffic is inside namespaces made here, which go with what made them.

use anyhow::{Context, Result, bail};
use lab::interrupt;
use lab::require::{Need, require};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use report::Findings;
use std::env;
use std::process::ExitCode;

/// VRRP adverts.
mod advert;

/// Namespaces and links for them.
mod network;

/// An agent in this process.
mod watch;

/// Any agent, from outside.
mod subject;

/// What a process holds.
mod held;

/// Routers for `keepfast run`.
mod attached;

/// Who notices a change of state.
mod sight;

/// A virtual router on several hosts.
mod cluster;

/// Others that want what a router needs.
mod load;

/// Percentiles.
mod spread;

/// Tables and JSON.
mod report;

// The measurements.
mod cost;
mod failover;
mod fleet;
mod latency;
mod metrics;
mod neutron;
mod operate;
mod peers;
mod probing;
mod scale;
mod starve;
mod states;
mod steady;
mod storm;
mod timer;

/// A measurement's name and what does it.
type Measurement = (&'static str, fn() -> Result<Findings>);

const MEASUREMENTS: [Measurement; 14] = [
    ("cost", cost::measure),
    ("latency", latency::measure),
    ("timer", timer::measure),
    ("scale", scale::measure),
    ("states", states::measure),
    ("storm", storm::measure),
    ("fleet", fleet::measure),
    ("metrics", metrics::measure),
    ("failover", failover::measure),
    ("steady", steady::measure),
    ("starve", starve::measure),
    ("probing", probing::measure),
    ("neutron", neutron::measure),
    ("operate", operate::measure),
];

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    raise_file_limit()?;
    interrupt::catch()?;
    if let Some((first, namespaces)) = arguments.split_first()
        && first == scale::WATCH
    {
        scale::watch(namespaces)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some((first, words)) = arguments.split_first()
        && first == sight::STAMP
    {
        sight::stamp(words)?;
        return Ok(ExitCode::SUCCESS);
    }
    let peers = arguments
        .split_first()
        .filter(|(first, _)| peers::NAMES.contains(&first.as_str()));
    let chosen = match peers {
        Some(_) => Vec::new(),
        None => choose(&arguments)?,
    };
    if !require(&[Need::Root, Need::Tool("ip")]) {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some((_, options)) = peers {
        return peers::run(options);
    }
    println!("{:#}", report::machine()?);
    let mut all = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for (name, measure) in chosen {
        interrupt::check()?;
        let findings = measure().unwrap_or_else(Findings::from);
        findings.print();
        if !findings.faults.is_empty() {
            code = ExitCode::FAILURE;
        }
        all.push((name, findings));
    }
    let file = report::write(&all)?;
    println!("\nwritten to {}", file.display());
    Ok(code)
}

fn choose(names: &[String]) -> Result<Vec<Measurement>> {
    if names.is_empty() {
        return Ok(MEASUREMENTS.to_vec());
    }
    let known = MEASUREMENTS.map(|(name, _)| name);
    let find = |name: &String| MEASUREMENTS.into_iter().find(|(known, _)| known == name);
    names
        .iter()
        .map(|name| match find(name) {
            Some(measurement) => Ok(measurement),
            None => bail!("there is no {name}: expected {}", known.join(", ")),
        })
        .collect()
}

/// A thousand namespaces, and what is attached in them, are held open.
fn raise_file_limit() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("ask how many files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("allow more files")
}
