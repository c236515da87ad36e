//! Ethernet II with up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use super::{Frame, Mac};

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;

const HEADER: usize = 14;
const TAG: usize = 4;
/// The VLAN identifier's twelve bits in a tag's control information.
const VLAN_ID: u16 = 0x0fff;

/// VLAN identifiers of a frame, outermost first; zero where there is no tag (or
/// a priority tag, which names no VLAN).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vlan {
    /// The outer tag's identifier.
    pub outer: u16,
    /// The inner tag's identifier.
    pub inner: u16,
}

/// A frame's link layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Source address.
    pub source: Mac,
    /// The tags, those that the device took out first.
    pub vlan: Vlan,
    /// EtherType of the payload, host byte order.
    pub ethertype: u16,
    /// Where the payload begins.
    pub payload: usize,
}

/// The link layer of `frame`; `None` where the frame ends within it.
///
/// A third tag is not looked through: its EtherType is nobody's payload.
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F) -> Option<Link> {
    let header = frame.read::<HEADER>(0)?;
    let [_, _, _, _, _, _, a, b, c, d, e, f, high, low] = header;
    let mut link = Link {
        source: [a, b, c, d, e, f],
        vlan: Vlan { outer: 0, inner: 0 },
        ethertype: u16::from_be_bytes([high, low]),
        payload: HEADER,
    };
    if link.ethertype == IPV4 && frame.stripped_tag().is_none() {
        return Some(link);
    }
    let mut tags = 0;
    if let Some(control) = frame.stripped_tag() {
        link.vlan.outer = control & VLAN_ID;
        tags = 1;
    }
    if is_tag(link.ethertype) {
        take_tag(frame, &mut link, tags)?;
        tags += 1;
    }
    if tags < 2 && is_tag(link.ethertype) {
        take_tag(frame, &mut link, tags)?;
    }
    Some(link)
}

#[inline(always)]
const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8)
}

#[inline(always)]
fn take_tag<F: Frame + ?Sized>(frame: &F, link: &mut Link, tags: u8) -> Option<()> {
    let [control_high, control_low, high, low] = frame.read::<TAG>(link.payload)?;
    let id = u16::from_be_bytes([control_high, control_low]) & VLAN_ID;
    if tags == 0 {
        link.vlan.outer = id;
    } else {
        link.vlan.inner = id;
    }
    link.ethertype = u16::from_be_bytes([high, low]);
    link.payload += TAG;
    Some(())
}
