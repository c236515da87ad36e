//! Adverts, gratuitous ARP and neighbour advertisements of keepalived.

use crate::{Pick, Sample, Scenario, pick_all};
use anyhow::Result;
use lab::capture::Capture;
use lab::keepalived::{
    Authentication, Family, Instance, Keepalived, State, Unicast, Version, Vmac,
};
use lab::netns::Namespace;
use lab::segment::{BRIDGE, Segment};
use std::time::Duration;

const MADE_BY: &str = "keepalived";

pub(crate) fn scenarios() -> Vec<Scenario> {
    let v2 = || Instance {
        version: Version::V2,
        ..Instance::default()
    };
    let v3 = Instance::default;
    let v6 = || Instance {
        family: Family::V6,
        addresses: vec!["fe80::100/64".into(), "fd99::100/64".into()],
        ..Instance::default()
    };
    let unicast = |source: &str, peer: &str| {
        Some(Unicast {
            source: source.into(),
            peers: vec![peer.into()],
        })
    };
    let unicast_v4 = || unicast("10.99.0.1", "10.99.0.2");
    let unicast_v6 = || unicast("fd99::1", "fd99::2");
    let pass = Authentication::Pass("s3cret".into());
    let twenty = |prefix: &str, length: u8| -> Vec<String> {
        (100..120)
            .map(|host| format!("{prefix}{host}/{length}"))
            .collect()
    };
    vec![
        scenario(v2(), &V2),
        scenario(
            Instance {
                authentication: pass,
                ..v2()
            },
            &V2_PASS,
        ),
        scenario(
            Instance {
                authentication: Authentication::Ah("s3cret".into()),
                ..v2()
            },
            &V2_AH,
        ),
        scenario(
            Instance {
                unicast: unicast_v4(),
                ..v2()
            },
            &V2_UNICAST,
        ),
        scenario(
            Instance {
                vmac: Vmac::Yes,
                ..v2()
            },
            &V2_VMAC,
        ),
        scenario(
            Instance {
                addresses: twenty("10.99.0.", 24),
                ..v2()
            },
            &V2_TWENTY,
        ),
        scenario(neutron(), &V2_NEUTRON),
        scenario(v3(), &V3),
        scenario(
            Instance {
                interval: Duration::from_millis(10),
                ..v3()
            },
            &V3_FAST,
        ),
        scenario(
            Instance {
                priority: 255,
                starts_as_master: true,
                ..v3()
            },
            &V3_OWNER,
        ),
        scenario(
            Instance {
                unicast: unicast_v4(),
                ..v3()
            },
            &V3_UNICAST,
        ),
        scenario(
            Instance {
                vmac: Vmac::Yes,
                ..v3()
            },
            &V3_VMAC,
        ),
        scenario(
            Instance {
                vmac: Vmac::XmitBase,
                ..v3()
            },
            &V3_VMAC_BASE,
        ),
        scenario(
            Instance {
                addresses: twenty("10.99.0.", 24),
                ..v3()
            },
            &V3_TWENTY,
        ),
        scenario(v6(), &V6),
        scenario(
            Instance {
                unicast: unicast_v6(),
                ..v6()
            },
            &V6_UNICAST,
        ),
        scenario(
            Instance {
                vmac: Vmac::Yes,
                ..v6()
            },
            &V6_VMAC,
        ),
        scenario(
            Instance {
                addresses: twenty("fe80::", 64),
                ..v6()
            },
            &V6_TWENTY,
        ),
    ]
}

/// What Neutron's L3 agent writes for a router with high availability.
fn neutron() -> Instance {
    Instance {
        name: "VR_1".into(),
        version: Version::V2,
        interface: "ha-1fbd4b2c-33".into(),
        vrid: 1,
        priority: 50,
        interval: Duration::from_secs(2),
        nopreempt: true,
        addresses: vec!["169.254.0.1/24 dev ha-1fbd4b2c-33".into()],
        extra: vec![
            "garp_master_delay 60".into(),
            "track_interface {\nha-1fbd4b2c-33\n}".into(),
            "virtual_ipaddress_excluded {\n10.0.0.1/24 dev ha-1fbd4b2c-33\n}".into(),
        ],
        ..Instance::default()
    }
}

const fn advert(name: &'static str, what: &'static str, filter: &'static str) -> Pick {
    Pick {
        name,
        what,
        made_by: MADE_BY,
        filter,
    }
}

/// What the kernel sends by itself or because keepalived joins the group.
const fn linux(name: &'static str, what: &'static str, filter: &'static str) -> Pick {
    Pick {
        name,
        what,
        made_by: "Linux",
        filter,
    }
}

const V2: [Pick; 4] = [
    advert(
        "vrrp-v2",
        "VRRPv2 advert, priority 100, 1 s",
        "vrrp.version == 2 && vrrp.prio == 100",
    ),
    advert(
        "vrrp-v2-resign",
        "VRRPv2 resignation",
        "vrrp.version == 2 && vrrp.prio == 0",
    ),
    advert(
        "arp-gratuitous-request",
        "gratuitous ARP request for the virtual address",
        "arp.isgratuitous == 1 && arp.opcode == 1 && arp.src.proto_ipv4 == 10.99.0.100",
    ),
    linux(
        "igmp-v3-join",
        "IGMPv3 report: joins 224.0.0.18",
        "igmp.type == 0x22",
    ),
];
const V2_PASS: [Pick; 2] = [
    advert(
        "vrrp-v2-pass",
        "VRRPv2 advert with a password",
        "vrrp.auth_type == 1 && vrrp.prio > 0",
    ),
    advert(
        "vrrp-v2-pass-resign",
        "VRRPv2 resignation with a password",
        "vrrp.auth_type == 1 && vrrp.prio == 0",
    ),
];
const V2_AH: [Pick; 2] = [
    advert(
        "vrrp-v2-ah",
        "VRRPv2 advert behind an authentication header",
        "ah && vrrp.prio > 0",
    ),
    advert(
        "vrrp-v2-ah-resign",
        "VRRPv2 resignation behind an authentication header",
        "ah && vrrp.prio == 0",
    ),
];
const V2_UNICAST: [Pick; 1] = [advert(
    "vrrp-v2-unicast",
    "VRRPv2 advert to a unicast peer",
    "vrrp.version == 2 && vrrp.prio > 0 && ip.dst == 10.99.0.2",
)];
const V2_VMAC: [Pick; 1] = [advert(
    "vrrp-v2-vmac",
    "VRRPv2 advert from the virtual hardware address",
    "vrrp.version == 2 && vrrp.prio > 0 && eth.src == 00:00:5e:00:01:07",
)];
const V2_TWENTY: [Pick; 1] = [advert(
    "vrrp-v2-20-addresses",
    "VRRPv2 advert of 20 addresses",
    "vrrp.addr_count == 20",
)];
const V2_NEUTRON: [Pick; 1] = [advert(
    "vrrp-v2-neutron",
    "VRRPv2 advert as Neutron configures it: priority 50, 2 s",
    "vrrp.version == 2 && vrrp.prio == 50 && vrrp.adver_int == 2",
)];
const V3: [Pick; 2] = [
    advert(
        "vrrp-v3",
        "VRRPv3 advert, priority 100, 1 s",
        "vrrp.version == 3 && vrrp.prio == 100 && vrrp.short_adver_int == 100",
    ),
    advert(
        "vrrp-v3-resign",
        "VRRPv3 resignation",
        "vrrp.version == 3 && vrrp.prio == 0",
    ),
];
const V3_FAST: [Pick; 1] = [advert(
    "vrrp-v3-1cs",
    "VRRPv3 advert with the shortest interval, 10 ms",
    "vrrp.prio > 0 && vrrp.short_adver_int == 1",
)];
const V3_OWNER: [Pick; 1] = [advert(
    "vrrp-v3-owner",
    "VRRPv3 advert of the address owner",
    "vrrp.prio == 255",
)];
const V3_UNICAST: [Pick; 1] = [advert(
    "vrrp-v3-unicast",
    "VRRPv3 advert to a unicast peer",
    "vrrp.version == 3 && vrrp.prio > 0 && ip.dst == 10.99.0.2",
)];
const V3_VMAC: [Pick; 1] = [advert(
    "vrrp-v3-vmac",
    "VRRPv3 advert from the virtual hardware address",
    "vrrp.version == 3 && vrrp.prio > 0 && eth.src == 00:00:5e:00:01:07",
)];
const V3_VMAC_BASE: [Pick; 2] = [
    advert(
        "vrrp-v3-vmac-base",
        "VRRPv3 advert from the interface's own hardware address (vmac_xmit_base)",
        "vrrp.version == 3 && vrrp.prio > 0 && eth.src == 02:4b:46:00:00:01",
    ),
    advert(
        "arp-gratuitous-vmac",
        "gratuitous ARP request that announces the virtual hardware address",
        "arp.isgratuitous == 1 && arp.src.hw_mac == 00:00:5e:00:01:07",
    ),
];
const V3_TWENTY: [Pick; 1] = [advert(
    "vrrp-v3-20-addresses",
    "VRRPv3 advert of 20 addresses",
    "vrrp.addr_count == 20",
)];
const V6: [Pick; 4] = [
    advert(
        "vrrp-v6",
        "VRRPv3 advert over IPv6, two addresses",
        "ipv6 && vrrp.prio == 100 && vrrp.addr_count == 2",
    ),
    advert(
        "vrrp-v6-resign",
        "VRRPv3 resignation over IPv6",
        "ipv6 && vrrp.prio == 0",
    ),
    advert(
        "nd-advertisement-unsolicited",
        "unsolicited neighbour advertisement for the virtual address",
        "icmpv6.type == 136 && icmpv6.nd.na.flag.s == 0 && ipv6.dst == ff02::1 \
         && icmpv6.nd.na.target_address == fd99::100",
    ),
    linux(
        "mld-v2-report",
        "MLDv2 report behind a hop-by-hop header",
        "icmpv6.type == 143",
    ),
];
const V6_UNICAST: [Pick; 1] = [advert(
    "vrrp-v6-unicast",
    "VRRPv3 advert over IPv6 to a unicast peer",
    "vrrp.prio > 0 && ipv6.dst == fd99::2",
)];
const V6_VMAC: [Pick; 1] = [advert(
    "vrrp-v6-vmac",
    "VRRPv3 advert over IPv6 from the virtual hardware address",
    "ipv6 && vrrp.prio > 0 && eth.src == 00:00:5e:00:02:07",
)];
const V6_TWENTY: [Pick; 1] = [advert(
    "vrrp-v6-20-addresses",
    "VRRPv3 advert over IPv6 of 20 addresses",
    "ipv6 && vrrp.addr_count == 20",
)];

fn scenario(instance: Instance, picks: &'static [Pick]) -> Scenario {
    Box::new(move || run(instance, picks))
}

/// Lets one router become master and resign, beside a neighbour that only listens.
fn run(instance: Instance, picks: &[Pick]) -> Result<Vec<Sample>> {
    let segment = Segment::new("switch")?;
    let router = Namespace::new("router")?;
    let neighbour = Namespace::new("neighbour")?;
    // Seen from the start, the joining of the group is in the recording.
    let capture = Capture::start(segment.switch(), BRIDGE, "")?;
    segment.attach(
        &router,
        &instance.interface,
        &["10.99.0.1/24", "fd99::1/64"],
    )?;
    segment.attach(&neighbour, "eth0", &["10.99.0.2/24", "fd99::2/64"])?;
    let name = instance.name.clone();
    let mut keepalived = Keepalived::start(&router, instance.into())?;
    keepalived.wait_state(&name, State::Master, Duration::from_secs(15))?;
    keepalived.stop()?;
    pick_all(picks, &capture.stop()?)
}
