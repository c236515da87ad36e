//! Prometheus' text format, as far as a test needs it.

use std::collections::{BTreeMap, BTreeSet};

/// The numbers of a page.
#[derive(Debug)]
pub(super) struct Page {
    /// By name and labels, as they are written.
    values: BTreeMap<String, f64>,
    /// Names of families.
    pub(super) families: BTreeSet<String>,
}

impl Page {
    pub(super) fn read(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let values = samples.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        Self {
            values: values.collect(),
            families: families
                .map(|line| line.split_once(' ').unwrap().0.to_owned())
                .collect(),
        }
    }

    /// The value of a series, written as on the page.
    pub(super) fn value(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    /// The sum of all series of this name.
    pub(super) fn sum(&self, name: &str) -> f64 {
        let of_it = self
            .values
            .iter()
            .filter(|(series, _)| series.split('{').next() == Some(name));
        of_it.map(|(_, value)| value).sum()
    }

    /// The states that it says a router is in.
    pub(super) fn states(&self, router: &str) -> Vec<&str> {
        let start = format!("keepfast_router_state{{router=\"{router}\",state=\"");
        let on = self.values.iter().filter(|(_, value)| **value == 1.0);
        on.filter_map(|(series, _)| series.strip_prefix(&start)?.strip_suffix("\"}"))
            .collect()
    }
}
