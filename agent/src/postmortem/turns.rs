//! When a router changed hands.

use keepfast_common::event::EventKind;

use super::evidence::{Evidence, Fact};
use super::report::Side;
use crate::engine::Nanos;

/// Within this time of giving up a role it is given up.
const SETTLED_NS: Nanos = 1_000_000_000;

/// A change of hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// When, nanoseconds of CLOCK_MONOTONIC.
    pub at_ns: Nanos,
    /// Whether this host became primary, or was primary no longer.
    pub side: Side,
}

/// Those that the evidence knows of, the oldest first.
#[must_use]
pub fn turns(evidence: &Evidence) -> Vec<Turn> {
    of(&evidence.facts())
}

pub(super) fn of(facts: &[Fact]) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut serves = None;
    for fact in facts {
        let (now, side) = if begins(fact) {
            (true, Side::NewPrimary)
        } else if ends(fact) {
            (false, Side::OldPrimary)
        } else {
            continue;
        };
        if serves != Some(now) {
            turns.push(Turn {
                at_ns: fact.at_ns,
                side,
            });
            serves = Some(now);
        }
    }
    settled(turns)
}

/// Without the moments in which a host that gives up its role seems to have it again:
/// its keepalived may answer the first advert of whoever follows before it gives way.
fn settled(mut turns: Vec<Turn>) -> Vec<Turn> {
    let mut at = 0;
    while let Some(&[first, second, third]) = turns.get(at..).and_then(<[Turn]>::first_chunk) {
        let soon = third.at_ns.saturating_sub(first.at_ns) < SETTLED_NS;
        if first.side == Side::OldPrimary && second.side == Side::NewPrimary && soon {
            turns.drain(at + 1..at + 3);
        } else {
            at += 1;
        }
    }
    turns
}

fn begins(fact: &Fact) -> bool {
    fact.is(EventKind::LocalMaster)
        || fact.is_line("local_master")
        || (fact.is_line("state")
            && fact.what.contains("-> primary:")
            && !fact.what.starts_with("falling"))
}

fn ends(fact: &Fact) -> bool {
    let was_local = fact.record.is_some_and(|record| record.detail != 0);
    fact.is(EventKind::LocalResigned)
        || fact.is(EventKind::TakenOver)
        || (fact.is(EventKind::MasterChanged) && was_local)
        || (fact.is(EventKind::MasterDown) && was_local)
        || fact.is_line("local_resigned")
        || fact.is_line("taken_over")
        || (fact.is_line("state") && fact.what.starts_with("primary -> "))
}
