//! Declared anew, and drained hosts.

use super::super::fixture::{MS, TOLD, policy};
use super::super::*;
use super::Story;

#[test]
fn what_was_changed_is_undone_when_the_router_is_disarmed() {
    for mode in [Mode::Off, Mode::Shadow] {
        // The new declaration cannot even raise.
        let disarmed = Input::Declared(Policy {
            mode,
            raise: false,
            lease: false,
            ..policy(2)
        });
        let mut story = Story::new(policy(2));
        story.does(
            Event::Silent,
            &["raise 254", "lease", "inject", "takeover_begins"],
        );
        story.feed(
            disarmed,
            &["takeover_not_now: takeovers are off", "unlease", "raise 0"],
        );
        assert_eq!(story.takeover.deadline(), None);

        // Of what keepalived has, the addresses stay.
        let mut story = Story::holding(policy(3));
        story.feed(disarmed, &["raise 0"]);
        assert_eq!(story.takeover.deadline(), None);
    }
}

#[test]
fn a_declaration_in_the_midst_of_a_takeover_changes_no_duty() {
    let mut story = Story::new(policy(2));
    story.does(
        Event::Silent,
        &["raise 254", "lease", "inject", "takeover_begins"],
    );
    let declared = Input::Declared(Policy {
        raise: false,
        lease: false,
        ..policy(2)
    });
    story.feed(declared, &[]);
    for tries in 1..10 {
        story.due(TOLD + tries * 20 * MS, &["takeover_tries_again", "inject"]);
    }
    story.due(TOLD + 200 * MS, &["takeover_failed", "unlease", "raise 0"]);
}

/// Of a host that is drained.
fn drained(version: u8) -> Policy {
    Policy {
        drained: true,
        ..policy(version)
    }
}

#[test]
fn a_drained_host_takes_nothing_over_and_its_priority_is_set_anew() {
    for event in [Event::Silent, Event::Resigned { at_ns: TOLD }] {
        let mut story = Story::new(policy(3));
        story.feed(Input::Declared(drained(3)), &["raise 0"]);
        story.does(event, &["takeover_not_now: this host is drained"]);
        story.is("idle");
        story.feed(Input::Declared(drained(3)), &[]);
        story.feed(Input::Declared(policy(3)), &["raise 0"]);
    }
}

#[test]
fn a_takeover_ends_where_the_host_is_drained_in_its_midst() {
    let mut story = Story::new(policy(2));
    story.does(
        Event::Silent,
        &["raise 254", "lease", "inject", "takeover_begins"],
    );
    story.feed(
        Input::Declared(drained(2)),
        &[
            "takeover_not_now: this host is drained",
            "unlease",
            "raise 0",
            "raise 0",
        ],
    );
    story.is("idle");
}

#[test]
fn a_drained_primary_hands_over() {
    let mut story = Story::primary(drained(3));
    story.does(Event::HandOver, &["hands_over", "resign"]);
}
