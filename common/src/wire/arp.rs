//! ARP for IPv4 over Ethernet (RFC 826), gratuitous ARP (RFC 5227).

use super::ethernet::Link;
use super::{Frame, IPV4, Neighbour, Packet, Reject, Subject, widen};

const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// What the ARP message at `link.payload` says.
#[inline(never)]
pub(super) fn classify<F: Frame + ?Sized>(frame: &F, link: &Link, packet: &mut Packet) {
    packet.subject = Subject::Neighbour;
    packet.reject = Reject::Neighbour;
    // One after the other: of the pieces of a tuple the compiler would move those
    // that are not there, which the verifier refuses.
    let Some(head) = frame.read::<8>(link.payload) else {
        return;
    };
    let Some(sender) = frame.read::<10>(link.payload + 8) else {
        return;
    };
    let Some(target) = frame.read::<10>(link.payload + 18) else {
        return;
    };
    // Ethernet, IPv4, with addresses of 6 and 4 bytes.
    let [0, 1, 0x08, 0x00, 6, 4, operation_high, operation_low] = head else {
        return;
    };
    let operation = u16::from_be_bytes([operation_high, operation_low]);
    if operation != REQUEST && operation != REPLY {
        packet.subject = Subject::Other;
        return;
    }
    let [m0, m1, m2, m3, m4, m5, s0, s1, s2, s3] = sender;
    let [_, _, _, _, _, _, t0, t1, t2, t3] = target;
    let holder = widen([s0, s1, s2, s3]);
    let asked = widen([t0, t1, t2, t3]);
    let unsolicited = holder == asked;
    packet.reject = Reject::Nothing;
    packet.neighbour = Neighbour {
        family: IPV4,
        holder,
        mac: [m0, m1, m2, m3, m4, m5],
        asked: if operation == REQUEST && !unsolicited {
            asked
        } else {
            [0; 16]
        },
        unsolicited,
        vlan: link.vlan,
    };
}
