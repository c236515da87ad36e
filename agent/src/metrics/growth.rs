//! A sum that only grows, of counts that come and go.

use std::collections::HashMap;
use std::hash::Hash;

/// Adds up what each of some counts has grown by. One that ends stays in the sum: else
/// that would shrink, and Prometheus would take it for a new start.
#[derive(Debug)]
pub(super) struct Growth<K, const N: usize> {
    last: HashMap<K, [u64; N]>,
    total: [u64; N],
}

impl<K, const N: usize> Default for Growth<K, N> {
    fn default() -> Self {
        Self {
            last: HashMap::new(),
            total: [0; N],
        }
    }
}

impl<K: Eq + Hash, const N: usize> Growth<K, N> {
    /// Takes the counts as they are now; those that are not among them have ended.
    /// Returns the sums.
    pub(super) fn take(&mut self, now: impl IntoIterator<Item = (K, [u64; N])>) -> [u64; N] {
        let mut last = HashMap::new();
        for (key, counts) in now {
            let before = self.last.get(&key).copied().unwrap_or([0; N]);
            // One that shrank began anew under the same name.
            let anew = counts.iter().zip(&before).any(|(now, then)| now < then);
            let before = if anew { [0; N] } else { before };
            for ((total, now), then) in self.total.iter_mut().zip(&counts).zip(&before) {
                *total = total.saturating_add(now - then);
            }
            last.insert(key, counts);
        }
        self.last = last;
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_stays_in_the_sum() {
        let mut growth = Growth::default();
        assert_eq!(growth.take([("a", [3]), ("b", [5])]), [8]);
        assert_eq!(growth.take([("a", [4])]), [9], "b has ended");
        assert_eq!(growth.take([("a", [4]), ("b", [1])]), [10], "another b");
        assert_eq!(growth.take([("a", [2]), ("b", [1])]), [12], "a anew");
    }
}
