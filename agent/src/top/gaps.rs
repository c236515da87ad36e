//! The times between a router's adverts, as a line of bars.

use std::collections::VecDeque;

use crate::status::AdvertStatus;

/// How many looks are remembered.
const KEPT: usize = 24;

/// Bars, from none of the down time to all of it.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The times between the adverts of one router, at each look.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// When the last advert was heard, microseconds of the daemon's life, and how many
    /// there had been.
    last: Option<(u64, u64)>,
    /// Each as a part of the down time.
    parts: VecDeque<f64>,
}

impl Gaps {
    /// Takes what is known at `up_us`, microseconds of the daemon's life: the time
    /// between adverts since the last look, or the time without one.
    pub(super) fn take(&mut self, up_us: u64, adverts: &AdvertStatus) {
        let heard = up_us.saturating_sub(adverts.age_us);
        let count = adverts.received.saturating_add(adverts.sent);
        let before = self.last.replace((heard, count));
        let Some((heard_before, count_before)) = before else {
            return;
        };
        let gap = match count.saturating_sub(count_before) {
            0 => adverts.age_us,
            more => heard.saturating_sub(heard_before) / more,
        };
        self.parts
            .push_back(gap as f64 / adverts.down_after_us.max(1) as f64);
        if self.parts.len() > KEPT {
            self.parts.pop_front();
        }
    }

    /// A bar for each look, the newest last.
    pub(super) fn bars(&self) -> String {
        let bar = |part: &f64| {
            // A part above 1 is the highest bar, too.
            let index = (part * BARS.len() as f64) as usize;
            BARS.get(index).copied().unwrap_or('█')
        };
        self.parts.iter().map(bar).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn adverts(received: u64, age_us: u64) -> AdvertStatus {
        AdvertStatus {
            interval_ms: 1_000,
            age_us,
            worst_gap_us: 0,
            down_after_us: 4 * SECOND,
            margin: None,
            received,
            sent: 0,
        }
    }

    #[test]
    fn each_look_is_a_bar_of_the_time_between_adverts() {
        let mut gaps = Gaps::default();
        for (up, received, age) in [
            (10 * SECOND, 5, SECOND / 2),
            // One a second.
            (11 * SECOND, 6, SECOND / 2),
            // Ten a second.
            (12 * SECOND, 16, SECOND / 2),
            // None since, for ever longer.
            (13 * SECOND, 16, 3 * SECOND / 2),
            (14 * SECOND, 16, 5 * SECOND / 2),
            (16 * SECOND, 16, 9 * SECOND / 2),
            // After 4.9 s, half a second ago.
            (17 * SECOND, 17, SECOND / 10),
        ] {
            gaps.take(up, &adverts(received, age));
        }
        assert_eq!(gaps.bars(), "▃▁▄▆██");
    }

    #[test]
    fn so_many_are_kept() {
        let mut gaps = Gaps::default();
        for second in 0..100 {
            gaps.take(second * SECOND, &adverts(second, 0));
        }
        assert_eq!(gaps.bars(), "▃".repeat(KEPT));
    }
}
