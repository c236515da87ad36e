//! More than one master.

use crate::story::*;
use keepfast_common::event::EventKind::*;
use keepfast_common::event::Party;

#[test]
fn adverts_that_cross_are_not_two_masters() {
    // The old master's last advert, sent before it heard the new one's.
    check(
        &[
            Hears(0, A),
            Hears(1_000 * MS, HIGH),
            Hears(1_001 * MS, A),
            Hears(2_000 * MS, HIGH),
        ],
        &[(0, MasterAppeared, 0, 1), (1_000 * MS, MasterChanged, 1, 3)],
    );
    // Two that become master at the same moment, in both orders.
    for (first, second) in [(A, B), (B, A)] {
        let told = run(&[
            Hears(0, first),
            Hears(MS, second),
            Hears(1_000 * MS, B),
            Hears(2_000 * MS, B),
        ])
        .told;
        assert!(
            told.iter().all(|told| told.1 != MultipleMasters),
            "{told:?}"
        );
    }
    // Within two milliseconds of the master's advert nobody can have given way.
    let crossing = |again| {
        [
            Hears(0, HIGH),
            Hears(500 * MS, LOW),
            Hears(1_000 * MS, HIGH),
            Hears(again, LOW),
        ]
    };
    let appeared = (0, MasterAppeared, 0, 3);
    check(&crossing(1_002 * MS), &[appeared]);
    check(
        &crossing(1_002 * MS + 1),
        &[appeared, (1_002 * MS + 1, MultipleMasters, 3, 4)],
    );
}

/// HIGH and LOW both advertise until 1.5 s.
const CONTEST: [Step; 4] = [
    Hears(0, HIGH),
    Hears(500 * MS, LOW),
    Hears(1_000 * MS, HIGH),
    Hears(1_500 * MS, LOW),
];
const CONTESTED: [Told; 2] = [
    (0, MasterAppeared, 0, 3),
    (1_500 * MS, MultipleMasters, 3, 4),
];

#[track_caller]
fn check_contest(steps: &[Step], expected: &[Told]) {
    check(
        &[&CONTEST, steps].concat(),
        &[&CONTESTED, expected].concat(),
    );
}

#[test]
fn several_masters_are_told_once() {
    check_contest(
        &[
            Hears(2_000 * MS, HIGH),
            Hears(2_500 * MS, LOW),
            Hears(3_000 * MS, HIGH),
        ],
        &[],
    );
}

#[test]
fn the_contest_ends_when_the_rival_falls_silent() {
    let masters = [2, 3, 4, 5, 6].map(|second| Hears(second * 1_000 * MS, HIGH));
    check_contest(&masters, &[(5_304_687_500, SingleMaster, 3, 4)]);
}

#[test]
fn the_contest_ends_when_the_rival_resigns() {
    check_contest(
        &[Hears(1_600 * MS, resigned(LOW)), Hears(2_000 * MS, HIGH)],
        &[(1_600 * MS, SingleMaster, 3, 4)],
    );
}

#[test]
fn the_contest_ends_when_the_master_resigns() {
    check_contest(
        &[Hears(1_600 * MS, resigned(HIGH)), Hears(2_500 * MS, LOW)],
        &[
            (1_600 * MS, MasterResigned, 3, 3),
            (1_600 * MS, SingleMaster, 3, 3),
            (2_500 * MS, MasterAppeared, 3, 4),
        ],
    );
}

#[test]
fn the_contest_ends_when_the_master_falls_silent() {
    check_contest(
        &[
            Hears(2_500 * MS, LOW),
            Hears(3_500 * MS, LOW),
            Hears(4_500 * MS, LOW),
        ],
        &[
            (2_250 * MS, AdvertLate, 3, 0),
            (2_500 * MS, MasterChanged, 3, 4),
            (4_414_062_500, SingleMaster, 4, 3),
        ],
    );
}

#[test]
fn a_rival_that_never_insisted_is_forgotten_in_silence() {
    let masters = [1, 2, 3, 4, 5].map(|second| Hears(second * 1_000 * MS, HIGH));
    let steps = [&[Hears(0, HIGH), Hears(MS, LOW)], &masters[..]].concat();
    let story = run(&steps);
    assert_eq!(story.told, [(0, MasterAppeared, 0, 3)]);
    assert_eq!(story.router.rival, Party::NOBODY);
}
