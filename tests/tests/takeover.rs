//! The fast path against real keepalived: a dead primary is replaced in milliseconds.

use anyhow::{Context, Result};
use lab::daemon::Daemon;
use lab::prober::Prober;
use lab::require::{Need, require};
use lab::router::{Declaration, Topology};
use lab::wait;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(15);

fn armed(mut declaration: Declaration, more: &str) -> Declaration {
    declaration.interval = Duration::from_secs(1);
    declaration.tables = format!("\n[fast_path]\nmode = \"armed\"\n{more}\n");
    declaration
}

fn session_up(daemon: &Daemon) -> Result<()> {
    wait::until("a session that is up", LIMIT, || {
        let shown = daemon.show("r").map_err(|error| format!("{error:#}"))?;
        let fast_path = &shown["fast_path"];
        if fast_path["session"] == "up" {
            Ok(())
        } else {
            Err(fast_path.to_string())
        }
    })
}

#[test]
fn a_power_cut_is_over_in_milliseconds() -> Result<()> {
    if !require(&[Need::Root, Need::Tool("keepalived")]) {
        return Ok(());
    }
    let topology = Topology::new(2)?;
    let (first, second) = (Daemon::new("first")?, Daemon::new("second")?);
    for (host, daemon) in topology.hosts.iter().zip([&first, &second]) {
        armed(Declaration::plain(host), "").apply(daemon)?;
        if host.number == 1 {
            daemon.wait_state("r", "primary", LIMIT)?;
        }
    }
    session_up(&second)?;
    let prober = Prober::start(&topology.client, "10.0.0.1".parse()?)?;
    prober.wait_answers(200, LIMIT)?;
    let host = topology.hosts.first().context("a first host")?;
    for port in [&host.ha, &host.inner, &host.outer] {
        port.cut()?;
    }
    second.wait_state("r", "primary", LIMIT)?;
    prober.wait_answers(200, LIMIT)?;
    let outage = prober.stop()?.outage().length();
    for event in second.events("r")? {
        println!(
            "{} {} {}",
            event["monotonic_ns"], event["event"], event["detail"]
        );
    }
    println!("outage {outage:?}");
    assert!(outage < Duration::from_millis(500), "{outage:?}");
    Ok(())
}

#[test]
fn scratch_swap() -> Result<()> {
    let topology = Topology::new(2)?;
    let (first, second) = (Daemon::new("first")?, Daemon::new("second")?);
    let more = std::env::var("KF_MORE").unwrap_or_default();
    for (host, daemon) in topology.hosts.iter().zip([&first, &second]) {
        armed(Declaration::plain(host), &more).apply(daemon)?;
        if host.number == 1 {
            daemon.wait_state("r", "primary", LIMIT)?;
        }
    }
    let daemons = [&first, &second];
    for round in 0..6 {
        let (p, b) = (round % 2, 1 - round % 2);
        session_up(daemons[b])?;
        let prober = Prober::start(&topology.client, "10.0.0.1".parse()?)?;
        let served = prober.wait_answers(200, LIMIT);
        println!("round {round}: served {served:?}");
        topology.hosts[p].cut()?;
        daemons[b].wait_state("r", "primary", LIMIT)?;
        std::thread::sleep(Duration::from_millis(500));
        topology.hosts[p].restore()?;
        daemons[p].wait_state("r", "backup", LIMIT)?;
        std::thread::sleep(Duration::from_millis(500));
        println!("round {round}: outage {:?}", prober.stop()?.outage().length());
        if served.is_err() { break; }
    }
    for (n, daemon) in daemons.iter().enumerate() {
        for event in daemon.events("r")? {
            println!("{n} {} {} {}", event["monotonic_ns"], event["event"], event["detail"]);
        }
        println!("{}", daemon.show("r")?["fast_path"]);
    }
    Ok(())
}
