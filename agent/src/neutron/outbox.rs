//! What the agent is yet to be told. Pure: time is passed in.

use crate::engine::{Nanos, Published};

/// How many transitions wait for an agent that is only busy. Beyond that the two oldest go, of
/// which one takes the other back.
const MOST: u32 = 63;

/// Between the first failure and the next attempt, doubled with each failure; and the longest.
const FIRST_PAUSE: Nanos = 50_000_000;
const LONGEST_PAUSE: Nanos = 1_000_000_000;

/// Transitions in their order. As soon as an attempt fails only the newest is kept: it is what
/// an agent that is back has to know.
#[derive(Debug)]
pub(super) struct Outbox {
    newest: Option<Published>,
    /// Since each transition is from one state to the other, their number says all.
    waiting: u32,
    failures: u32,
    /// Not before this; CLOCK_MONOTONIC.
    retry_at: Nanos,
}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self {
            newest: None,
            waiting: 0,
            failures: 0,
            retry_at: 0,
        }
    }

    /// Takes in a state that differs from the last one.
    pub(super) const fn put(&mut self, state: Published) {
        self.newest = Some(state);
        if self.failures > 0 {
            self.waiting = 1;
        } else if self.waiting >= MOST {
            self.waiting -= 1;
        } else {
            self.waiting += 1;
        }
    }

    /// What is to be told next.
    pub(super) fn next(&self) -> Option<Published> {
        let newest = self.newest?;
        match (self.waiting, self.waiting % 2) {
            (0, _) => None,
            (_, 1) => Some(newest),
            _ => Some(other(newest)),
        }
    }

    /// When it is to be told; CLOCK_MONOTONIC.
    pub(super) const fn retry_at(&self) -> Nanos {
        self.retry_at
    }

    /// The agent was told `state`; returns how many attempts had failed.
    pub(super) fn told(&mut self, state: Published) -> u32 {
        // Else a newer one has taken its place meanwhile.
        if self.next() == Some(state) {
            self.waiting -= 1;
        }
        self.retry_at = 0;
        std::mem::take(&mut self.failures)
    }

    /// The attempt has failed; returns how many had before.
    pub(super) fn failed(&mut self, now: Nanos) -> u32 {
        let before = self.failures;
        self.waiting = self.waiting.min(1);
        self.failures = before.saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << before.min(10));
        self.retry_at = now.saturating_add(pause.min(LONGEST_PAUSE));
        before
    }
}

const fn other(state: Published) -> Published {
    match state {
        Published::Primary => Published::Backup,
        Published::Backup => Published::Primary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Published::{Backup, Primary};

    /// Tells all that waits.
    fn drain(outbox: &mut Outbox) -> Vec<Published> {
        let mut told = Vec::new();
        while let Some(state) = outbox.next() {
            outbox.told(state);
            told.push(state);
        }
        told
    }

    #[test]
    fn each_transition_is_told_once_and_in_order() {
        let mut outbox = Outbox::new();
        assert_eq!(outbox.next(), None);
        [Backup, Primary, Backup]
            .into_iter()
            .for_each(|state| outbox.put(state));
        assert_eq!(drain(&mut outbox), [Backup, Primary, Backup]);
        outbox.put(Primary);
        assert_eq!(outbox.next(), Some(Primary));
        // A newer one comes while this is on its way.
        outbox.put(Backup);
        assert_eq!(outbox.told(Primary), 0);
        assert_eq!(drain(&mut outbox), [Backup]);
    }

    #[test]
    fn an_agent_that_is_back_is_told_the_newest_alone() {
        let mut outbox = Outbox::new();
        [Backup, Primary, Backup]
            .into_iter()
            .for_each(|state| outbox.put(state));
        assert_eq!(outbox.failed(0), 0);
        [Primary, Backup, Primary]
            .into_iter()
            .for_each(|state| outbox.put(state));
        assert_eq!(outbox.failed(0), 1);
        // The newest takes the place of the one on its way.
        outbox.put(Backup);
        assert_eq!(outbox.told(Primary), 2);
        assert_eq!(drain(&mut outbox), [Backup]);
    }

    #[test]
    fn pauses_grow_up_to_a_second_and_end_with_success() {
        let mut outbox = Outbox::new();
        outbox.put(Backup);
        let pauses: Vec<Nanos> = (0..20)
            .map(|_| {
                outbox.failed(7);
                (outbox.retry_at() - 7) / 1_000_000
            })
            .collect();
        assert_eq!(pauses[..6], [50, 100, 200, 400, 800, 1000]);
        assert_eq!(pauses[19], 1000);
        outbox.told(Backup);
        assert_eq!(outbox.retry_at(), 0);
    }

    #[test]
    fn however_many_there_are_the_newest_is_the_last_one_told() {
        for count in 1..200 {
            let mut outbox = Outbox::new();
            let states = [Primary, Backup].into_iter().cycle().take(count);
            let last = states.map(|state| outbox.put(state)).count() % 2;
            let told = drain(&mut outbox);
            assert_eq!(told.last(), Some(&[Backup, Primary][last]), "{count}");
            assert!(told.len() <= 63);
            assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:?}");
        }
    }
}
