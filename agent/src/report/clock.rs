//! From the kernel's clock to the wall clock, and durations in words.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use nix::time::{ClockId, clock_gettime};

/// What to add to the time of an event to have the wall clock's time, and the
/// time zone of the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockMapping {
    offset_ns: i128,
    zone: TimeZone,
}

impl ClockMapping {
    /// From CLOCK_MONOTONIC to this host's wall clock as it is set now.
    ///
    /// # Errors
    ///
    /// Where a clock cannot be read.
    pub fn now() -> Result<Self> {
        let before = read(ClockId::CLOCK_MONOTONIC)?;
        let wall = read(ClockId::CLOCK_REALTIME)?;
        let after = read(ClockId::CLOCK_MONOTONIC)?;
        Ok(Self {
            offset_ns: wall - i128::midpoint(before, after),
            zone: TimeZone::system(),
        })
    }

    /// For a capture, whose times are the wall clock's already.
    pub fn capture() -> Self {
        Self::fixed(0, TimeZone::system())
    }

    /// A mapping that adds `offset_ns` nanoseconds and tells the time in `zone`.
    pub fn fixed(offset_ns: i64, zone: TimeZone) -> Self {
        Self {
            offset_ns: i128::from(offset_ns),
            zone,
        }
    }

    /// The instant of `time_ns`; times beyond the calendar are put at its end.
    pub fn instant(&self, time_ns: u64) -> Timestamp {
        let nanoseconds = i128::from(time_ns) + self.offset_ns;
        Timestamp::from_nanosecond(nanoseconds).unwrap_or(if nanoseconds < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }

    /// That instant on the reader's clock and calendar.
    pub fn wall(&self, time_ns: u64) -> ZonedDateTime {
        self.instant(time_ns).to_zoned_datetime(self.zone.clone())
    }
}

/// The kernel programs' clock: CLOCK_MONOTONIC nanoseconds.
///
/// # Errors
///
/// The kernel has no such clock.
pub fn monotonic_ns() -> Result<u64> {
    u64::try_from(read(ClockId::CLOCK_MONOTONIC)?).context("read the clock")
}

fn read(clock: ClockId) -> Result<i128> {
    let time = clock_gettime(clock).with_context(|| format!("read clock {clock}"))?;
    Ok(i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec()))
}

/// A duration of `ns` nanoseconds as an operator would say it, cut (not rounded)
/// after three decimals: `3.609 s`, `36.093 ms`, `24 us`, `2 min 5 s`.
pub fn duration(ns: u64) -> String {
    let seconds = Duration::from_nanos(ns).as_secs();
    match ns {
        0..1_000_000 => decimal(ns, 1_000, "us"),
        1_000_000..100_000_000 => decimal(ns, 1_000_000, "ms"),
        100_000_000..60_000_000_000 => decimal(ns, 1_000_000_000, "s"),
        60_000_000_000..3_600_000_000_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// `ns` in a unit of `unit_ns`, without zeros at the end.
fn decimal(ns: u64, unit_ns: u64, unit: &str) -> String {
    let thousandths = ns % unit_ns * 1_000 / unit_ns;
    let number = format!("{}.{thousandths:03}", ns / unit_ns);
    format!(
        "{} {unit}",
        number.trim_end_matches('0').trim_end_matches('.')
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_cut_to_what_matters() {
        for (ns, expected) in [
            (0, "0 us"),
            (24_567, "24.567 us"),
            (10_000_000, "10 ms"),
            (36_093_750, "36.093 ms"),
            (100_000_000, "0.1 s"),
            (609_375_000, "0.609 s"),
            (1_000_000_000, "1 s"),
            (3_609_375_000, "3.609 s"),
            (20_000_000_000, "20 s"),
            (125_900_000_000, "2 min 5 s"),
            (3_725_000_000_000, "1 h 2 min"),
            (u64::MAX, "5124095 h 34 min"),
        ] {
            assert_eq!(duration(ns), expected, "{ns} ns");
        }
    }

    #[test]
    fn this_hosts_clocks_give_the_present_year() {
        let mapping = ClockMapping::now().unwrap();
        let monotonic = u64::try_from(read(ClockId::CLOCK_MONOTONIC).unwrap()).unwrap();
        let apart = mapping.instant(monotonic).duration_since(Timestamp::now());
        assert!(apart.abs().as_secs() < 1, "{apart:?}");
    }

    #[test]
    fn times_beyond_the_calendar_are_put_at_its_end() {
        let mapping = ClockMapping::fixed(i64::MAX, TimeZone::UTC);
        assert!(mapping.wall(u64::MAX).year() > 2800);
        let mapping = ClockMapping::fixed(i64::MIN, TimeZone::UTC);
        assert_eq!(mapping.wall(0).year(), 1677);
    }
}
