//! From the bytes of an Ethernet frame to what they mean.
//!
//! [`classify`] is the one entry: both sides call it with a [`Frame`]. One
//! protocol per file, in the order in which a frame is read: [`ethernet`],
//! [`ip`], then [`vrrp`], [`probe`], [`arp`] or [`nd`].

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod ip;
pub mod nd;
pub mod probe;
pub mod reject;
pub mod vrrp;

pub use probe::Probe;
pub use reject::Reject;
pub use vrrp::Advert;

/// Read access to a frame, from its destination MAC address on.
///
/// `read` never panics; `None` means that the frame (or the part of it that can
/// be read here) ends before `offset + N`.
pub trait Frame {
    /// The `N` bytes at `offset`.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// See [`checksum::words`], which an implementation may run elsewhere: the
    /// verifier would walk through the rest of a program once for every turn of
    /// that loop, unless the loop stands in a function that it verifies apart.
    fn words(&self, at: usize, length: usize) -> Option<u64> {
        checksum::words(self, at, length)
    }

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

/// Whether two Ethernet addresses are the same; not by a call of `bcmp`, which the
/// kernel programs do not have.
#[inline(always)]
pub fn mac_is(one: &Mac, other: &Mac) -> bool {
    crate::event::same_mac(one, other)
}

/// Widens an IPv4 address.
#[inline(always)]
pub const fn widen([a, b, c, d]: [u8; 4]) -> Address {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// What a frame is about.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// None of our business.
    Other = 0,
    /// A VRRP advertisement.
    Advert = 1,
    /// ARP or neighbour discovery: somebody speaks of an address.
    Neighbour = 2,
    /// A probe of liveness, or what answers one; valid.
    Probe = 3,
}

/// What [`classify`] found.
///
/// A plain structure that is filled in place, not an enum that is handed back:
/// the kernel programs keep it off their stack of 512 bytes, and the kernel does
/// not accept the type information of enums that carry data.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// What the frame is about.
    pub subject: Subject,
    /// What is wrong with it; [`Reject::Nothing`] if it is valid.
    pub reject: Reject,
    /// For [`Subject::Advert`]: what was read of it, all of it if it is valid.
    pub advert: Advert,
    /// For [`Subject::Neighbour`], if it is valid.
    pub neighbour: Neighbour,
    /// For [`Subject::Probe`].
    pub probe: Probe,
}

impl Packet {
    /// Nothing read yet.
    pub const UNREAD: Self = Self {
        subject: Subject::Other,
        reject: Reject::Nothing,
        advert: Advert::UNREAD,
        neighbour: Neighbour::UNREAD,
        probe: Probe::UNREAD,
    };
}

/// What an ARP or neighbour discovery message says.
#[repr(C)]
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

impl Neighbour {
    /// Nothing read yet.
    pub const UNREAD: Self = Self {
        family: 0,
        holder: [0; 16],
        mac: [0; 6],
        asked: [0; 16],
        unsolicited: false,
        vlan: ethernet::Vlan { outer: 0, inner: 0 },
    };
}

/// Says in `packet` what `frame` is.
///
/// The order of the tests is that of the costs: a TCP segment is let go after
/// the Ethernet header and one byte of the IP header. What comes behind is kept
/// out of line, each protocol with a stack frame of its own.
#[inline(always)]
pub fn classify<F: Frame + ?Sized>(frame: &F, packet: &mut Packet) {
    packet.subject = Subject::Other;
    let Some(link) = ethernet::parse(frame) else {
        return;
    };
    match link.ethertype {
        ethernet::IPV4 => ip::classify_v4(frame, &link, packet),
        ethernet::IPV6 => ip::classify_v6(frame, &link, packet),
        ethernet::ARP => arp::classify(frame, &link, packet),
        _ => {}
    }
}
