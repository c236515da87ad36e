//! Ordinary neighbour traffic of the Linux kernel and of iputils.

use crate::{Pick, Sample, Scenario, pick_all};
use anyhow::{Context, Result, ensure};
use lab::capture::Capture;
use lab::netns::Namespace;
use lab::process;
use lab::segment::{BRIDGE, Segment};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddrV6, TcpStream, UdpSocket};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Box::new(run)]
}

const fn linux(name: &'static str, what: &'static str, filter: &'static str) -> Pick {
    Pick {
        name,
        what,
        made_by: "Linux",
        filter,
    }
}

const PICKS: [Pick; 12] = [
    linux(
        "arp-request",
        "ARP request to all",
        "arp.opcode == 1 && !arp.isgratuitous",
    ),
    linux(
        "arp-reply",
        "ARP reply",
        "arp.opcode == 2 && !arp.isgratuitous",
    ),
    Pick {
        name: "arp-gratuitous-reply",
        what: "gratuitous ARP reply",
        made_by: "arping -A",
        filter: "arp.opcode == 2 && arp.isgratuitous == 1",
    },
    linux(
        "icmp-echo-request",
        "ICMP echo request",
        "icmp.type == 8 && ip.len == 84",
    ),
    linux(
        "icmp-fragment-first",
        "first fragment of an ICMP echo request",
        "ip.flags.mf == 1 && ip.frag_offset == 0",
    ),
    linux(
        "icmp-fragment-last",
        "last fragment of an ICMP echo request: no ICMP header",
        "ip.flags.mf == 0 && ip.frag_offset > 0",
    ),
    linux(
        "tcp-syn",
        "TCP SYN",
        "tcp.flags.syn == 1 && tcp.flags.ack == 0",
    ),
    linux(
        "udp",
        "UDP datagram of five bytes",
        "udp.dstport == 9 && udp.length == 13",
    ),
    linux(
        "nd-solicitation",
        "neighbour solicitation to the solicited-node group",
        "icmpv6.type == 135 && ipv6.src == fd99::1 && ipv6.dst == ff02::1:ff00:2",
    ),
    linux(
        "nd-advertisement-solicited",
        "neighbour advertisement in answer to a solicitation",
        "icmpv6.type == 136 && icmpv6.nd.na.flag.s == 1",
    ),
    linux(
        "icmpv6-echo-request",
        "ICMPv6 echo request",
        "icmpv6.type == 128",
    ),
    Pick {
        name: "nd-router-advertisement",
        what: "router advertisement with a source link-layer option",
        made_by: "capture-corpus",
        filter: "icmpv6.type == 134",
    },
];

/// RFC 4861 section 4.2: hop limit 64, no flags, lifetime 1800 s, our hardware address.
const ROUTER_ADVERTISEMENT: [u8; 24] = [
    134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0,
    0, // the kernel fills in the checksum
    1, 1, 0x02, 0x4b, 0x46, 0x00, 0x00, 0x01,
];

fn run() -> Result<Vec<Sample>> {
    let segment = Segment::new("switch")?;
    let near = Namespace::new("near")?;
    let far = Namespace::new("far")?;
    segment.attach(&near, "eth0", &["10.99.0.1/24", "fd99::1/64"])?;
    segment.attach(&far, "eth0", &["10.99.0.2/24", "fd99::2/64"])?;
    let capture = Capture::start(segment.switch(), BRIDGE, "")?;
    process::output(near.command("ping").args(["-c1", "-W5", "10.99.0.2"]))?;
    process::output(near.command("ping").args(["-c1", "-W5", "fd99::2"]))?;
    process::output(
        near.command("ping")
            .args(["-c1", "-W5", "-s2000", "10.99.0.2"]),
    )?;
    process::output(
        near.command("arping")
            .args(["-A", "-c1", "-I", "eth0", "10.99.0.1"]),
    )?;
    near.run(send_others)?;
    pick_all(&PICKS, &capture.stop()?)
}

fn send_others() -> Result<()> {
    let refused = TcpStream::connect("10.99.0.2:9").map_err(|error| error.kind());
    ensure!(
        matches!(refused, Err(ErrorKind::ConnectionRefused)),
        "somebody listens"
    );
    UdpSocket::bind("10.99.0.1:0")?.send_to(b"hello", "10.99.0.2:9")?;
    let raw = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    raw.set_multicast_hops_v6(255)?;
    raw.bind_device(Some(b"eth0"))?;
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let to = SockAddr::from(SocketAddrV6::new(all_nodes, 0, 0, 0));
    raw.send_to(&ROUTER_ADVERTISEMENT, &to)
        .context("send a router advertisement")?;
    Ok(())
}
