//! How long a router that took over wrongly, or in vain, lets occasions pass.

use crate::engine::Nanos;

const SECOND_NS: Nanos = 1_000_000_000;

/// The first back-off.
pub const SHORTEST_NS: Nanos = 10 * SECOND_NS;

/// The longest one.
pub const LONGEST_NS: Nanos = 600 * SECOND_NS;

/// Each such time without a further one halves the last.
pub const HALVING_NS: Nanos = 3_600 * SECOND_NS;

/// Doubles each time.
#[derive(Debug, Clone, Copy, Default)]
pub struct BackOff {
    began: Nanos,
    /// 0: there was none yet.
    length_ns: Nanos,
}

impl BackOff {
    /// Begins, and returns how long it lasts.
    pub fn begin(&mut self, now: Nanos) -> Nanos {
        let halvings = now.saturating_sub(self.began) / HALVING_NS;
        let last = u32::try_from(halvings)
            .ok()
            .and_then(|halvings| self.length_ns.checked_shr(halvings))
            .unwrap_or(0);
        self.began = now;
        self.length_ns = last.saturating_mul(2).clamp(SHORTEST_NS, LONGEST_NS);
        self.length_ns
    }

    /// When it ends, or ended; 0: there was none.
    #[must_use]
    pub const fn until(&self) -> Nanos {
        self.began.saturating_add(self.length_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_seconds(lengths: &[Nanos]) -> Vec<Nanos> {
        lengths.iter().map(|length| length / SECOND_NS).collect()
    }

    #[test]
    fn it_doubles_up_to_the_longest() {
        let mut back_off = BackOff::default();
        assert_eq!(back_off.until(), 0);
        let lengths: Vec<_> = (0..8)
            .map(|minute| back_off.begin(minute * 60 * SECOND_NS))
            .collect();
        assert_eq!(in_seconds(&lengths), [10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(back_off.until(), (7 * 60 + 600) * SECOND_NS);
    }

    #[test]
    fn it_halves_with_every_hour_without_one() {
        // What a fourth one lasts, after three (10, 20, 40 s) and so many hours.
        for (hours, seconds) in [(0, 80), (1, 40), (2, 20), (3, 10), (4, 10), (1_000, 10)] {
            let mut back_off = BackOff::default();
            for _ in 0..3 {
                back_off.begin(SECOND_NS);
            }
            let last = back_off.begin(SECOND_NS + hours * HALVING_NS);
            assert_eq!(last, seconds * SECOND_NS, "after {hours} hours");
        }
    }
}
