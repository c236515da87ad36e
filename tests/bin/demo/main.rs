//! The demonstration: a master loses its power, and keepfast on the backup says what the kernel
//! saw, and when.
//!
//! `cargo xtask demo` runs it as root. With `--keep` the network stands afterwards, to be played
//! with, until Ctrl-C. All times are of CLOCK_MONOTONIC.

use anyhow::{Context, Result, anyhow, bail, ensure};
use lab::capture::{Capture, VRRP};
use lab::clock::monotonic_ns;
use lab::keepalived::Keepalived;
use lab::leftovers::Snapshot;
use lab::prober::Prober;
use lab::segment::BRIDGE;
use std::env;
use std::process::ExitCode;
use std::time::Duration;

mod interrupt;
mod network;
mod standing;
mod timeline;
mod watch;

use network::{FIRST, GATEWAY, Network, VIRTUAL};
use timeline::{Cut, Takeover};
use watch::Watch;

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
        "Two routers run keepalived for {VIRTUAL}. The master loses its power, and keepfast on the\n\
         backup says what the kernel saw. It only listens: how long it takes is up to keepalived.\n"
    );
    let network = Network::new()?;
    println!("{network}");
    let mut watch = Watch::start(&network.second)?;
    let _routers = settle(&network, &mut watch)?;
    let (cut, takeover) = power_cut(&network, &mut watch)?;
    println!("\n{}", timeline::tell(&cut, &takeover)?);
    if keep {
        standing::stand(&network, &mut watch)?;
    }
    watch.stop()
}

/// Starts the routers and waits until the backup knows its master and its gateway.
fn settle(network: &Network, watch: &mut Watch) -> Result<[Keepalived; 2]> {
    let first = network.start_first()?;
    watch.wait("the first router as master", LIMIT, |event| {
        event.is("master_appeared") && event.text("/new/address") == FIRST
    })?;
    let second = network.start_second()?;
    network.ping_gateway()?;
    watch.wait("the gateway", LIMIT, |event| {
        event.is("gateway_seen") && event.text("/new/address") == GATEWAY
    })?;
    Ok([first, second])
}

/// Cuts the master's power while a client asks, and waits until the client is served again.
fn power_cut(network: &Network, watch: &mut Watch) -> Result<(Cut, Takeover)> {
    let announcements = Capture::start(network.switch(), BRIDGE, "arp")?;
    let mut adverts = Capture::start(network.switch(), BRIDGE, VRRP)?;
    let prober = Prober::start(&network.client, VIRTUAL.into())?;
    prober.wait_answers(SERVICE, LIMIT)?;
    // The backup has heard one, and the whole wait for the next ones is still to come.
    adverts.wait_more(2, LIMIT)?;
    println!("\nThe power of {FIRST} is cut, right after an advert.");
    let cut_ns = monotonic_ns()?;
    network.power.cut()?;
    let late = watch.wait("a late advert", LIMIT, |event| event.is("advert_late"))?;
    let down = watch.wait("the master down", LIMIT, |event| event.is("master_down"))?;
    let local = watch.wait("this host as master", LIMIT, |event| {
        event.is("local_master")
    })?;
    prober.wait_answers(SERVICE, LIMIT)?;
    let cut = Cut {
        cut_ns,
        probes: prober.stop()?,
        announcements: announcements.stop()?,
    };
    Ok((cut, Takeover { late, down, local }))
}
