//! Stories of routers: what happens, and what is done about it.

use keepfast_common::event::Party;

use super::fixture::{LOSS, MS, TOLD, other, silence};
use super::*;

mod deciding;
mod declared;
mod following;
mod handing_over;
mod resigning;
mod shadow;
mod wrong;

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
