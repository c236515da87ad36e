//! Pairs of routers, and a play of all that may befall them.

use crate::{FAST, LIMIT};
use lab::capture::Capture;
use lab::frr::{Frr, Router};
use lab::keepalived::{Family, Instance, Keepalived, State, Unicast, Version, Vmac};
use lab::link;
use lab::netns::Namespace;
use lab::segment::Port;
use std::fmt;
use std::thread;
use std::time::Duration;

/// A pair of routers of one kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flavour {
    V2,
    V3,
    Ipv6,
    Unicast,
    Vmac,
    Frr,
}

impl Flavour {
    pub(crate) const ALL: [Self; 6] = [
        Self::V2,
        Self::V3,
        Self::Ipv6,
        Self::Unicast,
        Self::Vmac,
        Self::Frr,
    ];

    /// How often the play is played.
    const fn rounds(self) -> usize {
        // With whole seconds it takes eight times as long.
        if matches!(self, Self::V2) { 1 } else { 3 }
    }

    fn instance(self, host: u8, priority: u8) -> Instance {
        let plain = Instance {
            interval: FAST,
            priority,
            ..Instance::default()
        };
        match self {
            Self::V2 => Instance {
                version: Version::V2,
                interval: Duration::from_secs(1),
                ..plain
            },
            Self::Ipv6 => Instance {
                family: Family::V6,
                addresses: vec!["fe80::100/64".into(), "fd99::100/64".into()],
                ..plain
            },
            Self::Unicast => Instance {
                unicast: Some(Unicast {
                    source: format!("10.99.0.{host}"),
                    peers: vec![format!("10.99.0.{}", 3 - host)],
                }),
                ..plain
            },
            Self::Vmac => Instance {
                vmac: Vmac::Yes,
                ..plain
            },
            Self::V3 | Self::Frr => plain,
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "keepalived, version 2",
            Self::V3 => "keepalived, version 3",
            Self::Ipv6 => "keepalived, IPv6",
            Self::Unicast => "keepalived, unicast",
            Self::Vmac => "keepalived, virtual MAC address",
            Self::Frr => "FRR",
        })
    }
}

/// One router of either make.
enum Daemon {
    Keepalived(Keepalived),
    Frr(Frr),
}

impl Daemon {
    fn start(flavour: Flavour, host: u8, priority: u8, namespace: &Namespace) -> Self {
        if flavour != Flavour::Frr {
            let instance = flavour.instance(host, priority);
            return Self::Keepalived(Keepalived::start(namespace, instance.into()).unwrap());
        }
        let router = Router {
            interval: FAST,
            priority,
            ..Router::default()
        };
        // That of the daemon before; it is not there at the first start.
        let _was_there = link::ip(namespace, "link delete vrrp4-7\n").is_ok();
        Self::Frr(Frr::start(namespace, &[router]).unwrap())
    }

    fn wait(&mut self, state: State) {
        match self {
            Self::Keepalived(daemon) => daemon.wait_state("VI_1", state, LIMIT).unwrap(),
            Self::Frr(daemon) if state == State::Master => {
                daemon.wait_master(Family::V4, 7, LIMIT).unwrap();
            }
            Self::Frr(daemon) => daemon.wait_backup(Family::V4, 7, LIMIT).unwrap(),
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Keepalived(daemon) => daemon.stop().unwrap(),
            Self::Frr(daemon) => daemon.stop().unwrap(),
        }
    }

    fn kill(&mut self) {
        match self {
            Self::Keepalived(daemon) => daemon.kill().unwrap(),
            Self::Frr(daemon) => daemon.kill().unwrap(),
        }
    }
}

/// The pair: a is preferred, b is the one that is watched.
pub(crate) struct Routers<'a> {
    flavour: Flavour,
    namespaces: [&'a Namespace; 2],
    a: Daemon,
    b: Daemon,
}

impl<'a> Routers<'a> {
    const PRIORITIES: [u8; 2] = [150, 100];

    /// Starts both; a is master.
    pub(crate) fn start(flavour: Flavour, a: &'a Namespace, b: &'a Namespace) -> Self {
        let mut first = Daemon::start(flavour, 1, Self::PRIORITIES[0], a);
        first.wait(State::Master);
        let mut second = Daemon::start(flavour, 2, Self::PRIORITIES[1], b);
        second.wait(State::Backup);
        Self {
            flavour,
            namespaces: [a, b],
            a: first,
            b: second,
        }
    }

    /// Forces roles to change, in every way, and ends as it began.
    pub(crate) fn play(&mut self, port_a: &Port, capture: &mut Capture) {
        for _ in 0..self.flavour.rounds() {
            self.cut_power(port_a);
            self.stop_a();
            self.kill_a();
            self.stop_b_while_master(port_a, capture);
            if let (Daemon::Keepalived(a), Daemon::Keepalived(b)) = (&mut self.a, &mut self.b) {
                lower_priority(a, b);
                freeze_b_while_master(b, port_a, capture);
            }
        }
    }

    /// a loses its power for a while.
    fn cut_power(&mut self, port_a: &Port) {
        port_a.cut().unwrap();
        self.b.wait(State::Master);
        port_a.restore().unwrap();
        self.b.wait(State::Backup);
    }

    /// a is stopped and resigns.
    fn stop_a(&mut self) {
        self.a.stop();
        self.b.wait(State::Master);
        self.start_a();
    }

    /// a crashes.
    fn kill_a(&mut self) {
        self.a.kill();
        self.b.wait(State::Master);
        self.start_a();
    }

    /// b, master for a while, is stopped and resigns.
    fn stop_b_while_master(&mut self, port_a: &Port, capture: &mut Capture) {
        port_a.cut().unwrap();
        self.b.wait(State::Master);
        // FRR logs that it is master before it tells the others.
        capture.wait_more(1, LIMIT).unwrap();
        self.b.stop();
        self.b = Daemon::start(self.flavour, 2, Self::PRIORITIES[1], self.namespaces[1]);
        self.b.wait(State::Master);
        port_a.restore().unwrap();
        self.b.wait(State::Backup);
    }

    fn start_a(&mut self) {
        self.a = Daemon::start(self.flavour, 1, Self::PRIORITIES[0], self.namespaces[0]);
        self.b.wait(State::Backup);
    }
}

/// a gets a lower priority than b has, and its old one again.
fn lower_priority(a: &mut Keepalived, b: &mut Keepalived) {
    let [high, _] = Routers::PRIORITIES;
    a.set_priority("VI_1", 50).unwrap();
    b.wait_state("VI_1", State::Master, LIMIT).unwrap();
    a.wait_state("VI_1", State::Backup, LIMIT).unwrap();
    a.set_priority("VI_1", high).unwrap();
    b.wait_state("VI_1", State::Backup, LIMIT).unwrap();
}

/// b, master for a while, does not get to run for a time.
fn freeze_b_while_master(b: &mut Keepalived, port_a: &Port, capture: &mut Capture) {
    port_a.cut().unwrap();
    b.wait_state("VI_1", State::Master, LIMIT).unwrap();
    capture.wait_more(1, LIMIT).unwrap();
    let interval = b.config().instances[0].interval;
    b.freeze().unwrap();
    // Late after one and a quarter, down after more than three.
    thread::sleep(interval * 2);
    b.thaw().unwrap();
    port_a.restore().unwrap();
    b.wait_state("VI_1", State::Backup, LIMIT).unwrap();
}
