//! What is decided about a router: pure, inputs in, actions out, time passed in.
//!
//! One [`Engine`] is one router. It knows no clock, no file, no socket: it is told
//! what happened ([`Input`]) and says what to do ([`Action`]), in order; whoever
//! runs it does that and tells how it went. The same inputs at the same times give
//! the same actions.
//!
//! Reading order: [`state`] (the table), [`upkeep`] (processes), [`reload`],
//! [`announce`], [`io`], and this file, which ties them together.

pub mod state;

pub mod upkeep;

pub mod reload;

pub mod announce;

pub mod io;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use announce::Place;
pub use io::{Action, Input, Instance, Note, Plan, Program, Transition};
pub use state::{Adverts, Carrier, Facts, Liveness, Published, State};
pub use upkeep::Nanos;

use announce::SecondRound;
use reload::Throttle;
use upkeep::{Order, Upkeep};

use crate::config::{Keepalived, RunOn};

/// What is decided about one router.
#[derive(Debug)]
pub struct Engine {
    plan: Plan,
    facts: Facts,
    state: State,
    since_ns: Nanos,
    published: Option<Published>,
    sequence: u64,
    /// Interfaces that are not there, or down; what the router waits for.
    missing: Vec<String>,
    down: Vec<String>,
    /// The indexes of the tracked interfaces when all of them were there last.
    indexes: BTreeMap<String, u32>,
    /// The declared addresses that are there.
    present: BTreeSet<Place>,
    second_round: SecondRound,
    programs: BTreeMap<Program, Upkeep>,
    /// `None` where keepalived is somebody else's.
    throttle: Option<Throttle>,
    /// Transitions that conntrackd comes before.
    untold: VecDeque<Transition>,
    syncing: bool,
    /// Why keepalived does not run or has an old configuration, in words.
    trouble: Option<String>,
    /// keepalived shall not run, for the host is drained.
    halted: bool,
    deletion: Deletion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deletion {
    /// Not wanted.
    No,
    /// Its programs are stopping.
    Stopping,
    /// What it had is being removed.
    Removing,
    /// Nothing is left.
    Done,
}

impl Engine {
    /// A router of which nothing is known yet.
    #[must_use]
    pub fn new(plan: Plan, now: Nanos) -> Self {
        let throttle = plan
            .configuration
            .clone()
            .map(|text| Throttle::new(text, plan.advert_interval_ns));
        Self {
            plan,
            facts: Facts {
                // One of ours does not run before it was found or started.
                keepalived: if throttle.is_some() {
                    Liveness::Ended
                } else {
                    Liveness::Unknown
                },
                ..Facts::NONE
            },
            state: State::Unknown,
            since_ns: now,
            published: None,
            sequence: 0,
            missing: Vec::new(),
            down: Vec::new(),
            indexes: BTreeMap::new(),
            present: BTreeSet::new(),
            second_round: SecondRound::default(),
            programs: BTreeMap::new(),
            throttle,
            untold: VecDeque::new(),
            syncing: false,
            trouble: None,
            halted: false,
            deletion: Deletion::No,
        }
    }

    /// Takes one input that happened at `now`; what is to be done comes at the end
    /// of `actions`.
    pub fn step(&mut self, now: Nanos, input: Input, actions: &mut Vec<Action>) {
        let reason = self.take(now, input, actions);
        self.judge(now, reason, actions);
        self.keep_up(now, actions);
        let due = self.second_round.due(now);
        if !due.is_empty() && self.state == State::Primary {
            actions.push(Action::Announce(due));
        }
    }

    /// When [`Input::Tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Nanos> {
        let programs = self.programs.values().filter_map(Upkeep::deadline);
        let reload = self
            .keepalived_runs()
            .then(|| self.throttle.as_ref().and_then(Throttle::deadline))
            .flatten();
        programs
            .chain(reload)
            .chain(self.second_round.deadline())
            .min()
    }

    /// The HA state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether keepalived lives.
    #[must_use]
    pub const fn keepalived(&self) -> Liveness {
        self.facts.keepalived
    }

    /// Whether the interfaces that keepalived tracks carry frames.
    #[must_use]
    pub fn interfaces_up(&self) -> bool {
        self.facts.interfaces == Carrier::Up
    }

    /// Since when the state is what it is.
    #[must_use]
    pub const fn since_ns(&self) -> Nanos {
        self.since_ns
    }

    /// What was told last.
    #[must_use]
    pub const fn published(&self) -> Option<Published> {
        self.published
    }

    /// What was told last, as it would be told to somebody who has not heard it.
    #[must_use]
    pub fn last_transition(&self) -> Option<Transition> {
        let to = self.published?;
        Some(Transition {
            from: Some(to),
            to,
            sequence: self.sequence,
            reason: "declared anew".to_owned(),
        })
    }

    /// The declaration that holds.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The declared addresses that are there.
    #[must_use]
    pub const fn present(&self) -> &BTreeSet<Place> {
        &self.present
    }

    /// Each program, in a word.
    pub fn programs(&self) -> impl Iterator<Item = (Program, &'static str)> {
        self.programs
            .iter()
            .map(|(program, upkeep)| (*program, upkeep.as_str()))
    }

    /// Whether the router is gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.deletion == Deletion::Done
    }

    /// Whether keepalived ran and has ended.
    #[must_use]
    pub fn keepalived_ended(&self) -> bool {
        self.facts.keepalived == Liveness::Ended
    }

    /// Whether the router is to go.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deletion != Deletion::No
    }

    /// What the router waits for or what is wrong with it, in words.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        if self.deletion != Deletion::No {
            return Some("being deleted".to_owned());
        }
        if !self.missing.is_empty() {
            let names = self.missing.join(", ");
            return Some(format!("waiting for {names}, which does not exist"));
        }
        if let Some(trouble) = &self.trouble {
            return Some(trouble.clone());
        }
        if self.halted {
            return Some("this host is drained: its keepalived is kept stopped".to_owned());
        }
        let names = self.down.join(", ");
        (!names.is_empty()).then(|| format!("{names} is down"))
    }

    /// Takes the input into account; returns what a change of state is due to.
    fn take(&mut self, now: Nanos, input: Input, actions: &mut Vec<Action>) -> String {
        match input {
            Input::Tick => String::new(),
            Input::Declared(plan) => self.declare(*plan),
            Input::Delete => {
                if self.deletion == Deletion::No {
                    self.deletion = Deletion::Stopping;
                }
                "the router is being deleted".to_owned()
            }
            Input::Interfaces {
                missing,
                down,
                indexes,
            } => {
                self.missing = missing;
                self.down = down;
                if self.missing.is_empty() && self.down.is_empty() {
                    self.recognise(indexes, actions);
                }
                let first = self.missing.first().or(self.down.first());
                self.facts.interfaces = match first {
                    None => Carrier::Up,
                    Some(_) => Carrier::Down,
                };
                match (self.missing.first(), first) {
                    (Some(name), _) => format!("{name} is not there"),
                    (None, Some(name)) => format!("{name} is down"),
                    (None, None) => "all interfaces are up".to_owned(),
                }
            }
            Input::Address { place, present } => self.take_address(now, place, present),
            Input::Looked => {
                let primary = self.plan.addresses.first();
                let there = primary.is_some_and(|place| self.present.contains(place));
                self.facts.address = Some(there);
                "as found".to_owned()
            }
            Input::Adverts(adverts) => {
                self.facts.adverts = adverts;
                match adverts {
                    Adverts::Unseen => "another router is master".to_owned(),
                    Adverts::Sent => "keepalived advertises".to_owned(),
                    Adverts::Resigned => "keepalived resigned".to_owned(),
                }
            }
            Input::Stalled { stopped } => {
                // One that is late may be starved for a moment, and is let be.
                if stopped && self.keepalived_runs() && self.state == State::Primary {
                    actions.push(event("keepalived_stopped", "it is killed".to_owned()));
                    actions.push(Action::Kill);
                }
                String::new()
            }
            Input::Halted(halted) => {
                self.halted = halted;
                String::new()
            }
            Input::Found(program, configuration) => {
                if program == Program::Keepalived {
                    // It may be the one that stayed primary when the host was drained.
                    self.halted = false;
                    self.facts.keepalived = Liveness::Running;
                    if let Some(throttle) = &mut self.throttle {
                        throttle.found(configuration, now);
                    }
                }
                if let Some(upkeep) = self.upkeep(program) {
                    upkeep.running(now);
                }
                "as found".to_owned()
            }
            Input::Started(program) => self.started(now, program, actions),
            Input::NotStarted(program, why) => {
                let name = self.name(program);
                actions.push(event("not_started", format!("{name}: {why}")));
                if let Some(upkeep) = self.upkeep(program) {
                    upkeep.ended(now);
                }
                if program == Program::Keepalived {
                    self.facts.keepalived = Liveness::Ended;
                    if let Some(throttle) = &mut self.throttle {
                        throttle.ended();
                    }
                }
                self.trouble = Some(format!("{name}: {why}"));
                format!("{name} could not be started")
            }
            Input::Ended(program, how) => self.ended(now, program, &how, actions),
            Input::Reloaded(outcome) => {
                if let Some(throttle) = &mut self.throttle {
                    throttle.done(outcome.is_ok(), now);
                }
                match outcome {
                    Ok(()) => {
                        self.trouble = None;
                        actions.push(event("reloaded", String::new()));
                    }
                    Err(why) => {
                        self.trouble = Some(format!("the old configuration stays: {why}"));
                        actions.push(event("reload_refused", why));
                    }
                }
                String::new()
            }
            Input::Synced => {
                self.syncing = false;
                actions.extend(self.untold.pop_front().map(Action::Tell));
                String::new()
            }
            Input::Removed => {
                self.deletion = Deletion::Done;
                String::new()
            }
        }
    }

    /// Without preemption keepalived 2.2 never becomes master again when its interface was deleted
    /// and made anew; one that reads its configuration again does.
    fn recognise(&mut self, indexes: BTreeMap<String, u32>, actions: &mut Vec<Action>) {
        let before = std::mem::replace(&mut self.indexes, indexes);
        let anew = self.indexes.iter().find_map(|(name, index)| {
            let other = before.get(name).is_some_and(|before| before != index);
            other.then_some(name)
        });
        if let (Some(name), Some(throttle)) = (anew, &mut self.throttle) {
            throttle.again();
            let detail = format!("{name}: keepalived reads its configuration again");
            actions.push(event("interface_made_anew", detail));
        }
    }

    fn declare(&mut self, plan: Plan) -> String {
        if let (Some(throttle), Some(text)) = (&mut self.throttle, &plan.configuration) {
            throttle.want(Arc::clone(text), plan.advert_interval_ns);
        }
        // A program that keeps its configuration keeps running.
        let old = &self.plan;
        let mut outdated = Vec::new();
        if old.conntrackd != plan.conntrackd {
            outdated.push(Program::Conntrackd);
        }
        if old.radvd != plan.radvd {
            outdated.push(Program::Radvd);
        }
        let children = old.router.children.len().max(plan.router.children.len());
        outdated.extend((0..children).filter_map(|number| {
            let differs = old.router.children.get(number) != plan.router.children.get(number);
            differs.then_some(Program::Child(number))
        }));
        for program in outdated {
            if let Some(upkeep) = self.programs.get_mut(&program) {
                upkeep.replace();
            }
        }
        self.present.retain(|place| plan.addresses.contains(place));
        self.second_round.retain(&self.present);
        if old.addresses.first() != plan.addresses.first() {
            // Until it is looked for, nothing is known of the other one.
            self.facts.address = None;
        }
        self.plan = plan;
        "the router was declared anew".to_owned()
    }

    fn take_address(&mut self, now: Nanos, place: Place, present: bool) -> String {
        let Some(position) = self.plan.addresses.iter().position(|other| *other == place) else {
            return String::new();
        };
        let verb = if present { "added" } else { "removed" };
        let reason = format!("{} {verb}", place.address);
        // Before all were looked at, one that is missing means nothing.
        if position == 0 && (present || self.facts.address.is_some()) {
            self.facts.address = Some(present);
        }
        if !present {
            self.present.remove(&place);
            self.second_round.vanished(&place);
        } else if self.present.insert(place.clone())
            && let Keepalived::Managed(managed) = &self.plan.router.keepalived
        {
            let delay = u64::try_from(managed.announce_again.as_nanos()).unwrap_or(Nanos::MAX);
            self.second_round.appeared(place, now, delay);
        }
        reason
    }

    fn started(&mut self, now: Nanos, program: Program, actions: &mut Vec<Action>) -> String {
        if let Some(upkeep) = self.upkeep(program) {
            upkeep.running(now);
        }
        let name = self.name(program);
        actions.push(event("started", name.clone()));
        self.trouble = None;
        if program == Program::Keepalived {
            self.facts.keepalived = Liveness::Running;
            if let Some(throttle) = &mut self.throttle {
                throttle.done(true, now);
            }
        }
        format!("{name} was started")
    }

    fn ended(
        &mut self,
        now: Nanos,
        program: Program,
        how: &str,
        actions: &mut Vec<Action>,
    ) -> String {
        let mut unasked = false;
        if let Some(upkeep) = self.upkeep(program) {
            unasked = upkeep.is_running();
            upkeep.ended(now);
        }
        let name = self.name(program);
        actions.push(event("ended", format!("{name}: {how}")));
        if program == Program::Keepalived {
            self.facts.keepalived = Liveness::Ended;
            self.facts.adverts = Adverts::Unseen;
            if let Some(throttle) = &mut self.throttle {
                throttle.ended();
                actions.push(Action::Clear);
                if unasked && self.published == Some(Published::Primary) {
                    // A backup takes over after the skew, not after three intervals.
                    actions.push(Action::Resign);
                }
            }
        }
        format!("{name} ended: {how}")
    }

    /// Draws the conclusion from the facts.
    fn judge(&mut self, now: Nanos, reason: String, actions: &mut Vec<Action>) {
        let state = self.facts.state();
        if state == self.state {
            return;
        }
        let note = Note::State {
            from: self.state,
            to: state,
            reason: reason.clone(),
        };
        self.state = state;
        self.since_ns = now;
        if let Some(to) = state.published()
            && self.published != Some(to)
        {
            self.publish(to, reason, actions);
        }
        // Last: others wait for the rest.
        actions.push(Action::Note(note));
    }

    fn publish(&mut self, to: Published, reason: String, actions: &mut Vec<Action>) {
        self.sequence += 1;
        let transition = Transition {
            from: self.published.replace(to),
            to,
            sequence: self.sequence,
            reason,
        };
        actions.push(Action::WriteState(to));
        if self.is_managed() {
            actions.push(Action::Follow(to));
        }
        if self.plan.conntrackd.is_some() {
            self.untold.push_back(transition);
        } else {
            actions.push(Action::Tell(transition));
        }
    }

    /// Has the programs run that are wanted, with the configuration that is wanted.
    fn keep_up(&mut self, now: Nanos, actions: &mut Vec<Action>) {
        self.want_programs();
        for (program, upkeep) in &mut self.programs {
            match upkeep.next(now) {
                Some(Order::Start) => match (&mut self.throttle, program) {
                    (Some(throttle), Program::Keepalived) => {
                        if !self.present.is_empty() {
                            actions.push(Action::Clear);
                        }
                        actions.push(Action::StartKeepalived(throttle.start()));
                    }
                    _ => actions.push(Action::Start(*program)),
                },
                Some(Order::Stop) => actions.push(Action::Stop(*program)),
                None => {}
            }
        }
        if self.keepalived_runs()
            && let Some(throttle) = &mut self.throttle
            && let Some(text) = throttle.next(now)
        {
            actions.push(Action::Reload(text));
        }
        if !self.syncing
            && let Some(transition) = self.untold.front()
        {
            self.syncing = true;
            actions.push(Action::Sync(transition.to));
        }
        if self.deletion == Deletion::Stopping && self.programs.values().all(Upkeep::is_gone) {
            self.deletion = Deletion::Removing;
            actions.push(Action::Remove);
        }
    }

    fn want_programs(&mut self) {
        let staying = self.deletion == Deletion::No;
        let ready = self.missing.is_empty() && self.down.is_empty();
        let looked = self.facts.address.is_some();
        let primary = self.published == Some(Published::Primary);
        // Once it runs it sees for itself when an interface goes.
        let runs = self.keepalived_runs();
        let may = staying && !self.halted;
        self.want(Program::Keepalived, may && (runs || ready && looked));
        let conntrackd = self.plan.conntrackd.is_some();
        let radvd = self.plan.radvd.is_some();
        let there = self.missing.is_empty() && looked;
        self.want(Program::Conntrackd, conntrackd && staying && there);
        let advertise = primary && self.facts.keepalived == Liveness::Running;
        self.want(Program::Radvd, radvd && staying && advertise);
        let known = self
            .programs
            .keys()
            .filter(|it| matches!(it, Program::Child(_)));
        let children = known.count().max(self.plan.router.children.len());
        for number in 0..children {
            let run = self.plan.router.children.get(number).map(|child| child.run);
            let wanted = match run {
                Some(RunOn::Primary) => primary,
                Some(RunOn::Always) => looked,
                None => false,
            };
            self.want(Program::Child(number), wanted && staying);
        }
    }

    /// A program that was never wanted takes no room.
    fn want(&mut self, program: Program, wanted: bool) {
        if (wanted || self.programs.contains_key(&program))
            && let Some(upkeep) = self.upkeep(program)
        {
            upkeep.want(wanted);
        }
    }

    /// `None` for a keepalived that is somebody else's.
    fn upkeep(&mut self, program: Program) -> Option<&mut Upkeep> {
        (program != Program::Keepalived || self.is_managed())
            .then(|| self.programs.entry(program).or_insert(Upkeep::STOPPED))
    }

    fn is_managed(&self) -> bool {
        self.throttle.is_some()
    }

    fn keepalived_runs(&self) -> bool {
        self.programs
            .get(&Program::Keepalived)
            .is_some_and(Upkeep::is_running)
    }

    /// What a program of this router is called.
    #[must_use]
    pub fn name(&self, program: Program) -> String {
        let child = match program {
            Program::Child(number) => self.plan.router.children.get(number),
            _ => None,
        };
        child.map_or_else(|| program.to_string(), |child| child.name.clone())
    }
}

fn event(name: &'static str, detail: String) -> Action {
    Action::Note(Note::Event(name, detail))
}

#[cfg(test)]
mod tests;
