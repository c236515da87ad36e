//! Keeping a process running while it is wanted: start it, start it again when it
//! ends, stop it when it is not wanted any longer.
//!
//! | phase    | what happens          | next     | order |
//! |----------|-----------------------|----------|-------|
//! | stopped  | it is wanted          | starting | start |
//! | starting | it runs               | running  |       |
//! | starting | it could not          | resting  |       |
//! | running  | it ended              | resting  |       |
//! | running  | unwanted, or replaced | stopping | stop  |
//! | stopping | it ended              | stopped  |       |
//! | resting  | the rest is over      | stopped  |       |
//!
//! The first end of a process that ran for a while is followed by a start at once;
//! each further one within [`STEADY_NS`] doubles the rest.

/// Nanoseconds of CLOCK_MONOTONIC.
pub type Nanos = u64;

const SECOND_NS: Nanos = 1_000_000_000;

/// A process that ran for this long has not failed to start.
pub const STEADY_NS: Nanos = 10 * SECOND_NS;

/// The longest rest between an end and the next start.
pub const LONGEST_REST_NS: Nanos = 30 * SECOND_NS;

/// What is to be done about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
}

/// A process that is kept running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    wanted: bool,
    /// Whether what runs is to make way for another of its kind.
    outdated: bool,
    phase: Phase,
    /// Ends in a row that came too soon.
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Stopped,
    Starting,
    Running { since: Nanos },
    Stopping,
    Resting { until: Nanos },
}

impl Upkeep {
    /// Not wanted, not running.
    pub const STOPPED: Self = Self {
        wanted: false,
        outdated: false,
        phase: Phase::Stopped,
        failures: 0,
    };

    /// Whether it shall run.
    pub const fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// What runs, if anything does, is not what shall run: it is replaced.
    pub const fn replace(&mut self) {
        self.outdated = matches!(self.phase, Phase::Running { .. } | Phase::Starting);
        // Another one may succeed where the last one failed.
        self.failures = 0;
        if matches!(self.phase, Phase::Resting { .. }) {
            self.phase = Phase::Stopped;
        }
    }

    /// The order that is due.
    pub fn next(&mut self, now: Nanos) -> Option<Order> {
        if let Phase::Resting { until } = self.phase
            && (until <= now || !self.wanted)
        {
            self.phase = Phase::Stopped;
        }
        match self.phase {
            Phase::Stopped if self.wanted => {
                self.phase = Phase::Starting;
                Some(Order::Start)
            }
            Phase::Running { .. } if !self.wanted || self.outdated => {
                self.phase = Phase::Stopping;
                self.outdated = false;
                Some(Order::Stop)
            }
            _ => None,
        }
    }

    /// When [`Self::next`] has something to say that it has not now.
    #[must_use]
    pub const fn deadline(&self) -> Option<Nanos> {
        match self.phase {
            Phase::Resting { until } if self.wanted => Some(until),
            _ => None,
        }
    }

    /// It runs: just started, or found running.
    pub const fn running(&mut self, now: Nanos) {
        self.phase = Phase::Running { since: now };
    }

    /// It could not be started, or has ended.
    pub fn ended(&mut self, now: Nanos) {
        self.outdated = false;
        self.phase = match self.phase {
            Phase::Stopping => Phase::Stopped,
            Phase::Running { since } if now.saturating_sub(since) >= STEADY_NS => {
                self.failures = 1;
                Phase::Resting { until: now }
            }
            _ => {
                let rest = rest_after(self.failures);
                self.failures = self.failures.saturating_add(1);
                Phase::Resting { until: now + rest }
            }
        };
    }

    /// Whether it runs.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// Whether there is nothing of it, nor will be.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        !self.wanted && matches!(self.phase, Phase::Stopped | Phase::Resting { .. })
    }

    /// In a word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self.phase {
            Phase::Stopped => "stopped",
            Phase::Starting => "starting",
            Phase::Running { .. } => "running",
            Phase::Stopping => "stopping",
            Phase::Resting { .. } => "resting",
        }
    }
}

/// How long to rest after so many failures in a row before.
fn rest_after(failures: u32) -> Nanos {
    match failures {
        0 => 0,
        more => (SECOND_NS << (more - 1).min(5)).min(LONGEST_REST_NS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(since: Nanos) -> Upkeep {
        let mut upkeep = Upkeep::STOPPED;
        upkeep.want(true);
        assert_eq!(upkeep.next(since), Some(Order::Start));
        assert_eq!(upkeep.next(since), None);
        upkeep.running(since);
        assert_eq!(upkeep.next(since), None);
        upkeep
    }

    #[test]
    fn what_ends_after_a_while_is_started_again_at_once() {
        let mut upkeep = running(0);
        upkeep.ended(STEADY_NS);
        assert_eq!(upkeep.next(STEADY_NS), Some(Order::Start));
    }

    #[test]
    fn what_ends_too_soon_rests_longer_each_time() {
        let mut upkeep = running(0);
        let mut now = 0;
        for seconds in [0, 1, 2, 4, 8, 16, 30, 30] {
            upkeep.ended(now);
            let due = now + seconds * SECOND_NS;
            assert_eq!(upkeep.deadline(), Some(due));
            if due > now {
                assert_eq!(upkeep.next(due - 1), None);
            }
            assert_eq!(upkeep.next(due), Some(Order::Start));
            now = due;
        }
        // Far beyond any shift that a number of failures could ask for.
        for _ in 0..200 {
            upkeep.ended(now);
            assert_eq!(upkeep.deadline(), Some(now + LONGEST_REST_NS));
            now += LONGEST_REST_NS;
            assert_eq!(upkeep.next(now), Some(Order::Start));
        }
    }

    #[test]
    fn what_is_not_wanted_is_stopped_and_stays_so() {
        let mut upkeep = running(0);
        upkeep.want(false);
        assert!(!upkeep.is_gone());
        assert_eq!(upkeep.next(1), Some(Order::Stop));
        assert_eq!(upkeep.next(1), None);
        assert!(!upkeep.is_gone());
        upkeep.ended(2);
        assert_eq!(upkeep.next(2), None);
        assert!(upkeep.is_gone());
    }

    #[test]
    fn a_start_under_way_is_stopped_once_it_runs() {
        let mut upkeep = Upkeep::STOPPED;
        upkeep.want(true);
        assert_eq!(upkeep.next(0), Some(Order::Start));
        upkeep.want(false);
        assert_eq!(upkeep.next(1), None);
        upkeep.running(2);
        assert_eq!(upkeep.next(2), Some(Order::Stop));
    }

    #[test]
    fn a_replaced_one_is_stopped_and_started() {
        let mut upkeep = running(0);
        upkeep.replace();
        assert_eq!(upkeep.next(1), Some(Order::Stop));
        upkeep.ended(2);
        assert_eq!(upkeep.next(2), Some(Order::Start));
        upkeep.running(2);
        assert_eq!(upkeep.next(3), None);
    }

    #[test]
    fn a_new_declaration_ends_a_rest() {
        let mut upkeep = running(0);
        upkeep.ended(0);
        assert_eq!(upkeep.next(0), Some(Order::Start));
        upkeep.ended(0);
        assert_eq!(upkeep.next(0), None);
        upkeep.replace();
        assert_eq!(upkeep.next(0), Some(Order::Start));
    }
}
