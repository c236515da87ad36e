//! How often each session is probed: all together have a budget. Where it does not suffice,
//! those that speak for others come first.

use crate::engine::Nanos;

const SECOND: Nanos = 1_000_000_000;

/// Probes of all sessions together, in a second.
const MOST: u64 = 20_000;

/// What is left of that to either kind of session, whatever the other wants.
const LEAST: u64 = MOST / 2;

/// What all sessions want, beside what they may have: probes in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Budget {
    /// Of those that speak for others.
    leaders: u64,
    others: u64,
}

impl Budget {
    /// Of sessions that want this time between two probes each, and may speak for others.
    pub(super) fn of(sessions: impl Iterator<Item = (Nanos, bool)>) -> Self {
        let mut budget = Self::default();
        for (interval, leads) in sessions {
            let wanted = if leads {
                &mut budget.leaders
            } else {
                &mut budget.others
            };
            *wanted += SECOND / interval.max(1);
        }
        budget
    }

    /// Whether not all can have what they want.
    pub(super) const fn is_short(self) -> bool {
        self.leaders + self.others > MOST
    }

    /// By how much those that lead nobody are asked less often than they should be; 1: not.
    pub(super) fn stretch(self) -> f64 {
        let (wanted, most) = self.share(false);
        (wanted as f64 / most as f64).max(1.0)
    }

    /// What is wanted by those that lead or by the others, and how much of it there is.
    fn share(self, leads: bool) -> (u64, u64) {
        let (wanted, by_others) = if leads {
            (self.leaders, self.others)
        } else {
            (self.others, self.leaders)
        };
        (wanted, MOST.saturating_sub(by_others).max(LEAST))
    }

    /// Between two probes of each of so many sessions that have all of it, nanoseconds.
    pub(super) fn alone(sessions: usize) -> Nanos {
        u64::try_from(sessions)
            .unwrap_or(u64::MAX)
            .saturating_mul(SECOND / MOST)
    }

    /// Between two probes of a session that wants this, nanoseconds.
    pub(super) fn interval(self, interval: Nanos, leads: bool) -> Nanos {
        let (wanted, most) = self.share(leads);
        interval.max(interval.saturating_mul(wanted) / most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn a_few_sessions_have_what_they_want() {
        let budget = Budget::of([(MS, false); 20].into_iter());
        assert!(!budget.is_short());
        assert!((budget.stretch() - 1.0).abs() < f64::EPSILON);
        assert_eq!(budget.interval(MS, false), MS);
        assert_eq!(Budget::default().interval(MS, false), MS);
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
        let budget = Budget::of(wanted.iter().map(|it| (*it, false)));
        assert!(budget.is_short());
        assert!((budget.stretch() - 10.0).abs() < 0.01, "{budget:?}");
        let interval = |wanted| budget.interval(wanted, false);
        let rates = wanted.iter().map(|it| SECOND / interval(*it));
        let sum: u64 = rates.sum();
        assert!((19_900..=20_000).contains(&sum), "{sum}");
        assert_eq!(interval(2 * MS), 2 * interval(MS));
    }

    #[test]
    fn those_that_lead_come_first_and_take_half_at_most() {
        let of = |leaders: usize, others: usize| {
            let leaders = [(MS, true)].repeat(leaders);
            let budget = Budget::of(leaders.into_iter().chain([(MS, false)].repeat(others)));
            [true, false].map(|leads| budget.interval(MS, leads))
        };
        assert_eq!(of(1, 19), [MS, MS]);
        assert_eq!(of(2, 180), [MS, 10 * MS]);
        assert_eq!(of(20, 100), [2 * MS, 10 * MS]);
        assert_eq!(of(40, 0), [2 * MS, MS]);
    }
}
