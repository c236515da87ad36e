//! All that is lost, and how the routers are told to notice it.

use crate::cluster::{Setup, Style};
use crate::failover::loss::Loss;
use std::net::Ipv4Addr;

/// The router's own address in the client's network.
const VIRTUAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The gateway: asking it takes the router's forwarding, both ways.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

const USUAL: &str = "interval = \"1ms\"\nmultiplier = 3\n";
/// A lost gateway, noticed by keepalived's own script.
const CHECK: &str = "gateway_check = \"1s\"\n";

/// A loss, between which routers, and what notices it.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) loss: Loss,
    pub(crate) asked: Ipv4Addr,
    style: Style,
    hosts: u8,
    peer_forwards: Option<bool>,
    /// Lines of the table `[fast_path]`, and how they are told of.
    fast_path: (&'static str, &'static str),
    keys: &'static str,
    /// What the median may come to, in ms, and what that is called.
    pub(crate) target: Option<(&'static str, f64)>,
}

/// What most of them are: a power cut of one of two equal hosts.
const PLAIN: Scenario = Scenario {
    name: "power",
    loss: Loss::Power,
    asked: VIRTUAL,
    style: Style::V3,
    hosts: 2,
    peer_forwards: None,
    fast_path: ("1 ms x 3", USUAL),
    keys: "",
    target: None,
};

pub(crate) const SCENARIOS: [Scenario; 13] = [
    Scenario {
        name: "power, VRRPv3",
        target: Some(("power cut, VRRPv3, 1 ms x 3, median", 5.0)),
        ..PLAIN
    },
    Scenario {
        name: "power, VRRPv3, default",
        fast_path: ("1 ms, default", "interval = \"1ms\"\n"),
        target: Some(("power cut, VRRPv3, default, median", 13.0)),
        ..PLAIN
    },
    Scenario {
        name: "power, VRRPv3, quick",
        fast_path: ("0.25 ms x 3", "interval = \"250us\"\nmultiplier = 3\n"),
        target: Some(("power cut, VRRPv3, 0.25 ms x 3, median", 2.5)),
        ..PLAIN
    },
    Scenario {
        name: "power, VRRPv3, through the router",
        asked: GATEWAY,
        ..PLAIN
    },
    Scenario {
        name: "power, VRRPv3, three hosts",
        hosts: 3,
        ..PLAIN
    },
    Scenario {
        name: "power, VRRPv2",
        style: Style::V2,
        target: Some(("power cut, VRRPv2, 1 ms x 3, median", 6.0)),
        ..PLAIN
    },
    Scenario {
        name: "power, Neutron, adverts of 2 s",
        style: Style::Neutron,
        target: Some(("power cut, Neutron, 1 ms x 3, median", 6.0)),
        ..PLAIN
    },
    Scenario {
        name: "power, peer without keepfast",
        peer_forwards: Some(false),
        fast_path: (
            "asked, 10 ms x 3",
            "interval = \"1ms\"\nmultiplier = 3\nsolicit_interval = \"10ms\"\n",
        ),
        target: Some(("power cut, peer asked, median", 45.0)),
        ..PLAIN
    },
    Scenario {
        name: "power, peer without keepfast forwards",
        peer_forwards: Some(true),
        ..PLAIN
    },
    Scenario {
        name: "keepalived killed",
        loss: Loss::Killed,
        target: Some(("keepalived killed, median", 5.0)),
        ..PLAIN
    },
    Scenario {
        name: "keepalived stopped",
        loss: Loss::Stopped,
        ..PLAIN
    },
    Scenario {
        name: "gateway lost",
        loss: Loss::Gateway,
        asked: GATEWAY,
        fast_path: (
            "gateway 10 ms",
            "interval = \"1ms\"\nmultiplier = 3\ngateway_interval = \"10ms\"\n",
        ),
        keys: CHECK,
        target: Some(("gateway lost, median", 45.0)),
        ..PLAIN
    },
    Scenario {
        name: "drained",
        loss: Loss::Drained,
        target: Some(("drained, median", 2.0)),
        ..PLAIN
    },
];

impl Scenario {
    /// How the fast path is told to notice.
    pub(crate) const fn told(&self) -> &'static str {
        self.fast_path.0
    }

    /// Who runs on the hosts.
    pub(crate) fn setup(&self, armed: bool) -> Setup {
        let fast_path = || format!("mode = \"armed\"\n{}", self.fast_path.1);
        Setup {
            style: self.style,
            hosts: self.hosts,
            peer_forwards: self.peer_forwards,
            fast_path: armed.then(fast_path),
            keys: self.keys.to_owned(),
        }
    }
}
