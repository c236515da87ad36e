//! What is due when.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Nanos;

/// Who comes first of those that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before all others, however long they have waited.
    First,
    Usual,
}

/// Times, each of something else.
#[derive(Debug)]
pub(super) struct Schedule<K> {
    first: BTreeSet<(Nanos, K)>,
    usual: BTreeSet<(Nanos, K)>,
    of: BTreeMap<K, (Nanos, Turn)>,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self {
            first: BTreeSet::new(),
            usual: BTreeSet::new(),
            of: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Copy> Schedule<K> {
    /// It is due at `at`, and at no other time.
    pub(super) fn set(&mut self, key: K, at: Nanos, turn: Turn) {
        self.remove(key);
        self.of.insert(key, (at, turn));
        self.those(turn).insert((at, key));
    }

    /// It is not due any more.
    pub(super) fn remove(&mut self, key: K) {
        if let Some((at, turn)) = self.of.remove(&key) {
            self.those(turn).remove(&(at, key));
        }
    }

    /// When the next is due.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        let next = self.first.first().into_iter().chain(self.usual.first());
        next.map(|(at, _)| *at).min()
    }

    /// What is due at `now`, or later by no more than `early` says, and when.
    pub(super) fn next(&self, now: Nanos, early: impl Fn(K) -> Nanos) -> Option<(Nanos, K)> {
        let mut next = self.first.first().into_iter().chain(self.usual.first());
        let due = next.find(|(at, key)| *at <= now.saturating_add(early(*key)));
        due.copied()
    }

    const fn those(&mut self, turn: Turn) -> &mut BTreeSet<(Nanos, K)> {
        match turn {
            Turn::First => &mut self.first,
            Turn::Usual => &mut self.usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_once(schedule: &Schedule<char>, now: Nanos) -> Option<(Nanos, char)> {
        schedule.next(now, |_| 0)
    }

    #[test]
    fn each_is_due_once() {
        let mut schedule = Schedule::default();
        schedule.set('a', 30, Turn::Usual);
        schedule.set('b', 20, Turn::First);
        assert_eq!(schedule.deadline(), Some(20));
        schedule.set('b', 40, Turn::Usual);
        assert_eq!(schedule.deadline(), Some(30));
        schedule.remove('a');
        assert_eq!(schedule.deadline(), Some(40));
        assert_eq!(at_once(&schedule, 40), Some((40, 'b')));
        schedule.remove('b');
        schedule.remove('b');
        assert_eq!(schedule.deadline(), None);
    }

    #[test]
    fn two_may_be_due_at_once() {
        let mut schedule = Schedule::default();
        schedule.set('a', 10, Turn::Usual);
        schedule.set('b', 10, Turn::Usual);
        schedule.remove('a');
        assert_eq!(at_once(&schedule, 10), Some((10, 'b')));
    }

    #[test]
    fn one_that_comes_first_does_so_once_it_is_due() {
        let mut schedule = Schedule::default();
        schedule.set('a', 10, Turn::Usual);
        schedule.set('b', 20, Turn::First);
        assert_eq!(at_once(&schedule, 9), None);
        assert_eq!(at_once(&schedule, 19), Some((10, 'a')));
        assert_eq!(at_once(&schedule, 20), Some((20, 'b')));
        assert_eq!(schedule.next(18, |_| 2), Some((20, 'b')), "early");
    }
}
