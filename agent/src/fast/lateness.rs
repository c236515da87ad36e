//! How late the thread wakes: what a busy host does to it.

use std::sync::Arc;

use crate::engine::Nanos;
use crate::metrics::SharedDistribution;

/// One that is later than this is counted as late.
const LATE_NS: Nanos = 500_000;

/// How late it was.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    pub(super) wakes: u64,
    /// Later than half a millisecond.
    pub(super) late: u64,
    pub(super) worst_ns: Nanos,
    /// For others to read.
    pub(super) shared: Arc<SharedDistribution>,
    /// When it woke before.
    woke_at: Nanos,
}

impl Lateness {
    /// It has woken at `now`; something was due at `due`, if so.
    ///
    /// What was due before it woke last was first asked for since then.
    pub(super) fn woke(&mut self, due: Option<Nanos>, now: Nanos) {
        let before = std::mem::replace(&mut self.woke_at, now);
        let Some(due) = due.filter(|due| *due <= now) else {
            return;
        };
        let late_ns = now.saturating_sub(due.max(before));
        self.wakes += 1;
        self.shared.observe(late_ns);
        if late_ns > LATE_NS {
            self.late += 1;
        }
        self.worst_ns = self.worst_ns.max(late_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn what_was_due_counts_from_then() {
        let mut lateness = Lateness::default();
        lateness.woke(None, 100 * MS);
        lateness.woke(Some(102 * MS), 101 * MS);
        assert_eq!(lateness.wakes, 0, "an event woke it");
        lateness.woke(Some(102 * MS), 102 * MS + LATE_NS);
        assert_eq!((lateness.wakes, lateness.late), (1, 0));
        lateness.woke(Some(103 * MS), 110 * MS);
        assert_eq!((lateness.wakes, lateness.late), (2, 1));
        assert_eq!(lateness.worst_ns, 7 * MS);
    }

    #[test]
    fn what_has_never_been_done_is_not_late_since_the_boot() {
        let mut lateness = Lateness::default();
        lateness.woke(None, 100 * MS);
        lateness.woke(Some(0), 101 * MS);
        assert_eq!(lateness.worst_ns, MS);
    }
}
