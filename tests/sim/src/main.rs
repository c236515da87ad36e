//! `cargo xtask simulate`: runs seeds, and says what was broken.

use std::process::ExitCode;

use clap::Parser;
use sim::run::{Outcome, Sum, run};
use sim::setup::{Guard, Setup};

#[derive(Parser)]
#[command(
    name = "cargo xtask simulate",
    about = "Simulate hosts with the fast path in virtual time"
)]
struct Cli {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// How many steps each
    #[arg(long, default_value_t = 10_000)]
    steps: u64,
    /// The first seed, or the only one with --trace
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print what happens in that one seed
    #[arg(long)]
    trace: bool,
    /// Take a guard away, to see that it is missed
    #[arg(long, value_name = "GUARD")]
    without: Option<Guard>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.trace {
        let outcome = run(cli.seed, cli.steps, cli.without, true);
        println!("{:?}", Setup::of(cli.seed, true, cli.without));
        outcome.trace.iter().for_each(|line| println!("{line}"));
        return conclude(&outcome.broken);
    }
    let mut sum = Sum::default();
    let mut broken = Vec::new();
    for seed in cli.seed..cli.seed.saturating_add(cli.seeds) {
        let outcome = run(seed, cli.steps, cli.without, false);
        sum.add(&outcome);
        broken.extend(lines(&outcome));
    }
    let seconds = |ns: u64| ns as f64 / 1e9;
    println!("seeds                    {}", sum.seeds);
    println!("steps                    {}", sum.steps);
    println!(
        "virtual hours            {:.2}",
        seconds(sum.time_ns) / 3_600.0
    );
    println!("rules looked at          {} times", sum.figures.checked);
    println!("takeovers                {}", sum.figures.takeovers);
    println!("from a living primary    {}", sum.figures.wrong);
    println!(
        "nobody serves            {:.1} s (without: {:.1} s)",
        seconds(sum.figures.outage_ns),
        seconds(sum.stock.outage_ns)
    );
    println!(
        "the longest time         {:.3} s (without: {:.3} s)",
        seconds(sum.figures.worst_ns),
        seconds(sum.stock.worst_ns)
    );
    println!(
        "two serve                {:.1} s (without: {:.1} s)",
        seconds(sum.figures.doubled_ns),
        seconds(sum.stock.doubled_ns)
    );
    println!("seeds that broke a rule  {}", sum.broken.len());
    conclude(&broken)
}

fn lines(outcome: &Outcome) -> impl Iterator<Item = String> {
    outcome
        .broken
        .iter()
        .map(|line| format!("seed {}: {line}", outcome.seed))
}

fn conclude(broken: &[String]) -> ExitCode {
    for line in broken.iter().take(40) {
        println!("{line}");
    }
    if broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
