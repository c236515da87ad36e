//! Who becomes the primary when something ends: a host, a keepalived, a link.

use crate::{LIMIT, PRIMARY, Pair, alone, at_ns, becomes, ms, wait_gone};
use lab::capture::{Capture, Recording, VRRP};
use lab::listener::{Listener, NeutronAgent};
use lab::prober::Prober;
use lab::router::{Declaration, HA};
use lab::segment::BRIDGE;
use lab::wait;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Three intervals of 2 s and the skew of priority 50: how long a Neutron backup waits.
const DOWN_MS: f64 = 3.0 * 2000.0 + 1000.0 * 206.0 / 256.0;

/// When adverts of this priority passed, in nanoseconds of CLOCK_MONOTONIC.
fn adverts(recording: &Recording, priority: u8) -> Vec<u64> {
    let filter = format!("vrrp.prio == {priority}");
    let rows = recording.fields(&filter, &["frame.time_epoch"]).unwrap();
    rows.iter()
        .map(|row| recording.monotonic_ns(&row.concat()).unwrap())
        .collect()
}

fn capture(pair: &Pair) -> Capture {
    Capture::start(pair.topology.ha.switch(), BRIDGE, VRRP).unwrap()
}

fn agent_socket(daemon: &lab::daemon::Daemon) -> PathBuf {
    daemon.directory().join("keepalived-state-change")
}

#[test]
fn a01_crash_of_the_primary_is_followed_within_the_down_time() {
    alone(|| {
        let mut pair = Pair::start(|host, daemon| {
            Declaration::neutron(host).telling_neutron(&agent_socket(daemon))
        });
        let agent = NeutronAgent::start(&agent_socket(&pair.daemons[1])).unwrap();
        // The state that it has missed.
        agent.wait(1, LIMIT).unwrap();
        let mut capture = capture(&pair);
        // Of both hosts' daemons the first dies first: it would start keepalived again.
        capture.wait_more(1, LIMIT).unwrap();
        pair.daemons[0].kill().unwrap();
        pair.daemons[0].crash_keepalived("r").unwrap();
        let came_ns = pair.addresses[1].wait(PRIMARY, true, LIMIT).unwrap();
        let notices = agent.wait(2, LIMIT).unwrap();
        capture.wait_more(1, LIMIT).unwrap();
        let recording = capture.stop().unwrap();
        pair.daemons[1].wait_state("r", "primary", LIMIT).unwrap();

        let before = adverts(&recording, 50).into_iter();
        let last_ns = before.filter(|at| *at < came_ns - 1_000_000_000).max();
        let after_ms = ms(last_ns.unwrap(), came_ns);
        let told_ms = ms(came_ns, notices[1].received_ns);
        println!("A1: address {after_ms:.1} ms after the last advert, told {told_ms:.2} ms later");
        assert!(
            (DOWN_MS - 5.0..DOWN_MS + 500.0).contains(&after_ms),
            "{after_ms} ms"
        );
        let states: Vec<_> = notices.iter().map(|notice| notice.state.as_str()).collect();
        assert_eq!(states, ["backup", "primary"]);
        assert!(told_ms < 50.0, "{told_ms} ms");
    });
}

#[test]
fn a02_a_router_that_is_deleted_resigns_and_is_followed_within_a_second() {
    alone(|| {
        let pair = Pair::start(|host, _| Declaration::neutron(host));
        let capture = capture(&pair);
        pair.daemons[0].delete("r").unwrap();
        let came_ns = pair.addresses[1].wait(PRIMARY, true, LIMIT).unwrap();
        pair.daemons[1].wait_state("r", "primary", LIMIT).unwrap();
        wait_gone(&pair.daemons[0], "r");
        let recording = capture.stop().unwrap();
        let resigned = adverts(&recording, 0);
        assert!(!resigned.is_empty(), "{}", recording.summary().unwrap());
        let after_ms = ms(resigned[0], came_ns);
        println!("A2: address {after_ms:.1} ms after the advert of priority 0");
        // The skew alone.
        assert!(
            (DOWN_MS - 6005.0..1300.0).contains(&after_ms),
            "{after_ms} ms"
        );
    });
}

#[test]
fn a10_a_killed_keepalived_is_noticed_cleared_after_and_started_again() {
    alone(|| {
        let pair = Pair::start(|host, daemon| {
            Declaration::plain(host).telling(&daemon.directory().join("hook"))
        });
        let [first, second] = &pair.daemons[..] else {
            unreachable!()
        };
        let listener = Listener::start(&first.directory().join("hook")).unwrap();
        listener.wait(1, LIMIT).unwrap();
        let events = first.events("r").unwrap().len();
        let old = first.keepalived("r").unwrap();
        pair.addresses[0].forget();
        let killed_ns = lab::clock::monotonic_ns().unwrap();
        first.crash_keepalived("r").unwrap();

        let told = listener.wait(2, LIMIT).unwrap();
        assert_eq!(told[1].state, "backup");
        let gone_ns = pair.addresses[0].wait(PRIMARY, false, LIMIT).unwrap();
        for address in ["10.0.0.1/24", "2001:db8:1::1/64", "198.51.100.10/24"] {
            pair.addresses[0].wait(address, false, LIMIT).unwrap();
        }
        let ended = first
            .wait_event("r", events, "the end", LIMIT, |event| {
                event["event"] == "ended"
            })
            .unwrap();
        let [noticed, cleared, told] =
            [at_ns(&ended), gone_ns, told[1].received_ns].map(|moment| ms(killed_ns, moment));
        println!(
            "A10: after the kill noticed {noticed:.1} ms, cleared {cleared:.1} ms, told {told:.1} ms"
        );
        assert!(noticed.max(cleared).max(told) < 1000.0);
        let started = first
            .wait_event("r", events, "the next start", LIMIT, |event| {
                event["event"] == "started"
            })
            .unwrap();
        // A keepalived that starts clears too, but it may have to wait for its turn.
        assert!(gone_ns < at_ns(&started), "not cleared before the start");
        second.wait_state("r", "primary", LIMIT).unwrap();
        wait::until("another keepalived", LIMIT, || {
            match first.keepalived("r") {
                Ok(new) if new[0] != old[0] && new[1] != old[1] => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .unwrap();
        // What was left over must not come back: nobody preempts.
        first.wait_state("r", "backup", LIMIT).unwrap();
        let prober = Prober::start(&pair.topology.client, "198.51.100.1".parse().unwrap()).unwrap();
        prober.wait_answers(10, LIMIT).unwrap();
        prober.stop().unwrap();
    });
}
#[test]
fn a12_two_primaries_after_a_partition_are_told_and_one_gives_way() {
    alone(|| {
        let pair = Pair::start(|host, _| Declaration {
            interval: Duration::from_millis(200),
            // That of rank is known.
            priority: 100 + host.number,
            ..Declaration::plain(host)
        });
        let [first, second] = &pair.daemons[..] else {
            unreachable!()
        };
        pair.topology.hosts[0].ha.block().unwrap();
        second.wait_state("r", "primary", LIMIT).unwrap();
        assert_eq!(first.state_file("r").unwrap(), "primary");
        let events = first.events("r").unwrap().len();
        let healed_ns = lab::clock::monotonic_ns().unwrap();
        pair.topology.hosts[0].ha.unblock().unwrap();
        let demoted = first
            .wait_event("r", events, "the loser's way out", LIMIT, |event| {
                becomes(event, "backup")
            })
            .unwrap();
        first.wait_state("r", "backup", LIMIT).unwrap();
        let demoted_ms = ms(healed_ns, at_ns(&demoted));
        let told = first.events("r").unwrap().into_iter().skip(events);
        let suspected: Vec<_> = told
            .filter(|event| event["event"] == "dual_primary_suspected")
            .collect();
        println!("A12: the loser gave way {demoted_ms:.1} ms after the heal");
        assert!(demoted_ms < 1000.0, "{demoted_ms} ms");
        assert_eq!(suspected.len(), 1, "{suspected:?}");
        assert!(at_ns(&suspected[0]) <= at_ns(&demoted), "{suspected:?}");
        assert_eq!(second.state_file("r").unwrap(), "primary");
    });
}

/// A driver that is loaded anew, or a port that is plugged anew, makes another interface of the
/// same name.
#[test]
fn a_backup_whose_interface_was_made_anew_follows_still() {
    alone(|| {
        let pair = Pair::start(|host, _| Declaration::plain(host));
        let [first, second] = &pair.topology.hosts[..] else {
            unreachable!()
        };
        // One that loses its interface while it starts ends, and is started again.
        std::thread::sleep(Duration::from_secs(1));
        lab::link::ip(
            second.ha.switch(),
            &format!("link del {}\n", second.ha.interface()),
        )
        .unwrap();
        let told = |what: &str, is: &dyn Fn(&Value) -> bool| {
            let daemon = &pair.daemons[1];
            daemon.wait_event("r", 0, what, LIMIT, is).unwrap();
        };
        let _port = pair.topology.ha.attach(&second.namespace, HA, &[]).unwrap();
        told("the other interface", &|it| {
            it["event"] == "interface_made_anew"
        });
        told("a reload", &|it| it["event"] == "reloaded");
        first.cut().unwrap();
        pair.daemons[1].wait_state("r", "primary", LIMIT).unwrap();
    });
}
