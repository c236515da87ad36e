use super::*;
use crate::wire::classify;

const SOURCE: [u8; 4] = [10, 99, 0, 1];

fn widened(address: [u8; 4]) -> Address {
    crate::wire::widen(address)
}

fn policy() -> Policy {
    let mut policy = Policy {
        mode: MODE_ENFORCE,
        version: 3,
        own: widened([10, 99, 0, 2]),
        peer_count: 1,
        held_count: 1,
        ..Policy::OFF
    };
    policy.peers[0] = widened(SOURCE);
    policy.held[0] = widened([10, 99, 0, 100]);
    policy
}

fn packet() -> Packet {
    let frame = include_bytes!("../../corpus/vrrp-v3.bin");
    let mut packet = Packet::UNREAD;
    classify(&frame[..], &mut packet);
    packet
}

fn with(change: impl FnOnce(&mut Packet)) -> Packet {
    let mut packet = packet();
    change(&mut packet);
    packet
}

#[test]
fn what_the_table_says() {
    let cases = [
        (packet(), Offence::Nothing),
        (with(|it| it.advert.priority = 0), Offence::Nothing),
        (with(|it| it.reject = Reject::HopLimit), Offence::HopLimit),
        (with(|it| it.reject = Reject::Version), Offence::Version),
        (with(|it| it.advert.version = 2), Offence::Version),
        (with(|it| it.reject = Reject::Checksum), Offence::Malformed),
        (with(|it| it.reject = Reject::Type), Offence::Malformed),
        (with(|it| it.reject = Reject::Interval), Offence::Malformed),
        (
            with(|it| it.reject = Reject::AddressCount),
            Offence::Malformed,
        ),
        (with(|it| it.reject = Reject::Truncated), Offence::Malformed),
        (
            with(|it| it.advert.marks |= MARK_PASSWORD),
            Offence::Authentication,
        ),
        (
            with(|it| it.advert.marks |= MARK_AH),
            Offence::Authentication,
        ),
        (
            with(|it| it.advert.source = widened([10, 99, 0, 2])),
            Offence::OwnAddress,
        ),
        (
            with(|it| it.advert.source = widened([10, 99, 0, 3])),
            Offence::Peer,
        ),
        // IPv4 addresses are padded with zeros; all of it counts.
        (with(|it| it.advert.source[15] = 1), Offence::Peer),
        (with(|it| it.advert.priority = 255), Offence::Owner),
        (with(|it| it.advert.priority = 254), Offence::Nothing),
    ];
    for (packet, offence) in cases {
        assert_eq!(judge(&packet, &policy()), offence, "{packet:?}");
    }
}

#[test]
fn a_declared_owner_may_have_its_priority() {
    let advert = with(|it| it.advert.priority = 255);
    let mut policy = policy();
    policy.held[1] = widened(SOURCE);
    assert_eq!(judge(&advert, &policy), Offence::Owner);
    policy.held_count = 2;
    assert_eq!(judge(&advert, &policy), Offence::Nothing);
}

#[test]
fn without_a_list_anybody_may_be_a_peer() {
    let mut policy = policy();
    policy.peer_count = 0;
    let anybody = with(|it| it.advert.source = widened([192, 0, 2, 9]));
    assert_eq!(judge(&anybody, &policy), Offence::Nothing);
    assert!(!policy.is_stranger(&widened([192, 0, 2, 9])));
    // Nobody's address is no peer that somebody may claim to be.
    policy.peer_count = 1;
    let nobody = with(|it| it.advert.source = [0; 16]);
    assert_eq!(judge(&nobody, &policy), Offence::Peer);
    policy.own = [0; 16];
    assert_eq!(judge(&nobody, &policy), Offence::Peer);
}

#[test]
fn the_last_peer_of_a_full_list_counts() {
    let mut policy = policy();
    for (number, peer) in (0..).zip(&mut policy.peers) {
        *peer = widened([10, 99, 1, number]);
    }
    policy.peer_count = KEPT as u8;
    let last = with(|it| it.advert.source = widened([10, 99, 1, KEPT as u8 - 1]));
    assert_eq!(judge(&last, &policy), Offence::Nothing);
    assert_eq!(judge(&packet(), &policy), Offence::Peer);
}

#[test]
fn a_tally_tells_what_was_dropped_from_what_was_only_counted() {
    let mut tally = Tally::NONE;
    let advert = packet().advert;
    tally.note(&advert, Offence::Nothing, true, 5);
    assert_eq!((tally.dropped[0], tally.last_ns), (1, 0));
    tally.note(&advert, Offence::Nothing, false, 6);
    tally.note(&advert, Offence::Peer, true, 7);
    tally.note(&advert, Offence::Owner, false, 8);
    let mut sum = Tally::NONE;
    sum.add(&tally);
    sum.add(&tally);
    assert_eq!(sum.dropped, [4, 0, 0, 0, 0, 0, 2, 0]);
    assert_eq!(sum.observed, [0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(
        (sum.last_ns, sum.last_offence),
        (8, Offence::Owner as u8),
        "{sum:?}"
    );
    assert_eq!(sum.last_source, advert.source);
}

#[test]
fn numbers_and_names_are_each_ones_own() {
    for (at, offence) in Offence::ALL.into_iter().enumerate() {
        assert_eq!(offence as usize, at + 1);
        assert_eq!(Offence::from_number(offence as u8), Some(offence));
        let others = Offence::ALL.into_iter().filter(|it| *it != offence);
        assert!(others.map(Offence::name).all(|name| name != offence.name()));
    }
    assert_eq!(Offence::from_number(0), None);
}
