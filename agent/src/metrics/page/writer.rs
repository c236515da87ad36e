//! One family after the other: what it is called, what it means, its numbers.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use crate::metrics::distribution::Distribution;

const NANOSECONDS: f64 = 1e9;

/// A label: its name and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// Where families are written to.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

impl Writer<'_> {
    /// Values that go up and down. `help` says what they are, and in which unit.
    pub(super) fn gauges<'l, V: EncodeGaugeValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([Label<'l>; N], V)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A single one of those.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.gauges(name, help, [([], value)])
    }

    /// Values that only grow. `name` is without the `_total` that all of them end with.
    pub(super) fn counters<'l, V: EncodeCounterValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([Label<'l>; N], V)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    /// A single one of those.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.counters(name, help, [([], value)])
    }

    /// Times, in seconds.
    pub(super) fn times<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([Label<'l>; N], &'l Distribution)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, times) in values {
            let buckets: Vec<(f64, u64)> = times
                .buckets()
                .map(|(bound_ns, count)| {
                    let bound = bound_ns.map_or(f64::INFINITY, |ns| ns as f64 / NANOSECONDS);
                    (bound, count)
                })
                .collect();
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(
                    times.sum_ns() as f64 / NANOSECONDS,
                    times.count(),
                    &buckets,
                    None,
                )?;
        }
        Ok(())
    }

    /// Buckets of which no sum is known: one is estimated, for OpenMetrics allows no NaN. All that
    /// is in a bucket counts as the middle of it, what is in the last one as its lower bound.
    pub(super) fn buckets<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([Label<'l>; 1], Vec<(f64, u64)>)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, buckets) in values {
            let count = buckets.iter().map(|(_, count)| count).sum();
            let mut sum = 0.0;
            let mut lower = 0.0;
            for (bound, count) in &buckets {
                let upper = if bound.is_finite() { *bound } else { lower };
                sum += f64::midpoint(lower, upper) * *count as f64;
                lower = upper;
            }
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}
