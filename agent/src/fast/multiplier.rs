//! How many unanswered probes in a row are a silence, where that follows the peer: as
//! many as the worst delay seen spans, and two.

use crate::engine::Nanos;

/// To begin with: what virtual machines need, which stop for milliseconds.
const FIRST: u8 = 10;
const LEAST: u8 = 3;
const MOST: u8 = 40;

/// How long one that could be less stays; then it is less by one.
const RELAX_NS: Nanos = 60_000_000_000;

/// A multiplier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Multiplier {
    value: u8,
    /// Since when it could be less.
    since_ns: Nanos,
}

impl Multiplier {
    /// What was asked for, or what there is to begin with.
    pub(super) fn new(fixed: Option<u8>, now: Nanos) -> Self {
        Self {
            value: fixed.unwrap_or(FIRST),
            since_ns: now,
        }
    }

    pub(super) const fn get(self) -> u8 {
        self.value
    }

    /// `worst_ns` is the worst delay of an answer, where one is asked each
    /// `interval_ns`: up at once, down by one a minute.
    pub(super) fn follow(&mut self, worst_ns: Nanos, interval_ns: Nanos, now: Nanos) {
        let needed = worst_ns.div_ceil(interval_ns.max(1)).saturating_add(2);
        let needed = u8::try_from(needed).unwrap_or(MOST).clamp(LEAST, MOST);
        if needed >= self.value {
            self.value = needed;
            self.since_ns = now;
        } else if now >= self.since_ns.saturating_add(RELAX_NS) {
            self.value -= 1;
            self.since_ns = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn a_delay_raises_it_at_once() {
        let mut multiplier = Multiplier::new(None, 0);
        assert_eq!(multiplier.get(), 10);
        multiplier.follow(12 * MS + 1, MS, 1);
        assert_eq!(multiplier.get(), 15);
        // The same delay is nothing where one is asked less often.
        let mut seldom = Multiplier::new(None, 0);
        seldom.follow(12 * MS + 1, 10 * MS, 1);
        assert_eq!(seldom.get(), 10);
    }

    #[test]
    fn it_goes_down_by_one_a_minute() {
        let mut multiplier = Multiplier::new(None, 0);
        multiplier.follow(MS / 5, MS, RELAX_NS - 1);
        assert_eq!(multiplier.get(), 10);
        multiplier.follow(MS / 5, MS, RELAX_NS);
        multiplier.follow(MS / 5, MS, RELAX_NS + 1);
        assert_eq!(multiplier.get(), 9);
        for minute in 2..100 {
            multiplier.follow(MS / 5, MS, minute * RELAX_NS);
        }
        assert_eq!(multiplier.get(), LEAST);
    }

    #[test]
    fn what_is_needed_still_is_not_let_go_of() {
        let mut multiplier = Multiplier::new(None, 0);
        multiplier.follow(8 * MS, MS, RELAX_NS - 1);
        multiplier.follow(MS, MS, RELAX_NS);
        assert_eq!(multiplier.get(), 10);
    }

    #[test]
    fn there_is_a_most() {
        let mut multiplier = Multiplier::new(None, 0);
        multiplier.follow(Nanos::MAX, 1, 1);
        assert_eq!(multiplier.get(), MOST);
    }
}
