//! How often each session is probed: all together have a budget.

use crate::engine::Nanos;

const SECOND: Nanos = 1_000_000_000;

/// Probes of all sessions together, in a second.
const MOST: u64 = 20_000;

/// What all sessions want, beside what they may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Budget {
    /// Probes in a second.
    wanted: u64,
}

impl Budget {
    /// Of sessions that want this time between two probes each.
    pub(super) fn of(intervals: impl Iterator<Item = Nanos>) -> Self {
        let wanted = intervals.map(|interval| SECOND / interval.max(1)).sum();
        Self { wanted }
    }

    /// By how much all are asked less often than they should be; 1: not.
    pub(super) fn stretch(self) -> f64 {
        (self.wanted as f64 / MOST as f64).max(1.0)
    }

    /// Between two probes of each of so many sessions that have all of it, nanoseconds.
    pub(super) fn alone(sessions: usize) -> Nanos {
        u64::try_from(sessions)
            .unwrap_or(u64::MAX)
            .saturating_mul(SECOND / MOST)
    }

    /// Between two probes of a session that wants this, nanoseconds.
    pub(super) fn interval(self, wanted: Nanos) -> Nanos {
        wanted.max(wanted.saturating_mul(self.wanted) / MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn a_few_sessions_have_what_they_want() {
        let budget = Budget::of([MS; 20].into_iter());
        assert!((budget.stretch() - 1.0).abs() < f64::EPSILON);
        assert_eq!(budget.interval(MS), MS);
        assert_eq!(Budget::default().interval(MS), MS);
    }

    #[test]
    fn so_many_sessions_use_it_up() {
        assert_eq!(Budget::alone(20), MS);
        assert_eq!(Budget::alone(1_000), 50 * MS);
    }

    #[test]
    fn all_are_asked_less_often_by_the_same_factor() {
        // Half of them want 1,000 probes a second, half 3,000.
        let wanted = [MS, MS / 3].repeat(50);
        let budget = Budget::of(wanted.iter().copied());
        assert!((budget.stretch() - 10.0).abs() < 0.01, "{budget:?}");
        let rates = wanted.iter().map(|it| SECOND / budget.interval(*it));
        let sum: u64 = rates.sum();
        assert!((19_900..=20_000).contains(&sum), "{sum}");
        assert_eq!(budget.interval(2 * MS), 2 * budget.interval(MS));
    }
}
