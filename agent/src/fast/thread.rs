//! The loop: probes first, then what the kernel tells, what is ordered, what is due.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use anyhow::Result;
use keepfast_common::event::{Event as Record, EventKind, Party};
use keepfast_common::maps::RouterKey;
use keepfast_common::wire::Mac;
use keepfast_common::wire::probe::Stamps;
use keepfast_common::wire::vrrp::RESIGN;
use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, warn};

use crate::config::{Mode, RouterId};
use crate::engine::Nanos;
use crate::kernel::FastKernel;
use crate::observe::router_of;
use crate::report::clock::monotonic_ns;
use crate::takeover::{Action, Event, Input, Phase, Role, Snapshot};

use super::Report;
use super::clock::{Bell, Clock};
use super::guarded::{Guarded, LOOK_NS, nanos};
use super::home::Home;
use super::order::{Guard, Order, Told};
use super::peer::PeerKey;
use super::questions::{Finding, Questions};
use super::sessions::{Missed, Sessions};
use super::{act, facts};

const MS: Nanos = 1_000_000;

/// How often sessions and routers are looked at without an event: one may be lost.
const REVIEW_NS: Nanos = 100 * MS;

/// How many routers are looked at each time, in turn: with a thousand of them that is to
/// take next to nothing. What is urgent is told by an event or a session.
const LOOKS: usize = 20;

/// For how long probes must be in vain before the master's keepalived is asked instead.
const UNPROBED_NS: Nanos = 1_000 * MS;

/// How many unanswered questions to the master's keepalived are a silence.
const SOLICITATIONS: u8 = 3;

/// By what the kernel programs and keepalived know the thread's frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    /// Of what it asks (SO_MARK).
    pub(super) mark: u32,
    /// The hardware address that injected adverts come from.
    pub(super) ghost: Mac,
}

/// How late the thread wakes.
#[derive(Debug, Default)]
struct Lateness {
    wakes: u64,
    /// Later than half a millisecond.
    late: u64,
    worst_ns: Nanos,
}

/// The thread.
pub(super) struct Thread {
    kernel: FastKernel,
    marks: Marks,
    orders: Receiver<Order>,
    bell: Arc<Bell>,
    tell: UnboundedSender<Told>,
    report: Report,
    clock: Clock,
    homes: BTreeMap<u32, Home>,
    routers: BTreeMap<RouterId, Guarded>,
    by_key: HashMap<RouterKey, RouterId>,
    due: BTreeSet<(Nanos, RouterId)>,
    sessions: Sessions,
    review_at: Nanos,
    /// The router that was looked at last.
    looked_at: Option<RouterId>,
    lateness: Lateness,
    ends: bool,
}

impl Thread {
    pub(super) fn new(
        kernel: FastKernel,
        marks: Marks,
        orders: Receiver<Order>,
        bell: Arc<Bell>,
        tell: UnboundedSender<Told>,
        report: Report,
    ) -> Result<Self> {
        let clock = Clock::new(kernel.ring_fd(), &bell)?;
        Ok(Self {
            kernel,
            marks,
            orders,
            bell,
            tell,
            report,
            clock,
            homes: BTreeMap::new(),
            routers: BTreeMap::new(),
            by_key: HashMap::new(),
            due: BTreeSet::new(),
            sessions: Sessions::default(),
            review_at: 0,
            looked_at: None,
            lateness: Lateness::default(),
            ends: false,
        })
    }

    /// Runs until it is told to end.
    pub(super) fn run(&mut self) {
        while !self.ends {
            if let Err(error) = self.turn() {
                error!("fast path: {error:#}");
                // What fails at once would fail again at once.
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }

    fn turn(&mut self) -> Result<()> {
        let due = self.deadline();
        self.clock.wait(due, &self.bell)?;
        let now = monotonic_ns()?;
        if let Some(due) = due
            && now >= due
        {
            self.note_lateness(now - due);
        }
        self.sessions.send(now, &self.homes, &mut self.kernel)?;
        while let Some(record) = self.kernel.next_event()? {
            self.take(&record)?;
        }
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order)?;
        }
        let now = monotonic_ns()?;
        self.pass(now)?;
        if !self.routers.is_empty() && now >= self.review_at {
            self.review_at = now + REVIEW_NS;
            self.review(now)?;
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Nanos> {
        let probes = self.sessions.deadline();
        let routers = self.due.first().map(|(due, _)| *due);
        let review = (!self.routers.is_empty()).then_some(self.review_at);
        probes.into_iter().chain(routers).chain(review).min()
    }

    fn note_lateness(&mut self, late_ns: Nanos) {
        self.lateness.wakes += 1;
        if late_ns > MS / 2 {
            self.lateness.late += 1;
        }
        self.lateness.worst_ns = self.lateness.worst_ns.max(late_ns);
    }

    /// Takes an urgent event of the kernel's.
    fn take(&mut self, record: &Record) -> Result<()> {
        let Some(kind) = EventKind::from_number(record.kind) else {
            return Ok(());
        };
        let at_ns = record.time_ns;
        let of_peer = match kind {
            EventKind::PeerSuspect => Some(Event::Suspect),
            EventKind::PeerSilent => Some(Event::Silent),
            EventKind::PeerBack => Some(Event::Back),
            EventKind::PeerUp | EventKind::PeerLeaving => {
                for id in self.sessions.users(record.session) {
                    let name = crate::report::json::kind_name(kind);
                    self.told(&id, at_ns, name, crate::report::words::sentence(record));
                }
                return Ok(());
            }
            _ => None,
        };
        if let Some(event) = of_peer {
            if event != Event::Back {
                self.sessions.alarm(record.session, monotonic_ns()?);
            }
            for id in self.sessions.users(record.session) {
                self.happened(&id, event)?;
            }
            return Ok(());
        }
        let Some(id) = self.by_key.get(&router_of(record)).cloned() else {
            return Ok(());
        };
        let event = match kind {
            EventKind::LocalMaster => Event::LocalMaster { at_ns },
            EventKind::LocalResigned => Event::LocalResigned,
            EventKind::MasterResigned => Event::Resigned { at_ns },
            EventKind::MasterAppeared | EventKind::MasterChanged if record.new.local == 0 => {
                Event::MasterChanged
            }
            _ => return Ok(()),
        };
        self.happened(&id, event)?;
        self.choose_peer(&id, monotonic_ns()?)
    }

    fn obey(&mut self, order: Order) -> Result<()> {
        let now = monotonic_ns()?;
        match order {
            Order::Guard(guard) => self.guard(*guard, now),
            Order::Forget(id) => self.forget(&id),
            Order::Know(id, facts) => {
                if let Some(router) = self.routers.get_mut(&id) {
                    router.facts = facts;
                }
                self.choose_peer(&id, now)
            }
            Order::HandOver(id) => self.happened(&id, Event::HandOver),
            Order::End => {
                self.ends = true;
                let ids: Vec<RouterId> = self.routers.keys().cloned().collect();
                ids.iter().try_for_each(|id| self.forget(id))
            }
        }
    }

    fn guard(&mut self, guard: Guard, now: Nanos) -> Result<()> {
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
                let router = Guarded::new(guard, &mut actions);
                self.keep_leftovers(&router);
                self.routers.insert(id.clone(), router);
                self.by_key.insert(key, id.clone());
            }
        }
        self.perform(&id, now, actions);
        self.choose_peer(&id, now)?;
        self.reschedule(&id);
        Ok(())
    }

    /// An agent that died between two steps of a takeover has left addresses with a
    /// lifetime: they are keepalived's if it is master, else nobody's.
    fn keep_leftovers(&self, router: &Guarded) {
        let Some(home) = self.homes.get(&router.guard.key.netns) else {
            return;
        };
        if !router.guard.policy.lease {
            return;
        }
        let leases = &home.leases;
        let outcome = leases.lapsing(&router.guard.addresses).and_then(|left| {
            let known = self.kernel.router(&router.guard.key)?;
            let master = known.is_some_and(|known| known.own_active != 0);
            if left.is_empty() {
                Ok(())
            } else if master || !router.facts.backup {
                // One that is becoming master may not have been seen to advertise.
                leases.keep(&left).map(drop)
            } else {
                leases.remove(&left).map(drop)
            }
        });
        if let Err(error) = outcome {
            error!(router = %router.guard.id, "look for leased addresses: {error:#}");
        }
    }

    fn forget(&mut self, id: &RouterId) -> Result<()> {
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

    /// Something happened to a router: has it decided upon and done.
    fn happened(&mut self, id: &RouterId, event: Event) -> Result<()> {
        let now = monotonic_ns()?;
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        let snapshot = facts::read(&self.kernel, &self.sessions, router, now)?;
        let mut actions = Vec::new();
        router
            .takeover
            .step(now, Input::Happened(event, snapshot), &mut actions);
        self.perform(id, now, actions);
        self.reschedule(id);
        Ok(())
    }

    /// Does all that was decided; what fails is told, and the rest is done.
    fn perform(&mut self, id: &RouterId, now: Nanos, actions: Vec<Action>) {
        for action in actions {
            let Some(router) = self.routers.get_mut(id) else {
                return;
            };
            let Some(home) = self.homes.get(&router.guard.key.netns) else {
                return;
            };
            match act::perform(action, router, home, &self.kernel, self.marks.ghost) {
                Ok(None) => {}
                Ok(Some(note)) => {
                    let at = monotonic_ns().unwrap_or(now);
                    self.told(id, at, note.name(), note.to_string());
                }
                Err(error) => {
                    error!(router = %id, "fast path: {error:#}");
                    self.told(id, now, "trouble", format!("{error:#}"));
                }
            }
        }
    }

    fn told(&self, id: &RouterId, at: Nanos, name: &'static str, detail: String) {
        let told = Told {
            id: id.clone(),
            at,
            name,
            detail,
        };
        // A daemon that is ending listens no longer.
        _ = self.tell.send(told);
    }

    /// Does what is due at `now`.
    fn pass(&mut self, now: Nanos) -> Result<()> {
        while let Some((due, id)) = self.due.first().cloned()
            && due <= now
        {
            self.due.remove(&(due, id.clone()));
            if let Some(router) = self.routers.get_mut(&id) {
                router.due = None;
            }
            self.ask_gateways(&id, now)?;
            self.solicit(&id, now)?;
            self.look_for_deposed(&id, now)?;
            self.look_for_followers(&id, now)?;
            let router = self.routers.get(&id);
            if router.is_some_and(|it| it.takeover.deadline().is_some_and(|due| due <= now)) {
                self.happened(&id, Event::Tick)?;
            }
            self.reschedule(&id);
        }
        Ok(())
    }

    fn reschedule(&mut self, id: &RouterId) {
        let Some(router) = self.routers.get_mut(id) else {
            return;
        };
        if let Some(due) = router.due.take() {
            self.due.remove(&(due, id.clone()));
        }
        let takeover = router.takeover.deadline();
        router.due = takeover.into_iter().chain(router.own_deadline()).min();
        if let Some(due) = router.due {
            self.due.insert((due, id.clone()));
        }
    }

    fn ask_gateways(&mut self, id: &RouterId, now: Nanos) -> Result<()> {
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        let Some(home) = self.homes.get(&router.guard.key.netns) else {
            return Ok(());
        };
        let had_gateway = router.has_gateway();
        let mut asked = false;
        for number in 0..router.gateways.len() {
            let (Some(questions), Some(gateway)) = (
                router.gateways.get_mut(number),
                router.guard.gateways.get(number),
            ) else {
                continue;
            };
            if questions.due() <= now {
                let holding = self.kernel.holding(&gateway.key)?;
                questions.ask(now, holding.map_or(0, |it| it.heard_ns));
                act::ask_gateway(&router.guard, home, number)?;
                asked = true;
            }
        }
        if !asked {
            return Ok(());
        }
        let lost = router.gateways.iter().all(Questions::is_silent);
        let snapshot = facts::read(&self.kernel, &self.sessions, router, now)?;
        let was_lost = std::mem::replace(&mut router.gateway_lost, lost);
        let event = match (was_lost, lost) {
            (false, true) => Some(Event::GatewaySilent),
            (true, false) => Some(Event::GatewayBack),
            (true, true) if router.heirs != snapshot.heirs => Some(Event::GatewaySilent),
            _ => None,
        };
        router.heirs = snapshot.heirs;
        let news = router.has_gateway() != had_gateway;
        if lost != was_lost {
            self.told_gateway(id, now, lost);
        }
        if let Some(event) = event {
            self.happened(id, event)?;
        }
        if news {
            // Its probes say so.
            self.choose_peer(id, now)?;
        }
        Ok(())
    }

    fn told_gateway(&self, id: &RouterId, now: Nanos, lost: bool) {
        let (name, detail) = if lost {
            ("gateway_lost", "this host's gateways do not answer")
        } else {
            ("gateway_back", "this host's gateways answer again")
        };
        self.told(id, now, name, detail.to_owned());
    }

    /// Asks the master's keepalived, where probes of its host are in vain.
    fn solicit(&mut self, id: &RouterId, now: Nanos) -> Result<()> {
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        let (Some(questions), Some(home)) = (
            &mut router.solicitation,
            self.homes.get(&router.guard.key.netns),
        ) else {
            return Ok(());
        };
        if questions.due() > now {
            return Ok(());
        }
        let known = self.kernel.router(&router.guard.key)?;
        let master = known.map(|known| known.master);
        let Some(master) = master.filter(|master| master.heard_ns != 0 && master.local == 0) else {
            router.solicitation = None;
            return Ok(());
        };
        let finding = questions.ask(now, master.heard_ns);
        act::solicit(&router.guard, home, &master)?;
        match finding {
            Finding::Nothing => Ok(()),
            Finding::Silent => self.happened(id, Event::Silent),
            Finding::Back => self.happened(id, Event::Back),
        }
    }

    /// Looks for adverts of the one whose place was taken.
    fn look_for_deposed(&mut self, id: &RouterId, now: Nanos) -> Result<()> {
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        if !router.looks() || router.look_at > now {
            return Ok(());
        }
        router.look_at = now + LOOK_NS;
        let (Some(deposed), Some(known)) = (router.deposed, self.kernel.router(&router.guard.key)?)
        else {
            return Ok(());
        };
        let heard = [known.master, known.rival]
            .into_iter()
            .filter(|party: &Party| party.local == 0 && party.is(&deposed))
            .filter(|party| party.priority != RESIGN)
            .map(|party| party.heard_ns)
            .max()
            .unwrap_or(0);
        if heard <= router.deposed_heard_ns {
            return Ok(());
        }
        router.deposed_heard_ns = heard;
        self.happened(id, Event::OldMasterHeard { heard_ns: heard })
    }

    /// Looks for backups that have begun to probe this host.
    fn look_for_followers(&mut self, id: &RouterId, now: Nanos) -> Result<()> {
        let Some(router) = self.routers.get_mut(id) else {
            return Ok(());
        };
        let Some(heirs) = self.kernel.heirs(&router.guard.key)? else {
            return Ok(());
        };
        let fresh = heirs.heirs.iter().filter(|heir| heir.is_fresh(now));
        let fresh: Vec<Mac> = fresh.map(|heir| heir.mac).collect();
        let before = std::mem::replace(&mut router.followers, fresh);
        let mut new = router.followers.iter().filter(|mac| !before.contains(mac));
        let Some(first) = new.next() else {
            return Ok(());
        };
        let by_old_master = router
            .deposed
            .is_some_and(|old| std::iter::once(first).chain(new).any(|mac| *mac == old.mac));
        self.happened(id, Event::Followed { by_old_master })
    }

    /// Has a router probe the host of its master, if it is to probe one.
    fn choose_peer(&mut self, id: &RouterId, now: Nanos) -> Result<()> {
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
            }
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

    fn leave_peer(&mut self, id: &RouterId) -> Result<()> {
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

    /// Looks at everything without an event: sessions all, routers in turn.
    fn review(&mut self, now: Nanos) -> Result<()> {
        for missed in self.sessions.review(now, &mut self.kernel)? {
            for id in self.sessions.users(missed.number) {
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
    fn next_routers(&self) -> Vec<RouterId> {
        let after = self.looked_at.as_ref().map_or(Unbounded, Excluded);
        let rest = self.routers.range((after, Unbounded));
        // Then from the beginning, none twice.
        let ids = rest.chain(&self.routers).map(|(id, _)| id);
        ids.take(LOOKS.min(self.routers.len())).cloned().collect()
    }

    /// A session does not answer, and the event of it was lost: the engine takes a
    /// second one for the same silence calmly.
    fn make_up_for_loss(&mut self, id: &RouterId, missed: Missed) -> Result<()> {
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
    fn publish(&mut self, ids: &[RouterId], now: Nanos) -> Result<()> {
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
    Some(PeerKey {
        netns: router.guard.key.netns,
        ifindex: router.guard.key.ifindex,
        mac: master.mac,
    })
}

fn warn_once(stretch: f64) {
    static WARNED: std::sync::Once = std::sync::Once::new();
    WARNED.call_once(|| {
        warn!("too many sessions for the budget of probes: each is asked {stretch:.1} times less often");
    });
}
