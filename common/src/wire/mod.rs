//! From the bytes of an Ethernet frame to what they mean.
//!
//! [`classify`] is the one entry: both sides call it with a [`Frame`]. One
//! protocol per file, in the order in which a frame is read: [`ethernet`],
//! [`ip`], then [`vrrp`], [`arp`] or [`nd`].

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod ip;
pub mod nd;
pub mod reject;
pub mod vrrp;

pub use reject::Reject;
pub use vrrp::Advert;

/// Read access to a frame, from its destination MAC address on.
///
/// `read` never panics; `None` means that the frame (or the part of it that can
/// be read here) ends before `offset + N`.
pub trait Frame {
    /// The `N` bytes at `offset`.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// The IEEE 802.1Q tag that the device took out of the frame, if any: the
    /// tag control information, host byte order.
    fn stripped_tag(&self) -> Option<u16> {
        None
    }
}

impl Frame for [u8] {
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk::<N>().copied()
    }
}

/// An IPv4 or IPv6 address in network byte order; IPv4 takes the first four
/// bytes, the others are zero.
pub type Address = [u8; 16];

/// An Ethernet address.
pub type Mac = [u8; 6];

/// IPv4, as [`crate::maps::RouterKey::family`] says it.
pub const IPV4: u8 = 4;
/// IPv6, as [`crate::maps::RouterKey::family`] says it.
pub const IPV6: u8 = 6;

/// Widens an IPv4 address.
#[inline(always)]
pub const fn widen([a, b, c, d]: [u8; 4]) -> Address {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// What a frame is to this project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// None of our business.
    Other,
    /// A valid VRRP advertisement.
    Advert(Advert),
    /// A VRRP advertisement that no router should act on. Of the advert, what was
    /// read before the fault was found; the rest is zero.
    BadAdvert(Advert, Reject),
    /// ARP or neighbour discovery: somebody speaks of an address.
    Neighbour(Neighbour),
    /// ARP or neighbour discovery that is malformed.
    BadNeighbour(Reject),
}

/// What an ARP or neighbour discovery message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// [`IPV4`] (ARP) or [`IPV6`] (neighbour discovery).
    pub family: u8,
    /// The address that the sender says it holds; zero when it says none (a probe).
    pub holder: Address,
    /// The link-layer address at which the sender says that it holds it.
    pub mac: Mac,
    /// The address that is asked for; zero when nothing is asked.
    pub asked: Address,
    /// Sent without having been asked: gratuitous ARP, unsolicited advertisement.
    pub unsolicited: bool,
    /// The frame's VLAN tags.
    pub vlan: ethernet::Vlan,
}

/// Says what `frame` is.
///
/// The order of the tests is that of the costs: a TCP segment is let go after
/// the Ethernet header and one byte of the IP header.
#[inline(always)]
pub fn classify<F: Frame + ?Sized>(frame: &F) -> Packet {
    let Some(link) = ethernet::parse(frame) else {
        return Packet::Other;
    };
    match link.ethertype {
        ethernet::IPV4 => ip::classify_v4(frame, &link),
        ethernet::IPV6 => ip::classify_v6(frame, &link),
        ethernet::ARP => arp::classify(frame, &link),
        _ => Packet::Other,
    }
}
