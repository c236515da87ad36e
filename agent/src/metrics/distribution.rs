//! How long things took: how many were below each of a row of times.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bounds of the buckets, nanoseconds: from 10 us to a minute.
const BOUNDS_NS: [u64; BOUNDS] = [
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    20_000_000_000,
    60_000_000_000,
];

const BOUNDS: usize = 21;

/// The last one is of what is above all bounds.
const BUCKETS: usize = BOUNDS + 1;

/// Times that were observed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Distribution {
    buckets: [u64; BUCKETS],
    sum_ns: u64,
}

/// The same for one thread that observes while another reads; neither waits for the
/// other.
#[derive(Debug, Default)]
pub struct SharedDistribution {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// The bucket of a time.
fn bucket(ns: u64) -> usize {
    BOUNDS_NS.partition_point(|bound| *bound < ns)
}

impl Distribution {
    /// Takes down a time, nanoseconds.
    pub fn observe(&mut self, ns: u64) {
        if let Some(count) = self.buckets.get_mut(bucket(ns)) {
            *count += 1;
        }
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// How many times were in each bucket alone: the bound of it, nanoseconds (`None`:
    /// there is none), and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = BOUNDS_NS.into_iter().map(Some).chain([None]);
        bounds.zip(self.buckets)
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All together, nanoseconds.
    #[must_use]
    pub const fn sum_ns(&self) -> u64 {
        self.sum_ns
    }
}

impl SharedDistribution {
    /// Takes down a time, nanoseconds.
    pub fn observe(&self, ns: u64) {
        if let Some(count) = self.buckets.get(bucket(ns)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// As it is now; what is observed meanwhile may be in the sum alone or the other
    /// way round.
    pub fn read(&self) -> Distribution {
        Distribution {
            buckets: self.buckets.each_ref().map(|it| it.load(Ordering::Relaxed)),
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let mut times = Distribution::default();
        for ns in [0, 10_000, 10_001, 60_000_000_000, 60_000_000_001] {
            times.observe(ns);
        }
        let filled: Vec<_> = times.buckets().filter(|(_, count)| *count != 0).collect();
        let expected = [
            (Some(10_000), 2),
            (Some(20_000), 1),
            (Some(60_000_000_000), 1),
            (None, 1),
        ];
        assert_eq!(filled, expected);
        assert_eq!(times.count(), 5);
        assert_eq!(times.sum_ns(), 120_000_020_002);
    }

    #[test]
    fn what_another_thread_reads_is_the_same() {
        let shared = SharedDistribution::default();
        let mut own = Distribution::default();
        for ns in [1, 1_000_000, u64::from(u32::MAX) * 100] {
            shared.observe(ns);
            own.observe(ns);
        }
        assert_eq!(shared.read(), own);
    }
}
