//! When a router's keepalived is made to take over, and what follows: pure, inputs
//! in, actions out, time passed in.
//!
//! One [`Takeover`] is one router. It knows no clock, no file, no socket: each
//! [`Input`] brings the facts of its moment, a [`Snapshot`], and the answer is a
//! list of [`Action`]s, to be done in this order. The same inputs at the same times
//! give the same actions.
//!
//! On a backup ([`candidate`]):
//!
//! | state       | what happens                      | next        | actions                   |
//! |-------------|-----------------------------------|-------------|---------------------------|
//! | idle        | probes are lost                   | suspecting  | solicit, ask the witness  |
//! | suspecting  | answers again, or too long        | idle        |                           |
//! | any of both | silence, or the master resigns    | deciding    |                           |
//! | deciding    | [`decision`]: wait                | deciding    | solicit, ask the witness; |
//! |             |                                   |             | ask the one that resigned |
//! | deciding    | [`decision`]: not now             | idle        |                           |
//! | deciding    | [`decision`]: take over           | taking over | raise, lease, inject      |
//! | taking over | not master in time                | taking over | inject once more          |
//! | taking over | not master after 200 ms           | idle        | unlease, lower; back-off  |
//! | taking over | another router is master          | idle        | unlease, lower            |
//! | taking over | own keepalived is master          | holding     | keep, announce, tell peer |
//! | holding     | the old master is heard           | holding     | announce, tell peer;      |
//! |             |                                   |             | back-off                  |
//! | holding     | and once more                     | idle        | lower, yield              |
//! | holding     | yet another one advertises        | idle        | lower                     |
//! | holding     | the old master follows at once    | holding     | announce; back-off        |
//! | holding     | own keepalived loses              | idle        | lower, unlease            |
//! | holding     | the down time passes              | idle        | lower                     |
//!
//! On a primary ([`handover`]): it resigns when told to, or when its gateway is
//! lost and a backup still has one.
//!
//! In shadow the decisions are the same, but nothing is done about them besides
//! asking; what they would have been worth is noted ([`shadow`]).
//!
//! Reading order: [`io`], [`decision`], [`candidate`], [`back_off`], [`shadow`],
//! [`handover`], [`note`].

pub mod io;

pub mod decision;

pub mod candidate;

pub mod back_off;

pub mod shadow;

pub mod handover;

pub mod note;

pub use decision::{Cause, Occasion, Reason, Restraint, Verdict, decide};
pub use io::{Action, Answer, Event, Forgery, Input, Mode, Phase, Policy, Role, Session, Snapshot};
pub use note::Note;

use crate::engine::Nanos;
use candidate::Candidate;
use handover::Primary;
use io::Moment;

/// What is decided about one router.
#[derive(Debug)]
pub struct Takeover {
    policy: Policy,
    candidate: Candidate,
    primary: Primary,
}

impl Takeover {
    /// A router of which nothing has happened yet.
    ///
    /// An agent that ended in the midst of a takeover may have left the priority
    /// raised: that it is to be lowered is put at the end of `actions`.
    #[must_use]
    pub fn new(policy: Policy, actions: &mut Vec<Action>) -> Self {
        if policy.raise {
            actions.push(Action::Raise(0));
        }
        Self {
            policy,
            candidate: Candidate::default(),
            primary: Primary::default(),
        }
    }

    /// Takes one input that was read at `now`; what is to be done comes at the end
    /// of `actions`.
    ///
    /// A router that goes is first declared with [`Mode::Off`], which lowers what
    /// was raised and removes what was leased.
    pub fn step(&mut self, now: Nanos, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Declared(policy) => {
                self.candidate.declared(&policy, actions);
                if policy.raise && policy.drained != self.policy.drained {
                    actions.push(Action::Raise(0));
                }
                self.policy = policy;
            }
            Input::Happened(event, snapshot) => {
                let moment = Moment {
                    now,
                    policy: &self.policy,
                    snapshot: &snapshot,
                };
                if self.primary.step(&moment, event, actions) {
                    // A raised priority would win against the heir.
                    self.candidate.settle(actions);
                    self.primary.resign(&moment, actions);
                }
                let gateway_lost = self.primary.left_for_its_gateway();
                self.candidate.step(&moment, event, gateway_lost, actions);
            }
        }
    }

    /// When [`Event::Tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Nanos> {
        let candidate = self.candidate.deadline();
        candidate.into_iter().chain(self.primary.deadline()).min()
    }

    /// What it is about, in a word or two.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.candidate.as_str()
    }

    /// Until when it takes nothing over after a takeover that was wrong or failed;
    /// 0 or in the past: it may.
    #[must_use]
    pub const fn backs_off_until(&self) -> Nanos {
        self.candidate.backs_off_until()
    }
}

#[cfg(test)]
mod fixture;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
