//! What is due when.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Nanos;

/// Times, each of something else.
#[derive(Debug)]
pub(super) struct Schedule<K> {
    due: BTreeSet<(Nanos, K)>,
    of: BTreeMap<K, Nanos>,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self {
            due: BTreeSet::new(),
            of: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Copy> Schedule<K> {
    /// It is due at `at`, and at no other time.
    pub(super) fn set(&mut self, key: K, at: Nanos) {
        if let Some(before) = self.of.insert(key, at) {
            self.due.remove(&(before, key));
        }
        self.due.insert((at, key));
    }

    /// It is not due any more.
    pub(super) fn remove(&mut self, key: K) {
        if let Some(before) = self.of.remove(&key) {
            self.due.remove(&(before, key));
        }
    }

    /// What is due next, and when.
    pub(super) fn first(&self) -> Option<(Nanos, K)> {
        self.due.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_once() {
        let mut schedule = Schedule::default();
        schedule.set('a', 30);
        schedule.set('b', 20);
        assert_eq!(schedule.first(), Some((20, 'b')));
        schedule.set('b', 40);
        assert_eq!(schedule.first(), Some((30, 'a')));
        schedule.remove('a');
        assert_eq!(schedule.first(), Some((40, 'b')));
        schedule.remove('b');
        schedule.remove('b');
        assert_eq!(schedule.first(), None);
    }

    #[test]
    fn two_may_be_due_at_once() {
        let mut schedule = Schedule::default();
        schedule.set('a', 10);
        schedule.set('b', 10);
        schedule.remove('a');
        assert_eq!(schedule.first(), Some((10, 'b')));
    }
}
