//! Adverts of FRR's vrrpd.

use crate::{Pick, Sample, Scenario, pick_all};
use anyhow::Result;
use lab::capture::{Capture, VRRP};
use lab::frr::{Frr, Router};
use lab::keepalived::{Family, Version};
use lab::netns::Namespace;
use lab::segment::{BRIDGE, Segment};
use std::time::Duration;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let v2 = Router {
        version: Version::V2,
        ..Router::default()
    };
    let v3 = Router::default();
    let v6 = Router {
        family: Family::V6,
        addresses: vec!["fd99::100/64".into()],
        ..Router::default()
    };
    vec![scenario(v2, &V2), scenario(v3, &V3), scenario(v6, &V6)]
}

const fn frr(name: &'static str, what: &'static str, filter: &'static str) -> Pick {
    Pick {
        name,
        what,
        made_by: "FRR",
        filter,
    }
}

const V2: [Pick; 2] = [
    frr(
        "frr-v2",
        "VRRPv2 advert, priority 100, 1 s",
        "vrrp.version == 2 && vrrp.prio == 100",
    ),
    frr(
        "frr-v2-resign",
        "VRRPv2 resignation",
        "vrrp.version == 2 && vrrp.prio == 0",
    ),
];
const V3: [Pick; 3] = [
    frr(
        "frr-v3",
        "VRRPv3 advert, priority 100, 1 s",
        "vrrp.version == 3 && vrrp.prio == 100",
    ),
    frr(
        "frr-v3-resign",
        "VRRPv3 resignation",
        "vrrp.version == 3 && vrrp.prio == 0",
    ),
    frr(
        "frr-arp-gratuitous",
        "gratuitous ARP for the virtual address",
        "arp.isgratuitous == 1 && arp.src.proto_ipv4 == 10.99.0.100 \
         && arp.src.hw_mac == 00:00:5e:00:01:07",
    ),
];
const V6: [Pick; 3] = [
    frr(
        "frr-v6",
        "VRRPv3 advert over IPv6",
        "ipv6 && vrrp.prio == 100",
    ),
    frr(
        "frr-v6-resign",
        "VRRPv3 resignation over IPv6",
        "ipv6 && vrrp.prio == 0",
    ),
    frr(
        "frr-nd-advertisement",
        "unsolicited neighbour advertisement for the virtual address",
        "icmpv6.type == 136 && icmpv6.nd.na.target_address == fd99::100 \
         && eth.src == 00:00:5e:00:02:07",
    ),
];

fn scenario(router: Router, picks: &'static [Pick]) -> Scenario {
    Box::new(move || run(router, picks))
}

/// Lets one router become master and resign.
fn run(router: Router, picks: &[Pick]) -> Result<Vec<Sample>> {
    let segment = Segment::new("switch")?;
    let namespace = Namespace::new("router")?;
    segment.attach(&namespace, "eth0", &["10.99.0.1/24", "fd99::1/64"])?;
    let capture = Capture::start(segment.switch(), BRIDGE, "")?;
    let mut adverts = Capture::start(segment.switch(), BRIDGE, VRRP)?;
    let (family, vrid) = (router.family, router.vrid);
    let mut frr = Frr::start(&namespace, &[router])?;
    frr.wait_master(family, vrid, Duration::from_secs(15))?;
    // The first one is lost: vrrpd sends it before zebra has enabled the device.
    adverts.wait_more(1, Duration::from_secs(15))?;
    frr.stop()?;
    pick_all(picks, &capture.stop()?)
}
