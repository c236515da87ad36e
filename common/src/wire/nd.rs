//! IPv6 neighbour discovery (RFC 4861): solicitations, advertisements, router
//! advertisements.
//!
//! The ICMPv6 checksum is left to the receiving kernel: nothing here changes
//! what that kernel does with the frame.

use super::ethernet::Link;
use super::{Frame, IPV6, Mac, Neighbour, Packet, Reject, Subject};

const V6_HEADER: usize = 40;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// The S flag of a neighbour advertisement.
const SOLICITED: u8 = 0x40;
/// Option types, RFC 4861 section 4.6.1.
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;

/// What the ICMPv6 message of the packet at `link.payload` says.
#[inline(never)]
pub(super) fn classify<F: Frame + ?Sized>(frame: &F, link: &Link, packet: &mut Packet) {
    let Some([kind, code, _, _]) = frame.read::<4>(link.payload + V6_HEADER) else {
        return;
    };
    if !matches!(kind, ROUTER_ADVERTISEMENT | SOLICITATION | ADVERTISEMENT) {
        return;
    }
    packet.subject = Subject::Neighbour;
    packet.reject = match read(frame, link, kind, code, &mut packet.neighbour) {
        Ok(()) => Reject::Nothing,
        Err(reject) => reject,
    };
}

#[inline(always)]
fn read<F: Frame + ?Sized>(
    frame: &F,
    link: &Link,
    kind: u8,
    code: u8,
    neighbour: &mut Neighbour,
) -> Result<(), Reject> {
    let icmp = link.payload + V6_HEADER;
    let [_, _, _, hop_limit] = frame.read::<4>(link.payload + 4).ok_or(Reject::Neighbour)?;
    if hop_limit != 255 {
        return Err(Reject::NeighbourHopLimit);
    }
    if code != 0 {
        return Err(Reject::Neighbour);
    }
    neighbour.family = IPV6;
    neighbour.holder = frame
        .read::<16>(link.payload + 8)
        .ok_or(Reject::Neighbour)?;
    neighbour.mac = link.source;
    neighbour.asked = [0; 16];
    neighbour.unsolicited = false;
    neighbour.vlan = link.vlan;
    if kind == ROUTER_ADVERTISEMENT {
        // A router that speaks is alive; its options do not matter for that.
        return Ok(());
    }
    let target = frame.read::<16>(icmp + 8).ok_or(Reject::Neighbour)?;
    let option = if kind == SOLICITATION {
        neighbour.asked = target;
        SOURCE_LINK_LAYER
    } else {
        let [flags, _, _, _] = frame.read::<4>(icmp + 4).ok_or(Reject::Neighbour)?;
        neighbour.holder = target;
        neighbour.unsolicited = flags & SOLICITED == 0;
        TARGET_LINK_LAYER
    };
    if let Some(mac) = link_layer_option(frame, icmp + 24, option) {
        neighbour.mac = mac;
    }
    Ok(())
}

/// The link-layer address option, where it comes first, as everybody sends it.
#[inline(always)]
fn link_layer_option<F: Frame + ?Sized>(frame: &F, at: usize, kind: u8) -> Option<Mac> {
    match frame.read::<8>(at)? {
        [found, 1, a, b, c, d, e, f] if found == kind => Some([a, b, c, d, e, f]),
        _ => None,
    }
}
