//! What is told a moment before, or long before, keepalived does anything.

use crate::{Flipped, LIMIT, Pair, alone, at_ns, becomes, ms};
use lab::capture::{Capture, Recording, VRRP};
use lab::clock;
use lab::daemon::Daemon;
use lab::router::Declaration;
use lab::segment::BRIDGE;
use serde_json::Value;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How often the log is looked at, for the time at which an event is in it to be known.
const LOOK: Duration = Duration::from_micros(100);

/// The first event from the `from`-th one on that is `wanted`, and when it was seen in the log.
fn raised(daemon: &Daemon, from: usize, wanted: impl Fn(&Value) -> bool) -> (Value, u64) {
    let file = daemon.file("r", "events.jsonl");
    let end = Instant::now() + LIMIT;
    let mut length = 0;
    loop {
        let now = fs::metadata(&file).unwrap().len();
        let seen_ns = clock::monotonic_ns().unwrap();
        if now != length {
            length = now;
            let events = daemon.events("r").unwrap();
            if let Some(found) = events.into_iter().skip(from).find(|event| wanted(event)) {
                return (found, seen_ns);
            }
        }
        assert!(Instant::now() < end, "{:#?}", daemon.events("r"));
        thread::sleep(LOOK);
    }
}

fn count(daemon: &Daemon) -> usize {
    daemon.events("r").unwrap().len()
}

/// When the frames of a filter passed, in nanoseconds of CLOCK_MONOTONIC.
fn times(recording: &Recording, filter: &str) -> Vec<u64> {
    let rows = recording.fields(filter, &["frame.time_epoch"]).unwrap();
    rows.iter()
        .map(|row| recording.monotonic_ns(&row.concat()).unwrap())
        .collect()
}

/// The middle one and the last one but a hundredth, sorted.
fn median_and_p99(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: usize| values[(values.len() - 1) * share / 100];
    (at(50), at(99))
}

#[test]
fn a03_resignations_are_told_at_once() {
    const ROUNDS: usize = 20;
    alone(|| {
        let flipped = Flipped::start(|host, _| Declaration::plain(host));
        let Flipped {
            daemon,
            rival,
            topology,
            ..
        } = &flipped;
        let capture = Capture::start(topology.ha.switch(), BRIDGE, VRRP).unwrap();
        let (mut seen, mut raised_late) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            rival.take(Duration::from_secs(1)).unwrap();
            daemon.wait_state("r", "backup", LIMIT).unwrap();
            let from = count(daemon);
            rival.resign(Duration::from_millis(100)).unwrap();
            let (event, raised_ns) =
                raised(daemon, from, |event| event["event"] == "master_resigned");
            seen.push(at_ns(&event));
            raised_late.push(ms(at_ns(&event), raised_ns));
            daemon.wait_state("r", "primary", LIMIT).unwrap();
        }
        let recording = capture.stop().unwrap();
        let sent = times(&recording, "vrrp.prio == 0");
        assert_eq!(sent.len(), ROUNDS, "{}", recording.summary().unwrap());
        let seen_late = sent.iter().zip(&seen).map(|(sent, seen)| ms(*sent, *seen));
        let (seen, worst) = median_and_p99(seen_late.collect());
        println!("A3: resignation seen {seen:.3} ms after the packet, p99 {worst:.3} ms");
        // The capture is on another interface of the same segment.
        assert!(worst.abs() < 10.0, "{worst} ms");
        let (middle, worst) = median_and_p99(raised_late);
        println!("A3: in the log {middle:.2} ms after that, p99 {worst:.2} ms");
        assert!(middle < 10.0, "{middle} ms");
    });
}

#[test]
fn a03_silence_is_told_at_the_first_missed_advert_and_at_the_down_time() {
    alone(|| {
        let pair = Pair::start(|host, _| Declaration {
            interval: Duration::from_millis(400),
            // Of the lower priority the skew is longer: it still waits when the master is down.
            priority: if host.number == 1 { 200 } else { 10 },
            ..Declaration::plain(host)
        });
        let backup = &pair.daemons[1];
        let from = count(backup);
        let switch = pair.topology.ha.switch();
        let mut capture = Capture::start(switch, BRIDGE, VRRP).unwrap();
        capture.wait_more(1, LIMIT).unwrap();
        pair.topology.hosts[0].ha.block().unwrap();
        let (late, late_raised) = raised(backup, from, |event| event["event"] == "advert_late");
        let (down, down_raised) = raised(backup, from, |event| event["event"] == "master_down");
        backup.wait_state("r", "primary", LIMIT).unwrap();
        let recording = capture.stop().unwrap();
        let last = times(&recording, "vrrp.prio == 200").into_iter().max();
        let last = last.unwrap();
        let events = backup.events("r").unwrap();
        let primary = events.iter().find(|event| becomes(event, "rising"));
        let primary = at_ns(primary.unwrap());
        // One interval and a quarter; three intervals and the skew of priority 200.
        for (what, event, raised_ns, due) in [
            ("late", &late, late_raised, 500.0),
            ("down", &down, down_raised, 1200.0 + 400.0 * 56.0 / 256.0),
        ] {
            let after = ms(last, at_ns(event));
            let (timer, raised) = (after - due, ms(at_ns(event), raised_ns));
            println!("A3: {what}: timer {timer:.3} ms late, in the log {raised:.2} ms after that");
            assert!((-1.0..10.0).contains(&timer), "{what}: {timer} ms");
            assert!(raised < 100.0, "{what}: {raised} ms");
            assert!(at_ns(event) < primary, "{what} after the failover");
        }
    });
}

#[test]
fn a03_a_link_that_goes_down_is_told_at_once() {
    alone(|| {
        let flipped = Flipped::start(|host, _| Declaration::plain(host));
        let daemon = &flipped.daemon;
        let from = count(daemon);
        let cut_ns = clock::monotonic_ns().unwrap();
        flipped.topology.hosts[0].ha.cut().unwrap();
        // By netlink, or by the advert with which keepalived resigns into the dead link.
        let (event, raised_ns) = raised(daemon, from, |event| becomes(event, "falling"));
        println!(
            "A3: link down told {:.2} ms, in the log {:.2} ms after the cut",
            ms(cut_ns, at_ns(&event)),
            ms(cut_ns, raised_ns)
        );
        assert!(ms(cut_ns, raised_ns) < 100.0);
        daemon.wait_state("r", "backup", LIMIT).unwrap();
        let shown = daemon.show("r").unwrap();
        assert_eq!(shown["state"], "fault");
        assert_eq!(shown["note"], "interface ha-lab is down");
        flipped.topology.hosts[0].ha.restore().unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
    });
}
