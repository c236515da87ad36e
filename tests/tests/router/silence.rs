//! What a backup sends into the networks of its router: nothing.

use crate::{LIMIT, Stage, alone, events, ms, nothing_for, wait_becomes, wait_started};
use lab::capture::{Capture, Recording};
use lab::clock::monotonic_ns;
use lab::daemon::Daemon;
use lab::netns::Namespace;
use lab::router::{Declaration, HA, Host, INNER, OUTER};
use lab::segment::BRIDGE;
use std::time::Duration;

/// The hardware address of the second host's interfaces, the third ones plugged in.
const SECOND: &str = "02:4b:46:00:00:03";

/// A frame: how many milliseconds after a moment it passed, what it is, and whether it is the
/// kernel's report that the host is no router any longer.
type Frame = (f64, String, bool);

/// The frames of a recording from `from_ns` on.
fn frames(recording: &Recording, from_ns: u64) -> Vec<Frame> {
    // A change to "include" without a source: the group is left.
    let fields = [
        "frame.time_epoch",
        "_ws.col.Info",
        "icmpv6.mldr.mar.record_type",
        "icmpv6.mldr.mar.multicast_address",
    ];
    let rows = recording.fields("frame", &fields).unwrap();
    rows.into_iter()
        .map(|row| {
            let at_ns = recording.monotonic_ns(&row[0]).unwrap();
            let leaves = row[2] == "3" && row[3].ends_with("::2");
            (ms(from_ns, at_ns), row[1].clone(), leaves)
        })
        .filter(|(at, ..)| *at >= 0.0)
        .collect()
}

/// As Neutron has it, with an advert every second, and with this own address.
fn declaration(host: &Host, address: u8) -> Declaration {
    Declaration {
        own_address: format!("169.254.192.{address}/18"),
        interval: Duration::from_secs(1),
        ..Declaration::neutron(host)
    }
}

/// How long after the primary address went keepalived may still be at the others, on a machine
/// that is busy.
const UNDER_WAY_MS: f64 = 250.0;

/// After a demotion the kernel itself says, for up to a second, that it leaves the groups of all
/// routers; nothing else passes.
#[test]
fn a19_a_backup_sends_nothing_into_its_networks() {
    alone(&[], || {
        let stage = Stage::start(1, |host, _| declaration(host, 9));
        let topology = &stage.topology;
        let captures = [&topology.inner, &topology.outer].map(|segment| {
            let from_second = format!("ether src {SECOND}");
            Capture::start(segment.switch(), BRIDGE, &from_second).unwrap()
        });
        let began_ns = monotonic_ns().unwrap();
        // The router is declared first and its interfaces come later, as Neutron has it.
        let namespace = Namespace::new("router2").unwrap();
        let mut daemon = Daemon::new("daemon2").unwrap();
        let plugged = |segment: &lab::segment::Segment, interface| {
            segment.attach(&namespace, interface, &[]).unwrap()
        };
        let mut declaration = Declaration {
            namespace: namespace.name().to_owned(),
            ..declaration(&topology.hosts[0], 2)
        };
        let toml = declaration.toml().unwrap();
        daemon
            .router(&["apply", "--wait", "--file", "-"], &toml)
            .unwrap();
        plugged(&topology.inner, INNER);
        plugged(&topology.outer, OUTER);
        plugged(&topology.ha, HA);
        wait_started(&daemon, "r", "keepalived");
        wait_becomes(&daemon, 0, "backup");
        nothing_for(Duration::from_secs(7));
        daemon.restart().unwrap();
        nothing_for(Duration::from_secs(7));
        let before = daemon.events("r").unwrap().len();
        declaration
            .addresses
            .push((INNER, "203.0.113.1/32".to_owned()));
        declaration
            .addresses
            .push((INNER, "2001:db8:1::7/64".to_owned()));
        declaration.apply(&daemon).unwrap();
        let reloaded = |event: &serde_json::Value| event["event"] == "reloaded";
        daemon
            .wait_event("r", before, "the reload", LIMIT, reloaded)
            .unwrap();
        nothing_for(Duration::from_secs(5));
        assert_eq!(
            events(&daemon, before, "state"),
            Vec::<serde_json::Value>::new()
        );
        let quiet_until_ns = monotonic_ns().unwrap();

        // Promoted, it speaks.
        let before = daemon.events("r").unwrap().len();
        topology.hosts[0].ha.block().unwrap();
        wait_becomes(&daemon, before, "primary");
        nothing_for(Duration::from_secs(1));
        // Two primaries: the one with the lower address gives way.
        topology.hosts[0].ha.unblock().unwrap();
        let demoted_ns = wait_becomes(&daemon, before, "backup");
        nothing_for(Duration::from_secs(5));
        assert_eq!(daemon.state_file("r").unwrap(), "backup");
        for (interface, capture) in [INNER, OUTER].into_iter().zip(captures) {
            let recording = capture.stop().unwrap();
            let after = frames(&recording, demoted_ns);
            let all = frames(&recording, began_ns);
            let until = ms(began_ns, quiet_until_ns);
            let early = all.len() - frames(&recording, quiet_until_ns).len();
            println!(
                "A19: {interface}: {early} frames in {until:.0} ms as a backup, {} since, \
                 {} after the demotion: {after:?}",
                all.len() - early,
                after.len()
            );
            assert_eq!(early, 0, "{all:#?}");
            assert!(all.len() > early, "a primary that says nothing");
            // What was being sent as the primary address went is no backup's word.
            let late = after
                .iter()
                .filter(|(after_ms, _, leaves)| !leaves && *after_ms > UNDER_WAY_MS);
            assert_eq!(late.count(), 0, "{after:#?}");
        }
    });
}
