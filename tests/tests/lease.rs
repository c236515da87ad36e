//! Addresses that are added for a while, before keepalived adds them.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast::netns;
use keepfast::network::lease::{LeaseAddress, Leases};
use lab::addresses::Addresses;
use lab::keepalived::{Instance, Keepalived, State};
use lab::link;
use lab::netns::Namespace;
use lab::process;
use lab::require::{Need, require};
use lab::wait;
use serde_json::Value;
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);
const FOREVER: u64 = u32::MAX as u64;

/// A namespace with an interface, and what leases addresses there.
struct Site {
    namespace: Namespace,
    leases: Leases,
    index: u32,
}

impl Site {
    fn new() -> Self {
        let namespace = Namespace::new("lease").unwrap();
        link::ip(
            &namespace,
            "link add eth0 type veth peer name eth1\nlink set eth1 up\nlink set eth0 up\n\
             address add 10.99.0.1/24 dev eth0\n",
        )
        .unwrap();
        let entered = netns::Namespace::named(namespace.name()).unwrap();
        let leases = Leases::open(&entered).unwrap();
        let index = entered
            .enter(|| Ok(nix::net::if_::if_nametoindex("eth0")?))
            .unwrap();
        Self {
            namespace,
            leases,
            index,
        }
    }

    fn places(&self, addresses: &[&str]) -> Vec<LeaseAddress> {
        let place = |text: &&str| {
            let (address, link_scope) = match text.strip_suffix(" scope link") {
                Some(address) => (address, true),
                None => (*text, false),
            };
            LeaseAddress {
                index: self.index,
                address: address.parse().unwrap(),
                link_scope,
            }
        };
        addresses.iter().map(place).collect()
    }

    /// What `ip` tells of an address.
    fn shown(&self, address: &str) -> Option<Value> {
        let mut command = self.namespace.command("ip");
        let text = process::output(command.args(["-j", "address", "show", "dev", "eth0"])).unwrap();
        let links: Value = serde_json::from_str(&text).unwrap();
        let all = links[0]["addr_info"].as_array().unwrap();
        let (local, prefix) = address.split_once('/').unwrap();
        let prefix: u64 = prefix.parse().unwrap();
        let found = all
            .iter()
            .find(|it| it["local"] == local && it["prefixlen"] == prefix);
        found.cloned()
    }

    /// For how many seconds an address is still there.
    fn lifetime(&self, address: &str) -> Option<u64> {
        self.shown(address)?["valid_life_time"].as_u64()
    }
}

const FIVE: [&str; 5] = [
    "10.99.0.100/24",
    "10.99.0.101/32 scope link",
    "198.51.100.10/24",
    "2001:db8::10/64",
    "fe80::100/64 scope link",
];

#[test]
fn leased_addresses_are_kept_or_removed() {
    if !require(&[Need::Root]) {
        return;
    }
    let site = Site::new();
    link::ip(&site.namespace, "address add 198.51.100.10/24 dev eth0\n").unwrap();
    let five = site.places(&FIVE);
    let ours: Vec<LeaseAddress> = [0, 1, 3, 4].map(|it| five[it]).into();
    let start = Instant::now();
    let added = site
        .leases
        .add(&five, Duration::from_millis(59_001))
        .unwrap();
    println!("five addresses leased in {:?}", start.elapsed());
    assert_eq!(added, ours, "one was there");
    for address in [
        "10.99.0.100/24",
        "10.99.0.101/32",
        "2001:db8::10/64",
        "fe80::100/64",
    ] {
        let shown = site.shown(address).unwrap();
        for which in ["valid_life_time", "preferred_life_time"] {
            let seconds = shown[which].as_u64().unwrap();
            assert!((50..=60).contains(&seconds), "{shown}");
        }
        let link_scope = ["10.99.0.101/32", "fe80::100/64"].contains(&address);
        assert_eq!(shown["scope"], if link_scope { "link" } else { "global" });
        assert!(shown["tentative"].is_null(), "{shown}");
    }
    assert_eq!(site.lifetime("198.51.100.10/24"), Some(FOREVER));
    assert_eq!(site.leases.lapsing(&five).unwrap(), ours);

    // By another thread, in its own namespace.
    let site = thread::spawn(move || {
        let start = Instant::now();
        assert_eq!(site.leases.keep(&five).unwrap(), ours);
        println!("four addresses kept in {:?}", start.elapsed());
        assert_eq!(site.leases.lapsing(&five).unwrap(), []);
        assert_eq!(site.leases.keep(&five).unwrap(), []);
        for place in &five {
            let address = place.address.to_string();
            let shown = site.shown(&address).unwrap();
            for which in ["valid_life_time", "preferred_life_time"] {
                assert_eq!(shown[which], FOREVER, "{shown}");
            }
        }
        let mut command = site.namespace.command("ip");
        let routes = process::output(command.args(["-6", "route", "show"])).unwrap();
        assert!(routes.contains("2001:db8::/64"), "{routes}");
        assert!(!routes.contains("expires"), "{routes}");
        let start = Instant::now();
        assert_eq!(site.leases.remove(&five).unwrap(), five);
        println!("five addresses removed in {:?}", start.elapsed());
        assert_eq!(site.leases.remove(&five).unwrap(), []);
        // What is gone cannot be kept.
        assert_eq!(site.leases.keep(&five).unwrap(), []);
        site
    })
    .join()
    .unwrap();
    for address in FIVE {
        let address = address.trim_end_matches(" scope link");
        assert_eq!(site.shown(address), None);
    }
}

#[test]
fn leased_addresses_lapse() {
    if !require(&[Need::Root]) {
        return;
    }
    let site = Site::new();
    let listening = Addresses::listen(&site.namespace).unwrap();
    let places = site.places(&["10.99.0.100/24", "2001:db8::10/64", "10.99.0.101/24"]);
    let second = Duration::from_secs(1);
    assert_eq!(site.leases.add(&places, second).unwrap(), places);
    site.leases.keep(&places[2..]).unwrap();
    for place in &places[..2] {
        let address = place.address.to_string();
        let came_ns = listening.wait(&address, true, LIMIT).unwrap();
        let gone_ns = listening.wait(&address, false, LIMIT).unwrap();
        println!(
            "{address} lapsed after {} ms",
            (gone_ns - came_ns) / 1_000_000
        );
    }
    assert_eq!(site.lifetime("10.99.0.101/24"), Some(FOREVER));
    assert_eq!(site.leases.remove(&places).unwrap(), places[2..]);
}

#[test]
fn all_or_none_are_leased() {
    if !require(&[Need::Root]) {
        return;
    }
    let site = Site::new();
    let mut places = site.places(&["10.99.0.100/24", "10.99.0.102/24", "2001:db8::10/64"]);
    places[1].index = 9999;
    let error = site.leases.add(&places, LIMIT).unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains("10.99.0.102/24") && text.contains("9999"),
        "{text}"
    );
    for address in ["10.99.0.100/24", "2001:db8::10/64"] {
        assert_eq!(site.shown(address), None);
    }
    for lifetime in [Duration::ZERO, Duration::MAX] {
        assert!(site.leases.add(&places[..1], lifetime).is_err());
    }
}

#[test]
fn many_are_leased_at_once() {
    if !require(&[Need::Root]) {
        return;
    }
    let site = Site::new();
    let all: Vec<String> = (0..150).map(|it| format!("10.98.0.{it}/24")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let places = site.places(&all);
    assert_eq!(site.leases.add(&places, LIMIT).unwrap(), places);
    assert_eq!(site.leases.lapsing(&places).unwrap(), places);
}

#[test]
fn keepalived_takes_leased_addresses_for_its_own() {
    if !require(&[Need::Root, Need::Tool("keepalived")]) {
        return;
    }
    const ALL: [&str; 5] = [
        "10.99.0.100/24",
        "10.99.0.101/32",
        "2001:db8::10/64",
        "2001:db8::11/128",
        "fe80::100/64",
    ];
    let site = Site::new();
    let instance = Instance {
        interval: Duration::from_millis(500),
        addresses: vec![ALL[0].into()],
        extra: vec![format!(
            "virtual_ipaddress_excluded {{\n{} scope link\n{}\n{}\n{}\n}}",
            ALL[1], ALL[2], ALL[3], ALL[4],
        )],
        ..Instance::default()
    };
    let start = || {
        let mut keepalived = Keepalived::start(&site.namespace, instance.clone().into()).unwrap();
        keepalived.wait_state("VI_1", State::Backup, LIMIT).unwrap();
        keepalived
    };
    let present = || -> Vec<Option<Value>> { ALL.iter().map(|it| site.shown(it)).collect() };

    // As keepalived adds them by itself.
    let mut keepalived = start();
    keepalived.wait_state("VI_1", State::Master, LIMIT).unwrap();
    wait::until("addresses", LIMIT, || {
        let all = present();
        let whole = all.iter().all(Option::is_some);
        if whole {
            Ok(())
        } else {
            Err(format!("{all:?}"))
        }
    })
    .unwrap();
    let by_itself = present();
    keepalived.stop().unwrap();
    assert_eq!(present(), vec![None; 5]);

    let listening = Addresses::listen(&site.namespace).unwrap();
    let places = site.places(&[
        ALL[0],
        "10.99.0.101/32 scope link",
        ALL[2],
        ALL[3],
        "fe80::100/64 scope link",
    ]);
    let mut keepalived = start();
    let lifetime = Duration::from_secs(4);
    let leased = Instant::now();
    assert_eq!(site.leases.add(&places, lifetime).unwrap(), places);
    wait::until("addresses announced", LIMIT, || {
        let log = keepalived.log();
        let told = log.contains("Neighbour Advert on eth0 for fe80::100");
        if told { Ok(()) } else { Err(log) }
    })
    .unwrap();
    assert_eq!(keepalived.states("VI_1"), [State::Backup, State::Master]);
    // It took them as they were.
    assert_eq!(site.leases.keep(&places).unwrap(), places);
    assert_eq!(present(), by_itself);
    // They would have lapsed by then.
    thread::sleep((lifetime + Duration::from_secs(1)).saturating_sub(leased.elapsed()));
    let moments = listening.moments();
    assert!(moments.iter().all(|moment| moment.present), "{moments:?}");
    assert_eq!(present(), by_itself);
    assert_eq!(keepalived.states("VI_1"), [State::Backup, State::Master]);
    keepalived.stop().unwrap();
    assert_eq!(present(), vec![None; 5]);
}
