//! A living master that is asked, by an advert of priority 0 to its hardware address, answers with
//! an advert at once.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast::netns;
use keepfast::network::advert::Advert;
use lab::capture::{Capture, VRRP};
use lab::keepalived::{Authentication, Family, Instance, Keepalived, State, Unicast, Version};
use lab::netns::Namespace;
use lab::require::{Need, require};
use lab::segment::{BRIDGE, Segment};
use lab::wait;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
/// Long, so that an advert that comes soon is an answer.
const INTERVAL: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_millis(200);
const TIMES: usize = 5;

/// The hardware addresses of the segment's first and second port.
const MASTER: [u8; 6] = [0x02, 0x4b, 0x46, 0, 0, 1];
const ASKER: [u8; 6] = [0x02, 0x4b, 0x46, 0, 0, 2];

/// Asks keepalived with this instance by adverts from `source`.
fn check(instance: Instance, source: &str) {
    if !require(&[Need::Root, Need::Tool("keepalived"), Need::Tool("tshark")]) {
        return;
    }
    let segment = Segment::new("wire").unwrap();
    let [master, asker] = ["master", "asker"].map(|role| Namespace::new(role).unwrap());
    segment.attach(&master, "eth0", &["10.99.0.1/24"]).unwrap();
    segment.attach(&asker, "eth0", &["10.99.0.2/24"]).unwrap();
    let instance = Instance {
        interval: INTERVAL,
        ..instance
    };
    let password = match &instance.authentication {
        Authentication::Pass(password) => Some(password.clone()),
        _ => None,
    };
    let (address, _) = instance.addresses[0].split_once('/').unwrap();
    let to = Advert {
        mac: ASKER,
        destination: instance.unicast.is_some().then_some(MASTER),
        source: source.parse().unwrap(),
        peer: instance
            .unicast
            .as_ref()
            .map(|it| it.source.parse().unwrap()),
        vrid: instance.vrid,
        version: if instance.version == Version::V2 {
            2
        } else {
            3
        },
        priority: 0,
        interval_cs: 200,
        addresses: vec![address.parse::<IpAddr>().unwrap()],
        password: password.as_deref(),
    };
    let asker = netns::Namespace::named(asker.name()).unwrap();
    let index = asker
        .enter(|| Ok(nix::net::if_::if_nametoindex("eth0")?))
        .unwrap();
    let mut keepalived = Keepalived::start(&master, instance.into()).unwrap();
    keepalived.wait_state("VI_1", State::Backup, LIMIT).unwrap();
    wait::until("its socket", LIMIT, || {
        let log = keepalived.log();
        if log.contains("VRRP sockpool") {
            Ok(())
        } else {
            Err(log)
        }
    })
    .unwrap();
    // To the group: the backup need not wait for its master.
    to.send(&asker, index).unwrap();
    keepalived.wait_state("VI_1", State::Master, LIMIT).unwrap();

    let capture = Capture::start(segment.switch(), BRIDGE, VRRP).unwrap();
    let question = Advert {
        destination: Some(MASTER),
        ..to
    };
    for _ in 0..TIMES {
        question.send(&asker, index).unwrap();
        // One at a time, whatever becomes of it.
        thread::sleep(SOON);
    }
    let recording = capture.stop().unwrap();
    let fields = ["frame.time_epoch", "eth.src", "vrrp.prio"];
    let mut asked_ns = None;
    let mut took_ns = Vec::new();
    for row in recording.fields("vrrp", &fields).unwrap() {
        let at_ns = recording.monotonic_ns(&row[0]).unwrap();
        if row[1..] == ["02:4b:46:00:00:02", "0"] {
            asked_ns = Some(at_ns);
        } else {
            assert_eq!(row[1..], ["02:4b:46:00:00:01", "100"]);
            took_ns.extend(asked_ns.take().map(|it| at_ns - it));
        }
    }
    println!("answered after (ns): {took_ns:?}");
    assert_eq!(took_ns.len(), TIMES);
    assert!(
        took_ns
            .iter()
            .all(|took| Duration::from_nanos(*took) < SOON),
        "{took_ns:?}"
    );
    assert_eq!(keepalived.states("VI_1"), [State::Backup, State::Master]);
}

#[test]
fn version_3() {
    check(Instance::default(), "10.99.0.2");
}

#[test]
fn version_3_over_ipv6() {
    let instance = Instance {
        family: Family::V6,
        addresses: vec!["fe80::100/64".into()],
        ..Instance::default()
    };
    check(instance, "fe80::4b:46ff:fe00:2");
}

#[test]
fn version_3_among_peers() {
    let unicast = Some(Unicast {
        source: "10.99.0.1".into(),
        peers: vec!["10.99.0.2".into()],
    });
    let instance = Instance {
        unicast,
        ..Instance::default()
    };
    check(instance, "10.99.0.2");
}

#[test]
fn version_2_with_a_password() {
    let instance = Instance {
        version: Version::V2,
        authentication: Authentication::Pass("hush".into()),
        ..Instance::default()
    };
    check(instance, "10.99.0.2");
}
