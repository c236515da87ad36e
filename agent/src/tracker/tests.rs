use keepfast_common::counter::Counter;
use keepfast_common::event::{Event, EventKind};
use keepfast_common::maps::AddressKey;
use keepfast_common::neighbour::{ROLE_GATEWAY, ROLE_VIRTUAL};
use keepfast_common::wire::{Reject, widen};

use super::{CAPACITY, LATEST_NS, Tracker};
use crate::frames::{Advert, Numbers, REPLY, REQUEST, arp, corpus};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// When a test begins, as a host's clock would have it.
const START: u64 = 1_000 * SECOND;

/// A frame and when it comes: milliseconds after the start, sent by this host?
struct Seen(u64, bool, Vec<u8>);

fn received(at_ms: u64, advert: Advert) -> Seen {
    Seen(at_ms, false, advert.frame())
}

fn sent(at_ms: u64, advert: Advert) -> Seen {
    Seen(at_ms, true, advert.frame())
}

fn run(tracker: &mut Tracker, frames: &[Seen], until_ms: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for Seen(at_ms, local, frame) in frames {
        tracker.frame(START + at_ms * MS, 0, 2, frame, *local, &mut events);
    }
    tracker.advance(START + until_ms * MS, &mut events);
    events
}

/// Runs `frames` until the given time; expects these kinds, each at this many
/// microseconds after the start.
fn check(frames: &[Seen], until_ms: u64, expected: &[(u64, EventKind)]) {
    let events = run(&mut Tracker::new(), frames, until_ms);
    let found: Vec<_> = events
        .iter()
        .map(|event| {
            (
                (event.time_ns - START) / 1_000,
                EventKind::from_number(event.kind).unwrap(),
            )
        })
        .collect();
    assert_eq!(found, expected);
    for (index, event) in events.iter().enumerate() {
        assert_eq!((event.sequence, event.cpu), (index as u64 + 1, 0));
        assert!(
            event.due_ns == 0 || event.due_ns == event.time_ns,
            "{event:?}"
        );
    }
}

fn key(host: u8) -> AddressKey {
    AddressKey {
        netns: 0,
        ifindex: 2,
        family: 4,
        address: widen([192, 0, 2, host]),
    }
}

#[test]
fn timers_fire_at_their_deadlines() {
    check(
        &[
            received(0, Advert::default()),
            received(1_000, Advert::default()),
            received(
                9_000,
                Advert {
                    host: 2,
                    ..Advert::default()
                },
            ),
        ],
        9_000,
        &[
            (0, EventKind::MasterAppeared),
            (2_250_000, EventKind::AdvertLate),
            (4_609_375, EventKind::MasterDown),
            (9_000_000, EventKind::MasterAppeared),
        ],
    );
}

#[test]
fn no_timer_fires_before_its_time() {
    check(
        &[received(0, Advert::default())],
        1_249,
        &[(0, EventKind::MasterAppeared)],
    );
    check(
        &[received(0, Advert::default())],
        1_250,
        &[
            (0, EventKind::MasterAppeared),
            (1_250_000, EventKind::AdvertLate),
        ],
    );
}

#[test]
fn deadlines_of_several_routers_pass_in_their_order() {
    let other = Advert {
        vrid: 7,
        interval_cs: 10,
        ..Advert::default()
    };
    check(
        &[received(0, Advert::default()), received(1_100, other)],
        1_500,
        &[
            (0, EventKind::MasterAppeared),
            (1_100_000, EventKind::MasterAppeared),
            (1_225_000, EventKind::AdvertLate),
            (1_250_000, EventKind::AdvertLate),
            (1_460_937, EventKind::MasterDown),
        ],
    );
}

#[test]
fn a_shorter_interval_arms_the_timer_anew() {
    check(
        &[
            received(0, Advert::default()),
            received(
                100,
                Advert {
                    interval_cs: 10,
                    ..Advert::default()
                },
            ),
        ],
        230,
        &[
            (0, EventKind::MasterAppeared),
            (225_000, EventKind::AdvertLate),
        ],
    );
}

#[test]
fn a_resignation_is_followed_by_this_host() {
    check(
        &[
            received(0, Advert::default()),
            received(
                500,
                Advert {
                    priority: 0,
                    ..Advert::default()
                },
            ),
            sent(
                900,
                Advert {
                    host: 2,
                    priority: 90,
                    ..Advert::default()
                },
            ),
        ],
        1_900,
        &[
            (0, EventKind::MasterAppeared),
            (500_000, EventKind::MasterResigned),
            (900_000, EventKind::LocalMaster),
        ],
    );
}

#[test]
fn nobody_follows_a_resignation() {
    check(
        &[
            received(0, Advert::default()),
            received(
                500,
                Advert {
                    priority: 0,
                    ..Advert::default()
                },
            ),
        ],
        5_000,
        &[
            (0, EventKind::MasterAppeared),
            (500_000, EventKind::MasterResigned),
            (1_500_000, EventKind::MasterDown),
        ],
    );
}

#[test]
fn this_hosts_own_silence_has_names_of_its_own() {
    check(
        &[sent(0, Advert::default()), sent(2_000, Advert::default())],
        2_500,
        &[
            (0, EventKind::LocalMaster),
            (1_250_000, EventKind::LocalStalled),
            (2_000_000, EventKind::LocalResumed),
        ],
    );
}

#[test]
fn rejects_are_told_once_a_second_for_each_reason() {
    let ttl = Advert {
        ttl: 64,
        ..Advert::default()
    };
    let vrid = Advert {
        vrid: 0,
        ..Advert::default()
    };
    let frames = [0, 300, 999, 1_000, 1_400]
        .map(|at_ms| received(at_ms, ttl.clone()))
        .into_iter();
    let frames: Vec<_> = frames.chain([received(1_401, vrid)]).collect();
    let mut tracker = Tracker::new();
    let events = run(&mut tracker, &frames, 2_000);
    let found: Vec<_> = events
        .iter()
        .map(|event| ((event.time_ns - START) / MS, event.reason))
        .collect();
    let (hop_limit, no_vrid) = (Reject::HopLimit as u8, Reject::Vrid as u8);
    assert_eq!(
        found,
        [(0, hop_limit), (1_000, hop_limit), (1_401, no_vrid)]
    );
    assert_eq!(tracker.counted(Counter::RejectHopLimit), 5);
    assert_eq!(tracker.counted(Counter::RejectVrid), 1);
    assert_eq!(tracker.counted(Counter::AdvertReceived), 0);
    assert_eq!(events[0].new.address, widen([192, 0, 2, 1]));
}

#[test]
fn listed_addresses_are_watched_until_they_are_listed_no_longer() {
    let mut tracker = Tracker::new();
    run(
        &mut tracker,
        &[received(
            0,
            Advert {
                addresses: &[100, 101],
                ..Advert::default()
            },
        )],
        0,
    );
    let watched: Vec<_> = tracker
        .watched()
        .map(|(key, watched)| (*key, watched.vrid))
        .collect();
    assert_eq!(watched, [(key(100), 51), (key(101), 51)]);

    assert!(tracker.watch_gateway(key(100)));
    run(
        &mut tracker,
        &[received(
            1_000,
            Advert {
                addresses: &[102],
                ..Advert::default()
            },
        )],
        1_000,
    );
    let watched: Vec<_> = tracker
        .watched()
        .map(|(key, watched)| (*key, watched.roles))
        .collect();
    assert_eq!(
        watched,
        [(key(100), ROLE_GATEWAY), (key(102), ROLE_VIRTUAL)]
    );

    // Announcements with a VLAN tag are not tracked.
    let tagged = Advert {
        vlan: Some(10),
        vrid: 9,
        addresses: &[200],
        ..Advert::default()
    };
    run(&mut tracker, &[received(1_500, tagged)], 1_500);
    assert_eq!(tracker.watched().count(), 2);
}

#[test]
fn a_virtual_address_belongs_to_the_master() {
    let claimed = |mac| Seen(100, false, arp(REQUEST, mac, 100, 100));
    check(
        &[received(0, Advert::default()), claimed(1)],
        200,
        &[(0, EventKind::MasterAppeared)],
    );
    check(
        &[received(0, Advert::default()), claimed(9), claimed(9)],
        200,
        &[
            (0, EventKind::MasterAppeared),
            (100_000, EventKind::AddressClaimed),
        ],
    );
}

#[test]
fn a_gateway_that_does_not_answer_is_silent_after_a_second() {
    let mut tracker = Tracker::new();
    assert!(tracker.watch_gateway(key(254)));
    let events = run(
        &mut tracker,
        &[
            Seen(0, true, arp(REQUEST, 1, 1, 254)),
            Seen(1, false, arp(REPLY, 0xfe, 254, 1)),
            Seen(5_000, true, arp(REQUEST, 1, 1, 254)),
            Seen(5_500, true, arp(REQUEST, 1, 1, 254)),
            Seen(9_000, false, arp(REPLY, 0xfd, 254, 1)),
        ],
        10_000,
    );
    let found: Vec<_> = events
        .iter()
        .map(|event| ((event.time_ns - START) / MS, event.kind))
        .collect();
    let (seen, silent) = (EventKind::GatewaySeen as u8, EventKind::GatewaySilent as u8);
    assert_eq!(found, [(1, seen), (6_000, silent), (9_000, seen)]);
    assert_eq!(
        tracker.holding(&key(254)).unwrap().mac,
        [0x52, 0x54, 0, 0, 0, 0xfd]
    );
    assert_eq!(tracker.counted(Counter::NeighbourSent), 3);
}

#[test]
fn time_does_not_run_backwards() {
    let other = Advert {
        vrid: 7,
        ..Advert::default()
    };
    check(
        &[received(900, Advert::default()), received(100, other)],
        1_000,
        &[
            (900_000, EventKind::MasterAppeared),
            (900_000, EventKind::MasterAppeared),
        ],
    );
}

#[test]
fn interfaces_and_vlans_are_apart() {
    let mut tracker = Tracker::new();
    let mut events = Vec::new();
    let tagged = Advert {
        vlan: Some(10),
        ..Advert::default()
    };
    for (netns, ifindex, advert) in [
        (0, 2, &Advert::default()),
        (0, 3, &Advert::default()),
        (7, 2, &Advert::default()),
        (0, 2, &tagged),
    ] {
        tracker.frame(START, netns, ifindex, &advert.frame(), false, &mut events);
    }
    let places: Vec<_> = events
        .iter()
        .map(|event| (event.netns, event.ifindex, event.vlan))
        .collect();
    assert_eq!(places, [(0, 2, 0), (0, 3, 0), (7, 2, 0), (0, 2, 10)]);
}

#[test]
fn a_full_map_is_counted() {
    let mut tracker = Tracker::new();
    let mut events = Vec::new();
    let frame = Advert::default().frame();
    for ifindex in 0..CAPACITY as u32 + 10 {
        tracker.frame(START, 0, ifindex, &frame, false, &mut events);
        events.clear();
    }
    assert_eq!(tracker.routers().count(), CAPACITY);
    // The map of counters is full by then, too.
    assert_eq!(tracker.counted(Counter::AdvertReceived), CAPACITY as u64);
    tracker.advance(START + 60 * SECOND, &mut events);
    assert_eq!(events.len(), 2 * CAPACITY);
}

#[test]
fn no_frame_and_no_time_panics() {
    let names = [
        "vrrp-v2-ah",
        "vrrp-v3",
        "vrrp-v6",
        "arp-request",
        "nd-solicitation",
    ];
    let mut frames: Vec<Vec<u8>> = names.into_iter().filter_map(corpus).collect();
    frames.push(Advert::default().frame());
    let mut numbers = Numbers(1);
    let mut tracker = Tracker::new();
    let mut events = Vec::new();
    let mut now = 0;
    for round in 0..20_000_u64 {
        let mut frame = frames[numbers.below(frames.len())].clone();
        for _ in 0..numbers.below(4) {
            let at = numbers.below(frame.len());
            frame[at] = numbers.below(256) as u8;
        }
        frame.truncate(frame.len() - numbers.below(3) * numbers.below(10));
        now += numbers.below(3_000_000_000) as u64;
        let local = round % 3 == 0;
        let ifindex = numbers.below(3) as u32;
        tracker.frame(now, 0, ifindex, &frame, local, &mut events);
    }
    tracker.frame(u64::MAX, 0, 1, &frames[0], true, &mut events);
    tracker.advance(u64::MAX, &mut events);
    assert!(
        events
            .iter()
            .all(|event| event.time_ns != 0 && event.time_ns <= LATEST_NS)
    );
    assert!(events.is_sorted_by_key(|event| event.time_ns));
}
