//! What a shadow tells.

use super::super::fixture::{MS, SECOND, TOLD, other, policy};
use super::super::*;
use super::Story;

#[test]
fn a_shadow_tells_what_it_would_have_saved() {
    let shadow = Policy {
        mode: Mode::Shadow,
        ..policy(2)
    };
    let mut story = Story::new(shadow);
    story.facts.session.phase = Phase::Suspect;
    story.does(Event::Suspect, &["solicit 1"]);
    story.facts.session.phase = Phase::Silent;
    story.does(Event::Silent, &["would_take_over: 3 ms after"]);
    story.does(Event::Silent, &[]);
    story.now += 3_300 * MS;
    story.takes_over(&["would_have_mattered: 3.3 s would have been saved"]);
    assert_eq!(story.takeover.deadline(), None);

    let mut story = Story::new(shadow);
    story.does(Event::Silent, &["would_take_over"]);
    story.now += 3_200 * MS;
    story.becomes_backup_of(3);
    story.does(Event::MasterChanged, &["would_have_mattered: 3.2 s"]);

    let mut story = Story::new(shadow);
    story.does(Event::Silent, &["would_take_over"]);
    story.due(TOLD + 4_600 * MS, &["would_have_mattered: nobody"]);
    assert_eq!(story.takeover.deadline(), None);
}

#[test]
fn a_shadow_tells_that_it_would_have_been_wrong() {
    let mut story = Story::new(Policy {
        mode: Mode::Shadow,
        ..policy(3)
    });
    story.does(Event::Silent, &["would_take_over"]);
    story.now += 700 * MS;
    story.facts.session.phase = Phase::Up;
    story.facts.master = Some(other(1, story.now - 100 * MS));
    story.does(
        Event::Back,
        &["would_have_been_wrong: the old master lives, as heard 0.6 s after the verdict"],
    );
    assert_eq!(story.takeover.backs_off_until(), story.now + 10 * SECOND);
}
