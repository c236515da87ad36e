//! The daemon: it owns the routers, feeds their engines and does what they decide.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Result;
use keepfast_common::event::{Event, EventKind};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use crate::config::{Keepalived, NamespaceChoice, Router, RouterId};
use crate::engine::{Action, Adverts, Engine, Input, Nanos, Place, Plan, Program, State};
use crate::event_log::EventLog;
use crate::exit::BadInput;
use crate::files::Dir;
use crate::netns::Namespace;
use crate::network::monitor::Change;
use crate::notify::{Notifier, Shared};
use crate::observe::Observer;
use crate::process::Process;
use crate::report::clock::{ClockMapping, monotonic_ns};
use crate::report::json::kind_name;
use crate::report::words::sentence;

use super::jobs::{Chain, Done, Jobs, Outcome};
use super::member::{FileVersion, Member};
use super::network;
use super::plan::Planner;
use super::programs::{self, Stage};
use super::removal;
use super::site::{Consequence, Site};

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
    /// What is wrong with declarations, in words, as of the last look.
    pub(super) problems: Vec<String>,
    /// Whether the routers of an agent before this one have been taken up.
    pub(super) remembered_taken_up: bool,
    /// `None`: addresses tell alone.
    pub(super) observer: Option<Observer>,
    sites: BTreeMap<usize, Site>,
    next_site: usize,
    changes: mpsc::Sender<(usize, Change)>,
    /// Interfaces that the kernel programs are yet to be attached to, one at a time,
    /// for each takes milliseconds in which nothing else happens.
    unattached: VecDeque<(usize, String)>,
    shared: Shared,
    /// Events of the kernel that are to be looked at.
    events: Vec<Event>,
    /// When each engine has something to do.
    deadlines: BTreeSet<(Nanos, RouterId)>,
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
        Ok(Self {
            base: Rc::new(base),
            declarations,
            planner,
            members: BTreeMap::new(),
            jobs: Jobs::default(),
            clock: ClockMapping::now()?,
            problems: Vec::new(),
            remembered_taken_up: false,
            observer: None,
            sites: BTreeMap::new(),
            next_site: 0,
            changes,
            unattached: VecDeque::new(),
            shared: Shared::default(),
            events: Vec::new(),
            deadlines: BTreeSet::new(),
            actions: Vec::new(),
        })
    }

    /// Takes a router that is declared: looks after it, or after what has changed.
    pub(super) fn declare(&mut self, router: Router) -> Result<()> {
        let id = router.id.clone();
        let old = self.members.get(&id);
        if old.is_some_and(|member| *member.plan().router == router && !member.engine.is_deleted())
        {
            return Ok(());
        }
        if let Some(member) = old {
            refuse_impossible(member, &router)?;
        }
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
            }
            None => self.adopt(plan)?,
        }
        self.remember(&id)
    }

    /// Begins to look after a router: finds what there is of it.
    pub(super) fn adopt(&mut self, plan: Plan) -> Result<()> {
        let id = plan.router.id.clone();
        let directory = Rc::new(self.base.subdirectory(id.as_str(), 0o755)?);
        let version = match &plan.router.keepalived {
            Keepalived::Attached(attached) => FileVersion::of(&attached.config_file),
            Keepalived::Managed(_) => None,
        };
        let member = Member {
            notifier: Rc::new(Notifier::new(&id, &plan.router.hooks, &self.shared)),
            log: EventLog::open(&directory, "events.jsonl")?,
            engine: Engine::new(plan, monotonic_ns()?),
            id: id.clone(),
            directory,
            site: None,
            chain: Chain::default(),
            processes: BTreeMap::new(),
            unwritten: None,
            unlogged: 0,
            version,
        };
        info!(router = %id, "declared");
        self.members.insert(id.clone(), member);
        self.enter(&id);
        Ok(())
    }

    /// Looks for the router's namespace, and for what is there of the router.
    fn enter(&mut self, id: &RouterId) {
        match self.site_of(id) {
            Ok(site) => {
                if let Some(member) = self.members.get_mut(id) {
                    member.site = site;
                }
                let site = site.and_then(|label| self.sites.get_mut(&label));
                if let Some(site) = site {
                    site.members.insert(id.clone());
                }
            }
            Err(error) => self.trouble(id, &error),
        }
        self.find_programs(id);
        self.prepare(id);
        self.look_at(id);
    }

    /// The namespace that a router is in, opened or made if need be; `None` where it
    /// is not there.
    fn site_of(&mut self, id: &RouterId) -> Result<Option<usize>> {
        let Some(member) = self.members.get(id) else {
            return Ok(None);
        };
        let namespace = match &member.plan().router.namespace {
            NamespaceChoice::Host => Namespace::current()?,
            NamespaceChoice::Named { name, create } => {
                if let Ok(namespace) = Namespace::named(name.as_str()) {
                    namespace
                } else if *create {
                    info!(router = %id, "making network namespace {name}");
                    crate::network::namespace::create(name)?
                } else {
                    return Ok(None);
                }
            }
        };
        let known = self
            .sites
            .iter()
            .find(|(_, site)| site.namespace.inode() == namespace.inode());
        if let Some((label, _)) = known {
            return Ok(Some(*label));
        }
        let label = self.next_site;
        self.next_site += 1;
        let site = Site::open(namespace, label, self.changes.clone())?;
        self.sites.insert(label, site);
        Ok(Some(label))
    }

    /// Takes up what an agent before this one has left running, and what belongs to
    /// somebody else.
    fn find_programs(&mut self, id: &RouterId) {
        let Some(stage) = self.stage(id) else {
            return;
        };
        let mut wanted = vec![Program::Keepalived];
        wanted.extend(stage.plan.conntrackd.as_ref().map(|_| Program::Conntrackd));
        wanted.extend(stage.plan.radvd.as_ref().map(|_| Program::Radvd));
        wanted.extend((0..stage.plan.router.children.len()).map(Program::Child));
        for program in wanted {
            match programs::find(&stage, program) {
                Ok(Some(process)) => self.found(id, &stage, program, Rc::new(process)),
                Ok(None) => {}
                Err(error) => self.trouble(id, &error),
            }
        }
    }

    fn found(&mut self, id: &RouterId, stage: &Stage, program: Program, process: Rc<Process>) {
        info!(router = %id, pid = process.pid(), "found {program} running");
        let text = match program {
            Program::Keepalived => programs::installed(&stage.directory).unwrap_or(None),
            _ => None,
        };
        self.hold(id, program, process);
        self.input(id, Input::Found(program, text));
    }

    /// Keeps a process and waits for its end.
    fn hold(&mut self, id: &RouterId, program: Program, process: Rc<Process>) {
        if let Some(member) = self.members.get_mut(id) {
            member.processes.insert(program, Rc::clone(&process));
            self.jobs
                .push(id.clone(), programs::watch(program, process));
        }
    }

    /// Tells a router's engine what there is: interfaces and addresses.
    pub(super) fn look_at(&mut self, id: &RouterId) {
        self.look_at_interfaces(id);
        let Some(member) = self.members.get(id) else {
            return;
        };
        let site = member.site.and_then(|label| self.sites.get(&label));
        let places: Vec<(Place, bool)> = member
            .plan()
            .addresses
            .iter()
            .map(|place| (place.clone(), site.is_some_and(|site| site.has(place))))
            // What is neither there nor thought to be is no news.
            .filter(|(place, there)| *there || member.engine.present().contains(place))
            .collect();
        for (place, present) in places {
            self.input(id, Input::Address { place, present });
        }
        self.input(id, Input::Looked);
    }

    fn look_at_interfaces(&mut self, id: &RouterId) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        let plan = member.plan();
        let Some(site) = member.site.and_then(|label| self.sites.get(&label)) else {
            let missing = match &plan.router.namespace {
                NamespaceChoice::Named { name, .. } => format!("network namespace {name}"),
                NamespaceChoice::Host => "the agent's network namespace".to_owned(),
            };
            self.input(
                id,
                Input::Interfaces {
                    missing: vec![missing],
                    down: Vec::new(),
                },
            );
            return;
        };
        let tracked = plan
            .instance
            .iter()
            .flat_map(|it| std::iter::once(&it.interface).chain(&it.tracked));
        let tracked: BTreeSet<&str> = tracked.map(|name| name.as_str()).collect();
        let mut needed = tracked.clone();
        if let Some(managed) = member.managed() {
            needed.extend(managed.interfaces().into_iter().map(|name| name.as_str()));
        }
        let missing: Vec<String> = needed
            .iter()
            .filter(|name| site.link(name).is_none())
            .map(|name| format!("interface {name}"))
            .collect();
        let down = tracked
            .iter()
            .filter(|name| site.link(name).is_some_and(|link| !link.up))
            .map(|name| format!("interface {name}"))
            .collect();
        let unwatched = member
            .advert_interface()
            .filter(|name| site.link(name).is_some() && site.hooks(name).is_none());
        if let (Some(label), Some(name)) = (member.site, unwatched) {
            let entry = (label, name.to_owned());
            if !self.unattached.contains(&entry) {
                self.unattached.push_back(entry);
            }
        }
        self.input(id, Input::Interfaces { missing, down });
    }

    /// Has the namespace made as a managed router needs it.
    fn prepare(&mut self, id: &RouterId) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        let (Some(managed), Some(site)) = (member.managed(), self.site(member)) else {
            return;
        };
        let prepared =
            network::prepare(site, &member.directory, managed, member.engine.published());
        if let Err(error) = prepared {
            self.trouble(id, &error);
        }
    }

    /// Feeds an engine and does what it decides.
    pub(super) fn input(&mut self, id: &RouterId, input: Input) {
        let now = match monotonic_ns() {
            Ok(now) => now,
            Err(error) => return self.trouble(id, &error),
        };
        self.input_at(id, now, input);
    }

    fn input_at(&mut self, id: &RouterId, now: Nanos, input: Input) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let mut actions = std::mem::take(&mut self.actions);
        let before = member.engine.deadline();
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
            self.perform(id, now, action);
        }
        self.actions = actions;
    }

    /// What a change of a namespace is to the routers in it.
    pub(super) fn change(&mut self, label: usize, change: &Change) {
        let Some(site) = self.sites.get_mut(&label) else {
            return;
        };
        let overrun = matches!(change, Change::Overrun);
        let consequence = site.take(change);
        if overrun {
            warn!(
                "netlink messages were lost in {}; looking again",
                site.namespace.label()
            );
            if let Err(error) = site.look() {
                error!("look at {}: {error:#}", site.namespace.label());
            }
        }
        match consequence {
            Consequence::Nothing => {}
            Consequence::Address { place, present } => {
                for id in self.members_in(label) {
                    let place = place.clone();
                    self.input(&id, Input::Address { place, present });
                }
            }
            Consequence::Interfaces => {
                for id in self.members_in(label) {
                    self.prepare(&id);
                    self.look_at_interfaces(&id);
                }
            }
            Consequence::Everything => {
                for id in self.members_in(label) {
                    self.prepare(&id);
                    self.look_at(&id);
                }
            }
        }
    }

    fn members_in(&self, label: usize) -> Vec<RouterId> {
        let site = self.sites.get(&label);
        site.map_or_else(Vec::new, |site| site.members.iter().cloned().collect())
    }

    /// The names of network namespaces have changed: some may be gone, some may be
    /// those that routers wait for.
    pub(super) fn namespaces_changed(&mut self) {
        let gone: Vec<usize> = self
            .sites
            .iter()
            .filter(|(_, site)| !site.namespace.is_still_named())
            .map(|(label, _)| *label)
            .collect();
        for label in gone {
            let members = self.members_in(label);
            // What is held open here would keep the namespace from going.
            if let Some(site) = self.sites.remove(&label) {
                warn!("network namespace {} is gone", site.namespace.label());
            }
            self.unattached.retain(|(other, _)| *other != label);
            for id in members {
                self.evict(&id);
            }
        }
        self.house_homeless();
    }

    /// The namespace of a router is gone: what runs in it is of no use any more, and
    /// in the way of what will run in one of the same name.
    fn evict(&mut self, id: &RouterId) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        member.site = None;
        let managed = member.managed().is_some();
        let own = |program: &Program| managed || *program != Program::Keepalived;
        let running: Vec<Program> = member.processes.keys().copied().filter(own).collect();
        self.look_at(id);
        for program in running {
            self.stop(id, program);
        }
    }

    /// Looks whether the namespaces are there that routers wait for: making one is
    /// told before it can be entered.
    pub(super) fn house_homeless(&mut self) {
        let homeless = self.members.values().filter(|member| member.site.is_none());
        let homeless: Vec<RouterId> = homeless.map(|member| member.id.clone()).collect();
        for id in homeless {
            self.enter(&id);
        }
    }

    /// A job has ended.
    pub(super) fn done(&mut self, done: Done) {
        let Done {
            router: id,
            chained,
            outcome,
        } = done;
        if chained && let Some(member) = self.members.get_mut(&id) {
            member.chain.ended(&mut self.jobs, &id);
        }
        match outcome {
            Outcome::Started(program, Ok(process)) => {
                debug!(router = %id, pid = process.pid(), "started {program}");
                self.hold(&id, program, process);
                self.input(&id, Input::Started(program));
            }
            Outcome::Started(program, Err(why)) => {
                warn!(router = %id, "start {program}: {why}");
                self.input(&id, Input::NotStarted(program, why));
            }
            Outcome::Ended(program, pid, how) => {
                let Some(member) = self.members.get_mut(&id) else {
                    return;
                };
                if member
                    .processes
                    .get(&program)
                    .is_some_and(|it| it.pid() == pid)
                {
                    member.processes.remove(&program);
                    info!(router = %id, pid, "{program} ended: {how}");
                    self.input(&id, Input::Ended(program, how));
                }
            }
            Outcome::Reloaded(result) => {
                if let Err(why) = &result {
                    warn!(router = %id, "keepalived keeps its configuration: {why}");
                }
                self.input(&id, Input::Reloaded(result));
            }
            Outcome::Synced(wrong) => {
                for line in wrong {
                    warn!(router = %id, "{line}");
                }
                self.input(&id, Input::Synced);
            }
            Outcome::Told => {
                if let Some(member) = self.members.get(&id) {
                    removal::remove(&self.base, member, self.site(member));
                }
                self.input(&id, Input::Removed);
                self.forget(&id);
            }
            Outcome::Announced(Ok(count)) => {
                info!(router = %id, "announced {count} addresses again");
            }
            Outcome::Announced(Err(why)) => warn!(router = %id, "announce addresses: {why}"),
            Outcome::Signalled => {}
        }
    }

    /// Lets go of a router of which nothing is left.
    fn forget(&mut self, id: &RouterId) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        self.deadlines.retain(|(_, other)| other != id);
        info!(router = %id, "removed");
        if let Some(label) = member.site
            && let Some(site) = self.sites.get_mut(&label)
        {
            site.members.remove(id);
            if site.members.is_empty() {
                self.sites.remove(&label);
                self.unattached.retain(|(other, _)| *other != label);
            }
        }
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
            script: self.planner.check_script(member.plan()),
        })
    }

    /// The namespace that a router is in.
    pub(super) fn site(&self, member: &Member) -> Option<&Site> {
        self.sites.get(&member.site?)
    }

    /// Whether [`Self::attach_one`] has something to do.
    pub(super) fn must_attach(&self) -> bool {
        self.observer.is_some() && !self.unattached.is_empty()
    }

    /// Has the kernel programs watch one more interface.
    pub(super) fn attach_one(&mut self) {
        let (Some(observer), Some((label, name))) =
            (&mut self.observer, self.unattached.pop_front())
        else {
            return;
        };
        if let Some(site) = self.sites.get_mut(&label) {
            site.attach(observer, &name);
        }
    }

    /// Takes the kernel's events.
    pub(super) fn take_events(&mut self, events: &mut Vec<Event>) {
        self.events.append(events);
        for event in std::mem::take(&mut self.events) {
            let site = self
                .sites
                .iter()
                .find(|(_, site)| site.namespace.inode() == event.netns);
            let Some((label, site)) = site else {
                continue;
            };
            let Some(interface) = site.name_of(event.ifindex) else {
                continue;
            };
            let concerned = |member: &&Member| {
                let instance = member.plan().instance.as_ref();
                member.site == Some(*label)
                    && instance.is_some_and(|it| {
                        it.interface.as_str() == interface
                            && it.vrid.get() == event.vrid
                            && it.family == event.family
                    })
            };
            let members = self.members.values().filter(concerned);
            let members: Vec<RouterId> = members.map(|member| member.id.clone()).collect();
            for id in members {
                self.take_event(&id, &event);
            }
        }
    }

    fn take_event(&mut self, id: &RouterId, event: &Event) {
        let Some(kind) = EventKind::from_number(event.kind) else {
            return;
        };
        self.note(id, event.time_ns, kind_name(kind), &sentence(event));
        self.suspect_two_primaries(id, kind, event);
        let adverts = match kind {
            EventKind::LocalMaster | EventKind::LocalResumed => Adverts::Sent,
            EventKind::LocalResigned => Adverts::Resigned,
            EventKind::MasterDown => Adverts::Unseen,
            EventKind::MasterAppeared | EventKind::MasterChanged if event.new.local == 0 => {
                Adverts::Unseen
            }
            _ => return,
        };
        self.input_at(id, event.time_ns, Input::Adverts(adverts));
    }

    /// Tells of another primary besides this one: where nobody preempts, a link was cut and is
    /// whole again.
    fn suspect_two_primaries(&mut self, id: &RouterId, kind: EventKind, event: &Event) {
        let overruled = kind == EventKind::MasterChanged && event.new.local == 0;
        if !overruled && kind != EventKind::MultipleMasters {
            return;
        }
        let suspicious = self.members.get(id).is_some_and(|member| {
            let preempts = member.managed().is_some_and(|it| it.vrrp.preempt);
            member.engine.state() == State::Primary && !preempts
        });
        if suspicious {
            warn!(router = %id, "two primaries suspected: {}", sentence(event));
            self.note(
                id,
                event.time_ns,
                "dual_primary_suspected",
                &sentence(event),
            );
        }
    }

    /// Every second: what must not be forgotten, and what no event tells.
    pub(super) fn tick(&mut self) {
        match ClockMapping::now() {
            Ok(clock) => self.clock = clock,
            Err(error) => error!("{error:#}"),
        }
        self.house_homeless();
        let unwritten = self.members.values_mut().filter_map(|it| {
            let state = it.unwritten?;
            Some((it, state))
        });
        for (member, state) in unwritten {
            match member.write_state(state) {
                Ok(()) => info!(router = %member.id, "the state file is written at last"),
                Err(error) => error!(router = %member.id, "write the state file: {error:#}"),
            }
        }
        let strangers: Vec<RouterId> = self
            .members
            .values()
            .filter(|it| it.managed().is_none() && !it.processes.contains_key(&Program::Keepalived))
            .map(|it| it.id.clone())
            .collect();
        for id in strangers {
            self.find_stranger(&id);
        }
    }

    /// Every few seconds: what costs a little for each router.
    pub(super) fn slow_tick(&mut self) {
        if let Some(observer) = &mut self.observer {
            let mut events = Vec::new();
            if let Err(error) = observer.tick(&mut events) {
                error!("look after the kernel programs: {error:#}");
            }
            self.take_events(&mut events);
        }
        let attached = self.members.values().filter(|it| it.managed().is_none());
        let attached: Vec<RouterId> = attached.map(|it| it.id.clone()).collect();
        for id in attached {
            self.read_again(&id);
        }
    }

    /// Reads the configuration of somebody else's keepalived again, if it is another
    /// file than before.
    fn read_again(&mut self, id: &RouterId) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let plan = member.plan();
        let Keepalived::Attached(attached) = &plan.router.keepalived else {
            return;
        };
        let version = FileVersion::of(&attached.config_file);
        if member.version == version {
            return;
        }
        let router = Router::clone(&plan.router);
        member.version = version;
        match self.planner.plan(router) {
            Ok(plan) => {
                info!(router = %id, "keepalived's configuration has changed");
                self.input(id, Input::Declared(Box::new(plan)));
                self.look_at(id);
            }
            Err(error) => self.trouble(id, &error),
        }
    }

    /// Looks whether somebody else's keepalived runs (again).
    fn find_stranger(&mut self, id: &RouterId) {
        let Some(stage) = self.stage(id) else {
            return;
        };
        let Keepalived::Attached(attached) = &stage.plan.router.keepalived else {
            return;
        };
        if attached.pid_file.is_none() {
            return;
        }
        match programs::find(&stage, Program::Keepalived) {
            Ok(Some(process)) => self.found(id, &stage, Program::Keepalived, Rc::new(process)),
            Ok(None) => {}
            Err(error) => debug!(router = %id, "{error:#}"),
        }
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
        let due = self.deadlines.iter().take_while(|(due, _)| *due <= now);
        let due: Vec<RouterId> = due.map(|(_, id)| id.clone()).collect();
        for id in due {
            self.input_at(&id, now, Input::Tick);
        }
    }

    /// Something went wrong that the router's engine need not know.
    pub(super) fn trouble(&mut self, id: &RouterId, error: &anyhow::Error) {
        error!(router = %id, "{error:#}");
        if let Ok(now) = monotonic_ns() {
            self.note(id, now, "trouble", &format!("{error:#}"));
        }
    }
}

/// What cannot change while a router lives.
fn refuse_impossible(member: &Member, router: &Router) -> Result<()> {
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
