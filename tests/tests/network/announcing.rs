//! Addresses are announced, and neighbours are asked.

use keepfast::network::announce::Announcement;
use keepfast::network::announce::announce;
use keepfast::network::monitor::Link;
use keepfast::network::probe::probe;
use lab::capture::Capture;
use lab::link;
use lab::netns::Namespace;
use lab::process;
use lab::require::{Need, require};
use lab::segment::BRIDGE;
use lab::segment::Port;
use lab::segment::Segment;
use lab::wait;
use std::net::IpAddr;
use std::time::Duration;
use std::time::Instant;

use super::following::Followed;
use super::{LIMIT, entered, run};

/// Two hosts on a segment: one to act in and one to be told.
pub(super) struct Pair {
    pub(super) segment: Segment,
    pub(super) here: Namespace,
    pub(super) there: Namespace,
    pub(super) port_there: Port,
}

pub(super) const MAC: &str = "02:4b:46:00:00:01";

impl Pair {
    pub(super) fn new() -> Self {
        let segment = Segment::new("switch").unwrap();
        let here = Namespace::new("here").unwrap();
        let there = Namespace::new("there").unwrap();
        let addresses = ["192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"];
        segment.attach(&here, "eth0", &addresses).unwrap();
        let addresses = ["192.0.2.2/24", "2001:db8::2/64", "fe80::2/64"];
        let port_there = segment.attach(&there, "eth0", &addresses).unwrap();
        Self {
            segment,
            here,
            there,
            port_there,
        }
    }

    pub(super) fn link(&self) -> Link {
        run(async {
            let followed = Followed::new(&self.here);
            let index = followed.index("eth0").unwrap();
            followed.view.links[&index].clone()
        })
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn announcements_are_well_formed_and_believed() {
    if !require(&[Need::Root, Need::Tool("tcpdump"), Need::Tool("tshark")]) {
        return;
    }
    let pair = Pair::new();
    let addresses = ["192.0.2.1", "2001:db8::1", "fe80::1"];
    // The neighbour believes something else.
    let wrong: String = addresses
        .iter()
        .map(|address| {
            format!("neigh add {address} lladdr 02:00:00:00:00:99 dev eth0 nud reachable\n")
        })
        .collect();
    link::ip(&pair.there, &wrong).unwrap();
    let capture = Capture::start(pair.segment.switch(), BRIDGE, "arp or icmp6").unwrap();
    let link = pair.link();
    let announcements = addresses.map(|address| Announcement {
        index: link.index,
        mac: link.mac.unwrap(),
        address: ip(address),
        router: address == "fe80::1",
    });
    assert_eq!(announce(&entered(&pair.here), &announcements).unwrap(), 3);
    wait::until("the neighbour's cache", LIMIT, || {
        let known = process::output(
            pair.there
                .command("ip")
                .args(["neigh", "show", "dev", "eth0"]),
        )
        .unwrap();
        let right = |address: &&str| known.contains(&format!("{address} lladdr {MAC}"));
        let all = addresses.iter().all(right);
        // It learns from the flag, too, who is a router.
        let routers = known
            .lines()
            .filter(|line| line.contains(" router "))
            .count();
        (all && routers == 1).then_some(()).ok_or(known)
    })
    .unwrap();
    let recording = capture.stop().unwrap();
    let arp = recording
        .fields(
            "arp",
            &[
                "eth.dst",
                "arp.opcode",
                "arp.src.proto_ipv4",
                "arp.dst.proto_ipv4",
                "arp.src.hw_mac",
            ],
        )
        .unwrap();
    assert_eq!(
        arp,
        [["ff:ff:ff:ff:ff:ff", "1", "192.0.2.1", "192.0.2.1", MAC]]
    );
    let fields = [
        "eth.dst",
        "ipv6.src",
        "ipv6.dst",
        "ipv6.hlim",
        "icmpv6.checksum.status",
        "icmpv6.nd.na.target_address",
        "icmpv6.nd.na.flag.r",
        "icmpv6.nd.na.flag.s",
        "icmpv6.nd.na.flag.o",
        "icmpv6.opt.linkaddr",
    ];
    let told: Vec<Vec<String>> = recording
        .fields("icmpv6.type == 136", &fields)
        .unwrap()
        .into_iter()
        // Versions of tshark differ in how they write a flag.
        .map(|row| {
            row.iter()
                .map(|it| it.replace("True", "1").replace("False", "0"))
                .collect()
        })
        .collect();
    let expected = |address, router| {
        let all = ["33:33:00:00:00:01", address, "ff02::1", "255", "1", address];
        [&all[..], &[router, "0", "1", MAC]].concat()
    };
    assert_eq!(
        told,
        [expected("2001:db8::1", "0"), expected("fe80::1", "1")]
    );
}

#[test]
fn many_announcements_take_a_moment_and_a_lost_interface_nothing() {
    if !require(&[Need::Root]) {
        return;
    }
    let pair = Pair::new();
    let link = pair.link();
    let announcement = |number: u16, index| Announcement {
        index,
        mac: link.mac.unwrap(),
        address: std::net::Ipv4Addr::from_bits(0x0a00_0000 + u32::from(number)).into(),
        router: false,
    };
    let many: Vec<_> = (0..500)
        .map(|number| announcement(number, link.index))
        .collect();
    let entered = entered(&pair.here);
    let begin = Instant::now();
    assert_eq!(announce(&entered, &many).unwrap(), 500);
    let took = begin.elapsed();
    println!("500 announced in {took:?}");
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(announce(&entered, &[announcement(1, 999)]).unwrap(), 1);
    link::ip(&pair.here, "link set eth0 down\n").unwrap();
    assert_eq!(announce(&entered, &many).unwrap(), 500);
}

#[test]
fn a_living_neighbour_answers_and_a_dead_one_does_not() {
    if !require(&[Need::Root]) {
        return;
    }
    let pair = Pair::new();
    let link = pair.link();
    let limit = Duration::from_millis(900);
    let ask = |address: &str, sender: Option<&str>| {
        let begin = Instant::now();
        let alive = pair
            .here
            .run(|| probe(&link, ip(address), sender.map(ip), limit))
            .unwrap();
        (alive, begin.elapsed())
    };
    let questions = [
        ("192.0.2.2", Some("192.0.2.1")),
        ("192.0.2.2", None),
        ("2001:db8::2", Some("2001:db8::1")),
        ("2001:db8::2", None),
        ("fe80::2", Some("fe80::1")),
        ("fe80::2", None),
    ];
    for (address, sender) in questions {
        let (alive, took) = ask(address, sender);
        assert!(alive, "{address} {sender:?}");
        assert!(took < limit, "{address} {sender:?}: {took:?}");
    }
    pair.port_there.block().unwrap();
    for (address, sender) in &questions[..4] {
        let (alive, took) = ask(address, *sender);
        assert!(!alive, "{address} {sender:?}");
        assert!(took >= limit && took < limit * 3 / 2, "{took:?}");
    }
    link::ip(&pair.here, "link set eth0 down\n").unwrap();
    assert!(!ask("192.0.2.2", None).0, "no link");
    let wrong = pair
        .here
        .run(|| probe(&link, ip("192.0.2.2"), Some(ip("fe80::1")), limit));
    assert!(wrong.is_err());
}

#[test]
fn who_asks_as_nobody_is_remembered_by_nobody() {
    if !require(&[Need::Root, Need::Tool("tcpdump"), Need::Tool("tshark")]) {
        return;
    }
    let pair = Pair::new();
    let link = pair.link();
    let capture = Capture::start(pair.segment.switch(), BRIDGE, "arp or icmp6").unwrap();
    link::ip(&pair.here, "address flush dev eth0\n").unwrap();
    for address in ["192.0.2.2", "fe80::2"] {
        assert!(
            pair.here
                .run(|| probe(&link, ip(address), None, LIMIT))
                .unwrap()
        );
    }
    let known = process::output(pair.there.command("ip").args(["neigh", "show"])).unwrap();
    assert!(
        !known.contains(MAC) && !known.contains("192.0.2.1"),
        "{known}"
    );
    let recording = capture.stop().unwrap();
    let asked = format!("eth.src == {MAC} && (arp || icmpv6.type == 135)");
    assert_eq!(
        recording.fields(&asked, &["frame.number"]).unwrap().len(),
        0
    );
}
