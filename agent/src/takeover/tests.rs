//! Stories of routers: what happens, and what is done about it.

use keepfast_common::event::Party;

use super::fixture::{LOSS, MS, SECOND, TOLD, other, policy, silence};
use super::*;

/// A router, the time, and what is known.
struct Story {
    takeover: Takeover,
    now: Nanos,
    facts: Snapshot,
}

impl Story {
    /// A backup at [`TOLD`], to which nothing has been told yet.
    fn new(policy: Policy) -> Self {
        let mut actions = Vec::new();
        let takeover = Takeover::new(policy, &mut actions);
        let lowered = if policy.raise {
            vec![Action::Raise(0)]
        } else {
            Vec::new()
        };
        assert_eq!(actions, lowered);
        Self {
            takeover,
            now: TOLD,
            facts: silence(),
        }
    }

    /// A primary.
    fn primary(policy: Policy) -> Self {
        let mut story = Self::new(policy);
        story.becomes_master();
        story
    }

    /// A backup that has taken over, a millisecond after the verdict.
    fn holding(policy: Policy) -> Self {
        let mut story = Self::new(policy);
        story.does(Event::Silent, &["raise 254", "inject", "takeover_begins"]);
        story.now += MS;
        story.takes_over(&["announce", "tell 1", "took_over"]);
        story
    }

    /// Own adverts are seen, as from now.
    fn becomes_master(&mut self) {
        self.facts.role = Role::Master;
        self.facts.master = Some(Party {
            local: 1,
            ..other(2, self.now)
        });
    }

    /// Another router's adverts are seen, as from now, and own ones no longer.
    fn becomes_backup_of(&mut self, number: u8) {
        self.facts.role = Role::Backup;
        self.facts.master = Some(other(number, self.now));
    }

    fn takes_over(&mut self, expected: &[&str]) {
        self.becomes_master();
        self.does(Event::LocalMaster { at_ns: self.now }, expected);
    }

    /// Feeds an event; the actions must be these, as far as they are written.
    fn does(&mut self, event: Event, expected: &[&str]) {
        self.feed(Input::Happened(event, self.facts), expected);
    }

    fn feed(&mut self, input: Input, expected: &[&str]) {
        let mut actions = Vec::new();
        self.takeover.step(self.now, input, &mut actions);
        let words: Vec<_> = actions.iter().map(words).collect();
        let fits = words.len() == expected.len()
            && words
                .iter()
                .zip(expected)
                .all(|(word, wanted)| word.starts_with(wanted));
        assert!(fits, "{input:?}: {words:#?} instead of {expected:#?}");
    }

    /// Time passes until there is something to do at `time`.
    fn due(&mut self, time: Nanos, expected: &[&str]) {
        assert_eq!(self.takeover.deadline(), Some(time));
        self.now = time;
        self.does(Event::Tick, expected);
    }

    /// Time passes, tick by tick, until something is done.
    fn next(&mut self, expected: &[&str]) {
        for _ in 0..10_000 {
            self.now = self.takeover.deadline().unwrap();
            let mut actions = Vec::new();
            let input = Input::Happened(Event::Tick, self.facts);
            self.takeover.step(self.now, input, &mut actions);
            if !actions.is_empty() {
                let words: Vec<_> = actions.iter().map(words).collect();
                assert_eq!(words, expected, "at {}", self.now - LOSS);
                return;
            }
        }
        panic!("nothing was done, {expected:?} least of all");
    }

    fn is(&self, state: &str) {
        assert_eq!(self.takeover.as_str(), state);
    }
}

fn words(action: &Action) -> String {
    match action {
        Action::Solicit(master) => format!("solicit {}", master.address[3]),
        Action::AskPeer => "ask peer".to_owned(),
        Action::AskWitness => "ask".to_owned(),
        Action::Raise(by) => format!("raise {by}"),
        Action::Lease => "lease".to_owned(),
        Action::KeepLease => "keep lease".to_owned(),
        Action::Unlease => "unlease".to_owned(),
        Action::Inject(forgery, master) => format!("inject {forgery:?} {}", master.address[3]),
        Action::Yield(master) => format!("yield {}", master.address[3]),
        Action::Announce => "announce".to_owned(),
        Action::TellPeer(master) => format!("tell {}", master.address[3]),
        Action::Resign => "resign".to_owned(),
        Action::Note(note) => format!("{}: {note}", note.name()),
    }
}

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
    story.does(
        Event::Back,
        &["takeover_not_now: the master's host answers"],
    );
    story.is("idle");
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
    for step in 1..5 {
        story.due(TOLD + step * MS, &[]);
    }
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
