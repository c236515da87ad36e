//! A takeover under way: whether keepalived follows, and what is done when it does not.

use keepfast_common::event::Party;

use super::super::fixture::{LOSS, MS, SECOND, TOLD, other, policy};
use super::super::*;
use super::Story;

#[test]
fn a_backup_of_version_3_takes_over_and_lets_go() {
    let mut story = Story::new(Policy {
        witness: true,
        ..policy(3)
    });
    story.now = LOSS + MS;
    story.facts.session.phase = Phase::Suspect;
    story.does(Event::Suspect, &["solicit 1", "ask"]);
    story.is("suspecting");
    story.does(Event::Suspect, &[]);
    story.now = LOSS + 2 * MS;
    story.facts.witness_ns = story.now;
    story.does(Event::Tick, &[]);
    story.now = TOLD;
    story.facts.session.phase = Phase::Silent;
    story.does(
        Event::Silent,
        &[
            "raise 254",
            "inject ZeroInterval 1",
            "takeover_begins: 3 ms after the first unanswered probe",
        ],
    );
    story.is("taking over");
    story.now = TOLD + MS;
    story.takes_over(&[
        "announce",
        "tell 1",
        "took_over: 4 ms after the first unanswered probe, 1 ms after the verdict",
    ]);
    story.is("holding");
    story.due(TOLD + 11 * MS, &["announce"]);
    story.due(TOLD + 101 * MS, &["announce"]);
    story.due(TOLD + 1_001 * MS, &["announce"]);
    story.due(TOLD + 3_601 * MS, &["raise 0", "takeover_settled"]);
    story.is("idle");
    assert_eq!(story.takeover.deadline(), None);
}

#[test]
fn a_backup_of_version_2_leases_the_addresses() {
    let mut story = Story::new(policy(2));
    story.does(
        Event::Silent,
        &[
            "raise 254",
            "lease",
            "inject PriorityZero 1",
            "takeover_begins",
        ],
    );
    story.now += 9 * MS;
    story.takes_over(&["keep lease", "announce", "tell 1", "took_over"]);
}

#[test]
fn without_a_raised_priority_version_2_leases_nothing_and_waits_for_the_skew() {
    let mut story = Story::new(Policy {
        raise: false,
        ..policy(2)
    });
    story.does(Event::Silent, &["inject PriorityZero 1", "takeover_begins"]);
    story.due(TOLD + 650 * MS, &["takeover_failed"]);
    story.is("idle");
}

#[test]
fn where_keepalived_does_not_follow_the_other_way_is_tried_three_times() {
    let mut story = Story::new(policy(3));
    story.does(
        Event::Silent,
        &["raise 254", "inject Zero", "takeover_begins"],
    );
    for tries in 1..4 {
        story.due(
            TOLD + tries * 50 * MS,
            &["takeover_tries_again", "inject ShortThenZero 1"],
        );
    }
    story.due(
        TOLD + 200 * MS,
        &[
            "takeover_failed: keepalived did not become master in time; no takeover for 10 s",
            "raise 0",
        ],
    );
    // The next silence waits for the end of the back-off.
    let told = TOLD + 8 * SECOND;
    story.now = told;
    story.facts.session.first_unanswered_ns = told - 3 * MS;
    story.facts.master = Some(other(1, told - 300 * MS));
    story.does(
        Event::Silent,
        &["takeover_waits: a takeover was wrong", "solicit 1"],
    );
    story.next(&["solicit 1"]);
    story.facts.role = Role::Other;
    story.does(
        Event::Tick,
        &["takeover_not_now: this host's keepalived is not backup"],
    );
}

/// keepalived may read the raised priority after the advert, and then waits for longer.
#[test]
fn of_version_2_it_is_told_again_if_its_priority_is_raised() {
    let mut story = Story::new(policy(2));
    story.does(
        Event::Silent,
        &[
            "raise 254",
            "lease",
            "inject PriorityZero",
            "takeover_begins",
        ],
    );
    story.due(
        TOLD + 20 * MS,
        &["takeover_tries_again", "inject PriorityZero 1"],
    );
    story.takes_over(&["keep lease", "announce", "tell 1", "took_over"]);
}

#[test]
fn the_other_way_is_not_tried_against_a_master_that_is_heard() {
    let mut story = Story::new(policy(3));
    story.does(Event::Silent, &["raise 254", "inject", "takeover_begins"]);
    let heard_ns = TOLD + 20 * MS;
    story.does(Event::OldMasterHeard { heard_ns }, &[]);
    story.due(TOLD + 50 * MS, &["takeover_failed", "raise 0"]);
}

#[test]
fn yet_another_primary_is_left_to_keepalived() {
    // Not raised any longer, it gives way as it would have without a takeover.
    let mut story = Story::holding(policy(3));
    let first = story.now;
    let heard_ns = first + 5 * MS;
    story.does(Event::AnotherHeard { heard_ns }, &[]);
    story.is("holding");
    story.now = first + 6 * MS;
    let heard_ns = story.now;
    story.does(Event::AnotherHeard { heard_ns }, &["raise 0"]);
    story.is("idle");
    assert_eq!(story.takeover.backs_off_until(), 0, "nothing was wrong");
}

#[test]
fn a_lost_report_of_the_own_advert_is_no_failure() {
    let mut story = Story::new(policy(3));
    story.does(Event::Silent, &["raise 254", "inject", "takeover_begins"]);
    story.becomes_master();
    story.due(TOLD + 50 * MS, &["announce", "tell 1", "took_over"]);
}

#[test]
fn own_adverts_count_even_where_the_dead_master_outranks_them() {
    // This host was master a short while ago and took over again: the tracker takes it
    // for the old master's rival.
    for (local, heard, expected) in [
        (1, TOLD + MS, &["announce", "tell 1", "took_over"][..]),
        (
            1,
            TOLD - MS,
            &["takeover_tries_again", "inject ShortThenZero 1"],
        ),
    ] {
        let mut story = Story::new(policy(3));
        story.does(Event::Silent, &["raise 254", "inject", "takeover_begins"]);
        story.facts.rival = Some(Party {
            local,
            ..other(2, heard)
        });
        story.due(TOLD + 50 * MS, expected);
    }
}
