//! The two clocks of the lab: CLOCK_MONOTONIC for what is compared, CLOCK_REALTIME for captures.

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Nanoseconds of CLOCK_MONOTONIC, the clock of `bpf_ktime_get_ns`.
///
/// # Errors
/// When the clock cannot be read.
pub fn monotonic_ns() -> Result<u64> {
    nanoseconds(ClockId::CLOCK_MONOTONIC)
}

/// What to take from a CLOCK_REALTIME time in nanoseconds to have the monotonic one.
///
/// The clocks are read twice and the monotonic readings averaged, so the error is half of the
/// time that the three readings took, well below a microsecond.
///
/// # Errors
/// When a clock cannot be read.
pub fn realtime_minus_monotonic_ns() -> Result<u64> {
    let before = monotonic_ns()?;
    let realtime = nanoseconds(ClockId::CLOCK_REALTIME)?;
    let after = monotonic_ns()?;
    realtime
        .checked_sub(u64::midpoint(before, after))
        .context("the wall clock is behind the time since boot")
}

fn nanoseconds(clock: ClockId) -> Result<u64> {
    let time = clock_gettime(clock).with_context(|| format!("read clock {clock}"))?;
    let nanos = Duration::from(time).as_nanos();
    u64::try_from(nanos).context("clock beyond 64 bits of nanoseconds")
}
