//! How late the kernel's timers are, and whether they wait for the right time to the nanosecond.

use crate::advert::Advert;
use crate::network::{Network, Sender};
use crate::report::{Cell, Findings, Table, Target, processors};
use crate::spread::{Spread, micros};
use crate::watch::{Seen, Watch, runtime};
use anyhow::{Context, Result, ensure};
use keepfast_common::event::{Event, EventKind};
use lab::clock;
use lab::load::Load;
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

const INTERVALS_CS: [u16; 2] = [100, 1];
const PRIORITIES: [u8; 3] = [1, 100, 254];
/// On so many VLANs (the first without a tag) all virtual router identifiers are used.
const VLANS: u16 = 4;
/// Between two routers, so that their timers do not stand in line.
const PAUSE: Duration = Duration::from_millis(1);
const LIMIT: Duration = Duration::from_secs(10);

/// VLAN and virtual router identifier.
type Router = (u16, u8);
/// When the last advert of each router was about to be sent.
type Sent = HashMap<Router, u64>;

pub(crate) fn measure() -> Result<Findings> {
    let network = Network::new(1)?;
    let mut rows = Vec::new();
    let mut worst: f64 = 0.0;
    let mut faults = Vec::new();
    for interval_cs in INTERVALS_CS {
        let idle = lateness(&network, interval_cs, &mut faults)?;
        let busy = {
            let _load = Load::start(processors()?);
            lateness(&network, interval_cs, &mut faults)?
        };
        for priority in PRIORITIES {
            let of =
                |late: &HashMap<u8, Vec<f64>>| late.get(&priority).cloned().unwrap_or_default();
            let (idle, busy) = (of(&idle), of(&busy));
            let mut row = vec![
                Cell::count(usize::from(interval_cs) * 10),
                Cell::count(priority.into()),
                Cell::count(idle.len()),
            ];
            let (idle, busy) = (Spread::of(idle)?, Spread::of(busy)?);
            for Spread { p50, p99, max } in [idle, busy] {
                row.extend([p50, p99, max].map(|value| Cell::Number(value, 1)));
            }
            rows.push(row);
            worst = worst.max(idle.p99);
        }
    }
    Ok(Findings {
        tables: vec![Table {
            title: "Timer lateness (advert late and master down), idle and busy",
            columns: &[
                "interval ms",
                "priority",
                "timers",
                "idle p50 us",
                "idle p99 us",
                "idle max us",
                "busy p50 us",
                "busy p99 us",
                "busy max us",
            ],
            rows,
        }],
        targets: vec![Target {
            what: "timer lateness, worst p99, idle",
            unit: "us",
            measured: worst,
            limit: 1_000.0,
        }],
        faults,
    })
}

/// Microseconds by priority.
fn lateness(
    network: &Network,
    interval_cs: u16,
    faults: &mut Vec<String>,
) -> Result<HashMap<u8, Vec<f64>>> {
    let adverts = adverts(interval_cs);
    let count = adverts.len();
    let sender = network.sender()?;
    let names = network.namespaces.iter().map(|namespace| namespace.name());
    let (seen, sent, counted) = runtime()?.block_on(async {
        let mut watch = Watch::start(names).await?;
        let sending = thread::spawn(move || send(&sender, &adverts));
        let seen = watch.read_until(count, LIMIT, is_final).await;
        let sent = sending.join().ok().context("the sender panicked")?;
        anyhow::Ok((seen?, sent?, watch.counted()?))
    })?;
    let (late, silent) = collect(&seen, &sent)?;
    if silent != 0 {
        let interval_ms = usize::from(interval_cs) * 10;
        faults.push(format!(
            "{silent} of {count} masters with adverts every {interval_ms} ms were never told to be \
             down; counted: {counted}"
        ));
    }
    Ok(late)
}

/// The last advert of every router.
fn adverts(interval_cs: u16) -> Vec<Advert> {
    let routers = (0..VLANS).flat_map(|vlan| (1..=u8::MAX).map(move |vrid| (vlan, vrid)));
    routers
        .zip(PRIORITIES.into_iter().cycle())
        .map(|((vlan, vrid), priority)| Advert {
            vlan,
            vrid,
            priority,
            interval_cs,
        })
        .collect()
}

/// Two adverts of each router, half an interval apart. The timer is armed by the first one and
/// has to find out that there was a second; that one is known by its priority.
fn send(sender: &Sender, adverts: &[Advert]) -> Result<Sent> {
    let mut plan = Vec::new();
    let mut at = Duration::ZERO;
    for last in adverts {
        at += PAUSE;
        let first = Advert {
            priority: last.priority + 1,
            ..*last
        };
        let half = Duration::from_millis(5) * last.interval_cs.into();
        plan.extend([(at, first), (at + half, *last)]);
    }
    plan.sort_by_key(|(at, _)| *at);
    let start = Instant::now();
    let mut sent = Sent::new();
    for (at, advert) in plan {
        thread::sleep(at.saturating_sub(start.elapsed()));
        sent.insert((advert.vlan, advert.vrid), clock::monotonic_ns()?);
        sender.send(0, &advert.frame())?;
    }
    Ok(sent)
}

/// Whether this is the end of a router whose last advert was heard.
fn is_final(event: &Event) -> bool {
    event.kind == EventKind::MasterDown as u8 && PRIORITIES.contains(&event.old.priority)
}

/// Checks each deadline, and that no router went down twice or before its last advert; returns
/// also how many never did.
fn collect(seen: &[Seen], sent: &Sent) -> Result<(HashMap<u8, Vec<f64>>, usize)> {
    let mut waiting = sent.clone();
    let mut late: HashMap<u8, Vec<f64>> = HashMap::new();
    for Seen { event, line, .. } in seen {
        let Some(wait_ns) = wait_ns(event) else {
            continue;
        };
        ensure!(
            event.due_ns == event.old.heard_ns + wait_ns && event.time_ns >= event.due_ns,
            "expected a deadline {wait_ns} ns after the last advert, and not before it: {line}"
        );
        if !PRIORITIES.contains(&event.old.priority) {
            continue;
        }
        if is_final(event) {
            let sent_ns = waiting.remove(&(event.vlan, event.vrid));
            ensure!(
                sent_ns.is_some_and(|sent_ns| event.old.heard_ns >= sent_ns),
                "expected the one end of a router after its last advert: {line}"
            );
        }
        let values = late.entry(event.old.priority).or_default();
        values.push(micros(event.time_ns - event.due_ns));
    }
    Ok((late, waiting.len()))
}

/// What RFC 9568 section 6.1 has for Active_Down_Interval, and 1.25 intervals for a late advert;
/// `None` for what no timer found.
fn wait_ns(event: &Event) -> Option<u64> {
    let interval_ns = u64::from(event.old.interval_cs) * 10_000_000;
    match EventKind::from_number(event.kind)? {
        EventKind::AdvertLate => Some(interval_ns * 5 / 4),
        EventKind::MasterDown => {
            let skew_ns = (256 - u64::from(event.old.priority)) * interval_ns / 256;
            Some(3 * interval_ns + skew_ns)
        }
        _ => None,
    }
}
