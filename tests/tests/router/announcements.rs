//! What a primary says of its addresses to the neighbours.

use crate::{LIMIT, Stage, alone, at_ns, events, ms, nothing_for, wait_becomes};
use lab::capture::{Capture, Recording};
use lab::router::{Declaration, INNER, OUTER};
use lab::segment::BRIDGE;
use serde_json::Value;
use std::time::Duration;

/// Until addresses are announced again.
const AGAIN_MS: f64 = 3000.0;

/// How long before the reload is told an added address may be there.
const EARLIER_MS: f64 = 200.0;

/// When an address was announced, in milliseconds after `from_ns`.
fn announced(recording: &Recording, address: &str, from_ns: u64) -> Vec<f64> {
    let filter = if address.contains(':') {
        // To everybody, and not in answer to anybody.
        format!(
            "icmpv6.type == 136 && icmpv6.nd.na.target_address == {address} && \
             icmpv6.nd.na.flag.s == 0 && icmpv6.nd.na.flag.o == 1"
        )
    } else {
        format!("arp.src.proto_ipv4 == {address} && arp.dst.proto_ipv4 == {address}")
    };
    let rows = recording.fields(&filter, &["frame.time_epoch"]).unwrap();
    rows.iter()
        .map(|row| ms(from_ns, recording.monotonic_ns(&row.concat()).unwrap()))
        .collect()
}

fn between(times: &[f64], from: f64, to: f64) -> usize {
    times.iter().filter(|at| (from..to).contains(at)).count()
}

#[test]
fn a18_addresses_are_announced_at_promotion_and_again_whatever_is_reloaded() {
    alone(&[], || {
        let stage = Stage::prepare(1, |host, _| Declaration {
            keys: "announce_again = \"3s\"\n".into(),
            ..Declaration::plain(host)
        });
        let daemon = &stage.daemons[0];
        let captures = [&stage.topology.inner, &stage.topology.outer]
            .map(|segment| Capture::start(segment.switch(), BRIDGE, "arp or icmp6").unwrap());
        stage.declarations[0].apply(daemon).unwrap();
        let promoted_ns = wait_becomes(daemon, 0, "primary");
        // In the middle between the rounds.
        nothing_for(Duration::from_millis(1500));
        let mut more = stage.declarations[0].clone();
        let before = daemon.events("r").unwrap().len();
        more.addresses.push((INNER, "10.0.0.2/32".into()));
        more.apply(daemon).unwrap();
        let reloaded = |event: &Value| event["event"] == "reloaded";
        let reloaded = daemon
            .wait_event("r", before, "the reload", LIMIT, reloaded)
            .unwrap();
        let added_ms = ms(promoted_ns, at_ns(&reloaded));
        nothing_for(Duration::from_millis(5500));
        assert_eq!(events(daemon, before, "state"), Vec::<Value>::new());
        let recordings = captures.map(|capture| capture.stop().unwrap());

        println!("A18: an address more {added_ms:.0} ms after the promotion");
        for (interface, address) in &more.addresses {
            let address = address.split('/').next().unwrap();
            let recording = &recordings[usize::from(*interface == OUTER)];
            let times = announced(recording, address, promoted_ns);
            println!("A18: {address}: {times:.0?}");
            let is_added = address == "10.0.0.2";
            let appeared = if is_added { added_ms } else { 0.0 };
            let least = if address.contains(':') { 1 } else { 5 };
            // A daemon that loads the kernel programs meanwhile notes the promotion late.
            let first = between(&times, appeared - 500.0, appeared + 1000.0);
            assert!(first >= least, "{address}: {first} at first");
            let again = appeared + AGAIN_MS;
            let second = between(&times, again - EARLIER_MS, again + 1000.0);
            assert!(second >= 1, "{address}: not again");
            if !is_added {
                // The later second round is that of the added address alone.
                let later = added_ms + AGAIN_MS;
                let later = between(&times, later - EARLIER_MS, later + 1000.0);
                assert_eq!(later, 0, "{address}: announced a third time");
            }
        }
    });
}
