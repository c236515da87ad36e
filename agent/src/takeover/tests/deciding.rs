//! Whether a backup takes over: what it asks, and what it waits for.

use super::super::fixture::{LOSS, MS, SECOND, TOLD, other, policy};
use super::super::*;
use super::Story;

#[test]
fn one_that_has_missed_an_advert_is_not_asked() {
    // It may be backup by now, and the question sets the timer of its keepalived anew.
    for (age, asked) in [(1_999 * MS, true), (2_000 * MS, false)] {
        let mut story = Story::new(policy(3));
        story.facts.session.phase = Phase::Suspect;
        story.facts.master = Some(other(1, story.now - age));
        let expected: &[&str] = if asked { &["solicit 1"] } else { &[] };
        story.does(Event::Suspect, expected);
        story.is("suspecting");
    }
}

#[test]
fn a_suspicion_asks_again_and_ends_with_an_answer() {
    let mut story = Story::new(policy(3));
    story.facts.session.phase = Phase::Suspect;
    story.does(Event::Suspect, &["solicit 1"]);
    story.due(TOLD + 5 * MS, &["solicit 1"]);
    story.facts.session.phase = Phase::Up;
    story.does(Event::Back, &[]);
    story.is("idle");
    assert_eq!(story.takeover.deadline(), None);
}

#[test]
fn a_suspicion_that_comes_to_nothing_ends_by_itself() {
    let mut story = Story::new(Policy {
        solicit: false,
        ..policy(3)
    });
    story.facts.session.phase = Phase::Suspect;
    story.does(Event::Suspect, &[]);
    while let Some(deadline) = story.takeover.deadline() {
        assert!(deadline <= TOLD + 3_600 * MS);
        story.now = deadline;
        story.does(Event::Tick, &[]);
    }
    assert_eq!(story.now, TOLD + 3_600 * MS);
}

#[test]
fn a_solicited_advert_is_a_veto() {
    let mut story = Story::new(policy(3));
    story.facts.session.phase = Phase::Suspect;
    story.does(Event::Suspect, &["solicit 1"]);
    story.facts.master = Some(other(1, LOSS + 2 * MS));
    story.facts.session.phase = Phase::Silent;
    story.does(
        Event::Silent,
        &["takeover_not_now: the master has advertised since"],
    );
    assert_eq!(story.takeover.deadline(), None);
}

#[test]
fn a_witness_is_asked_until_keepalived_s_own_time_comes() {
    let armed = Policy {
        witness: true,
        solicit: false,
        solicit_interval_ns: SECOND,
        ..policy(3)
    };
    let mut story = Story::new(armed);
    story.does(Event::Silent, &["takeover_waits: no witness", "ask"]);
    // Told once, whatever happens meanwhile, and decided every millisecond.
    story.does(Event::Silent, &[]);
    story.due(TOLD + MS, &[]);
    for _ in 0..3 {
        story.next(&["ask"]);
    }
    story.next(&["takeover_not_now: keepalived's own time has come"]);
    assert_eq!(story.now, LOSS + 3_300 * MS);
    story.is("idle");

    let mut story = Story::new(armed);
    story.does(Event::Silent, &["takeover_waits", "ask"]);
    story.now += MS / 2;
    story.facts.witness_ns = story.now;
    story.does(Event::Tick, &["raise 254", "inject", "takeover_begins"]);
}

#[test]
fn answers_end_a_wait() {
    let mut story = Story::new(policy(3));
    story.facts.rank = 1;
    story.does(
        Event::Silent,
        &["takeover_waits: a better-ranked", "solicit 1"],
    );
    // On another interface of the host.
    story.does(Event::Back, &[]);
    story.is("deciding");
    story.facts.session.phase = Phase::Learning;
    story.does(
        Event::Back,
        &["takeover_not_now: the master's host answers"],
    );
    story.is("idle");
}

#[test]
fn what_another_session_tells_needs_an_own_probe_in_vain() {
    let mut story = Story::new(policy(3));
    story.facts.session.own_unanswered_ns = Some(0);
    let words = "takeover_waits: the master's host does not answer on another interface";
    story.does(Event::Silent, &[words, "ask peer", "solicit 1"]);
    story.now += MS / 2;
    story.facts.session.own_unanswered_ns = Some(story.now);
    story.due(TOLD + MS, &[]);
    story.due(
        TOLD + MS / 2 + MS,
        &["raise 254", "inject", "takeover_begins"],
    );
}

#[test]
fn a_better_ranked_backup_comes_first() {
    let mut story = Story::new(policy(3));
    story.facts.rank = 1;
    story.does(Event::Silent, &["takeover_waits", "solicit 1"]);
    story.now += 2 * MS;
    story.becomes_backup_of(3);
    story.does(Event::MasterChanged, &["takeover_not_now: another router"]);
    story.is("idle");
}

#[test]
fn where_the_better_ranked_backup_fails_the_next_one_follows() {
    let mut story = Story::new(policy(3));
    story.facts.rank = 1;
    story.does(Event::Silent, &["takeover_waits", "solicit 1"]);
    story.due(TOLD + 5 * MS, &["raise 254", "inject", "takeover_begins"]);
}

#[test]
fn where_another_backup_was_faster_a_takeover_is_given_up() {
    let mut story = Story::new(policy(2));
    story.does(
        Event::Silent,
        &["raise 254", "lease", "inject", "takeover_begins"],
    );
    story.becomes_backup_of(3);
    story.does(
        Event::MasterChanged,
        &["takeover_not_now: another router", "unlease", "raise 0"],
    );
    assert_eq!(story.takeover.backs_off_until(), 0);
}

#[test]
fn another_backup_counts_even_where_the_dead_master_outranks_it() {
    let mut story = Story::new(policy(3));
    story.facts.rank = 1;
    story.facts.rival = Some(other(2, LOSS - 300 * MS));
    story.does(
        Event::Silent,
        &["takeover_waits: a better-ranked", "solicit 1"],
    );
    story.now += 4 * MS;
    story.facts.rival = Some(other(2, LOSS - 299 * MS));
    story.does(Event::Tick, &["takeover_not_now: another router is master"]);

    let mut story = Story::new(policy(3));
    story.does(Event::Silent, &["raise 254", "inject", "takeover_begins"]);
    story.facts.rival = Some(other(2, TOLD + MS));
    let expected = ["takeover_not_now: another router is master", "raise 0"];
    story.due(TOLD + 50 * MS, &expected);
}
