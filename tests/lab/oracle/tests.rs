//! Small stories with a number for each time.

use super::*;
use std::net::Ipv4Addr;

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// A version 3 advert of 1 s by 10.99.0.`host`.
fn advert(time_ns: u64, host: u8, priority: u8) -> Advert {
    Advert {
        time_ns,
        mac: [2, 0, 0, 0, 0, host],
        source: Ipv4Addr::new(10, 99, 0, host).into(),
        vrid: 7,
        priority,
        version: 3,
        interval: Duration::from_secs(1),
    }
}

fn told(adverts: &[Advert], until_ns: u64, own: &[u8]) -> Vec<(u64, Kind)> {
    let own = own
        .iter()
        .map(|&host| Ipv4Addr::new(10, 99, 0, host).into())
        .collect();
    let expected = Expected::derive(adverts, &Observer { own, until_ns }).unwrap();
    expected
        .of(false, 7)
        .iter()
        .map(|transition| (transition.time_ns, transition.kind))
        .collect()
}

#[test]
fn a_silent_master_is_late_and_then_down() {
    let seen = told(&[advert(SECOND, 1, 128)], 9 * SECOND, &[]);
    assert_eq!(
        seen,
        [
            (SECOND, Kind::MasterAppeared),
            (2250 * MS, Kind::AdvertLate),
            // 3 s and (256 - 128) / 256 of 1 s after the advert.
            (4500 * MS, Kind::MasterDown),
        ]
    );
}

#[test]
fn the_skew_is_that_of_the_own_router_once_it_is_known() {
    let adverts = [advert(SECOND, 2, 192), advert(2 * SECOND, 1, 255)];
    let seen = told(&adverts, 9 * SECOND, &[2]);
    assert_eq!(seen[0], (SECOND, Kind::LocalMaster));
    assert_eq!(seen[1], (2 * SECOND, Kind::MasterChanged));
    assert_eq!(seen[3], (5250 * MS, Kind::MasterDown));
}

#[test]
fn version_2_has_a_skew_of_seconds() {
    let slow = Advert {
        version: 2,
        interval: Duration::from_secs(2),
        ..advert(0, 1, 128)
    };
    let seen = told(&[slow], 9 * SECOND, &[]);
    assert_eq!(seen.last(), Some(&(6500 * MS, Kind::MasterDown)));
}

#[test]
fn a_resignation_is_followed_or_leaves_nobody() {
    let followed = [
        advert(0, 1, 100),
        advert(MS, 1, 0),
        advert(600 * MS, 2, 100),
    ];
    let kinds = told(&followed, 700 * MS, &[]);
    assert_eq!(
        kinds,
        [
            (0, Kind::MasterAppeared),
            (MS, Kind::MasterResigned),
            (600 * MS, Kind::MasterAppeared)
        ]
    );
    let left = told(&followed[..2], 2 * SECOND, &[]);
    assert_eq!(left.last(), Some(&(1001 * MS, Kind::MasterDown)));
}

#[test]
fn a_lower_ranked_router_is_a_second_master_only_if_it_insists() {
    let one = advert(0, 1, 150);
    let crossing = advert(10 * MS, 2, 100);
    let again = [
        one,
        crossing,
        advert(SECOND, 1, 150),
        advert(1010 * MS, 2, 100),
    ];
    assert_eq!(
        told(&again[..3], 1100 * MS, &[]),
        [(0, Kind::MasterAppeared)]
    );
    let seen = told(&again, 1100 * MS, &[]);
    assert_eq!(
        seen,
        [
            (0, Kind::MasterAppeared),
            (1010 * MS, Kind::MultipleMasters)
        ]
    );
    // The second falls silent: 3 s and 156/256 s after its last advert there is one again.
    let later: Vec<_> = again
        .into_iter()
        .chain((2..=8).map(|second| advert(second * SECOND, 1, 150)))
        .collect();
    let seen = told(&later, 8 * SECOND, &[]);
    assert_eq!(seen.last(), Some(&(4_619_375_000, Kind::SingleMaster)));
}

#[test]
fn an_advert_near_a_deadline_allows_two_histories() {
    let adverts = [advert(0, 1, 100), advert(1_250_500_000, 1, 100)];
    let observer = Observer {
        own: Vec::new(),
        until_ns: 2 * SECOND,
    };
    let expected = Expected::derive(&adverts, &observer).unwrap();
    let with = expected.of(false, 7).to_vec();
    let kinds: Vec<_> = with.iter().map(|transition| transition.kind).collect();
    assert_eq!(
        kinds,
        [Kind::MasterAppeared, Kind::AdvertLate, Kind::AdvertResumed]
    );
    let tolerance = Duration::from_millis(5);
    expected.check(&with, tolerance).unwrap();
    expected.check(&with[..1], tolerance).unwrap();
    // But half of the story is none of the two.
    expected.check(&with[..2], tolerance).unwrap_err();
}

#[test]
fn what_was_seen_decides_any_number_of_doubts() {
    let adverts: Vec<_> = (0..50)
        .map(|number| advert(number * 1_250_500_000, 1, 100))
        .collect();
    let observer = Observer {
        own: Vec::new(),
        until_ns: 50 * 1_250_500_000,
    };
    let expected = Expected::derive(&adverts, &observer).unwrap();
    let all = expected.of(false, 7);
    // The last deadline, and that no advert followed it, are as doubtful.
    assert_eq!(all.len(), 2 * 50);
    // Every third advert came in time after all.
    let mut seen: Vec<_> = all
        .iter()
        .enumerate()
        .filter(|(number, _)| number.div_ceil(2) % 3 != 1)
        .map(|(_, transition)| *transition)
        .collect();
    expected.check(&seen, Duration::from_millis(1)).unwrap();
    // But none of these can be late without being heard again.
    seen.remove(2);
    expected.check(&seen, Duration::from_millis(1)).unwrap_err();
}

#[test]
fn what_nobody_expected_is_an_error() {
    let observer = Observer::default();
    let expected = Expected::derive(&[], &observer).unwrap();
    let source = Ipv4Addr::new(10, 99, 0, 1).into();
    let kind = Kind::MasterAppeared;
    let observed = Transition {
        time_ns: 1,
        ipv6: false,
        vrid: 7,
        kind,
        router: source,
    };
    expected
        .check(&[observed], Duration::from_secs(1))
        .unwrap_err();
}
