//! Captured frames, whole, cut off and tagged; and frames made to be rejected.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast_common::wire::ethernet::Vlan;
use keepfast_common::wire::vrrp::{
    MARK_AH, MARK_GROUP_SUM, MARK_MESSAGE_SUM, MARK_PASSWORD, MARK_TRAILER, MARK_UNICAST,
    MARK_VIRTUAL_MAC,
};
use keepfast_common::wire::{
    Address, Advert, Frame, IPV4, Mac, Neighbour, Packet, Reject, Subject, classify,
};
use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

#[path = "corpus/table.rs"]
mod table;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");

fn captured(name: &str) -> Vec<u8> {
    fs::read(format!("{FOLDER}/{name}.bin")).unwrap()
}

fn read<F: Frame + ?Sized>(frame: &F) -> Packet {
    let mut packet = Packet::UNREAD;
    classify(frame, &mut packet);
    packet
}

/// The captured frames that are valid adverts.
fn adverts() -> impl Iterator<Item = (&'static str, Vec<u8>, Advert)> {
    table::TABLE.iter().filter_map(|(name, words)| {
        let frame = captured(name);
        let advert = read(&frame[..]).advert;
        words.starts_with('v').then_some((*name, frame, advert))
    })
}

fn address(family: u8, address: &[u8]) -> String {
    if family == IPV4 {
        let bytes: [u8; 4] = address[..4].try_into().unwrap();
        Ipv4Addr::from(bytes).to_string()
    } else {
        let bytes: Address = address[..16].try_into().unwrap();
        Ipv6Addr::from(bytes).to_string()
    }
}

fn mac(mac: &Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn width(advert: &Advert) -> usize {
    if advert.family == IPV4 { 4 } else { 16 }
}

/// What `packet`, of `frame`, says.
fn in_words(frame: &[u8], packet: &Packet) -> String {
    match (packet.subject, packet.reject) {
        (Subject::Other, _) => "other".into(),
        (Subject::Advert, Reject::Nothing) => advert_in_words(frame, &packet.advert),
        (Subject::Neighbour, Reject::Nothing) => neighbour_in_words(&packet.neighbour),
        (_, reject) => format!("{reject:?}"),
    }
}

fn advert_in_words(frame: &[u8], advert: &Advert) -> String {
    let Advert {
        version,
        vrid,
        priority,
        interval_cs,
        family,
        ..
    } = *advert;
    let listed: Vec<_> = frame[usize::from(advert.addresses_at)..]
        .chunks_exact(width(advert))
        .take(usize::from(advert.addresses))
        .map(|bytes| address(family, bytes))
        .collect();
    let listed = match &listed[..] {
        [only] => only.clone(),
        [first, .., last] => format!("{} from {first} to {last}", listed.len()),
        [] => "nothing".into(),
    };
    let marks = [
        (MARK_AH, "AH"),
        (MARK_PASSWORD, "password"),
        (MARK_UNICAST, "unicast"),
        (MARK_TRAILER, "trailer"),
        (MARK_VIRTUAL_MAC, "virtual MAC"),
        (MARK_MESSAGE_SUM, "message sum"),
        (MARK_GROUP_SUM, "group sum"),
    ];
    let marks: Vec<_> = marks
        .iter()
        .filter(|(mark, _)| advert.marks & mark != 0)
        .map(|(_, name)| *name)
        .collect();
    let marks = if marks.is_empty() {
        String::new()
    } else {
        format!(" [{}]", marks.join(","))
    };
    format!(
        "v{version} VRID {vrid} priority {priority} every {interval_cs} cs from {} at {} for {listed}{marks}",
        address(family, &advert.source),
        mac(&advert.mac)
    )
}

fn neighbour_in_words(neighbour: &Neighbour) -> String {
    let family = neighbour.family;
    let mut words = format!(
        "{} is at {}",
        address(family, &neighbour.holder),
        mac(&neighbour.mac)
    );
    if neighbour.asked != [0; 16] {
        words += &format!(", asks for {}", address(family, &neighbour.asked));
    }
    if neighbour.unsolicited {
        words += ", unasked";
    }
    words
}

#[test]
fn every_captured_frame_says_what_the_table_says() {
    let files: BTreeSet<_> = fs::read_dir(FOLDER)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".bin").map(str::to_owned)
        })
        .collect();
    let listed: BTreeSet<_> = table::TABLE
        .iter()
        .map(|(name, _)| name.to_string())
        .collect();
    assert_eq!(files, listed);
    for (name, expected) in table::TABLE {
        let frame = captured(name);
        assert_eq!(in_words(&frame, &read(&frame[..])), *expected, "{name}");
    }
}

#[test]
fn an_advert_that_is_cut_off_is_truncated_wherever_it_is_cut() {
    for (name, frame, _) in adverts() {
        let wrapped = name.contains("-ah");
        // Up to the byte that says VRRP there is nothing to see.
        let told_at = match (frame[12], wrapped) {
            (0x08, false) => 24,
            (0x08, true) => 36,
            _ => 21,
        };
        for length in 0..frame.len() {
            let packet = read(&frame[..length]);
            if length < told_at {
                assert_eq!(packet.subject, Subject::Other, "{name} cut to {length}");
            } else {
                let found = (packet.subject, packet.reject);
                let expected = (Subject::Advert, Reject::Truncated);
                assert_eq!(found, expected, "{name} cut to {length}");
            }
        }
    }
}

#[test]
fn a_neighbours_message_that_is_cut_off_claims_nothing_it_does_not_say() {
    for (name, words) in table::TABLE
        .iter()
        .filter(|(_, words)| words.contains("is at"))
    {
        let frame = captured(name);
        let whole = read(&frame[..]).neighbour;
        for length in 0..frame.len() {
            let packet = read(&frame[..length]);
            if packet.subject != Subject::Neighbour || packet.reject != Reject::Nothing {
                continue;
            }
            // Only the option with the link-layer address can be missing; then the frame's
            // own address counts, the same in all captured frames.
            let option = frame[12] == 0x86 && length >= 14 + 40 + 2;
            assert!(option, "{name} cut to {length}: {words}");
            assert_eq!(packet.neighbour, whole, "{name} cut to {length}");
        }
    }
}

/// `frame` with `tags` behind its addresses.
fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
    [&frame[..12], tags.as_flattened(), &frame[12..]].concat()
}

/// A frame out of which the device took a tag.
struct Stripped<'a>(&'a [u8], u16);

impl Frame for Stripped<'_> {
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.read(offset)
    }

    fn stripped_tag(&self) -> Option<u16> {
        Some(self.1)
    }
}

#[test]
fn tags_change_nothing_but_the_vlan() {
    // The upper four bits of the tag are priority and drop eligibility.
    let customer = [0x81, 0x00, 0xe0, 0x07];
    let service = [0x88, 0xa8, 0x31, 0x2c];
    let priority = [0x81, 0x00, 0xe0, 0x00];
    for (name, frame, advert) in adverts() {
        let check = |packet: Packet, outer, inner, in_frame: u16| {
            let expected = Advert {
                vlan: Vlan { outer, inner },
                addresses_at: advert.addresses_at + 4 * in_frame,
                ..advert
            };
            assert_eq!(packet.reject, Reject::Nothing, "{name}");
            assert_eq!(packet.advert, expected, "{name}");
        };
        let one = tagged(&frame, &[customer]);
        check(read(&one[..]), 7, 0, 1);
        check(read(&tagged(&frame, &[service, customer])[..]), 300, 7, 2);
        check(read(&tagged(&frame, &[priority])[..]), 0, 0, 1);
        check(read(&Stripped(&frame, 0xe007)), 7, 0, 0);
        check(read(&Stripped(&one, 300)), 300, 7, 1);
        let three = tagged(&frame, &[service, customer, customer]);
        assert_eq!(read(&three[..]).subject, Subject::Other, "{name}");
        let three = tagged(&frame, &[customer, customer]);
        assert_eq!(
            read(&Stripped(&three, 300)).subject,
            Subject::Other,
            "{name}"
        );
    }
    let arp = read(&tagged(&captured("arp-reply"), &[service, customer])[..]);
    assert_eq!(
        arp.neighbour.vlan,
        Vlan {
            outer: 300,
            inner: 7
        }
    );
}

/// A captured frame with some bytes changed.
fn changed(name: &str, bytes: &[(usize, u8)]) -> Vec<u8> {
    let mut frame = captured(name);
    for (at, byte) in bytes {
        frame[*at] = *byte;
    }
    frame
}

/// As `changed`, over IPv6 and with an extension header before the message.
fn extended(kind: u8) -> Vec<u8> {
    let frame = changed("vrrp-v6", &[(20, kind)]);
    [&frame[..54], &[112, 0, 0, 0, 0, 0, 0, 0], &frame[54..]].concat()
}

#[test]
fn every_reason_to_reject_has_a_frame_that_is_rejected_for_it() {
    let v3 = |bytes: &[(usize, u8)]| changed("vrrp-v3", bytes);
    let v6 = |bytes: &[(usize, u8)]| changed("vrrp-v6", bytes);
    let cases = [
        // A total length that leaves no room for the message, or for all addresses.
        (Reject::Truncated, v3(&[(17, 27)])),
        (Reject::Truncated, v3(&[(37, 2)])),
        (Reject::Truncated, v6(&[(57, 3)])),
        // What the link layer pads with is not part of the packet.
        (Reject::Truncated, [v3(&[(37, 2)]), vec![0; 14]].concat()),
        (Reject::Fragment, v3(&[(20, 0x20)])),
        (Reject::Fragment, v3(&[(21, 1)])),
        (Reject::Fragment, extended(44)),
        (Reject::ExtensionHeader, extended(0)),
        (Reject::ExtensionHeader, extended(43)),
        (Reject::ExtensionHeader, extended(51)),
        (Reject::ExtensionHeader, extended(60)),
        (Reject::IpHeader, v3(&[(14, 0x44)])),
        (Reject::IpHeader, v3(&[(14, 0x65)])),
        (Reject::IpHeader, v3(&[(17, 19)])),
        (Reject::HopLimit, v3(&[(22, 254)])),
        (Reject::HopLimit, v6(&[(21, 64)])),
        (Reject::Version, v3(&[(34, 0x41)])),
        (Reject::Version, v6(&[(54, 0x21)])),
        (Reject::Type, v3(&[(34, 0x32)])),
        (Reject::Vrid, v3(&[(35, 0)])),
        (Reject::AddressCount, v3(&[(37, 0)])),
        (Reject::Checksum, v3(&[(36, 99)])),
        (Reject::Checksum, v6(&[(36, 99)])),
        (Reject::Checksum, changed("vrrp-v2", &[(46, 1)])),
        // An interval of zero, with the checksum that is right then.
        (Reject::Interval, v3(&[(39, 0), (40, 0x75), (41, 0x3d)])),
        (Reject::Interval, changed("vrrp-v2", &[(39, 0), (41, 0x30)])),
        (Reject::Oversized, v3(&[(16, 0x05), (17, 0xdd)])),
        (Reject::Neighbour, changed("arp-reply", &[(15, 6)])),
        (Reject::Neighbour, captured("arp-reply")[..41].to_vec()),
        (Reject::Neighbour, changed("nd-solicitation", &[(55, 1)])),
        (
            Reject::Neighbour,
            captured("nd-solicitation")[..77].to_vec(),
        ),
        (
            Reject::NeighbourHopLimit,
            changed("nd-solicitation", &[(21, 254)]),
        ),
    ];
    for (index, (expected, frame)) in cases.iter().enumerate() {
        let packet = read(&frame[..]);
        assert_ne!(packet.subject, Subject::Other, "case {index}, {expected:?}");
        assert_eq!(packet.reject, *expected, "case {index}");
    }
    for reject in Reject::ALL {
        assert!(
            cases.iter().any(|case| case.0 == reject),
            "no frame for {reject:?}"
        );
    }
}

#[test]
fn what_other_routers_may_send_is_valid() {
    let trailer = |name, length: &[(usize, u8)]| [changed(name, length), vec![0xaa; 8]].concat();
    let mut options = captured("vrrp-v3");
    options.splice(34..34, [1, 1, 1, 0]);
    (options[14], options[17]) = (0x46, 36);
    for (frame, marks) in [
        // The message alone is summed, as RFC 9568 has it: its other words come to 0xa033.
        (
            changed("vrrp-v3", &[(40, 0x5f), (41, 0xcc)]),
            MARK_MESSAGE_SUM,
        ),
        // Unicast, and summed as if it went to the group.
        (
            changed("vrrp-v3-unicast", &[(40, 0x74), (41, 0xd9)]),
            MARK_UNICAST | MARK_GROUP_SUM,
        ),
        (trailer("vrrp-v3", &[(17, 40)]), MARK_TRAILER),
        (trailer("vrrp-v2", &[(17, 48)]), MARK_TRAILER),
        (options, 0),
        // From a router behind another one.
        (changed("vrrp-v3-unicast", &[(22, 63)]), MARK_UNICAST),
        // Padding of the link layer is no trailer.
        ([captured("vrrp-v3"), vec![0; 14]].concat(), 0),
    ] {
        let packet = read(&frame[..]);
        assert_eq!(
            (packet.subject, packet.reject),
            (Subject::Advert, Reject::Nothing),
            "{packet:?}"
        );
        assert_eq!(packet.advert.marks, marks, "{packet:?}");
        assert_eq!(packet.advert.vrid, 7);
    }
}

#[test]
fn a_list_of_addresses_lies_within_the_frame_whatever_its_count_says() {
    for (name, frame, advert) in adverts() {
        let count_at = usize::from(advert.addresses_at) - 5;
        for count in 0..=u8::MAX {
            let mut frame = frame.clone();
            frame[count_at] = count;
            let packet = read(&frame[..]);
            let end = usize::from(advert.addresses_at) + usize::from(count) * width(&advert);
            let fits = end <= frame.len();
            assert!(
                packet.reject != Reject::Nothing || fits,
                "{name} with {count} addresses"
            );
            assert!(
                fits || packet.reject == Reject::Truncated,
                "{name} with {count} addresses"
            );
        }
    }
}
