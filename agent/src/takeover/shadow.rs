//! What a takeover that was only thought of would have been worth.

use keepfast_common::event::Party;

use super::decision::{Cause, Occasion};
use super::io::{Event, Moment};
use super::note::Note;
use crate::engine::Nanos;

/// For how long after keepalived's own time a new master is waited for.
const PATIENCE_NS: Nanos = 1_000_000_000;

/// The takeover that was thought of last, until it is known how it would have been.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shadow(Option<Thought>);

#[derive(Debug, Clone, Copy)]
struct Thought {
    at: Nanos,
    cause: Cause,
    master: Party,
    until: Nanos,
}

impl Shadow {
    /// This host would take over now.
    pub fn think(&mut self, moment: &Moment<'_>, occasion: &Occasion, master: Party) {
        let patience = moment.policy.down_ns.saturating_add(PATIENCE_NS);
        self.0 = Some(Thought {
            at: moment.now,
            cause: occasion.cause,
            master,
            until: moment.now.saturating_add(patience),
        });
    }

    /// Whether one waits to be known.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Nothing is waited for any longer.
    pub const fn forget(&mut self) {
        self.0 = None;
    }

    /// When [`Self::learn`] gives up.
    #[must_use]
    pub fn deadline(&self) -> Option<Nanos> {
        self.0.map(|thought| thought.until)
    }

    /// Something happened: how it would have been, if that is known now.
    pub fn learn(&mut self, moment: &Moment<'_>, event: Event) -> Option<Note> {
        let thought = self.0?;
        let since = |time: Nanos| time.saturating_sub(thought.at);
        let old_master = moment
            .snapshot
            .other_master()
            .filter(|master| master.is(&thought.master));
        let note = match (event, old_master) {
            (_, Some(master)) if master.heard_ns > thought.at => match thought.cause {
                Cause::Silence => Note::WouldHaveBeenWrong {
                    after_ns: since(master.heard_ns),
                },
                Cause::Resignation => Note::WouldHaveMattered { saved_ns: None },
            },
            (Event::LocalMaster { at_ns }, _) => Note::WouldHaveMattered {
                saved_ns: Some(since(at_ns)),
            },
            (Event::MasterChanged, None) => Note::WouldHaveMattered {
                saved_ns: Some(since(moment.now)),
            },
            _ if moment.now >= thought.until => Note::WouldHaveMattered { saved_ns: None },
            _ => return None,
        };
        self.forget();
        Some(note)
    }
}
