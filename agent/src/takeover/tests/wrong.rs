//! An old master that lives.

use super::super::fixture::{MS, SECOND, TOLD, other, policy, silence};
use super::super::*;
use super::Story;

#[test]
fn an_old_master_that_is_heard_gives_way_in_time() {
    let mut story = Story::holding(policy(3));
    let first = story.now;
    // This one crossed the own advert.
    let heard_ns = first + 5 * MS;
    story.does(Event::OldMasterHeard { heard_ns }, &[]);
    story.now = first + 9 * MS;
    let heard_ns = first + 8 * MS;
    story.does(
        Event::OldMasterHeard { heard_ns },
        &[
            "takeover_wrong: the old master lives, as seen 8 ms after the takeover; no takeover for 10 s",
            "announce",
            "tell 1",
        ],
    );
    assert_eq!(story.takeover.backs_off_until(), story.now + 10 * SECOND);
    // This one crossed keepalived's answer.
    let heard_ns = first + 13 * MS;
    story.does(Event::OldMasterHeard { heard_ns }, &[]);
    story.facts.role = Role::Master;
    story.does(
        Event::Followed {
            by_old_master: true,
        },
        &["announce"],
    );
    for delay in [10, 100, 1_000] {
        story.due(first + (9 + delay) * MS, &["announce"]);
    }
    story.due(
        first + 3_600 * MS,
        &["raise 0", "takeover_settled: the old master has given way"],
    );
}

#[test]
fn an_old_master_that_follows_at_once_was_alive() {
    for (by_old_master, after, wrong) in [
        (true, 50 * MS, true),
        (true, 51 * MS, false),
        (false, 5 * MS, false),
    ] {
        let mut story = Story::holding(policy(3));
        story.facts.role = Role::Master;
        story.now += after;
        let mut expected = vec!["takeover_wrong", "announce", "announce"];
        // One is due by then.
        expected.drain(usize::from(after > 10 * MS) + 2..);
        expected.drain(..usize::from(!wrong));
        story.does(Event::Followed { by_old_master }, &expected);
        let back_off = story.takeover.backs_off_until();
        assert_eq!(back_off, if wrong { story.now + 10 * SECOND } else { 0 });
        story.is("holding");
    }
}

#[test]
fn a_primary_announces_its_addresses_to_who_may_have_been_one() {
    let follows = Event::Followed {
        by_old_master: false,
    };
    Story::primary(policy(3)).does(follows, &["announce"]);
    Story::new(policy(3)).does(follows, &[]);
    let shadow = Policy {
        mode: Mode::Shadow,
        ..policy(3)
    };
    Story::primary(shadow).does(follows, &[]);
}

/// Heard a first time and a second time.
fn is_contradicted(story: &mut Story, expected: &[&str]) {
    let first: &[_] = &["takeover_wrong", "announce", "tell 1"];
    for expected in [first, expected] {
        story.now += 6 * MS;
        let heard_ns = story.now;
        story.does(Event::OldMasterHeard { heard_ns }, expected);
    }
    story.is("idle");
    assert_eq!(story.takeover.deadline(), None);
}

#[test]
fn an_old_master_that_insists_gets_its_role_back() {
    let mut story = Story::holding(policy(3));
    let yields = "takeover_yields: the old master does not give way, so this host does, 12 ms";
    is_contradicted(&mut story, &[yields, "raise 0", "yield 1"]);
}

#[test]
fn an_old_master_that_was_silent_in_between_does_not_insist() {
    let mut story = Story::holding(policy(3));
    for (later, expected) in [
        (6 * MS, &["takeover_wrong", "announce", "tell 1"][..]),
        (2_000 * MS, &["announce", "tell 1"]),
    ] {
        story.now += later;
        let heard_ns = story.now;
        story.does(Event::OldMasterHeard { heard_ns }, expected);
        story.is("holding");
    }
}

#[test]
fn leased_addresses_go_when_the_old_master_insists() {
    let mut story = Story::new(policy(2));
    story.does(
        Event::Silent,
        &["raise 254", "lease", "inject", "takeover_begins"],
    );
    story.takes_over(&["keep lease", "announce", "tell 1", "took_over"]);
    let expected = ["takeover_yields", "raise 0", "yield 1", "unlease"];
    is_contradicted(&mut story, &expected);
}

#[test]
fn each_wrong_takeover_doubles_the_back_off() {
    let mut story = Story::new(policy(3));
    for seconds in [10, 20, 40, 80] {
        story.now = story.takeover.backs_off_until().max(TOLD);
        story.facts = silence();
        story.facts.session.first_unanswered_ns = story.now - 3 * MS;
        story.facts.master = Some(other(1, story.now - 300 * MS));
        story.does(Event::Silent, &["raise 254", "inject", "takeover_begins"]);
        story.takes_over(&["announce", "tell 1", "took_over"]);
        story.now += 6 * MS;
        story.does(
            Event::OldMasterHeard {
                heard_ns: story.now,
            },
            &["takeover_wrong", "announce", "tell 1"],
        );
        assert_eq!(
            story.takeover.backs_off_until(),
            story.now + seconds * SECOND
        );
        story.becomes_backup_of(1);
        story.does(Event::MasterChanged, &["takeover_lost", "raise 0"]);
    }
}

#[test]
fn a_role_that_is_lost_at_once_was_taken_wrongly() {
    for (after, to, note, back_off) in [
        (50 * MS, 1, "takeover_wrong", 10 * SECOND),
        // Its next advert.
        (1_050 * MS, 1, "takeover_wrong", 10 * SECOND),
        (1_051 * MS, 1, "takeover_lost", 0),
        (50 * MS, 3, "takeover_lost", 0),
    ] {
        let mut story = Story::holding(policy(3));
        story.now += 10 * MS;
        story.does(Event::Tick, &["announce"]);
        let since = story.now - 10 * MS;
        if after > 1_000 * MS {
            for later in [100 * MS, 1_000 * MS] {
                story.now = since + later;
                story.does(Event::Tick, &["announce"]);
            }
        }
        story.now = since + after;
        story.becomes_backup_of(to);
        story.does(Event::MasterChanged, &[note, "raise 0"]);
        let expected = if back_off == 0 {
            0
        } else {
            story.now + back_off
        };
        assert_eq!(story.takeover.backs_off_until(), expected);
        assert_eq!(story.takeover.deadline(), None);
    }
}
