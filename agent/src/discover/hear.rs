//! Listening for adverts, by packet sockets (packet(7)): nothing is attached, nothing
//! is sent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use keepfast_common::wire::vrrp::Advert;
use keepfast_common::wire::{IPV4, Packet, Reject, Subject, classify};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, socket,
};
use tracing::warn;

use crate::netns::Namespace;
use crate::network::raw::{filter, join, step};

/// An advert is at most 8 + 255 x 16 bytes long, behind headers.
const FRAME: usize = 9216;
/// More routers than this are not kept: their number is in the hands of others.
const MOST_ROUTERS: usize = 1024;
/// The groups that adverts are sent to.
const GROUPS: [[u8; 6]; 2] = [
    [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12],
    [0x33, 0x33, 0x00, 0x00, 0x00, 0x12],
];

/// What was heard in one namespace.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The last advert of each router.
    pub(super) routers: Vec<Router>,
    /// How many adverts were not valid.
    pub(super) invalid: u64,
    /// How many were let go because there were too many routers.
    pub(super) dropped: u64,
}

/// A router that advertises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Router {
    pub(super) interface: String,
    /// Whether it is this host's.
    pub(super) own: bool,
    pub(super) source: IpAddr,
    pub(super) vrid: u8,
    pub(super) priority: u8,
    pub(super) version: u8,
    pub(super) interval: Duration,
    /// The addresses that it lists.
    pub(super) addresses: Vec<IpAddr>,
}

/// Listens in all of `namespaces` at once; says for each what was heard.
pub(super) fn all(namespaces: &[Namespace], limit: Duration) -> Result<Vec<Heard>> {
    if limit.is_zero() {
        return Ok(namespaces.iter().map(|_| Heard::default()).collect());
    }
    let mut ears = namespaces
        .iter()
        .map(|namespace| {
            namespace
                .enter(Ear::open)
                .with_context(|| format!("listen in network namespace {}", namespace.label()))
        })
        .collect::<Result<Vec<_>>>()?;
    let end = Instant::now() + limit;
    let mut buffer = vec![0; FRAME];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(ears.into_iter().map(Ear::heard).collect());
        }
        let mut sockets: Vec<_> = ears
            .iter()
            .map(|ear| PollFd::new(ear.socket.as_fd(), PollFlags::POLLIN))
            .collect();
        // Rounded up: a part of a millisecond would be asked for again and again.
        let limit = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut sockets, limit) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("wait for adverts"),
        }
        for ear in &mut ears {
            ear.take(&mut buffer, end)?;
        }
    }
}

/// Who listens in one namespace.
struct Ear {
    socket: OwnedFd,
    /// Its Ethernet interfaces, by index.
    interfaces: BTreeMap<usize, String>,
    routers: BTreeMap<Key, Router>,
    invalid: u64,
    dropped: u64,
}

/// Interface, whether it is this host's, VRID, source.
type Key = (usize, bool, u8, IpAddr);

impl Ear {
    /// Listens in the namespace of the calling thread.
    fn open() -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::EthAll;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, protocol)
            .context("open a packet socket")?;
        only_adverts(&socket).context("filter a packet socket")?;
        let mut interfaces = BTreeMap::new();
        for entry in getifaddrs().context("list interfaces")? {
            let address = entry.address.as_ref().and_then(|it| it.as_link_addr());
            if let Some(link) = address.filter(|link| is_ethernet(link)) {
                // Else the network card may not let the groups' frames through.
                for group in GROUPS {
                    let index = i32::try_from(link.ifindex()).unwrap_or_default();
                    let joined = join(&socket, index, libc::PACKET_MR_MULTICAST, group);
                    if let Err(errno) = joined {
                        warn!(
                            "join the group of VRRP on {}: {errno}",
                            entry.interface_name
                        );
                    }
                }
                interfaces.insert(link.ifindex(), entry.interface_name);
            }
        }
        Ok(Self {
            socket,
            interfaces,
            routers: BTreeMap::new(),
            invalid: 0,
            dropped: 0,
        })
    }

    fn heard(self) -> Heard {
        Heard {
            routers: self.routers.into_values().collect(),
            invalid: self.invalid,
            dropped: self.dropped,
        }
    }

    /// Takes the frames that are there, at most until `end`.
    fn take(&mut self, buffer: &mut [u8], end: Instant) -> Result<()> {
        while Instant::now() < end {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer) {
                Ok((length, Some(from))) if is_ethernet(&from) => {
                    let own = from.pkttype() == libc::PACKET_OUTGOING;
                    let frame = buffer.get(..length).unwrap_or_default();
                    self.frame(from.ifindex(), own, frame);
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                // An interface went down.
                Err(Errno::ENETDOWN) => {}
                Err(errno) => return Err(errno).context("receive frames"),
            }
        }
        Ok(())
    }

    fn frame(&mut self, index: usize, own: bool, frame: &[u8]) {
        let mut packet = Packet::UNREAD;
        classify(frame, &mut packet);
        if packet.subject != Subject::Advert {
            return;
        }
        if packet.reject != Reject::Nothing {
            self.invalid += 1;
            return;
        }
        // An interface that came while we listen is left out: it has just been made.
        let Some(interface) = self.interfaces.get(&index) else {
            return;
        };
        let router = router(interface, own, &packet.advert, frame);
        let key = (index, own, router.vrid, router.source);
        if self.routers.len() == MOST_ROUTERS && !self.routers.contains_key(&key) {
            self.dropped += 1;
            return;
        }
        self.routers.insert(key, router);
    }
}

fn router(interface: &str, own: bool, advert: &Advert, frame: &[u8]) -> Router {
    let address = |bytes: &[u8]| {
        let mut address = [0; 16];
        address
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        match (advert.family, address) {
            (IPV4, [a, b, c, d, ..]) => IpAddr::from([a, b, c, d]),
            _ => IpAddr::from(address),
        }
    };
    let listed = frame.get(usize::from(advert.addresses_at)..);
    let length = if advert.family == IPV4 { 4 } else { 16 };
    Router {
        interface: interface.to_owned(),
        own,
        source: address(&advert.source),
        vrid: advert.vrid,
        priority: advert.priority,
        version: advert.version,
        interval: Duration::from_millis(u64::from(advert.interval_cs) * 10),
        addresses: listed
            .unwrap_or_default()
            .chunks_exact(length)
            .take(usize::from(advert.addresses))
            .map(address)
            .collect(),
    }
}

fn is_ethernet(link: &LinkAddr) -> bool {
    link.hatype() == libc::ARPHRD_ETHER
}

/// Has the kernel pass on VRRP only, bare or behind an authentication header; and not
/// what carries a VLAN tag, for the interface of that VLAN gives it without.
fn only_adverts(socket: &OwnedFd) -> Result<(), Errno> {
    let load = |size| libc::BPF_LD | size | libc::BPF_ABS;
    let is = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let (jump, end) = (libc::BPF_JMP | libc::BPF_JA, libc::BPF_RET | libc::BPF_K);
    let vlan_tag = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG_PRESENT).cast_unsigned();
    let mut steps = [
        step(load(libc::BPF_W), 0, 0, vlan_tag),
        step(is, 0, 9, 0),
        // IPv4 and its protocol, or IPv6 and its next header.
        step(load(libc::BPF_H), 0, 0, 12),
        step(is, 0, 2, 0x0800),
        step(load(libc::BPF_B), 0, 0, 23),
        step(jump, 0, 0, 2),
        step(is, 0, 4, 0x86dd),
        step(load(libc::BPF_B), 0, 0, 20),
        step(is, 1, 0, 112),
        step(is, 0, 1, 51),
        step(end, 0, 0, FRAME as u32),
        step(end, 0, 0, 0),
    ];
    filter(socket, &mut steps)
}
