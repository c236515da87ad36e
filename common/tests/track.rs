//! Who is master, told by stories: adverts at given times, and what must be reported when.
//!
//! Timers fire at the very nanosecond of their deadline, and every deadline is tried one
//! nanosecond early first: nothing may happen then.

use keepfast_common::event::EventKind::*;
use keepfast_common::event::Party;
use keepfast_common::time::interval_ns;
use keepfast_common::track::GAP_BUCKETS;
use story::*;

#[path = "track/story.rs"]
mod story;

#[path = "track/contest.rs"]
mod contest;

#[path = "track/own.rs"]
mod own;

#[test]
fn a_master_appears_and_goes_on() {
    check(
        &[Hears(0, A), Hears(1_000 * MS, A), Hears(2_000 * MS, A)],
        &[(0, MasterAppeared, 0, 1)],
    );
}

#[test]
fn a_master_that_is_down_may_come_back() {
    check(
        &[Hears(0, A), Hears(9_000 * MS, A)],
        &[
            (0, MasterAppeared, 0, 1),
            (1_250 * MS, AdvertLate, 1, 0),
            (3_609_375_000, MasterDown, 1, 0),
            (9_000 * MS, MasterAppeared, 1, 1),
        ],
    );
}

#[test]
fn another_may_follow_a_master_that_is_down() {
    check(
        &[Hears(0, HIGH), Hears(3_700 * MS, A)],
        &[
            (0, MasterAppeared, 0, 3),
            (1_250 * MS, AdvertLate, 3, 0),
            (3_414_062_500, MasterDown, 3, 0),
            (3_700 * MS, MasterAppeared, 3, 1),
        ],
    );
}

#[test]
fn a_late_master_resumes() {
    check(
        &[
            Hears(0, A),
            Hears(1_250 * MS - 1, A),
            Hears(3_000 * MS, A),
            Until(4_000 * MS),
        ],
        &[
            (0, MasterAppeared, 0, 1),
            (2_500 * MS - 1, AdvertLate, 1, 0),
            (3_000 * MS, AdvertResumed, 1, 1),
        ],
    );
}

#[test]
fn a_change_of_priority_is_told_even_of_a_late_master() {
    check(
        &[Hears(0, A), Hears(1_000 * MS, with_priority(A, 90))],
        &[
            (0, MasterAppeared, 0, 1),
            (1_000 * MS, PriorityChanged, 1, 1),
        ],
    );
    check(
        &[Hears(0, A), Hears(1_300 * MS, with_priority(A, 90))],
        &[
            (0, MasterAppeared, 0, 1),
            (1_250 * MS, AdvertLate, 1, 0),
            (1_300 * MS, PriorityChanged, 1, 1),
            (1_300 * MS, AdvertResumed, 1, 1),
        ],
    );
}

#[test]
fn a_resignation_is_told_and_the_follower_appears() {
    check(
        &[
            Hears(0, A),
            Hears(500 * MS, resigned(A)),
            Hears(900 * MS, LOW),
        ],
        &[
            (0, MasterAppeared, 0, 1),
            (500 * MS, MasterResigned, 1, 1),
            (900 * MS, MasterAppeared, 1, 4),
        ],
    );
    check(
        &[Hears(0, A), Hears(1_300 * MS, resigned(A))],
        &[
            (0, MasterAppeared, 0, 1),
            (1_250 * MS, AdvertLate, 1, 0),
            (1_300 * MS, MasterResigned, 1, 1),
        ],
    );
}

#[test]
fn after_a_resignation_without_follower_the_master_is_down_within_an_interval() {
    check(
        &[Hears(0, A), Hears(500 * MS, resigned(A)), Until(9_000 * MS)],
        &[
            (0, MasterAppeared, 0, 1),
            (500 * MS, MasterResigned, 1, 1),
            (1_500 * MS, MasterDown, 1, 0),
        ],
    );
}

#[test]
fn only_a_master_resigns() {
    check(&[Hears(0, resigned(A)), Until(9_000 * MS)], &[]);
    check(
        &[
            Hears(0, A),
            Hears(100 * MS, resigned(LOW)),
            Hears(500 * MS, resigned(A)),
            Hears(600 * MS, resigned(A)),
        ],
        &[(0, MasterAppeared, 0, 1), (500 * MS, MasterResigned, 1, 1)],
    );
}

#[test]
fn a_higher_rank_takes_over_at_once() {
    for (first, second) in [(A, HIGH), (A, B), (LOW, A)] {
        let (old, new) = (first.address[3], second.address[3]);
        check(
            &[Hears(0, first), Hears(500 * MS, second)],
            &[
                (0, MasterAppeared, 0, old),
                (500 * MS, MasterChanged, old, new),
            ],
        );
    }
    check(
        &[Hears(0, A), Hears(1_300 * MS, HIGH)],
        &[
            (0, MasterAppeared, 0, 1),
            (1_250 * MS, AdvertLate, 1, 0),
            (1_300 * MS, MasterChanged, 1, 3),
        ],
    );
}

#[test]
fn a_lower_rank_takes_over_from_a_late_master() {
    check(
        &[Hears(0, B), Hears(1_300 * MS, A)],
        &[
            (0, MasterAppeared, 0, 2),
            (1_250 * MS, AdvertLate, 2, 0),
            (1_300 * MS, MasterChanged, 2, 1),
        ],
    );
}

#[test]
fn a_lower_rank_takes_over_when_it_insists_and_the_master_is_overdue() {
    let appeared = (0, MasterAppeared, 0, 3);
    check(
        &[Hears(0, HIGH), Hears(900 * MS, LOW), Hears(1_000 * MS, LOW)],
        &[appeared],
    );
    check(
        &[
            Hears(0, HIGH),
            Hears(900 * MS, LOW),
            Hears(1_000 * MS + 1, LOW),
        ],
        &[appeared, (1_000 * MS + 1, MasterChanged, 3, 4)],
    );
}

#[test]
fn who_advertised_last_inherits_from_a_master_that_fell_silent() {
    let told = run(&[Hears(0, HIGH), Hears(500 * MS, LOW), Until(9_000 * MS)]).told;
    assert_eq!(told[2], (3_414_062_500, MasterChanged, 3, 4));
    let told: Vec<_> = told.iter().map(|told| (told.0, told.1)).collect();
    assert_eq!(
        told,
        [
            (0, MasterAppeared),
            (1_250 * MS, AdvertLate),
            (3_414_062_500, MasterChanged),
            (3_414_062_500, AdvertLate),
            (500 * MS + 3_804_687_500, MasterDown),
        ]
    );
}

#[test]
fn deadlines_follow_version_and_interval() {
    for (version, interval_cs, priority, late, down) in [
        (2, 100, 100, 1_250 * MS, 3_609_375_000),
        // The skew of version 2 is in seconds whatever the interval.
        (2, 200, 50, 2_500 * MS, 6_804_687_500),
        (3, 200, 50, 2_500 * MS, 7_609_375_000),
        (3, 1, 100, 12_500_000, 36_093_750),
        (3, 1, 254, 12_500_000, 30_078_125),
        (3, 100, 255, 1_250 * MS, 3_003_906_250),
        (3, 4_095, 1, 51_187_500_000, 163_640_039_062),
    ] {
        let master = Party {
            version,
            interval_cs,
            priority,
            ..A
        };
        check(
            &[Hears(0, master), Until(200_000 * MS)],
            &[
                (0, MasterAppeared, 0, 1),
                (late, AdvertLate, 1, 0),
                (down, MasterDown, 1, 0),
            ],
        );
    }
}

#[test]
fn gaps_are_counted_by_their_length() {
    let fast = Party {
        interval_cs: 1,
        ..A
    };
    let times = [0, 1_024_000, 2_048_000, 12_048_000, 22_048_000];
    let story = run(&times.map(|at| Hears(at, fast)));
    let mut expected = [0; GAP_BUCKETS];
    (expected[1], expected[4]) = (2, 2);
    assert_eq!(story.router.gaps, expected);
    assert_eq!(story.router.gap_max_ns, interval_ns(1));
    // Longer than the last limit, and longer than the down time.
    let story = run(&[Hears(0, fast), Hears(60_000 * MS, fast)]);
    assert_eq!(story.router.gaps[GAP_BUCKETS - 1], 1);
    assert_eq!(story.router.gap_max_ns, 60_000 * MS);
}
