//! The daemon: it owns the routers, feeds their engines and does what they decide.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Result, ensure};
use keepfast_common::maps::RouterKey;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::config::{Keepalived, NamespaceChoice, Router, RouterId};
use crate::engine::{Action, Engine, Input, Nanos, Note, Plan, Published};
use crate::exit::BadInput;
use crate::files::Dir;
use crate::metrics::{self, Metrics};
use crate::network::monitor::Change;
use crate::notify::{Notifier, Shared};
use crate::observe::Observer;
use crate::report::clock::{ClockMapping, monotonic_ns};

use super::blackbox::Boxes;
use super::fast::Fast;
use super::jobs::Jobs;
use super::keepalived;
use super::member::{FileVersion, Member};
use super::moves::Moves;
use super::plan::Planner;
use super::programs::Stage;
use super::protect::Configured;
use super::registered::{self, Registered};
use super::site::Site;

/// All routers, and what they share.
pub(super) struct Daemon {
    /// Where routers' directories are.
    pub(super) base: Rc<Dir>,
    /// Where routers are declared.
    pub(super) declarations: PathBuf,
    pub(super) planner: Planner,
    pub(super) members: BTreeMap<RouterId, Member>,
    pub(super) jobs: Jobs,
    pub(super) clock: ClockMapping,
    /// When it started, CLOCK_MONOTONIC.
    pub(super) started_ns: Nanos,
    /// This host takes nothing over.
    pub(super) drained: bool,
    /// Routers on their way to other hosts.
    pub(super) moves: Moves,
    /// What it does in a lesser way than it would like to, in words.
    pub(super) fallbacks: Vec<String>,
    /// What is wrong with declarations, in words, as of the last look.
    pub(super) problems: Vec<String>,
    /// Whether the routers of an agent before this one have been taken up.
    pub(super) remembered_taken_up: bool,
    /// When what registered routers left is to be removed.
    pub(super) sweep_at: Option<Instant>,
    /// Whether all routers are to go, and the daemon with them.
    pub(super) is_tearing_down: bool,
    /// `None`: addresses tell alone.
    pub(super) observer: Option<Observer>,
    /// `None`: keepalived takes over by itself alone.
    pub(super) fast: Option<Fast>,
    pub(super) boxes: Boxes,
    /// What the kernel programs were told of routers.
    pub(super) configured: Configured,
    /// Routers that changed their state, and when, CLOCK_MONOTONIC nanoseconds.
    pub(super) unreported: BTreeMap<RouterId, Nanos>,
    pub(super) sites: BTreeMap<usize, Site>,
    pub(super) next_site: usize,
    pub(super) changes: mpsc::Sender<(usize, Change)>,
    /// Interfaces that the kernel programs are yet to be attached to, one at a time,
    /// for each takes milliseconds in which nothing else happens.
    pub(super) unattached: VecDeque<(usize, String)>,
    pub(super) shared: Shared,
    /// Turns at keepalived's check of a configuration.
    turns: Rc<Semaphore>,
    /// What is counted as it happens.
    pub(super) metrics: Metrics,
    /// When this began, seconds since 1970.
    pub(super) started_seconds: f64,
    /// When each engine has something to do.
    pub(super) deadlines: BTreeSet<(Nanos, RouterId)>,
    /// Reused by every step.
    actions: Vec<Action>,
}

impl Daemon {
    pub(super) fn new(
        base: Dir,
        declarations: PathBuf,
        planner: Planner,
        changes: mpsc::Sender<(usize, Change)>,
    ) -> Result<Self> {
        let clock = ClockMapping::now()?;
        let started_ns = monotonic_ns()?;
        Ok(Self {
            base: Rc::new(base),
            declarations,
            planner,
            members: BTreeMap::new(),
            jobs: Jobs::default(),
            started_ns,
            drained: false,
            moves: Moves::default(),
            fallbacks: Vec::new(),
            problems: Vec::new(),
            remembered_taken_up: false,
            sweep_at: Some(Instant::now() + registered::RETURN_LIMIT),
            is_tearing_down: false,
            observer: None,
            fast: None,
            boxes: Boxes::default(),
            configured: Configured::default(),
            unreported: BTreeMap::new(),
            sites: BTreeMap::new(),
            next_site: 0,
            changes,
            unattached: VecDeque::new(),
            shared: Shared::default(),
            turns: Rc::new(Semaphore::new(keepalived::CHECKS)),
            metrics: Metrics::new(),
            started_seconds: metrics::seconds(clock.instant(started_ns)),
            clock,
            deadlines: BTreeSet::new(),
            actions: Vec::new(),
        })
    }

    /// Takes a router that is declared: looks after it, or after what has changed.
    pub(super) fn declare(&mut self, router: Router) -> Result<()> {
        let old = self.members.get(&router.id);
        if old.is_some_and(|member| *member.plan().router == router && !member.engine.is_deleted())
        {
            return Ok(());
        }
        self.declare_anew(router)
    }

    /// As [`Self::declare`], and looks anew at what the declaration names: a password,
    /// somebody else's configuration.
    pub(super) fn declare_anew(&mut self, router: Router) -> Result<()> {
        ensure!(
            !self.is_tearing_down,
            "all routers are being removed: expected none to be declared meanwhile"
        );
        let id = router.id.clone();
        let old = self.members.get(&id);
        self.demand_possible(&router)?;
        let plan = self.planner.plan(router)?;
        if old.is_none() {
            self.adopt_as_remembered(&plan.router);
        }
        match self.members.get_mut(&id) {
            Some(member) => {
                info!(router = %id, "declared anew");
                let rehooked = member.plan().router.hooks != plan.router.hooks;
                if rehooked {
                    member.notifier = Rc::new(Notifier::new(&id, &plan.router.hooks, &self.shared));
                }
                self.input(&id, Input::Declared(Box::new(plan)));
                if rehooked {
                    self.tell_again(&id);
                }
                self.prepare(&id);
                self.look_at(&id);
                self.guard(&id);
                self.hold_back(&id);
            }
            None => self.adopt(plan)?,
        }
        self.remember(&id)
    }

    /// Begins to look after a router: finds what there is of it.
    pub(super) fn adopt(&mut self, plan: Plan) -> Result<()> {
        self.adopt_as(plan, None)
    }

    /// As [`Self::adopt`], of a router that may have been registered.
    pub(super) fn adopt_as(&mut self, plan: Plan, registered: Option<Registered>) -> Result<()> {
        let id = plan.router.id.clone();
        let directory = Rc::new(self.base.subdirectory(id.as_str(), 0o755)?);
        let version = match &plan.router.keepalived {
            Keepalived::Attached(attached) => FileVersion::of(&attached.config_file),
            Keepalived::Managed(_) => None,
        };
        let notifier = Rc::new(Notifier::new(&id, &plan.router.hooks, &self.shared));
        let engine = Engine::new(plan, monotonic_ns()?);
        let member = Member::new(engine, directory, notifier, version, registered)?;
        info!(router = %id, "declared");
        self.members.insert(id.clone(), member);
        // Before its keepalived is started; and once it is known whether it serves.
        self.hold_back(&id);
        self.enter(&id);
        self.hold_back(&id);
        Ok(())
    }

    /// Feeds an engine and does what it decides.
    pub(super) fn input(&mut self, id: &RouterId, input: Input) {
        let now = match monotonic_ns() {
            Ok(now) => now,
            Err(error) => return self.trouble(id, &error),
        };
        self.input_at(id, now, input);
    }

    pub(super) fn input_at(&mut self, id: &RouterId, now: Nanos, input: Input) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        if member.engine.published() == Some(Published::Primary) {
            member.served_ns = now;
        }
        let mut actions = std::mem::take(&mut self.actions);
        let before = member.engine.deadline();
        let why = metrics::why(&input);
        member.engine.step(now, input, &mut actions);
        let after = member.engine.deadline();
        if before != after {
            if let Some(before) = before {
                self.deadlines.remove(&(before, id.clone()));
            }
            self.deadlines
                .extend(after.map(|after| (after, id.clone())));
        }
        for action in actions.drain(..) {
            if let Action::Note(Note::State { to, .. }) = &action {
                self.metrics.changed(id, *to, why);
            }
            self.perform(id, now, action);
        }
        self.actions = actions;
        if let Some(member) = self.members.get_mut(id)
            && let Some(registered) = &mut member.registered
        {
            registered.tell(id, member.engine.keepalived_ended());
        }
        self.let_know(id);
    }

    /// What a router's programs are started with; `None` without a namespace.
    pub(super) fn stage(&self, id: &RouterId) -> Option<Stage> {
        let member = self.members.get(id)?;
        let site = self.sites.get(&member.site?)?;
        Some(Stage {
            plan: member.plan().clone(),
            namespace: Rc::clone(&site.namespace),
            base: Rc::clone(&self.base),
            directory: Rc::clone(&member.directory),
            turns: Rc::clone(&self.turns),
            script: self.planner.check_script(member.plan()),
        })
    }

    /// The namespace that a router is in.
    pub(super) fn site(&self, member: &Member) -> Option<&Site> {
        self.sites.get(&member.site?)
    }

    /// What a router is on the wire, as far as its interface is there.
    pub(super) fn key_of(&self, member: &Member) -> Option<RouterKey> {
        let instance = member.plan().instance.as_ref()?;
        let site = self.site(member)?;
        let link = site.link(instance.interface.as_str())?;
        Some(RouterKey {
            netns: site.namespace.inode(),
            ifindex: link.index,
            vlan: 0,
            inner_vlan: 0,
            family: instance.family,
            vrid: instance.vrid.get(),
            reserved: 0,
        })
    }

    /// When an engine has something to do.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// Tells the engines that time has passed, those whose deadline it was.
    pub(super) fn expire(&mut self) {
        let Ok(now) = monotonic_ns() else {
            return;
        };
        if let Some(due) = self.deadline().filter(|due| *due <= now) {
            self.metrics.late(now - due);
        }
        let due = self.deadlines.iter().take_while(|(due, _)| *due <= now);
        let due: Vec<RouterId> = due.map(|(_, id)| id.clone()).collect();
        for id in due {
            self.input_at(&id, now, Input::Tick);
        }
    }

    /// Something is done in a lesser way than it could be: that is said, and stays to be
    /// seen.
    pub(super) fn fall_back(&mut self, what: String) {
        warn!("{what}");
        self.fallbacks.push(what);
    }

    /// Something went wrong that the router's engine need not know.
    pub(super) fn trouble(&mut self, id: &RouterId, error: &anyhow::Error) {
        error!(router = %id, "{error:#}");
        if let Ok(now) = monotonic_ns() {
            self.note(id, now, "trouble", &format!("{error:#}"));
        }
    }

    /// Refuses what cannot change while a router lives.
    pub(super) fn demand_possible(&self, router: &Router) -> Result<()> {
        let Some(member) = self.members.get(&router.id) else {
            return Ok(());
        };
        if member.registered.is_some() {
            return Err(BadInput(format!(
                "router {} was registered by Neutron's monitor: expected another name",
                router.id
            ))
            .into());
        }
        let old = &member.plan().router;
        let same_place = match (&old.namespace, &router.namespace) {
            (NamespaceChoice::Host, NamespaceChoice::Host) => true,
            (NamespaceChoice::Named { name, .. }, NamespaceChoice::Named { name: other, .. }) => {
                name == other
            }
            _ => false,
        };
        let same_owner = matches!(
            (&old.keepalived, &router.keepalived),
            (Keepalived::Managed(_), Keepalived::Managed(_))
                | (Keepalived::Attached(_), Keepalived::Attached(_))
        );
        if member.engine.is_deleted() {
            return Err(BadInput(format!(
                "router {} is being deleted: expected it to be gone first",
                router.id
            ))
            .into());
        }
        if same_place && same_owner {
            return Ok(());
        }
        let field = if same_place {
            "keepalived"
        } else {
            "namespace"
        };
        Err(BadInput(format!(
            "router {}: {field} cannot change while it runs: delete the router first",
            router.id
        ))
        .into())
    }
}
