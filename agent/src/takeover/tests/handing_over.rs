//! Primaries that hand over, by order or for want of a gateway.

use super::super::fixture::{MS, TOLD, policy};
use super::super::*;
use super::Story;

#[test]
fn a_primary_hands_over_to_a_backup() {
    let mut story = Story::primary(policy(3));
    story.does(Event::HandOver, &["hands_over: an operator", "resign"]);
    story.does(Event::HandOver, &[]);
    story.does(Event::LocalResigned, &[]);
    story.now += 2 * MS;
    story.becomes_backup_of(3);
    story.does(
        Event::MasterChanged,
        &["handed_over: another router is master, 2 ms later"],
    );
    assert_eq!(story.takeover.deadline(), None);

    let mut story = Story::primary(policy(3));
    story.does(Event::HandOver, &["hands_over", "resign"]);
    story.due(TOLD + 50 * MS, &["hand_over_failed: no backup took over"]);
}

#[test]
fn a_primary_that_hands_over_is_not_raised() {
    let mut story = Story::holding(policy(3));
    story.does(Event::HandOver, &["hands_over", "raise 0", "resign"]);
    story.becomes_backup_of(3);
    story.does(Event::MasterChanged, &["handed_over"]);
    assert_eq!(story.takeover.backs_off_until(), 0);
}

#[test]
fn what_cannot_be_handed_over_is_refused() {
    let mut story = Story::new(policy(3));
    story.does(
        Event::HandOver,
        &["hand_over_refused: this host's keepalived is not master"],
    );
    let mut story = Story::primary(Policy {
        mode: Mode::Off,
        ..policy(3)
    });
    story.does(Event::HandOver, &["hand_over_refused: takeovers are off"]);
    let mut story = Story::primary(Policy {
        mode: Mode::Shadow,
        ..policy(3)
    });
    story.does(Event::HandOver, &["would_hand_over"]);
}

#[test]
fn after_a_hand_over_for_its_gateway_a_router_takes_none_until_that_is_back() {
    let mut story = Story::primary(policy(3));
    story.facts.heirs = 1;
    story.does(
        Event::GatewaySilent,
        &["hands_over: the gateway is lost", "resign"],
    );
    story.becomes_backup_of(3);
    story.does(Event::MasterChanged, &["handed_over"]);
    let resigned = Event::Resigned { at_ns: story.now };
    story.does(
        resigned,
        &["takeover_not_now: this host handed over for want of a gateway"],
    );
    story.does(Event::GatewayBack, &[]);
    story.does(
        resigned,
        &["raise 254", "lease", "inject", "takeover_begins"],
    );
}

#[test]
fn a_router_that_could_not_hand_over_is_not_restrained() {
    let mut story = Story::primary(policy(3));
    story.facts.heirs = 1;
    story.does(Event::GatewaySilent, &["hands_over", "resign"]);
    story.due(TOLD + 50 * MS, &["hand_over_failed"]);
    story.becomes_backup_of(3);
    story.does(Event::MasterChanged, &[]);
    let resigned = Event::Resigned { at_ns: story.now };
    story.does(
        resigned,
        &["raise 254", "lease", "inject", "takeover_begins"],
    );
}

#[test]
fn where_nobody_has_a_gateway_the_primary_stays() {
    let mut story = Story::primary(policy(3));
    story.does(
        Event::GatewaySilent,
        &["gateway_lost_everywhere: the gateway is lost, but"],
    );
    story.does(Event::GatewaySilent, &[]);
    // Until one is found.
    story.facts.heirs = 1;
    story.does(Event::GatewaySilent, &["hands_over", "resign"]);
}

#[test]
fn a_backup_does_nothing_about_its_gateway() {
    let mut story = Story::new(policy(3));
    story.facts.heirs = 1;
    story.does(Event::GatewaySilent, &[]);
    let resigned = Event::Resigned { at_ns: story.now };
    story.does(
        resigned,
        &["raise 254", "lease", "inject", "takeover_begins"],
    );
}
