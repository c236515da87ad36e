//! Masters that resign, and those that do not.

use super::super::fixture::{MS, TOLD, other, policy};
use super::super::*;
use super::Story;

#[test]
fn a_router_that_resigns_itself_was_not_wrong() {
    let mut story = Story::holding(policy(3));
    story.facts.role = Role::Other;
    story.does(Event::LocalResigned, &["takeover_lost", "raise 0"]);
    assert_eq!(story.takeover.backs_off_until(), 0);
}

#[test]
fn a_resignation_needs_no_silence_and_its_author_may_come_back() {
    let mut story = Story::new(Policy {
        witness: true,
        ..policy(3)
    });
    story.facts.session.phase = Phase::Up;
    story.facts.sign_of_life_ns = TOLD;
    story.facts.master = Some(other(1, TOLD - MS / 2));
    story.does(
        Event::Resigned {
            at_ns: TOLD - MS / 2,
        },
        &["takeover_waits: the master's host is asked", "ask peer"],
    );
    story.facts.session.answer = Answer {
        asked_ns: TOLD,
        is_master: false,
    };
    story.due(
        TOLD + MS / 4,
        &[
            "raise 254",
            "lease",
            "inject ZeroInterval 1",
            "takeover_begins: 750 us after the master's resignation",
        ],
    );
    story.takes_over(&["keep lease", "announce", "tell 1", "took_over"]);
    story.now += 9 * MS;
    story.does(
        Event::OldMasterHeard {
            heard_ns: story.now,
        },
        &["raise 0"],
    );
    story.is("idle");
    assert_eq!(story.takeover.backs_off_until(), 0);
}

#[test]
fn a_resignation_that_the_masters_host_denies_was_forged() {
    let mut story = Story::new(policy(3));
    story.facts.session.phase = Phase::Up;
    story.facts.master = Some(other(1, TOLD));
    let before = Answer {
        asked_ns: TOLD - MS / 2,
        is_master: true,
    };
    story.facts.session.answer = before;
    let forged = Event::Resigned { at_ns: TOLD };
    story.does(forged, &["takeover_waits", "ask peer"]);
    for wait in 1..4 {
        story.due(TOLD + wait * MS / 4, &[]);
    }
    story.facts.session.answer.asked_ns = TOLD + 1;
    story.due(
        TOLD + MS,
        &["takeover_not_now: the master's host says that it is master still"],
    );
    story.is("idle");
    assert_eq!(story.takeover.deadline(), None);
}
