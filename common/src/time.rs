//! Durations as VRRP counts them, in nanoseconds as the kernel counts them.
//!
//! Points in time are `u64` nanoseconds of CLOCK_MONOTONIC (`bpf_ktime_get_ns`);
//! in a replay they are nanoseconds of the capture's own clock. Zero means
//! "never".

/// Nanoseconds in a centisecond, the unit of VRRPv3 intervals.
pub const CENTISECOND_NS: u64 = 10_000_000;

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// An advertisement interval in nanoseconds.
#[inline(always)]
pub const fn interval_ns(interval_cs: u16) -> u64 {
    interval_cs as u64 * CENTISECOND_NS
}

/// How long after an advert the next one counts as late: one interval and a
/// quarter, so that a sender's ordinary jitter is not reported.
#[inline(always)]
pub const fn late_after_ns(interval_cs: u16) -> u64 {
    let interval = interval_ns(interval_cs);
    interval + interval / 4
}

/// Skew_Time of a router with `priority`.
///
/// Version 3 scales the skew with the interval (RFC 9568 section 6.1); version 2
/// takes (256 - priority)/256 seconds whatever the interval (RFC 3768 section
/// 6.1). Computed in nanoseconds: a 10 ms interval must not round to zero.
#[inline(always)]
pub const fn skew_ns(version: u8, interval_cs: u16, priority: u8) -> u64 {
    let unit = if version == 2 {
        SECOND_NS
    } else {
        interval_ns(interval_cs)
    };
    (256 - priority as u64) * unit / 256
}

/// Active_Down_Interval (RFC 9568), Master_Down_Interval (RFC 3768): how long
/// after the last advert a backup with `priority` declares the master down.
#[inline(always)]
pub const fn down_after_ns(version: u8, interval_cs: u16, priority: u8) -> u64 {
    3 * interval_ns(interval_cs) + skew_ns(version, interval_cs, priority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_times_are_those_of_the_rfcs_and_of_keepalived() {
        // version, interval in centiseconds, priority, milliseconds times 1,000
        for (version, interval_cs, priority, expected_us) in [
            (3, 100, 100, 3_609_375),
            (3, 100, 254, 3_007_812),
            (3, 100, 1, 3_996_093),
            (3, 1, 100, 36_093),
            (3, 1, 254, 30_078),
            (3, 1, 1, 39_960),
            (3, 100, 255, 3_003_906),
            (2, 100, 100, 3_609_375),
            // Neutron's defaults: 2 s, priority 50. The skew is in seconds.
            (2, 200, 50, 6_804_687),
        ] {
            assert_eq!(
                down_after_ns(version, interval_cs, priority) / 1_000,
                expected_us,
                "v{version} {interval_cs} cs priority {priority}"
            );
        }
    }

    #[test]
    fn the_longest_interval_does_not_overflow() {
        assert_eq!(interval_ns(u16::MAX), 655_350_000_000);
        assert!(down_after_ns(3, u16::MAX, 1) > 3 * interval_ns(u16::MAX));
    }
}
