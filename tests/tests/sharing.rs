//! Routers that share a session of probes.

use anyhow::{Context, Result, ensure};
use lab::clock::monotonic_ns;
use lab::many::{Many, Places};
use lab::require::{Need, require};
use lab::wait;
use serde_json::Value;
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(15);
const ROUTERS: u8 = 5;
const BY_HOST: &str = "\n[fast_path]\nmode = \"armed\"\nliveness = \"host\"\n";
/// More than can all be probed every millisecond.
const MORE: u8 = 30;
const BY_INTERFACE: &str = "\n[fast_path]\nmode = \"armed\"\n";

fn ready() -> bool {
    require(&[Need::Root, Need::Tool("keepalived")])
}

/// Waits until one session speaks for all routers but those in `without`; the number of that one's
/// router.
fn leader(many: &Many, without: &[usize]) -> Result<usize> {
    wait::until("one session that speaks for all", LIMIT, || {
        let mut alone = Vec::new();
        for (number, id) in many.ids.iter().enumerate() {
            let shown = many.fast_path(id).map_err(|error| format!("{error:#}"))?;
            if !without.contains(&number) && shown["led"] != true {
                alone.push(number);
            }
        }
        match alone[..] {
            [one] => Ok(one),
            _ => Err(format!("{alone:?}")),
        }
    })
}

/// Probes in a second of each router's session.
fn rates(many: &Many) -> Result<Vec<f64>> {
    let sent = || -> Result<Vec<(Instant, f64)>> {
        let ids = many.ids.iter();
        ids.map(|id| {
            let shown = many.fast_path(id)?;
            let sent = shown["probes_sent"].as_f64();
            Ok((Instant::now(), sent.with_context(|| shown.to_string())?))
        })
        .collect()
    };
    let before = sent()?;
    thread::sleep(Duration::from_secs(3));
    let rates = before.into_iter().zip(sent()?);
    let rates = rates.map(|((begin, before), (end, after))| {
        (after - before) / end.duration_since(begin).as_secs_f64()
    });
    Ok(rates.collect())
}

fn ensure_one_at_full_pace(rates: &[f64], leader: usize) -> Result<()> {
    println!("probes/s: {rates:.1?}, of which number {leader} leads");
    for (number, rate) in rates.iter().enumerate() {
        let expected = if number == leader {
            500.0..1100.0
        } else {
            0.0..5.0
        };
        ensure!(expected.contains(rate), "router {number}: {rate} probes/s");
    }
    Ok(())
}

/// When a router became primary after `since_ns` by a takeover, which is told a little later.
fn taken_ms(many: &Many, id: &str, since_ns: u64) -> Result<f64> {
    let what = format!("a takeover of {id}");
    let at = wait::until(&what, LIMIT, || {
        let events = many.backup.events(id);
        let events = events.map_err(|error| format!("{error:#}"))?;
        let at = |event: &Value| event["monotonic_ns"].as_u64().filter(|at| *at >= since_ns);
        let found = events
            .iter()
            .find(|event| event["event"] == "took_over" && at(event).is_some());
        found.and_then(at).ok_or_else(|| {
            let lines: Vec<String> = events.iter().map(Value::to_string).collect();
            lines.join("\n")
        })
    })?;
    Ok((at - since_ns) as f64 / 1e6)
}

/// Fails unless all but those in `without` have been backup for a while, and are.
fn ensure_calm(many: &Many, without: &[usize]) -> Result<()> {
    thread::sleep(Duration::from_secs(1));
    for (number, id) in many.ids.iter().enumerate() {
        let state = many.backup.state_file(id)?;
        ensure!(
            without.contains(&number) || state == "backup",
            "{id} is {state}, and {without:?} were cut off"
        );
    }
    Ok(())
}

/// Cuts the link of one router alone, which is to be taken over before keepalived does it.
fn cut_off(many: &Many, number: usize) -> Result<f64> {
    let id = many.ids.get(number).context("find a router")?;
    let since_ns = monotonic_ns()?;
    many.cut_one(number)?;
    many.backup.wait_state(id, "primary", LIMIT)?;
    taken_ms(many, id, since_ns)
}

#[test]
fn one_session_speaks_for_all_routers_of_a_host() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let many = Many::start(ROUTERS, Places::Own, [BY_HOST; 2])?;
    many.wait_sessions()?;
    let first = leader(&many, &[])?;
    ensure_one_at_full_pace(&rates(&many)?, first)?;
    let since_ns = monotonic_ns()?;
    many.cut()?;
    many.wait_states(&many.backup, "primary")?;
    let taken = many.ids.iter().map(|id| taken_ms(&many, id, since_ns));
    let taken: Vec<f64> = taken.collect::<Result<_>>()?;
    println!("taken over after ms: {taken:.1?}");
    let last = taken.into_iter().fold(0.0, f64::max);
    ensure!(last < 500.0, "the last one after {last} ms");
    Ok(())
}

#[test]
fn of_more_sessions_than_can_be_probed_one_is_the_first_to_know() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let many = Many::start(MORE, Places::Own, [BY_INTERFACE; 2])?;
    many.wait_sessions()?;
    let first = leader(&many, &[])?;
    let rates = rates(&many)?;
    println!("probes/s: {rates:.0?}, of which number {first} leads");
    for (number, rate) in rates.iter().enumerate() {
        let most = rates[first] / 1.2;
        ensure!(number == first || *rate < most, "router {number}: {rate}");
        ensure!(*rate > rates[first] / 3.0, "router {number}: {rate}");
    }

    let led = (first + 1) % usize::from(MORE);
    let one_ms = cut_off(&many, led)?;
    ensure_calm(&many, &[led])?;
    let first_ms = cut_off(&many, first)?;
    ensure_calm(&many, &[led, first])?;
    let second = leader(&many, &[led, first])?;
    println!(
        "cut off alone: router {led} taken after {one_ms:.1} ms, the leader after {first_ms:.1} \
         ms; then {second} led"
    );

    let since_ns = monotonic_ns()?;
    many.cut_rest(&[led, first])?;
    many.wait_states(&many.backup, "primary")?;
    for (number, id) in many.ids.iter().enumerate() {
        if number != led && number != first {
            let after_ms = taken_ms(&many, id, since_ns)?;
            ensure!(after_ms < 1_000.0, "{id} after {after_ms} ms");
        }
    }
    Ok(())
}

#[test]
fn one_that_is_cut_off_does_not_speak_for_a_host_that_lives() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let many = Many::start(ROUTERS, Places::Own, [BY_HOST; 2])?;
    many.wait_sessions()?;
    let first = leader(&many, &[])?;
    many.cut_one(first)?;
    let cut_off = many.ids.get(first).context("find the leader")?;
    many.backup.wait_state(cut_off, "primary", LIMIT)?;
    // It has no session any more.
    let second = leader(&many, &[first])?;
    thread::sleep(Duration::from_secs(3));
    for (number, id) in many.ids.iter().enumerate() {
        let state = many.backup.state_file(id)?;
        ensure!(
            number == first || state == "backup",
            "{id} is {state}, led by {first} at first"
        );
        let shown = many.fast_path(id)?;
        ensure!(number == first || shown["session"] == "up", "{id}: {shown}");
    }
    println!("{first} led, then {second}");
    Ok(())
}
