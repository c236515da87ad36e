//! What the thread looks at without an event, in turn: sessions, routers; and what it
//! says of them.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use anyhow::Result;
use serde_json::json;
use tracing::warn;

use crate::config::RouterId;
use crate::engine::Nanos;
use crate::takeover::Event;

use super::facts;
use super::sessions::Missed;
use super::thread::Thread;

/// How many routers are looked at each time, in turn: with a thousand of them that is to
/// take next to nothing. What is urgent is told by an event or a session.
const LOOKS: usize = 20;

impl Thread {
    /// Looks at everything without an event: sessions all, routers in turn.
    pub(super) fn review(&mut self, now: Nanos) -> Result<()> {
        for missed in self.sessions.review(now, &mut self.kernel)? {
            if missed.silent && self.stale.waits(missed.number) {
                continue;
            }
            let ids = if missed.silent {
                self.sessions.users(missed.number)
            } else {
                self.sessions.suspicious(missed.number)
            };
            for id in ids {
                self.make_up_for_loss(&id, missed)?;
            }
        }
        let ids = self.next_routers();
        for id in &ids {
            self.choose_peer(id, now)?;
            self.look_for_followers(id, now)?;
        }
        self.publish(&ids, now)?;
        self.looked_at = ids.last().cloned();
        Ok(())
    }

    /// The routers whose turn it is.
    pub(super) fn next_routers(&self) -> Vec<RouterId> {
        let after = self.looked_at.as_ref().map_or(Unbounded, Excluded);
        let rest = self.routers.range((after, Unbounded));
        // Then from the beginning, none twice.
        let ids = rest.chain(&self.routers).map(|(id, _)| id);
        ids.take(LOOKS.min(self.routers.len())).cloned().collect()
    }

    /// A session does not answer, and the event of it was lost: the engine takes a
    /// second one for the same silence calmly.
    pub(super) fn make_up_for_loss(&mut self, id: &RouterId, missed: Missed) -> Result<()> {
        let router = self.routers.get(id);
        if router.is_none_or(|router| router.takeover.as_str() != "idle") {
            return Ok(());
        }
        let event = if missed.silent {
            Event::Silent
        } else {
            Event::Suspect
        };
        self.happened(id, event)
    }

    /// Says how these routers are, unless somebody reads it right now.
    pub(super) fn publish(&mut self, ids: &[RouterId], now: Nanos) -> Result<()> {
        let report = Arc::clone(&self.report);
        let Ok(mut report) = report.try_lock() else {
            return Ok(());
        };
        for id in ids {
            let Some(router) = self.routers.get_mut(id) else {
                continue;
            };
            let peer = router
                .peer
                .and_then(|key| self.sessions.get(&key).map(|it| (key, it)));
            let session = match peer {
                Some((_, peer)) => self.kernel.session(peer.number)?,
                None => None,
            };
            let snapshot = facts::read(&self.kernel, &self.sessions, router, now)?;
            let mut status = super::status::status(router, &snapshot, peer, session.as_ref(), now);
            if let Some(fields) = status.as_object_mut() {
                fields.insert("stretch".to_owned(), json!(self.sessions.stretch()));
                fields.insert("wakes".to_owned(), json!(self.lateness.wakes));
                fields.insert("late_wakes".to_owned(), json!(self.lateness.late));
                fields.insert(
                    "worst_wake_us".to_owned(),
                    json!(self.lateness.worst_ns / 1_000),
                );
            }
            report.insert(id.clone(), status);
        }
        if self.sessions.stretch() > 1.0 {
            warn_once(self.sessions.stretch());
        }
        Ok(())
    }
}

fn warn_once(stretch: f64) {
    static WARNED: std::sync::Once = std::sync::Once::new();
    WARNED.call_once(|| {
        warn!(
            "too many sessions for the budget of probes: each is asked {stretch:.1} times less \
             often, but for one with each host, which speaks for the others, too"
        );
    });
}
