//! IPv4 with options and fragments, IPv6 with the extension headers that may
//! hide an advert, and the authentication header (RFC 4302) of VRRPv2.

use super::ethernet::Link;
use super::vrrp::{self, Carrier};
use super::{Frame, IPV4, IPV6, Packet, Reject, Subject, nd, probe, widen};

const VRRP: u8 = 112;
const UDP: u8 = 17;
const AUTHENTICATION: u8 = 51;
const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// An IPv4 header without options, in bytes.
const V4_HEADER: usize = 20;
/// The IPv6 header, in bytes.
const V6_HEADER: usize = 40;

/// What the IPv4 packet at `link.payload` is.
#[inline(always)]
pub(super) fn classify_v4<F: Frame + ?Sized>(frame: &F, link: &Link, packet: &mut Packet) {
    // Nearly every packet is let go here, with one byte read.
    match frame.read::<1>(link.payload + 9) {
        Some([VRRP]) => v4_advert(frame, link, false, packet),
        Some([AUTHENTICATION]) => v4_advert(frame, link, true, packet),
        Some([UDP]) => udp(frame, link, packet),
        _ => {}
    }
}

/// Nearly every datagram is let go here, with its ports read.
#[inline(always)]
fn udp<F: Frame + ?Sized>(frame: &F, link: &Link, packet: &mut Packet) {
    if frame.read::<2>(link.payload + V4_HEADER + 2) == Some(probe::PORT.to_be_bytes()) {
        probe::classify(frame, link, packet);
    }
}

/// An advert, or (`wrapped`) something behind an authentication header, which is
/// nobody's business unless it turns out to be an advert.
#[inline(never)]
fn v4_advert<F: Frame + ?Sized>(frame: &F, link: &Link, wrapped: bool, packet: &mut Packet) {
    let at = link.payload;
    packet.advert.begin(IPV4, link);
    if !wrapped {
        packet.subject = Subject::Advert;
    }
    let Some(header) = frame.read::<V4_HEADER>(at) else {
        packet.reject = Reject::Truncated;
        return;
    };
    let [
        version_ihl,
        _,
        length_high,
        length_low,
        _,
        _,
        fragment_high,
        fragment_low,
        ttl,
        _,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = header;
    packet.advert.source = widen([s0, s1, s2, s3]);
    let header_length = usize::from(version_ihl & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([length_high, length_low]));
    if version_ihl >> 4 != 4 || header_length < V4_HEADER || total < header_length {
        packet.reject = Reject::IpHeader;
        return;
    }
    // "More fragments", or an offset: only the first fragment has the header.
    if u16::from_be_bytes([fragment_high, fragment_low]) & 0x3fff != 0 {
        packet.reject = Reject::Fragment;
        return;
    }
    let mut carrier = Carrier {
        destination: widen([d0, d1, d2, d3]),
        hop_limit: ttl,
        at: at + header_length,
        length: total - header_length,
    };
    if wrapped {
        if !skip_authentication(frame, &mut carrier) {
            return;
        }
        packet.subject = Subject::Advert;
        packet.advert.marks |= vrrp::MARK_AH;
    }
    vrrp::classify(frame, &carrier, packet);
}

/// Steps over an authentication header; false where it does not lead to VRRP.
#[inline(always)]
fn skip_authentication<F: Frame + ?Sized>(frame: &F, carrier: &mut Carrier) -> bool {
    let Some([next, words]) = frame.read::<2>(carrier.at) else {
        return false;
    };
    // RFC 4302 section 2.2: in 32-bit words, minus 2.
    let length = (usize::from(words) + 2) * 4;
    if next != VRRP || carrier.length < length {
        return false;
    }
    carrier.at += length;
    carrier.length -= length;
    true
}

/// What the IPv6 packet at `link.payload` is.
#[inline(always)]
pub(super) fn classify_v6<F: Frame + ?Sized>(frame: &F, link: &Link, packet: &mut Packet) {
    let Some([next]) = frame.read::<1>(link.payload + 6) else {
        return;
    };
    match next {
        VRRP => v6_advert(frame, link, packet),
        ICMPV6 => nd::classify(frame, link, packet),
        HOP_BY_HOP | ROUTING | DESTINATION | FRAGMENT | AUTHENTICATION => {
            hidden(frame, link, next, packet);
        }
        _ => {}
    }
}

#[inline(never)]
fn v6_advert<F: Frame + ?Sized>(frame: &F, link: &Link, packet: &mut Packet) {
    let at = link.payload;
    packet.subject = Subject::Advert;
    packet.advert.begin(IPV6, link);
    // Until all of the header has been read.
    packet.reject = Reject::Truncated;
    let Some([length_high, length_low, _, hop_limit]) = frame.read::<4>(at + 4) else {
        return;
    };
    let Some(source) = frame.read::<16>(at + 8) else {
        return;
    };
    let Some(destination) = frame.read::<16>(at + 24) else {
        return;
    };
    packet.advert.source = source;
    let carrier = Carrier {
        destination,
        hop_limit,
        at: at + V6_HEADER,
        length: usize::from(u16::from_be_bytes([length_high, length_low])),
    };
    vrrp::classify(frame, &carrier, packet);
}

/// VRRP right behind one extension header is counted for what it is; longer
/// chains are nobody's adverts.
#[inline(never)]
fn hidden<F: Frame + ?Sized>(frame: &F, link: &Link, header: u8, packet: &mut Packet) {
    let at = link.payload;
    // The shortest extension header has eight bytes.
    let Some([VRRP, ..]) = frame.read::<8>(at + V6_HEADER) else {
        return;
    };
    packet.subject = Subject::Advert;
    packet.advert.begin(IPV6, link);
    if let Some(source) = frame.read::<16>(at + 8) {
        packet.advert.source = source;
    }
    packet.reject = if header == FRAGMENT {
        Reject::Fragment
    } else {
        Reject::ExtensionHeader
    };
}
