//! Verdicts of the kernel that the thread gets to late: it was starved itself.
//!
//! Meanwhile it has probed nobody, so the facts in the maps are as old as the verdict. Such a
//! verdict counts only if as long a silence follows it, with probes that leave now.

use crate::engine::Nanos;

/// A verdict that is older when it is read is looked at again.
const STALE_NS: Nanos = 10_000_000;

/// The verdicts that wait for that.
#[derive(Debug, Default)]
pub(super) struct Stale(Vec<(Nanos, u32)>);

impl Stale {
    /// Whether a verdict of `at` about a session is too old at `now`; then it comes again
    /// after `silence`.
    pub(super) fn is_put_off(
        &mut self,
        session: u32,
        at: Nanos,
        now: Nanos,
        silence: Nanos,
    ) -> bool {
        let late = now.saturating_sub(at) > STALE_NS;
        if late {
            self.forget(session);
            self.0.push((now.saturating_add(silence), session));
        }
        late
    }

    /// The peer has answered, or ends the session.
    pub(super) fn forget(&mut self, session: u32) {
        self.0.retain(|(_, other)| *other != session);
    }

    /// When the next one is due.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.0.iter().map(|(due, _)| *due).min()
    }

    /// A session whose verdict is due.
    pub(super) fn take(&mut self, now: Nanos) -> Option<u32> {
        let at = self.0.iter().position(|(due, _)| *due <= now)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Whether one waits.
    pub(super) fn waits(&self, session: u32) -> bool {
        self.0.iter().any(|(_, other)| *other == session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn one_that_is_read_in_time_counts_at_once() {
        let mut stale = Stale::default();
        assert!(!stale.is_put_off(1, 100 * MS, 110 * MS, 3 * MS));
        assert_eq!(stale.deadline(), None);
    }

    #[test]
    fn one_that_is_read_late_counts_after_as_long_a_silence() {
        let mut stale = Stale::default();
        assert!(stale.is_put_off(1, 100 * MS, 111 * MS, 3 * MS));
        assert!(stale.waits(1) && !stale.waits(2));
        assert_eq!(stale.deadline(), Some(114 * MS));
        assert_eq!(stale.take(113 * MS), None);
        assert_eq!(stale.take(114 * MS), Some(1));
        assert_eq!(stale.take(200 * MS), None, "once");
    }

    #[test]
    fn an_answer_meanwhile_ends_it() {
        let mut stale = Stale::default();
        assert!(stale.is_put_off(1, 100 * MS, 200 * MS, 3 * MS));
        stale.forget(1);
        assert_eq!(stale.take(300 * MS), None);
    }
}
