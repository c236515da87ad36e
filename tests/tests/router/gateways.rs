//! What follows when gateways do not answer.

use crate::{LIMIT, Stage, alone, at_ns, becomes, ms, nothing_for, wait_becomes};
use lab::clock::monotonic_ns;
use lab::daemon::Daemon;
use lab::link;
use lab::router::{Declaration, OUTER};
use serde_json::Value;
use std::time::Duration;

/// Asks each second; two losses in a row are a fault, two answers are none.
const KEYS: &str = "gateway_check = \"1s\"\n";
/// Two intervals, the time for an answer, and the skew of the other host.
const DETECTED_MS: f64 = 4500.0;

/// The states that a router came to from its `from`-th event on.
fn states(daemon: &Daemon, from: usize) -> Vec<Value> {
    let events = daemon.events("r").unwrap().into_iter().skip(from);
    events
        .filter(|event| event["event"] == "state")
        .map(|event| event["detail"].clone())
        .collect()
}

fn count(daemon: &Daemon) -> usize {
    daemon.events("r").unwrap().len()
}

#[test]
fn a21_a_lost_gateway_is_a_failover_and_one_lost_by_all_is_none() {
    alone(&[], || {
        let stage = Stage::start(2, |host, _| Declaration {
            keys: KEYS.into(),
            interval: Duration::from_secs(1),
            routes: vec![
                ("0.0.0.0/0", "198.51.100.1", OUTER),
                ("::/0", "fe80::1", OUTER),
            ],
            ..Declaration::neutron(host)
        });
        let [first, second] = &stage.daemons[..] else {
            unreachable!()
        };
        let gateway = &stage.topology.gateway;
        link::ip(gateway, "address add fe80::1/64 dev eth0\n").unwrap();
        // Both gateways answer, the link-local one too: nothing happens.
        let before = [count(first), count(second)];
        nothing_for(Duration::from_secs(4));
        assert_eq!(states(first, before[0]), Vec::<Value>::new());

        // The link-local gateway alone is lost to all: the primary tries the other host once.
        link::ip(gateway, "address del fe80::1/64 dev eth0\n").unwrap();
        let lost_ns = monotonic_ns().unwrap();
        let noticed_ns = first
            .wait_event("r", before[0], "the way out", LIMIT, |event| {
                event["event"] == "state" && !becomes(event, "primary")
            })
            .map(|event| at_ns(&event))
            .unwrap();
        println!(
            "A21: a link-local gateway's loss is noticed after {:.0} ms",
            ms(lost_ns, noticed_ns)
        );
        assert!(ms(lost_ns, noticed_ns) < DETECTED_MS);
        nothing_for(Duration::from_secs(8));
        let lost = [count(first), count(second)];
        nothing_for(Duration::from_secs(20));
        let since = [states(first, lost[0]), states(second, lost[1])];
        println!(
            "A21: lost by all: {:?} and {:?}, then in 20 s {since:?}",
            states(first, before[0]),
            states(second, before[1])
        );
        assert_eq!(since, [Vec::<Value>::new(), Vec::new()]);
        // It comes back, and one of them takes over.
        link::ip(gateway, "address add fe80::1/64 dev eth0\n").unwrap();
        lab::wait::until("a primary", LIMIT, || {
            let states = [first, second].map(|daemon| daemon.state_file("r").unwrap());
            match states.iter().filter(|state| *state == "primary").count() {
                1 => Ok(()),
                _ => Err(format!("{states:?}")),
            }
        })
        .unwrap();
    });
}

#[test]
fn a21_a_gateway_lost_by_the_primary_alone_makes_the_other_host_the_primary() {
    alone(&[], || {
        let stage = Stage::start(2, |host, _| Declaration {
            keys: KEYS.into(),
            interval: Duration::from_secs(1),
            ..Declaration::neutron(host)
        });
        let [first, second] = &stage.daemons[..] else {
            unreachable!()
        };
        let before = [count(first), count(second)];
        let lost_ns = monotonic_ns().unwrap();
        stage.topology.hosts[0].outer.block().unwrap();
        let primary_ns = wait_becomes(second, before[1], "primary");
        wait_becomes(first, before[0], "backup");
        println!(
            "A21: failover {:.0} ms after the loss",
            ms(lost_ns, primary_ns)
        );
        assert!(ms(lost_ns, primary_ns) < DETECTED_MS);
        // It comes back, and nobody preempts.
        stage.topology.hosts[0].outer.unblock().unwrap();
        let healed = [count(first), count(second)];
        nothing_for(Duration::from_secs(6));
        assert_eq!(states(second, healed[1]), Vec::<Value>::new());
        assert_eq!(first.state_file("r").unwrap(), "backup");
        // Healthy again, it takes over when it has to.
        stage.topology.hosts[1].outer.block().unwrap();
        wait_becomes(first, healed[0], "primary");
    });
}
