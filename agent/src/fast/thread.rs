//! The loop: probes first, then what the kernel tells, what is ordered, what is due.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use anyhow::Result;
use keepfast_common::event::{Event as Record, EventKind};
use keepfast_common::maps::RouterKey;
use keepfast_common::wire::Mac;
use tokio::sync::mpsc::UnboundedSender;
use tracing::error;

use crate::config::RouterId;
use crate::engine::Nanos;
use crate::kernel::FastKernel;
use crate::observe::router_of;
use crate::report::clock::monotonic_ns;
use crate::takeover::{Action, Event, Input, Reason};

use super::Report;
use super::clock::{Bell, Clock};
use super::guarded::Guarded;
use super::home::Home;
use super::lateness::Lateness;
use super::order::{Order, Told};
use super::sessions::Sessions;
use super::stale::Stale;
use super::{act, facts};

const MS: Nanos = 1_000_000;

/// How often sessions and routers are looked at without an event: one may be lost.
const REVIEW_NS: Nanos = 100 * MS;

/// How many takeovers at once hold up all else.
const MANY: usize = 20;

/// By what the kernel programs and keepalived know the thread's frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    /// Of what it asks (SO_MARK).
    pub(super) mark: u32,
    /// The hardware address that injected adverts come from.
    pub(super) ghost: Mac,
}

/// What others see of the thread at any time.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// How many turns went well.
    pub(super) turns: AtomicU64,
    /// Whether it takes over so many routers at once that all else is to wait.
    pub(super) is_pressed: AtomicBool,
}

/// The thread.
pub(super) struct Thread {
    pub(super) kernel: FastKernel,
    pub(super) marks: Marks,
    pub(super) orders: Receiver<Order>,
    pub(super) bell: Arc<Bell>,
    pub(super) tell: UnboundedSender<Told>,
    pub(super) report: Report,
    signs: Arc<Signs>,
    pub(super) clock: Clock,
    pub(super) homes: BTreeMap<u32, Home>,
    pub(super) routers: BTreeMap<RouterId, Guarded>,
    pub(super) by_key: HashMap<RouterKey, RouterId>,
    pub(super) due: BTreeSet<(Nanos, RouterId)>,
    pub(super) sessions: Sessions,
    pub(super) stale: Stale,
    pub(super) review_at: Nanos,
    /// The router that was looked at last.
    pub(super) looked_at: Option<RouterId>,
    pub(super) lateness: Lateness,
    pub(super) ends: bool,
}

impl Thread {
    pub(super) fn new(
        kernel: FastKernel,
        marks: Marks,
        orders: Receiver<Order>,
        bell: Arc<Bell>,
        tell: UnboundedSender<Told>,
        report: Report,
        signs: Arc<Signs>,
    ) -> Result<Self> {
        let mut kernel = kernel;
        let clock = Clock::new(kernel.ring_fd(), &bell)?;
        let sessions = Sessions::after(kernel.inherit(monotonic_ns()?)?);
        Ok(Self {
            kernel,
            marks,
            orders,
            bell,
            tell,
            report,
            signs,
            clock,
            homes: BTreeMap::new(),
            routers: BTreeMap::new(),
            by_key: HashMap::new(),
            due: BTreeSet::new(),
            sessions,
            stale: Stale::default(),
            review_at: 0,
            looked_at: None,
            lateness: Lateness::default(),
            ends: false,
        })
    }

    /// Runs until it is told to end.
    pub(super) fn run(&mut self) {
        while !self.ends {
            match self.turn() {
                Ok(()) => {
                    self.signs.turns.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    error!("fast path: {error:#}");
                    // What fails at once would fail again at once.
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
            }
        }
    }

    fn turn(&mut self) -> Result<()> {
        let due = self.deadline();
        self.clock.wait(due, &self.bell)?;
        self.lateness.woke(due, monotonic_ns()?);
        self.sessions.send(&self.homes, &mut self.kernel)?;
        while let Some(record) = self.kernel.next_event()? {
            self.take(&record)?;
        }
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order)?;
        }
        let now = monotonic_ns()?;
        self.pass(now)?;
        while let Some(session) = self.stale.take(now) {
            self.peer_is_silent(session, now)?;
        }
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
        let stale = self.stale.deadline();
        let all = probes.into_iter().chain(routers).chain(review).chain(stale);
        all.min()
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
            let now = monotonic_ns()?;
            if event != Event::Back {
                self.sessions.alarm(record.session, now);
            }
            match event {
                Event::Back => self.stale.forget(record.session),
                Event::Silent if self.is_put_off(record, now) => return Ok(()),
                _ => {}
            }
            match event {
                Event::Suspect => {
                    let users = self.sessions.suspicious(record.session);
                    self.happened_to_each(&users, event);
                }
                Event::Silent => self.peer_is_silent(record.session, now)?,
                _ => self.happened_to_each(&self.sessions.users(record.session), event),
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
        let now = monotonic_ns()?;
        if kind == EventKind::LocalMaster {
            self.keep_leftovers(&id, now)?;
        }
        self.choose_peer(&id, now)
    }

    /// The verdict on a session is that its peer is silent, as of now.
    fn peer_is_silent(&mut self, session: u32, now: Nanos) -> Result<()> {
        let led = self.sessions.look_at_led(session, &self.kernel)?;
        let users = self.sessions.silenced(session, &led, &self.kernel)?;
        if users.len() < MANY {
            self.happened_to_each(&users, Event::Silent);
            return Ok(());
        }
        self.sessions.rest(&led, now);
        self.signs.is_pressed.store(true, Ordering::Relaxed);
        self.happened_to_each(&users, Event::Silent);
        self.signs.is_pressed.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a verdict comes too late to count as it is; that is told.
    fn is_put_off(&mut self, record: &Record, now: Nanos) -> bool {
        let silence = self.sessions.silence_ns(record.session);
        let at = record.time_ns;
        if !self.stale.is_put_off(record.session, at, now, silence) {
            return false;
        }
        let late_ms = now.saturating_sub(at) / MS;
        for id in self.sessions.users(record.session) {
            // Another session has told it before.
            if self.routers.get(&id).is_some_and(Guarded::has_decided) {
                continue;
            }
            let detail = format!(
                "the verdict that the peer is silent was read {late_ms} ms late, for this host \
                 was busy: it is probed again first"
            );
            self.told(&id, now, "verdict_late", detail);
        }
        true
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
            Order::End | Order::MakeRoom => {
                if matches!(order, Order::MakeRoom) {
                    self.sessions.stay();
                }
                self.ends = true;
                let ids: Vec<RouterId> = self.routers.keys().cloned().collect();
                ids.iter().try_for_each(|id| self.forget(id))
            }
        }
    }

    /// Something happened to several routers; what is wrong with one keeps no other from being
    /// told. Probes go on meanwhile: those of other hosts, and those that are asked for.
    fn happened_to_each(&mut self, ids: &[RouterId], event: Event) {
        for id in ids {
            if let Err(error) = self.happened(id, event) {
                error!(router = %id, "fast path: {error:#}");
            }
            if let Err(error) = self.sessions.send(&self.homes, &mut self.kernel) {
                error!("fast path: {error:#}");
            }
        }
    }

    /// Something happened to a router: has it decided upon and done.
    pub(super) fn happened(&mut self, id: &RouterId, event: Event) -> Result<()> {
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
    pub(super) fn perform(&mut self, id: &RouterId, now: Nanos, actions: Vec<Action>) {
        for action in actions {
            let Some(router) = self.routers.get_mut(id) else {
                return;
            };
            let Some(home) = self.homes.get(&router.guard.key.netns) else {
                return;
            };
            let sessions = &mut self.sessions;
            match act::perform(
                action,
                router,
                home,
                &self.kernel,
                sessions,
                self.marks.ghost,
            ) {
                Ok(None) => {}
                Ok(Some(note)) => {
                    let at = monotonic_ns().unwrap_or(now);
                    self.tell(Told {
                        id: id.clone(),
                        at,
                        name: note.name(),
                        detail: note.to_string(),
                        reason: note.reason().map(Reason::name),
                    });
                }
                Err(error) => {
                    error!(router = %id, "fast path: {error:#}");
                    self.told(id, now, "trouble", format!("{error:#}"));
                }
            }
        }
    }

    pub(super) fn told(&self, id: &RouterId, at: Nanos, name: &'static str, detail: String) {
        self.tell(Told {
            id: id.clone(),
            at,
            name,
            detail,
            reason: None,
        });
    }

    fn tell(&self, told: Told) {
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

    pub(super) fn reschedule(&mut self, id: &RouterId) {
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
}
