//! How long an event takes from the kernel's time stamp to the agent's finished line.

use crate::advert::Advert;
use crate::network::Network;
use crate::report::{Cell, Findings, Table, processors};
use crate::spread::{Spread, micros};
use crate::watch::{Watch, runtime};
use anyhow::{Context, Result, ensure};
use keepfast_common::event::EventKind;
use lab::load::Load;
use std::thread;
use std::time::Duration;

/// Each advert has another priority than the one before: each is a transition.
const TRANSITIONS: usize = 2_000;
/// Long enough for the agent to have gone to sleep again.
const PAUSE: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) fn measure() -> Result<Findings> {
    let network = Network::new(1)?;
    let idle = transitions(&network)?;
    let busy = {
        let _load = Load::start(processors()?);
        transitions(&network)?
    };
    let row = |state: &str, Spread { p50, p99, max }: Spread, decimals| {
        let mut row = vec![Cell::text(state)];
        row.extend([p50, p99, max].map(|value| Cell::Number(value, decimals)));
        row
    };
    let ratio = Spread {
        p50: busy.p50 / idle.p50,
        p99: busy.p99 / idle.p99,
        max: busy.max / idle.max,
    };
    Ok(Findings {
        tables: vec![Table {
            title: "Event latency, kernel's time stamp to finished line (2,000 transitions)",
            columns: &["processors", "p50 us", "p99 us", "max us"],
            rows: vec![
                row("idle", idle, 1),
                row("busy", busy, 1),
                row("busy / idle", ratio, 2),
            ],
        }],
        ..Findings::default()
    })
}

fn transitions(network: &Network) -> Result<Spread> {
    let sender = network.sender()?;
    let send = move || {
        for number in 0..=TRANSITIONS {
            thread::sleep(PAUSE);
            let advert = Advert {
                vlan: 0,
                vrid: 7,
                priority: 100 + (number % 2) as u8,
                interval_cs: 1_000,
            };
            sender.send(0, &advert.frame())?;
        }
        Ok(())
    };
    let names = network.namespaces.iter().map(|namespace| namespace.name());
    let seen = runtime()?.block_on(async {
        let mut watch = Watch::start(names).await?;
        let sending = thread::spawn(send);
        let is_change = |kind| kind == EventKind::PriorityChanged as u8;
        let seen = watch
            .read_until(TRANSITIONS, LIMIT, |event| is_change(event.kind))
            .await;
        let sent: Result<()> = sending.join().ok().context("the sender panicked")?;
        sent.and(seen)
    })?;
    // The first advert is an appearance.
    ensure!(
        seen.len() == TRANSITIONS + 1,
        "{} events of {} adverts",
        seen.len(),
        TRANSITIONS + 1
    );
    let latency = seen
        .iter()
        .skip(1)
        .map(|seen| micros(seen.ready_ns.saturating_sub(seen.event.time_ns)));
    Spread::of(latency)
}
