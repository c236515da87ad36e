//! Which routers the thread guards, and with whom each has its session.

use anyhow::{Context as _, Result};
use keepfast_common::wire::probe::Stamps;
use tracing::error;

use crate::config::{Mode, RouterId};
use crate::engine::Nanos;
use crate::report::clock::monotonic_ns;
use crate::takeover::{Answer, Input, Phase, Role, Snapshot};

use super::act::LEASE;
use super::facts;
use super::guarded::{Guarded, nanos};
use super::home::Home;
use super::order::Guard;
use super::peer::PeerKey;
use super::questions::Questions;
use super::thread::Thread;

/// For how long probes must be in vain before the master's keepalived is asked instead.
const UNPROBED_NS: Nanos = 1_000_000_000;

/// How many unanswered questions to the master's keepalived are a silence.
const SOLICITATIONS: u8 = 3;

impl Thread {
    pub(super) fn guard(&mut self, guard: Guard, now: Nanos) -> Result<()> {
        let (id, key) = (guard.id.clone(), guard.key);
        if self.routers.get(&id).is_some_and(|it| it.guard.key != key) {
            self.forget(&id)?;
        }
        if !self.homes.contains_key(&key.netns) {
            let namespace = crate::netns::Namespace::clone_of(&guard.namespace)?;
            let home = Home::open(namespace, self.marks.mark)?;
            self.homes.insert(key.netns, home);
        }
        let mut actions = Vec::new();
        match self.routers.get_mut(&id) {
            Some(router) => {
                let policy = guard.policy;
                router.redeclare(guard);
                router
                    .takeover
                    .step(now, Input::Declared(policy), &mut actions);
            }
            None => {
                let mut router = Guarded::new(guard, &mut actions);
                if router.guard.policy.lease {
                    router.leftovers_until = now.saturating_add(nanos(LEASE));
                }
                self.routers.insert(id.clone(), router);
                self.by_key.insert(key, id.clone());
                if let Err(error) = self.keep_leftovers(&id, now) {
                    error!(router = %id, "{error:#}");
                }
            }
        }
        self.perform(&id, now, actions);
        self.choose_peer(&id, now)?;
        self.reschedule(&id);
        Ok(())
    }

    /// An agent that died between two steps of a takeover has left addresses with a lifetime.
    /// keepalived has taken them for its own when it has advertised; their mere presence, by
    /// which all else tells a primary, says nothing here. Where it has not, they lapse.
    pub(super) fn keep_leftovers(&mut self, id: &RouterId, now: Nanos) -> Result<()> {
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        if now >= router.leftovers_until {
            return Ok(());
        }
        let known = self.kernel.router(&router.guard.key)?;
        if known.is_none_or(|known| known.own_active == 0) {
            return Ok(());
        }
        router.leftovers_until = 0;
        if let Some(home) = self.homes.get(&router.guard.key.netns) {
            let kept = home.leases.keep(&router.guard.addresses);
            kept.context("keep the addresses that an agent left")?;
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, id: &RouterId) -> Result<()> {
        let now = monotonic_ns()?;
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        let mut off = router.guard.policy;
        off.mode = crate::takeover::Mode::Off;
        let mut actions = Vec::new();
        router
            .takeover
            .step(now, Input::Declared(off), &mut actions);
        self.perform(id, now, actions);
        self.leave_peer(id)?;
        if let Some(router) = self.routers.remove(id) {
            if let Some(due) = router.due {
                self.due.remove(&(due, id.clone()));
            }
            self.by_key.remove(&router.guard.key);
            let netns = router.guard.key.netns;
            if !self.by_key.keys().any(|key| key.netns == netns) {
                // Held open, the namespace could not go.
                self.homes.remove(&netns);
            }
        }
        if let Ok(mut report) = self.report.lock() {
            report.remove(id);
        }
        Ok(())
    }

    /// Has a router probe the host of its master, if it is to probe one.
    pub(super) fn choose_peer(&mut self, id: &RouterId, now: Nanos) -> Result<()> {
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        let snapshot = facts::read(&self.kernel, &self.sessions, router, now)?;
        let wanted = wanted_peer(router, &snapshot);
        if router.peer != wanted {
            self.leave_peer(id)?;
        }
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        if let (Some(key), Some(wish)) = (wanted, router.wish()) {
            if router.peer.replace(key) != Some(key) {
                // What the last one has said is not its word.
                router.stamps = Stamps::NONE;
                router.answer = Answer::NONE;
            }
            router.peer_address = snapshot.master.map(|master| master.address);
            self.sessions.join(key, id, router.question(), &wish, now);
        }
        let guards = router.guard.fast_path.mode != Mode::Off
            && snapshot.role == Role::Backup
            && snapshot.other_master().is_some();
        let in_vain = guards
            && router.guard.policy.solicit
            && !matches!(
                snapshot.session.phase,
                Phase::Learning | Phase::Up | Phase::Suspect
            )
            && facts::is_unprobed(&self.kernel, &self.sessions, router, now)?
            && self.sessions_age(id, now) >= UNPROBED_NS;
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        if !in_vain {
            router.solicitation = None;
        } else if router.solicitation.is_none() {
            let interval = nanos(router.guard.fast_path.solicit_interval);
            router.solicitation = Some(Questions::new(interval, SOLICITATIONS));
        }
        self.reschedule(id);
        Ok(())
    }

    /// For how long a router has had its session; without one it needs no patience.
    fn sessions_age(&self, id: &RouterId, now: Nanos) -> Nanos {
        let peer = self.routers.get(id).and_then(|router| router.peer);
        let peer = peer.and_then(|key| self.sessions.get(&key));
        peer.map_or(Nanos::MAX, |peer| now.saturating_sub(peer.since_ns))
    }

    pub(super) fn leave_peer(&mut self, id: &RouterId) -> Result<()> {
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        match router.peer.take() {
            Some(key) => {
                let now = monotonic_ns()?;
                self.sessions.leave(&key, id, now, &mut self.kernel)
            }
            None => Ok(()),
        }
    }
}

/// With whom a router should have a session.
fn wanted_peer(router: &Guarded, snapshot: &Snapshot) -> Option<PeerKey> {
    if router.guard.fast_path.mode == Mode::Off {
        return None;
    }
    // While its fate is decided, the session stays.
    let master = snapshot.other_master()?;
    if snapshot.role != Role::Backup {
        return None;
    }
    // A host that answers is not elsewhere by now: whoever else advertises with its address
    // would only have the session end that says so.
    if snapshot.session.phase.answers() && router.peer_address == Some(master.address) {
        return router.peer;
    }
    Some(PeerKey {
        netns: router.guard.key.netns,
        ifindex: router.guard.key.ifindex,
        mac: master.mac,
    })
}
