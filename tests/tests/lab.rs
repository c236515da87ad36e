//! The lab itself: what it says must be true before anything is tested with it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::capture::{Capture, VRRP};
use lab::clock::monotonic_ns;
use lab::frr::{Frr, Router};
use lab::keepalived::{Family, Instance, Keepalived, State};
use lab::leftovers::Snapshot;
use lab::netns::Namespace;
use lab::oracle::{self, Expected, Kind, Observer};
use lab::prober::Prober;
use lab::process;
use lab::require::Need;
use lab::router::{HA, Host, INNER, OUTER, Topology};
use lab::segment::{BRIDGE, Port, Segment};
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

/// Fast enough for a test, and slow enough for routers that wait for a busy processor.
const FAST: Duration = Duration::from_millis(300);
const LIMIT: Duration = Duration::from_secs(10);
const A: &str = "10.99.0.1";
const B: &str = "10.99.0.2";

/// [`lab::alone`] with what these tests need.
fn alone(needs: &[Need], test: impl FnOnce()) {
    let needs: Vec<Need> = std::iter::once(Need::Root)
        .chain(needs.iter().copied())
        .collect();
    lab::alone(&needs, test);
}

const CAPTURE: [Need; 3] = [
    Need::Tool("keepalived"),
    Need::Tool("tcpdump"),
    Need::Tool("tshark"),
];

/// Two routers and a client on one switch, with a capture of all adverts.
struct Network {
    a: Namespace,
    b: Namespace,
    client: Namespace,
    port_a: Port,
    capture: Capture,
    _segment: Segment,
}

impl Network {
    fn new() -> Self {
        let segment = Segment::new("switch").unwrap();
        let [a, b, client] = ["a", "b", "client"].map(|role| Namespace::new(role).unwrap());
        let attach = |namespace, address| segment.attach(namespace, "eth0", &[address]).unwrap();
        let port_a = attach(&a, "10.99.0.1/24");
        attach(&b, "10.99.0.2/24");
        attach(&client, "10.99.0.3/24");
        let capture = Capture::start(segment.switch(), BRIDGE, VRRP).unwrap();
        Self {
            a,
            b,
            client,
            port_a,
            capture,
            _segment: segment,
        }
    }

    /// What a bystander must have noticed, as kinds and who did it.
    fn transitions(self) -> Vec<(Kind, String)> {
        let until_ns = monotonic_ns().unwrap();
        let recording = self.capture.stop().unwrap();
        let adverts = oracle::adverts(&recording).unwrap();
        let observer = Observer {
            own: Vec::new(),
            until_ns,
        };
        let expected = Expected::derive(&adverts, &observer).unwrap();
        let mut history: Vec<_> = expected
            .of(false, 7)
            .iter()
            .map(|transition| (transition.kind, transition.router.to_string()))
            .collect();
        // On a busy machine an advert may truly be late; the next one then ends the matter.
        while let Some(late) = history
            .windows(2)
            .position(|pair| (pair[0].0, pair[1].0) == (Kind::AdvertLate, Kind::AdvertResumed))
        {
            history.drain(late..late + 2);
        }
        history
    }
}

fn history(steps: &[(Kind, &str)]) -> Vec<(Kind, String)> {
    steps
        .iter()
        .map(|(kind, router)| (*kind, (*router).to_owned()))
        .collect()
}

/// A master and a backup that has heard of it.
fn pair(network: &mut Network, interval: Duration) -> (Keepalived, Keepalived) {
    let master = Instance {
        interval,
        priority: 101,
        ..Instance::default()
    };
    let backup = Instance {
        interval,
        ..Instance::default()
    };
    let mut a = Keepalived::start(&network.a, master.into()).unwrap();
    a.wait_state("VI_1", State::Master, LIMIT).unwrap();
    let mut b = Keepalived::start(&network.b, backup.into()).unwrap();
    b.wait_state("VI_1", State::Backup, LIMIT).unwrap();
    network.capture.wait_more(2, LIMIT).unwrap();
    (a, b)
}

#[test]
fn a_power_cut_lasts_a_stock_down_time_for_the_client() {
    alone(&CAPTURE, || {
        let mut network = Network::new();
        let (_a, mut b) = pair(&mut network, Duration::from_secs(1));
        let address: IpAddr = "10.99.0.100".parse().unwrap();
        let prober = Prober::start(&network.client, address).unwrap();
        prober.wait_answers(100, LIMIT).unwrap();
        // Right after an advert, so that the whole down time is before us.
        network.capture.wait_more(1, LIMIT).unwrap();
        let cut_ns = monotonic_ns().unwrap();
        network.port_a.cut().unwrap();
        b.wait_state("VI_1", State::Master, LIMIT).unwrap();
        prober.wait_answers(100, LIMIT).unwrap();
        let probes = prober.stop().unwrap();
        let outage = probes.outage();
        let length = outage.length();
        assert!(
            length > Duration::from_secs(3) && length < Duration::from_secs(4),
            "{length:?}"
        );
        assert!(
            outage.start_ns.abs_diff(cut_ns) < 100_000_000,
            "{outage:?}, cut at {cut_ns}"
        );
        let lost = u32::try_from(probes.lost()).unwrap();
        assert!(
            lost * lab::prober::PERIOD > length / 2,
            "{lost} lost in {length:?}"
        );
        assert_eq!(
            network.transitions(),
            history(&[
                (Kind::MasterAppeared, A),
                (Kind::AdvertLate, A),
                (Kind::MasterDown, A),
                (Kind::MasterAppeared, B),
            ])
        );
    });
}

#[test]
fn a_stopped_router_resigns() {
    alone(&CAPTURE, || {
        let mut network = Network::new();
        let (mut a, mut b) = pair(&mut network, FAST);
        a.stop().unwrap();
        b.wait_state("VI_1", State::Master, LIMIT).unwrap();
        assert_eq!(
            network.transitions(),
            history(&[
                (Kind::MasterAppeared, A),
                (Kind::MasterResigned, A),
                (Kind::MasterAppeared, B),
            ])
        );
    });
}

#[test]
fn a_killed_router_does_not_resign() {
    alone(&CAPTURE, || {
        let mut network = Network::new();
        let (mut a, mut b) = pair(&mut network, FAST);
        a.kill().unwrap();
        b.wait_state("VI_1", State::Master, LIMIT).unwrap();
        let addresses = process::output(network.a.command("ip").args(["address", "show"])).unwrap();
        assert!(addresses.contains("10.99.0.100"), "{addresses}");
        assert_eq!(
            network.transitions(),
            history(&[
                (Kind::MasterAppeared, A),
                (Kind::AdvertLate, A),
                (Kind::MasterDown, A),
                (Kind::MasterAppeared, B),
            ])
        );
    });
}

#[test]
fn a_master_that_loses_priority_is_replaced() {
    alone(&CAPTURE, || {
        let mut network = Network::new();
        let (mut a, mut b) = pair(&mut network, FAST);
        a.set_priority("VI_1", 50).unwrap();
        b.wait_state("VI_1", State::Master, LIMIT).unwrap();
        a.wait_state("VI_1", State::Backup, LIMIT).unwrap();
        assert_eq!(
            network.transitions(),
            history(&[
                (Kind::MasterAppeared, A),
                (Kind::PriorityChanged, A),
                (Kind::MasterChanged, B),
            ])
        );
    });
}

#[test]
fn a_blocked_port_and_a_frozen_daemon_are_both_silence() {
    alone(&CAPTURE, || {
        let mut network = Network::new();
        let (mut a, mut b) = pair(&mut network, FAST);
        // Nobody hears the other: both are masters until the lower one hears again.
        network.port_a.block().unwrap();
        b.wait_state("VI_1", State::Master, LIMIT).unwrap();
        network.port_a.unblock().unwrap();
        b.wait_state("VI_1", State::Backup, LIMIT).unwrap();
        assert_eq!(a.states("VI_1").last(), Some(&State::Master));
        a.freeze().unwrap();
        b.wait_state("VI_1", State::Master, LIMIT).unwrap();
        a.thaw().unwrap();
        b.wait_state("VI_1", State::Backup, LIMIT).unwrap();
        a.wait_state("VI_1", State::Master, LIMIT).unwrap();
        assert_eq!(
            network.transitions(),
            history(&[
                (Kind::MasterAppeared, A),
                (Kind::AdvertLate, A),
                (Kind::MasterDown, A),
                (Kind::MasterAppeared, B),
                (Kind::MasterChanged, A),
                (Kind::AdvertLate, A),
                (Kind::MasterDown, A),
                (Kind::MasterAppeared, B),
                (Kind::MasterChanged, A),
            ])
        );
    });
}

#[test]
fn vrrpd_of_frr_elects_and_takes_over() {
    alone(
        &[
            Need::File("/usr/lib/frr/vrrpd"),
            Need::Tool("tcpdump"),
            Need::Tool("tshark"),
        ],
        || {
            let mut network = Network::new();
            let router = |priority| Router {
                interval: FAST,
                priority,
                ..Router::default()
            };
            let mut a = Frr::start(&network.a, &[router(110)]).unwrap();
            a.wait_master(Family::V4, 7, LIMIT).unwrap();
            network.capture.wait_more(2, LIMIT).unwrap();
            let mut b = Frr::start(&network.b, &[router(90)]).unwrap();
            b.wait_backup(Family::V4, 7, LIMIT).unwrap();
            network.capture.wait_more(2, LIMIT).unwrap();
            a.kill().unwrap();
            b.wait_master(Family::V4, 7, LIMIT).unwrap();
            network.capture.wait_more(2, LIMIT).unwrap();
            assert_eq!(
                network.transitions(),
                history(&[
                    (Kind::MasterAppeared, A),
                    (Kind::AdvertLate, A),
                    (Kind::MasterDown, A),
                    (Kind::MasterAppeared, B),
                ])
            );
        },
    );
}

#[test]
fn a_client_is_answered_in_both_families_until_the_power_is_cut() {
    alone(&[], || {
        let segment = Segment::new("switch").unwrap();
        let [far, client] = ["far", "client"].map(|role| Namespace::new(role).unwrap());
        let port = segment
            .attach(&far, "eth0", &["10.99.0.1/24", "fd99::1/64"])
            .unwrap();
        segment
            .attach(&client, "eth0", &["10.99.0.3/24", "fd99::3/64"])
            .unwrap();
        for address in ["10.99.0.1", "fd99::1"] {
            let prober = Prober::start(&client, address.parse().unwrap()).unwrap();
            prober.wait_answers(200, LIMIT).unwrap();
            port.cut().unwrap();
            let cut_ns = monotonic_ns().unwrap();
            prober.wait_answers(1, FAST).unwrap_err();
            let probes = prober.stop().unwrap();
            let outage = probes.outage();
            // It never came back, so it was out until the end.
            assert_eq!(outage.end_ns, probes.end_ns, "{address}");
            assert!(outage.length() >= FAST, "{address}: {outage:?}");
            let before = probes
                .probes
                .iter()
                .filter(|probe| probe.sent_ns < outage.start_ns);
            assert!(before.clone().count() >= 199, "{address}");
            assert!(
                before.clone().all(|probe| probe.answered_ns.is_some()),
                "{address}"
            );
            assert!(
                outage.start_ns < cut_ns + 1_000_000,
                "{address}: {outage:?}, cut at {cut_ns}"
            );
            port.restore().unwrap();
        }
    });
}

#[test]
fn a_host_without_power_has_no_carrier_anywhere_until_it_is_restored() {
    alone(&[Need::Tool("ip")], || {
        let topology = Topology::new(2).unwrap();
        let carriers = |host: &Host| {
            let found = host.namespace.run(|| {
                let links = process::output(Command::new("ip").args(["-o", "link"]))?;
                Ok([HA, INNER, OUTER].map(|name| {
                    let line = links.lines().find(|line| line.contains(name)).unwrap();
                    line.contains("LOWER_UP")
                }))
            });
            found.unwrap()
        };
        let [first, second] = &topology.hosts[..] else {
            unreachable!()
        };
        first.cut().unwrap();
        assert_eq!(carriers(first), [false; 3]);
        assert_eq!(carriers(second), [true; 3]);
        first.restore().unwrap();
        assert_eq!(carriers(first), [true; 3]);
    });
}

#[test]
fn what_is_left_behind_is_found() {
    alone(&[], || {
        let before = Snapshot::of_this_process().unwrap();
        let namespace = Namespace::new("left").unwrap();
        let error = before.check().unwrap_err().to_string();
        assert!(
            error.contains(&format!("left: namespace {}", namespace.name())),
            "{error}"
        );
    });
}

#[test]
fn a_namespace_is_seen_by_ip_and_gone_when_dropped() {
    alone(&[Need::Tool("ip")], || {
        let list = || process::output(Command::new("ip").args(["netns"])).unwrap();
        let namespace = Namespace::new("seen").unwrap();
        let name = namespace.name().to_owned();
        assert!(list().contains(&name));
        let links = process::output(namespace.command("ip").args(["-o", "link"])).unwrap();
        assert_eq!(links.lines().count(), 1, "{links}");
        assert!(links.contains("lo: <LOOPBACK,UP"), "{links}");
        drop(namespace);
        assert!(!list().contains(&name));
    });
}
