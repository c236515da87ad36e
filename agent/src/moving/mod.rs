//! Moving a router to another host, on purpose: pure, inputs in, deeds out, time passed in.
//!
//! One [`Move`] is one router on its way. It is asked again and again, each time with the
//! facts of the moment, and says what to do next and, at last, how it ended.
//!
//! | step     | what happens                              | next     | deed            |
//! |----------|-------------------------------------------|----------|-----------------|
//! | begins   | this host does not serve                  | ended    | halt, if to     |
//! | begins   | its fast path runs                        | handing  | hand over       |
//! | begins   | else, and the host is drained             | asking   |                 |
//! | begins   | else                                      | ended    |                 |
//! | handing  | another host took over                    | leaving  |                 |
//! | handing  | none did, and the host is drained         | asking   |                 |
//! | handing  | none did                                  | ended    |                 |
//! | asking   | this host has just advertised             | resigned | resign          |
//! | resigned | another host advertises                   | leaving  | halt, if to     |
//! | resigned | nobody does in time                       | ended    |                 |
//! | any      | this host serves no more, another one does| ended    |                 |
//!
//! To resign costs nothing: this host serves until another one advertises. It is done
//! right after an advert of its own, for a backup follows after less than an interval and
//! would be stopped by the next one. keepalived is halted only where its priority cannot
//! be lowered, and never before another host has shown itself: a router is not left
//! without a primary.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::{Nanos, State};
use crate::report::clock::duration;

const MS: Nanos = 1_000_000;
const SECOND: Nanos = 1_000 * MS;

/// How long the fast path may take to say how a handing over went: it waits 50 ms.
const HANDING_NS: Nanos = 2 * SECOND;

/// For how long an advert counts as just sent.
const FRESH_NS: Nanos = 50 * MS;

/// What waiting is prolonged by, for hosts that are late.
const SLACK_NS: Nanos = 500 * MS;

/// How long addresses may take to go once another host serves.
const LEAVING_NS: Nanos = 10 * SECOND;

/// Why a router is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// An operator wants another host to serve it, now.
    Failover,
    /// The host is drained.
    Drain,
}

/// What the fast path said of its handing over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandingOver {
    /// It has begun.
    Begun(Nanos),
    /// Another host has taken over.
    Done,
    /// It has not, and why, in words.
    Failed(String),
}

/// What is known at a moment. Times are of CLOCK_MONOTONIC; 0 means never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The state of this host's router.
    pub state: State,
    /// Since when.
    pub since_ns: Nanos,
    /// Whether its keepalived is ours to halt.
    pub managed: bool,
    /// Whether its priority is lowered while the host is drained.
    pub lowered: bool,
    /// Whether its fast path is there to be asked.
    pub guarded: bool,
    /// Whether adverts are seen at all.
    pub seen: bool,
    /// The last advert of this host as master.
    pub own_advert_ns: Nanos,
    /// When another host became master, by its first advert.
    pub other_master_ns: Nanos,
    /// Any other host's last advert.
    pub other_advert_ns: Nanos,
    /// That host's address, in words.
    pub other: String,
    /// Between two adverts.
    pub interval_ns: Nanos,
    /// After how long a silence, or adverts of a lower priority, a backup takes over.
    pub down_ns: Nanos,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Have the fast path hand over.
    HandOver,
    /// Send an advert of priority 0 for this host's keepalived, which goes on.
    Resign,
    /// Have keepalived end, and not run until it is told.
    Halt,
}

/// How a move ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Another host serves.
    Moved {
        /// Its address.
        to: String,
        /// From this host's resignation to the other's first advert, nanoseconds.
        took_ns: Nanos,
        /// From the end of this host's addresses to the other's first advert,
        /// nanoseconds; 0: that came before.
        outage_ns: Nanos,
    },
    /// This host did not serve it.
    Backup {
        /// Whether its keepalived is halted.
        halted: bool,
    },
    /// This host serves still.
    Stays {
        /// Why, in words.
        why: String,
    },
}

/// A router on its way.
#[derive(Debug)]
pub struct Move {
    wish: Wish,
    step: Step,
    /// When this host first said that it goes.
    resigned_ns: Nanos,
    halted: bool,
    handing_over: Option<HandingOver>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begins,
    Handing { until: Nanos },
    Asking { until: Nanos },
    Resigned { at: Nanos },
    Leaving { until: Nanos },
}

impl Move {
    /// Has not begun.
    #[must_use]
    pub const fn new(wish: Wish) -> Self {
        Self {
            wish,
            step: Step::Begins,
            resigned_ns: 0,
            halted: false,
            handing_over: None,
        }
    }

    /// The fast path said this.
    pub fn told(&mut self, said: HandingOver) {
        match said {
            HandingOver::Begun(at) => self.resigned_ns = at,
            other => self.handing_over = Some(other),
        }
    }

    /// Goes on at `now`: what is to be done, and how it ended, if it did.
    pub fn step(&mut self, now: Nanos, facts: &Facts) -> (Option<Deed>, Option<Outcome>) {
        match self.step {
            Step::Begins => self.begin(now, facts),
            Step::Handing { until } => self.handing(now, until, facts),
            Step::Asking { until } => self.ask(now, until, facts),
            Step::Resigned { at } => self.resigned(now, at, facts),
            Step::Leaving { until } => (None, self.leaving(now, until, facts)),
        }
    }

    fn begin(&mut self, now: Nanos, facts: &Facts) -> (Option<Deed>, Option<Outcome>) {
        if !facts.state.serves() {
            let halts = self.wish == Wish::Drain && facts.managed && !facts.lowered;
            let deed = halts.then_some(Deed::Halt);
            return (deed, Some(Outcome::Backup { halted: halts }));
        }
        if !facts.managed && self.wish == Wish::Drain {
            let why = "its keepalived is somebody else's: it cannot be kept from being primary";
            return (None, Some(stays(why)));
        }
        if facts.guarded {
            self.resigned_ns = now;
            self.step = Step::Handing {
                until: now.saturating_add(HANDING_NS),
            };
            return (Some(Deed::HandOver), None);
        }
        self.go_on(now, facts, "it has no fast path that runs")
    }

    fn handing(
        &mut self,
        now: Nanos,
        until: Nanos,
        facts: &Facts,
    ) -> (Option<Deed>, Option<Outcome>) {
        match self.handing_over.take() {
            Some(HandingOver::Failed(why)) => self.go_on(now, facts, &why),
            Some(_) => {
                self.leave(now);
                (None, None)
            }
            None if now >= until => self.go_on(now, facts, "the fast path does not answer"),
            None => (None, None),
        }
    }

    /// What the fast path cannot do, keepalived may; for a drained host alone.
    fn go_on(&mut self, now: Nanos, facts: &Facts, why: &str) -> (Option<Deed>, Option<Outcome>) {
        if self.wish == Wish::Failover {
            return (None, Some(stays(why)));
        }
        if !facts.seen {
            let why = "no adverts are seen, so it is not known whether there is another host";
            return (None, Some(stays(why)));
        }
        self.step = Step::Asking {
            until: now
                .saturating_add(facts.interval_ns.saturating_mul(3))
                .saturating_add(SLACK_NS),
        };
        (None, None)
    }

    fn ask(&mut self, now: Nanos, until: Nanos, facts: &Facts) -> (Option<Deed>, Option<Outcome>) {
        if !facts.state.serves() {
            self.leave(now);
            return (None, None);
        }
        let fresh = facts.own_advert_ns != 0
            && now.saturating_sub(facts.own_advert_ns) <= FRESH_NS.min(facts.interval_ns / 4);
        if fresh {
            self.resigned_ns = now;
            self.step = Step::Resigned { at: now };
            return (Some(Deed::Resign), None);
        }
        let late = now >= until;
        (
            None,
            late.then(|| stays("this host's keepalived does not advertise")),
        )
    }

    fn resigned(
        &mut self,
        now: Nanos,
        at: Nanos,
        facts: &Facts,
    ) -> (Option<Deed>, Option<Outcome>) {
        if facts.other_advert_ns > at || !facts.state.serves() {
            self.leave(now);
            // One of a lower priority gives way by itself.
            self.halted = facts.managed && !facts.lowered;
            return (self.halted.then_some(Deed::Halt), None);
        }
        // After a resignation the skew, which is below an interval and a second at most
        // of version 2; of a lowered one what preempts takes the down time.
        let mut patience = facts.interval_ns.max(SECOND);
        if facts.lowered {
            patience = patience.saturating_add(facts.down_ns);
        }
        let until = at.saturating_add(patience).saturating_add(SLACK_NS);
        (
            None,
            (now >= until).then(|| stays("no other host took over")),
        )
    }

    const fn leave(&mut self, now: Nanos) {
        self.step = Step::Leaving {
            until: now.saturating_add(LEAVING_NS),
        };
    }

    fn leaving(&self, now: Nanos, until: Nanos, facts: &Facts) -> Option<Outcome> {
        if facts.state.serves() {
            return (now >= until).then(|| stays("its addresses have not gone"));
        }
        let left_ns = facts.since_ns;
        // One that answered the resignation may have given way again when this host's
        // keepalived spoke once more: then it follows the end of that.
        let follows = facts.other_master_ns > self.resigned_ns;
        if !follows && now < until {
            return None;
        }
        if !follows {
            return Some(stays("no other host followed"));
        }
        Some(Outcome::Moved {
            to: facts.other.clone(),
            took_ns: facts.other_master_ns.saturating_sub(self.resigned_ns),
            outage_ns: facts.other_master_ns.saturating_sub(left_ns),
        })
    }
}

fn stays(why: &str) -> Outcome {
    Outcome::Stays {
        why: why.to_owned(),
    }
}

impl Outcome {
    /// Whether this host does not serve the router any more.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        !matches!(self, Self::Stays { .. })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved {
                to,
                took_ns,
                outage_ns,
            } => {
                write!(f, "moved to {to} within {}; outage ", duration(*took_ns))?;
                match outage_ns {
                    0 => f.write_str(
                        "seen from here: none, it advertised before this host's addresses went \
                         (clients may have missed some milliseconds)",
                    ),
                    outage => write!(f, "seen from here: {}", duration(*outage)),
                }
            }
            Self::Backup { halted: false } => f.write_str("is not primary here"),
            Self::Backup { halted: true } => {
                f.write_str("is not primary here; its keepalived is stopped until undrain")
            }
            Self::Stays { why } => write!(f, "stays primary here: {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
