//! The frames of address resolution: ARP (RFC 826) and neighbour discovery
//! (RFC 4861), built and read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The Ethernet type of ARP.
pub(super) const ARP: u16 = 0x0806;
/// The Ethernet type of IPv6.
pub(super) const IPV6: u16 = 0x86dd;

/// What every ARP message begins with here: Ethernet and IPv4, six bytes and four.
const ARP_HEADER: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_REQUEST: u8 = 1;
const ARP_REPLY: u8 = 2;

const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// What every message of neighbour discovery comes with: no router passed it on.
const HOP_LIMIT: u8 = 255;
/// The flags of an advertisement.
const ROUTER: u8 = 0x80;
const OVERRIDE: u8 = 0x20;
/// The option with the hardware address of the source, and of the target.
const SOURCE_OPTION: u8 = 1;
const TARGET_OPTION: u8 = 2;

/// Asks who has `target`, as `sender`, who has `mac`. With `sender` unspecified
/// nobody learns anything from the question (RFC 5227 section 2.1.1); with `sender`
/// the same as `target` that is its whole purpose (section 2.3).
pub(super) fn arp_request(mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet([0xff; 6], mac, ARP);
    frame.extend(ARP_HEADER);
    frame.extend([0, ARP_REQUEST]);
    frame.extend(mac);
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// Asks who has `target`, as `source`, who has `mac`. Never as nobody: that is how a
/// host asks before it takes an address, and who is about to take the same one gives
/// it up then (RFC 4862 section 5.4.3).
pub(super) fn solicitation(mac: [u8; 6], source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let [.., x, y, z] = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z]);
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend([SOURCE_OPTION, 1]);
    message.extend(mac);
    multicast(mac, source, group, message)
}

/// The link-local address that belongs to `mac` (RFC 4291 appendix A).
pub(super) fn link_local([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    let identifier = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(u64::from_be_bytes(identifier)))
}

/// Tells all nodes that `address` is at `mac`, whatever they thought (RFC 4861
/// section 7.2.6). An address can speak for itself where it is held.
pub(super) fn advertisement(mac: [u8; 6], address: Ipv6Addr, router: bool) -> Vec<u8> {
    let flags = OVERRIDE | if router { ROUTER } else { 0 };
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    message.extend(address.octets());
    message.extend([TARGET_OPTION, 1]);
    message.extend(mac);
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    multicast(mac, address, all_nodes, message)
}

/// Whether `frame` is the answer of who has `address`.
pub(super) fn is_answer(frame: &[u8], address: IpAddr) -> bool {
    let is = |at: usize, bytes: &[u8]| frame.get(at..).is_some_and(|rest| rest.starts_with(bytes));
    match address {
        IpAddr::V4(address) => {
            is(12, &ARP.to_be_bytes())
                && is(14, &ARP_HEADER)
                && is(20, &[0, ARP_REPLY])
                && is(28, &address.octets())
        }
        IpAddr::V6(address) => {
            is(12, &IPV6.to_be_bytes())
                && is(20, &[ICMPV6, HOP_LIMIT])
                && is(54, &[ADVERTISEMENT, 0])
                && is(62, &address.octets())
        }
    }
}

pub(super) fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend(from);
    frame.extend(kind.to_be_bytes());
    frame
}

/// An ICMPv6 message to `group`; its checksum is filled in here.
fn multicast(mac: [u8; 6], source: Ipv6Addr, group: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(source, group, &message).to_be_bytes();
    message.splice(2..4, sum);
    let [.., w, x, y, z] = group.octets();
    let mut frame = ethernet([0x33, 0x33, w, x, y, z], mac, IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend((message.len() as u16).to_be_bytes());
    frame.extend([ICMPV6, HOP_LIMIT]);
    frame.extend(source.octets());
    frame.extend(group.octets());
    frame.extend(message);
    frame
}

/// The checksum of an ICMPv6 message of even length (RFC 4443 section 2.3).
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let words = source.segments().into_iter().chain(destination.segments());
    let words = words.chain([message.len() as u16, u16::from(ICMPV6)]);
    let (pairs, _) = message.as_chunks();
    let words = words.chain(pairs.iter().map(|pair| u16::from_be_bytes(*pair)));
    let sum = words.fold(0, |sum: u32, word| sum + u32::from(word));
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0x4b, 0x46, 0, 0, 1];

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let pairs = digits.chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn an_arp_request_is_as_rfc_826_says() {
        let frame = arp_request(
            MAC,
            Ipv4Addr::new(192, 0, 2, 1),
            Ipv4Addr::new(192, 0, 2, 9),
        );
        let expected = hex("ffffffffffff 024b46000001 0806 0001 0800 06 04 0001
             024b46000001 c0000201 000000000000 c0000209");
        assert_eq!(frame, expected);
    }

    #[test]
    fn an_advertisement_is_as_rfc_4861_says() {
        let address = "fe80::1".parse().unwrap();
        for (router, flags, sum) in [(true, "a0", "914f"), (false, "20", "1150")] {
            let expected = hex(&format!(
                "333300000001 024b46000001 86dd 60000000 0020 3a ff
                 fe800000000000000000000000000001 ff020000000000000000000000000001
                 88 00 {sum} {flags}000000 fe800000000000000000000000000001 0201 024b46000001"
            ));
            assert_eq!(advertisement(MAC, address, router), expected);
        }
    }

    #[test]
    fn a_solicitation_is_as_rfc_4861_says() {
        let source = link_local(MAC);
        assert_eq!(source.to_string(), "fe80::4b:46ff:fe00:1");
        let frame = solicitation(MAC, source, "2001:db8::a:b0c".parse().unwrap());
        let expected = hex("3333ff0a0b0c 024b46000001 86dd 60000000 0020 3a ff
             fe80000000000000004b46fffe000001 ff0200000000000000000001ff0a0b0c
             87 00 a9a0 00000000 20010db80000000000000000000a0b0c 0101 024b46000001");
        assert_eq!(frame, expected);
    }

    #[test]
    fn only_the_answer_of_the_one_asked_is_one() {
        let (v4, other): (Ipv4Addr, IpAddr) =
            (Ipv4Addr::new(192, 0, 2, 1), "192.0.2.2".parse().unwrap());
        let mut reply = arp_request(MAC, v4, v4);
        assert!(!is_answer(&reply, v4.into()), "a request");
        reply[21] = ARP_REPLY;
        assert!(is_answer(&reply, v4.into()));
        assert!(!is_answer(&reply, other));
        let v6: Ipv6Addr = "fe80::1".parse().unwrap();
        let told = advertisement(MAC, v6, true);
        assert!(is_answer(&told, v6.into()));
        assert!(!is_answer(&told, "fe80::2".parse().unwrap()));
        let mut routed = told.clone();
        routed[21] = 254;
        assert!(!is_answer(&routed, v6.into()), "from another link");
        for (frame, address) in [(reply, v4.into()), (told, IpAddr::from(v6))] {
            for length in 0..32 {
                assert!(!is_answer(&frame[..length], address), "{length} bytes");
            }
        }
    }
}
