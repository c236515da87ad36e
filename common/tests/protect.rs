//! What is legitimate: every advert that a real router sent, and nothing else of what is
//! made of it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast_common::protect::{
    HEADER, KEPT, MODE_ENFORCE, Offence, PASSWORD, PLAIN, Policy, judge,
};
use keepfast_common::wire::vrrp::{MARK_AH, MARK_PASSWORD};
use keepfast_common::wire::{Packet, Reject, Subject, classify};
use std::fs;

/// The captured frames that are valid adverts, with their names.
fn adverts() -> Vec<(String, Vec<u8>, Packet)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let entries = fs::read_dir(folder).unwrap();
    let frames = entries.map(|entry| entry.unwrap().path());
    let frames = frames.filter(|path| path.extension().is_some_and(|it| it == "bin"));
    let frames = frames.map(|path| {
        let frame = fs::read(&path).unwrap();
        let packet = read(&frame);
        (path.display().to_string(), frame, packet)
    });
    let valid =
        |packet: &Packet| packet.subject == Subject::Advert && packet.reject == Reject::Nothing;
    let adverts: Vec<_> = frames.filter(|(_, _, packet)| valid(packet)).collect();
    assert!(adverts.len() >= 25, "{adverts:?}");
    adverts
}

fn read(frame: &[u8]) -> Packet {
    let mut packet = Packet::UNREAD;
    classify(frame, &mut packet);
    packet
}

/// What the operator of a captured router declares.
fn policy_of(packet: &Packet) -> Policy {
    let advert = &packet.advert;
    let mut policy = Policy {
        mode: MODE_ENFORCE,
        version: advert.version,
        authentication: match advert.marks & (MARK_AH | MARK_PASSWORD) {
            0 => PLAIN,
            MARK_PASSWORD => PASSWORD,
            _ => HEADER,
        },
        peer_count: KEPT as u8,
        ..Policy::OFF
    };
    policy.peers[KEPT - 1] = advert.source;
    policy.own[0] = 9;
    if advert.priority == 255 {
        policy.held[0] = advert.source;
        policy.held_count = 1;
    }
    policy
}

#[test]
fn every_variant_of_real_routers_may_pass() {
    for (name, _, packet) in adverts() {
        let policy = policy_of(&packet);
        assert_eq!(judge(&packet, &policy), Offence::Nothing, "{name}");
    }
}

#[test]
fn what_another_router_sent_may_not() {
    let adverts = adverts();
    let [mut versions, mut authentications] = [0; 2];
    for (name, _, packet) in &adverts {
        for (other_name, _, other) in &adverts {
            let policy = policy_of(other);
            let marks = |it: &Packet| it.advert.marks & (MARK_AH | MARK_PASSWORD);
            let expected = if packet.advert.version != other.advert.version {
                versions += 1;
                Offence::Version
            } else if marks(packet) != marks(other) {
                authentications += 1;
                Offence::Authentication
            } else if packet.advert.source != other.advert.source {
                Offence::Peer
            } else if packet.advert.priority == 255 && policy.held_count == 0 {
                Offence::Owner
            } else {
                Offence::Nothing
            };
            let judged = judge(packet, &policy);
            assert_eq!(judged, expected, "{name} for the router of {other_name}");
        }
    }
    assert!(versions > 50 && authentications > 20);
}

/// The message is covered by its checksum, and the rest by what is judged: whatever is
/// changed of an advert is an offence, or no advert of this router, or makes no difference
/// to who says what.
#[test]
fn no_changed_bit_makes_another_advert_of_it() {
    let mut offences = [0_usize; 8];
    for (name, frame, packet) in adverts() {
        let policy = policy_of(&packet);
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let found = read(&changed);
            let same_router = found.subject == Subject::Advert
                && found.advert.vrid == packet.advert.vrid
                && found.advert.family == packet.advert.family;
            if !same_router {
                continue;
            }
            let offence = judge(&found, &policy);
            offences[offence as usize] += 1;
            let before = &packet.advert;
            let after = &found.advert;
            let says = |it: &keepfast_common::wire::Advert| {
                (
                    it.source,
                    it.priority,
                    it.version,
                    it.interval_cs,
                    it.addresses,
                )
            };
            assert!(
                offence != Offence::Nothing || says(before) == says(after),
                "{name} with bit {bit} changed: {found:?}"
            );
        }
    }
    for offence in [Offence::HopLimit, Offence::Version, Offence::Malformed] {
        assert!(offences[offence as usize] > 100, "{offence:?} {offences:?}");
    }
}
