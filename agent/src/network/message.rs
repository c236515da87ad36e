//! Routing netlink messages as bytes (rtnetlink(7)).
//!
//! Read by hand, for only a handful of attributes matters and one that the kernel
//! adds later must not make a message unreadable.

use std::net::IpAddr;

use nix::libc::{self, c_int};

use super::monitor::{Change, Link};
use crate::config::Cidr;

/// The length of a message's own header.
const HEADER: usize = 16;
/// What of an attribute's type is the type; the rest are flags.
const ATTRIBUTE_TYPE: u16 = 0x3fff;
/// A lifetime without end (`INFINITY_LIFE_TIME`).
const FOREVER: u32 = u32::MAX;
/// Of `IFLA_XDP`: the program, however it sits there (generic, driver, hardware).
const XDP_PROGRAMS: std::ops::RangeInclusive<u16> = 4..=7;

/// A message that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    /// `RTM_...` or `NLMSG_...`.
    pub(super) kind: u16,
    /// `NLM_F_...`.
    pub(super) flags: u16,
    /// The number of the request that it answers; 0 if none.
    pub(super) sequence: u32,
    /// What follows the header.
    pub(super) body: &'a [u8],
}

/// The messages in a datagram.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let message = Message {
            kind: u16_at(datagram, 4)?,
            flags: u16_at(datagram, 6)?,
            sequence: u32_at(datagram, 8)?,
            body: datagram.get(HEADER..length)?,
        };
        datagram = rest(datagram, length);
        Some(message)
    })
}

/// The attributes in `bytes`, by type.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let attribute = (u16_at(bytes, 2)? & ATTRIBUTE_TYPE, bytes.get(4..length)?);
        bytes = rest(bytes, length);
        Some(attribute)
    })
}

/// What follows the first `length` bytes; each part begins at a multiple of four.
fn rest(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(4)..).unwrap_or_default()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_ne_bytes(bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

impl Message<'_> {
    /// What the message says of links and addresses; `None` if nothing.
    pub(super) fn change(&self) -> Option<Change> {
        match self.kind {
            libc::RTM_NEWLINK => self.link().map(Change::Link),
            libc::RTM_DELLINK => Some(Change::LinkGone {
                index: self.link_index()?,
            }),
            libc::RTM_NEWADDR => self.address(true),
            libc::RTM_DELADDR => self.address(false),
            _ => None,
        }
    }

    /// Whether this is an address that the kernel removes by itself some time.
    pub(super) fn lapses(&self) -> bool {
        let permanent = |flags: &u8| u32::from(*flags) & libc::IFA_F_PERMANENT != 0;
        self.kind == libc::RTM_NEWADDR && self.body.get(2).is_some_and(|it| !permanent(it))
    }

    /// How the request was answered: 0 or an error number. `None` if this is no
    /// such answer.
    pub(super) fn outcome(&self) -> Option<c_int> {
        let ends = [libc::NLMSG_ERROR, libc::NLMSG_DONE].contains(&c_int::from(self.kind));
        let code = u32_at(self.body, 0)?.cast_signed();
        ends.then_some(code.saturating_neg())
    }

    /// The index of the link that the message is about. A bridge tells of its ports
    /// by messages of its own family: a link that "goes" there has left the bridge.
    fn link_index(&self) -> Option<u32> {
        let family = c_int::from(*self.body.first()?);
        (family == libc::AF_UNSPEC).then(|| u32_at(self.body, 4))?
    }

    fn link(&self) -> Option<Link> {
        let index = self.link_index()?;
        let flags = u32_at(self.body, 8)?.cast_signed();
        let running = libc::IFF_UP | libc::IFF_RUNNING;
        let mut link = Link {
            index,
            name: String::new(),
            mac: None,
            up: flags & running == running,
            ethernet: u16_at(self.body, 2)? == libc::ARPHRD_ETHER,
            xdp_program: None,
            software: false,
        };
        for (kind, value) in attributes(self.body.get(16..)?) {
            match kind {
                libc::IFLA_IFNAME => link.name = text(value),
                libc::IFLA_ADDRESS => link.mac = value.try_into().ok(),
                libc::IFLA_XDP => link.xdp_program = xdp_program(value),
                // Devices have none.
                libc::IFLA_LINKINFO => link.software = true,
                _ => {}
            }
        }
        (!link.name.is_empty()).then_some(link)
    }

    fn address(&self, present: bool) -> Option<Change> {
        let prefix = *self.body.get(1)?;
        let index = u32_at(self.body, 4)?;
        // Of a point-to-point link "local" is ours and "address" the peer's; of IPv6
        // addresses mostly only the latter is given, and ours.
        let find = |wanted: u16| {
            attributes(self.body.get(8..)?)
                .find(|(kind, _)| *kind == wanted)
                .and_then(|(_, value)| ip(value))
        };
        let address = find(libc::IFA_LOCAL).or_else(|| find(libc::IFA_ADDRESS))?;
        Some(Change::Address {
            index,
            address: Cidr::new(address, prefix).ok()?,
            present,
        })
    }
}

fn xdp_program(value: &[u8]) -> Option<u32> {
    attributes(value)
        .find(|(kind, _)| XDP_PROGRAMS.contains(kind))
        .and_then(|(_, id)| u32_at(id, 0))
        .filter(|id| *id != 0)
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

/// A message that is to be sent.
#[derive(Debug, Clone)]
pub(super) struct Request {
    kind: u16,
    flags: c_int,
    body: Vec<u8>,
}

impl Request {
    /// Asks for all links, without their counters.
    pub(super) fn list_links() -> Self {
        let list = Self::new(libc::RTM_GETLINK, libc::NLM_F_DUMP, &[0; 16]);
        let mask = libc::RTEXT_FILTER_SKIP_STATS.to_ne_bytes();
        list.with(libc::IFLA_EXT_MASK, &mask)
    }

    /// Asks for all addresses.
    pub(super) fn list_addresses() -> Self {
        Self::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; 8])
    }

    /// Sets a link up.
    pub(super) fn set_up(index: u32) -> Self {
        let up = libc::IFF_UP.to_ne_bytes();
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        header[8..12].copy_from_slice(&up);
        // Which of the flags to change.
        header[12..16].copy_from_slice(&up);
        Self::new(libc::RTM_NEWLINK, 0, &header)
    }

    /// Adds an address; without duplicate address detection where it is an IPv6 one.
    pub(super) fn add_address(index: u32, address: &Cidr, link_scope: bool) -> Self {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        Self::set_address(flags, index, address, link_scope)
    }

    /// Adds an address that the kernel removes after `seconds`.
    pub(super) fn lease_address(
        index: u32,
        address: &Cidr,
        link_scope: bool,
        seconds: u32,
    ) -> Self {
        Self::add_address(index, address, link_scope).lasting(address, seconds)
    }

    /// Makes an address permanent.
    pub(super) fn keep_address(index: u32, address: &Cidr, link_scope: bool) -> Self {
        Self::set_address(libc::NLM_F_REPLACE, index, address, link_scope).lasting(address, FOREVER)
    }

    fn set_address(flags: c_int, index: u32, address: &Cidr, link_scope: bool) -> Self {
        let scope = if link_scope {
            libc::RT_SCOPE_LINK
        } else {
            libc::RT_SCOPE_UNIVERSE
        };
        let set = Self::address(libc::RTM_NEWADDR, flags, index, address, scope);
        if address.address().is_ipv6() {
            set.with(libc::IFA_FLAGS, &libc::IFA_F_NODAD.to_ne_bytes())
        } else {
            set
        }
    }

    /// For so many seconds. An IPv6 address without a network is not preferred as a
    /// source for an instant, for keepalived adds it so.
    fn lasting(self, address: &Cidr, valid: u32) -> Self {
        let deprecated = address.address().is_ipv6() && address.is_host();
        let preferred = if deprecated { 0 } else { valid };
        let [a, b, c, d] = preferred.to_ne_bytes();
        let [e, f, g, h] = valid.to_ne_bytes();
        // Then when it was made and changed, which the kernel fills in.
        let lifetimes = [a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0];
        self.with(libc::IFA_CACHEINFO, &lifetimes)
    }

    /// Removes an address.
    pub(super) fn remove_address(index: u32, address: &Cidr) -> Self {
        Self::address(libc::RTM_DELADDR, 0, index, address, 0)
    }

    /// Removes the route of the main table to `to` that `protocol` brought.
    pub(super) fn remove_route(
        to: &Cidr,
        via: Option<IpAddr>,
        index: Option<u32>,
        protocol: u8,
    ) -> Self {
        let header = [
            family(to.address()),
            to.prefix(),
            0,
            0,
            libc::RT_TABLE_MAIN,
            protocol,
            // To the kernel it means any, when removing.
            libc::RT_SCOPE_NOWHERE,
            libc::RTN_UNSPEC,
            0,
            0,
            0,
            0,
        ];
        let mut remove = Self::new(libc::RTM_DELROUTE, 0, &header);
        if to.prefix() != 0 {
            remove = remove.with(libc::RTA_DST, &octets(to.address()));
        }
        if let Some(via) = via {
            remove = remove.with(libc::RTA_GATEWAY, &octets(via));
        }
        if let Some(index) = index {
            remove = remove.with(libc::RTA_OIF, &index.to_ne_bytes());
        }
        remove
    }

    /// Whether the answer is a list.
    pub(super) const fn is_list(&self) -> bool {
        self.flags & libc::NLM_F_DUMP == libc::NLM_F_DUMP
    }

    /// The message, as number `sequence`.
    pub(super) fn bytes(&self, sequence: u32) -> Vec<u8> {
        let acknowledge = if self.is_list() { 0 } else { libc::NLM_F_ACK };
        let flags = (libc::NLM_F_REQUEST | acknowledge | self.flags) as u16;
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend(((HEADER + self.body.len()) as u32).to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&self.body);
        bytes
    }

    fn new(kind: u16, flags: c_int, header: &[u8]) -> Self {
        Self {
            kind,
            flags,
            body: header.to_vec(),
        }
    }

    fn address(kind: u16, flags: c_int, index: u32, address: &Cidr, scope: u8) -> Self {
        let [a, b, c, d] = index.to_ne_bytes();
        let ip = address.address();
        let header = [family(ip), address.prefix(), 0, scope, a, b, c, d];
        Self::new(kind, flags, &header)
            .with(libc::IFA_LOCAL, &octets(ip))
            .with(libc::IFA_ADDRESS, &octets(ip))
    }

    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.body.extend(((4 + value.len()) as u16).to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }
}

fn family(address: IpAddr) -> u8 {
    let family = match address {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    family as u8
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the kernel would send it.
    fn message(kind: u16, header: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let empty = Request::new(kind, 0, header);
        let whole = attributes
            .iter()
            .fold(empty, |message, (kind, value)| message.with(*kind, value));
        let mut bytes = whole.bytes(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn changes(datagram: &[u8]) -> Vec<Change> {
        messages(datagram)
            .filter_map(|message| message.change())
            .collect()
    }

    fn link_header(family: u8, flags: i32) -> Vec<u8> {
        let mut header = vec![family, 0, 1, 0, 7, 0, 0, 0];
        header.extend(flags.to_ne_bytes());
        header.extend([0; 4]);
        header
    }

    fn address(index: u32, address: &str, present: bool) -> Change {
        let address = address.parse().unwrap();
        Change::Address {
            index,
            address,
            present,
        }
    }

    #[test]
    fn a_link_is_read_from_what_matters_of_it() {
        let mac = [2, 0, 0, 0, 0, 9];
        let xdp = [5, 0, 2, 0, 2, 0, 0, 0, 8, 0, 5, 0, 77, 0, 0, 0];
        let all: [(u16, &[u8]); 4] = [
            (libc::IFLA_IFNAME, b"eth0\0"),
            (libc::IFLA_ADDRESS, &mac),
            (libc::IFLA_XDP | 0x8000, &xdp),
            (999, &[1, 2, 3]),
        ];
        let running = libc::IFF_UP | libc::IFF_RUNNING;
        let link = |up, mac, xdp_program| {
            Change::Link(Link {
                index: 7,
                name: "eth0".to_owned(),
                mac,
                up,
                ethernet: true,
                xdp_program,
                software: false,
            })
        };
        for (flags, attributes, expected) in [
            (running, &all[..], link(true, Some(mac), Some(77))),
            (libc::IFF_UP, &all[..2], link(false, Some(mac), None)),
            (0, &all[..1], link(false, None, None)),
        ] {
            let bytes = message(libc::RTM_NEWLINK, &link_header(0, flags), attributes);
            assert_eq!(changes(&bytes), [expected]);
        }
    }

    #[test]
    fn a_port_that_leaves_its_bridge_is_not_gone() {
        for (family, expected) in [(0, vec![Change::LinkGone { index: 7 }]), (7, vec![])] {
            let bytes = message(libc::RTM_DELLINK, &link_header(family, 0), &[]);
            assert_eq!(changes(&bytes), expected, "family {family}");
        }
    }

    #[test]
    fn of_two_addresses_the_local_one_is_ours() {
        let (ours, peer) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let v6: std::net::Ipv6Addr = "fe80::1".parse().unwrap();
        let header = |prefix| [0, prefix, 0, 0, 3, 0, 0, 0];
        let both: [(u16, &[u8]); 2] = [(libc::IFA_ADDRESS, &peer), (libc::IFA_LOCAL, &ours)];
        let one: [(u16, &[u8]); 1] = [(libc::IFA_ADDRESS, &v6.octets())];
        let mut datagram = message(libc::RTM_NEWADDR, &header(32), &both);
        datagram.extend(message(libc::RTM_DELADDR, &header(64), &one));
        assert_eq!(
            changes(&datagram),
            [
                address(3, "192.0.2.1/32", true),
                address(3, "fe80::1/64", false)
            ]
        );
    }

    #[test]
    fn whatever_is_cut_off_or_wrong_is_left_out() {
        let whole = message(
            libc::RTM_NEWADDR,
            &[2, 24, 0, 0, 3, 0, 0, 0],
            &[(libc::IFA_LOCAL, &[192, 0, 2, 1])],
        );
        assert_eq!(changes(&whole).len(), 1);
        for length in 0..whole.len() {
            assert_eq!(changes(&whole[..length]), [], "{length} bytes");
            // Every single byte wrong: it may mean anything, but must mean an end.
            for wrong in [0, 1, 0xff] {
                let mut broken = whole.clone();
                broken[length] = wrong;
                assert!(changes(&broken).len() <= 1);
            }
        }
    }

    #[test]
    fn a_request_says_all_that_the_kernel_needs() {
        let cidr: Cidr = "192.0.2.1/24".parse().unwrap();
        let bytes = Request::add_address(3, &cidr, true).bytes(9);
        let expected = [
            40, 0, 0, 0, 20, 0, 5, 6, 9, 0, 0, 0, 0, 0, 0, 0, // add, must not be there yet
            2, 24, 0, 253, 3, 0, 0, 0, // scope link
            8, 0, 2, 0, 192, 0, 2, 1, 8, 0, 1, 0, 192, 0, 2, 1,
        ];
        assert_eq!(bytes, expected);
        let default: Cidr = "::/0".parse().unwrap();
        let via = "fe80::1".parse().ok();
        let bytes = Request::remove_route(&default, via, Some(4), 18).bytes(1);
        let body = [10, 0, 0, 0, 254, 18, 255, 0, 0, 0, 0, 0];
        assert_eq!(bytes[16..28], body);
        assert_eq!(
            bytes[28..32],
            [20, 0, 5, 0],
            "no destination, then the gateway"
        );
    }

    #[test]
    fn lifetimes_are_preferred_then_valid() {
        let lifetimes = |request: Request| {
            let bytes = request.bytes(1);
            let end = bytes.len() - 20;
            assert_eq!(bytes[end..end + 4], [20, 0, 6, 0]);
            (u32_at(&bytes, end + 4), u32_at(&bytes, end + 8))
        };
        for (address, leased, kept) in [
            ("192.0.2.1/32", 7, FOREVER),
            ("2001:db8::1/64", 7, FOREVER),
            // Not preferred, as keepalived has it.
            ("2001:db8::1/128", 0, 0),
        ] {
            let cidr: Cidr = address.parse().unwrap();
            let lease = lifetimes(Request::lease_address(3, &cidr, false, 7));
            assert_eq!(lease, (Some(leased), Some(7)), "{address}");
            let keep = lifetimes(Request::keep_address(3, &cidr, false));
            assert_eq!(keep, (Some(kept), Some(FOREVER)), "{address}");
        }
    }

    #[test]
    fn an_outcome_is_an_error_number() {
        let refused = (-17_i32).to_ne_bytes();
        for (kind, body, expected) in [
            (libc::NLMSG_ERROR, refused, Some(17)),
            (libc::NLMSG_ERROR, [0; 4], Some(0)),
            (libc::NLMSG_DONE, [0; 4], Some(0)),
            (i32::from(libc::RTM_NEWLINK), [0; 4], None),
        ] {
            let bytes = message(kind as u16, &body, &[]);
            let outcome: Vec<_> = messages(&bytes).map(|it| it.outcome()).collect();
            assert_eq!(outcome, [expected]);
        }
    }
}
