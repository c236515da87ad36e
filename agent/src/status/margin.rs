//! How close a router came to a failover that nobody needed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Below this part of the down time not even one advert was missed.
const AMPLE: f64 = 0.5;

/// Above it the next late advert may be too late.
const THIN: f64 = 0.8;

/// How close the longest time without an advert came to the down time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Margin {
    /// The worst gap as a part of the down time: at 1 keepalived takes over. Adverts
    /// in time make about 0.28.
    pub used: f64,
    /// In a word.
    pub word: MarginWord,
}

/// A margin in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MarginWord {
    /// Less than half is used: no advert was missed.
    Ample,
    /// More than half, less than four fifths: an advert was missed or much delayed.
    Reduced,
    /// Four fifths and more: the next delay may be a failover.
    Thin,
    /// All of it: a failover was due.
    Exceeded,
}

impl Margin {
    /// The margin that a longest gap leaves of a down time, both in the same unit;
    /// `None`: there was no gap, or there is no down time.
    #[must_use]
    pub fn of(worst_gap: u64, down_after: u64) -> Option<Self> {
        if worst_gap == 0 || down_after == 0 {
            return None;
        }
        let used = worst_gap as f64 / down_after as f64;
        let word = if used < AMPLE {
            MarginWord::Ample
        } else if used < THIN {
            MarginWord::Reduced
        } else if used < 1.0 {
            MarginWord::Thin
        } else {
            MarginWord::Exceeded
        };
        // Cut, not rounded: what is not used up must not look so.
        let used = (used * 1_000.0).floor() / 1_000.0;
        Some(Self { used, word })
    }
}

impl MarginWord {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ample => "ample",
            Self::Reduced => "reduced",
            Self::Thin => "thin",
            Self::Exceeded => "exceeded",
        }
    }

    /// What it means, in words.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Ample => "no advert was missed",
            Self::Reduced => "an advert was missed or much delayed",
            Self::Thin => "the next delay may be a failover",
            Self::Exceeded => "a failover was due",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_follow_the_part_that_is_used() {
        // Adverts of 1 s to a backup of priority 100, milliseconds.
        for (gap, used, word) in [
            (1_000, 0.277, MarginWord::Ample),
            (1_804, 0.499, MarginWord::Ample),
            (2_000, 0.554, MarginWord::Reduced),
            (2_900, 0.803, MarginWord::Thin),
            (3_608, 0.999, MarginWord::Thin),
            (3_609, 1.0, MarginWord::Exceeded),
            (9_000, 2.493, MarginWord::Exceeded),
        ] {
            assert_eq!(Margin::of(gap, 3_609), Some(Margin { used, word }), "{gap}");
        }
    }

    #[test]
    fn where_nothing_was_measured_nothing_is_said() {
        assert_eq!(Margin::of(0, 3_609), None);
        assert_eq!(Margin::of(1, 0), None);
    }
}
