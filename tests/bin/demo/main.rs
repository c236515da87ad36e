//! The demonstration: two hosts' agents look after a router, the primary loses its power twice,
//! without the fast path and with it, and the other host's agent says what happened, and when.
//!
//! `cargo xtask demo` runs it as root, and leaves a picture in `target/demo/failover.svg`. With `--keep` the network stands afterwards, to be played
//! with, until Ctrl-C. All times are of CLOCK_MONOTONIC.

use anyhow::{Context, Result, anyhow, bail, ensure};
use lab::capture::{Capture, VRRP};
use lab::clock::monotonic_ns;
use lab::folder;
use lab::interrupt;
use lab::leftovers::Snapshot;
use lab::prober::Prober;
use lab::segment::BRIDGE;
use std::env;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

mod agent;
mod network;
mod picture;
mod standing;
mod timeline;

use agent::Agent;
use network::{FAST_PATH, FIRST, Network, VIRTUAL};
use timeline::{Cut, Takeover};

/// Longer than anything takes that the demonstration waits for.
const LIMIT: Duration = Duration::from_secs(15);
/// So many answers are a service.
const SERVICE: u64 = 100;

fn main() -> ExitCode {
    match demonstrate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate() -> Result<()> {
    let keep = match &env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => false,
        [flag] if flag == "--keep" => true,
        other => bail!("expected --keep or nothing, got {}", other.join(" ")),
    };
    ensure!(
        env::var_os("KEEPFAST_BIN").is_some(),
        "KEEPFAST_BIN names no agent: start this as `cargo xtask demo`"
    );
    interrupt::catch()?;
    let before = Snapshot::of_this_process()?;
    // Ctrl-C in a terminal ends the children too, and then some wait fails because of that.
    let shown = show(keep).map_err(|error| match interrupt::came() {
        true => anyhow!("interrupted"),
        false => error,
    });
    match (shown, before.check().context("something is left")) {
        (shown, Ok(())) => {
            println!("\nRemoved: all namespaces, processes and files of this demonstration.");
            shown
        }
        (Ok(()), left) => left,
        (Err(error), Err(left)) => Err(left.context(error.to_string())),
    }
}

fn show(keep: bool) -> Result<()> {
    println!(
        "Two hosts, each with an agent (keepfast run) that looks after a router for {VIRTUAL}.\n\
         The primary's host loses its power twice: first it is up to keepalived alone how long\n\
         the takeover takes, then the fast path is armed.\n"
    );
    let network = Network::new()?;
    println!("{network}");
    let mut first = Agent::start("host1", &network.first_router())?;
    first.wait_state("primary", LIMIT)?;
    let mut second = Agent::start("host2", &network.second_router())?;
    second.wait_state("backup", LIMIT)?;
    let slow = takeover("fast path off", &network, &first, &second)?;
    println!("\n{}", timeline::keepalived_alone());
    println!("\nThe power is back; the first router takes over again. Both files get these lines:");
    network.power.restore()?;
    first.wait_state("primary", LIMIT)?;
    second.wait_state("backup", LIMIT)?;
    arm(&network, &first, &second)?;
    let fast = takeover("fast path armed", &network, &first, &second)?;
    let times = slow.outage_ms() / fast.outage_ms();
    println!("\nWith the fast path, the client's outage was {times:.0} times shorter.");
    let file = folder::of_target("demo")?.join("failover.svg");
    fs::write(&file, picture::draw(&[slow, fast]))
        .with_context(|| format!("write {}", file.display()))?;
    println!("Both as a picture: {}", file.display());
    if keep {
        standing::stand(&network, &mut first, &mut second)?;
    }
    first.daemon.stop()?;
    second.daemon.stop()
}

/// Has both hosts told of the fast path, and waits until the second watches the first.
fn arm(network: &Network, first: &Agent, second: &Agent) -> Result<()> {
    agent::indent(FAST_PATH.trim_start());
    first.declare(&format!("{}{FAST_PATH}", network.first_router()))?;
    second.declare(&format!("{}{FAST_PATH}", network.second_router()))?;
    second.wait_session(LIMIT)
}

/// Has the second router take over from the first, and says what happened.
fn takeover(
    name: &'static str,
    network: &Network,
    first: &Agent,
    second: &Agent,
) -> Result<Takeover> {
    println!("keepfast router list, on either host:");
    print!("{}{}", first.list()?, second.list()?);
    let cut = power_cut(network, second)?;
    let takeover = Takeover::new(name, &cut, &second.events_since(cut.cut_ns)?)?;
    println!("\n{takeover}");
    first.wait_state("backup", LIMIT)?;
    println!("\nkeepfast router list, on either host:");
    print!("{}{}", first.list()?, second.list()?);
    Ok(takeover)
}

/// Cuts the primary's power while a client asks, and waits until the client is served again.
fn power_cut(network: &Network, second: &Agent) -> Result<Cut> {
    let announcements = Capture::start(network.switch(), BRIDGE, "arp")?;
    let mut adverts = Capture::start(network.switch(), BRIDGE, VRRP)?;
    let prober = Prober::start(&network.client, VIRTUAL.into())?;
    prober.wait_answers(SERVICE, LIMIT)?;
    // The backup has heard one, and the whole wait for the next ones is still to come.
    adverts.wait_more(2, LIMIT)?;
    println!("\nThe power of {FIRST} is cut, right after an advert.");
    let cut_ns = monotonic_ns()?;
    network.power.cut()?;
    second.wait_state("primary", LIMIT)?;
    prober.wait_answers(SERVICE, LIMIT)?;
    Ok(Cut {
        cut_ns,
        probes: prober.stop()?,
        announcements: announcements.stop()?,
    })
}
