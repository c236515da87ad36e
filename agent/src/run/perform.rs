//! Doing what an engine has decided, in its order.

use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value, json};
use tracing::{error, info};

use crate::config::RouterId;
use crate::engine::{Action, Input, Nanos, Note, Place, Program, Transition};
use crate::notify;
use crate::process::Process;
use crate::report::clock::monotonic_ns;

use super::daemon::Daemon;
use super::jobs::Job;
use super::keepalived;
use super::member::{Changed, Member};
use super::plan::password;
use super::{network, programs, removal};

impl Daemon {
    /// Does what was decided about a router at `now`.
    pub(super) fn perform(&mut self, id: &RouterId, now: Nanos, action: Action) {
        match action {
            Action::WriteState(state) => {
                if let Some(member) = self.members.get_mut(id)
                    && let Err(error) = member.write_state(state)
                {
                    self.trouble(id, &error.context("write the state file"));
                }
            }
            Action::Follow(state) => {
                let outcome = self.members.get(id).and_then(|member| {
                    let site = self.site(member)?;
                    Some(network::follow(site, member.managed()?, state))
                });
                if let Some(Err(error)) = outcome {
                    self.trouble(id, &error);
                }
            }
            Action::Sync(state) => {
                if let Some(stage) = self.stage(id) {
                    let job = programs::synchronise(stage, state);
                    self.jobs.push(id.clone(), job);
                } else {
                    self.input(id, Input::Synced);
                }
            }
            Action::Tell(transition) => self.tell(id, now, transition),
            Action::Note(Note::State { from, to, reason }) => {
                info!(router = %id, "{from} -> {to}: {reason}");
                self.note(id, now, "state", &format!("{from} -> {to}: {reason}"));
                if let Some(member) = self.members.get_mut(id) {
                    member.last = Some(Changed {
                        at: now,
                        from,
                        to,
                        reason,
                    });
                }
            }
            Action::Note(Note::Event(name, detail)) => self.note(id, now, name, &detail),
            Action::StartKeepalived(text) => {
                let job = match self.stage(id) {
                    Some(stage) => keepalived::start(stage, text),
                    None => programs::homeless(Program::Keepalived),
                };
                self.chain(id, job);
            }
            Action::Start(program) => {
                if let Some(stage) = self.stage(id) {
                    self.jobs.push(id.clone(), programs::start(&stage, program));
                }
            }
            Action::Stop(program) => self.stop(id, program),
            Action::Reload(text) => {
                let process = self.process(id, Program::Keepalived);
                match self.stage(id) {
                    Some(stage) => self.chain(id, keepalived::reload(stage, text, process)),
                    None => {
                        let why = Err("its network namespace is gone".to_owned());
                        self.input(id, Input::Reloaded(why));
                    }
                }
            }
            Action::Clear => {
                let outcome = self.members.get(id).and_then(|member| {
                    let (site, managed) = (self.site(member)?, member.managed()?);
                    let mut places = member.plan().addresses.clone();
                    let installed = network::installed(&member.directory);
                    Some(installed.and_then(|installed| {
                        places.extend(installed);
                        network::clear(site, &places, managed)
                    }))
                });
                if let Some(Err(error)) = outcome {
                    self.trouble(id, &error.context("remove what a dead keepalived left"));
                }
            }
            Action::Kill => {
                let keepalived = self.process(id, Program::Keepalived);
                if let (Some(stage), Some(keepalived)) = (self.stage(id), keepalived)
                    && let Err(error) = keepalived::kill(&stage, &keepalived)
                {
                    self.trouble(id, &error.context("kill a stopped keepalived"));
                }
            }
            Action::Resign => self.resign(id),
            Action::Announce(places) => self.announce(id, &places),
            Action::Remove => {
                if let Some(member) = self.members.get(id) {
                    let job = removal::wait_for_hooks(&member.notifier);
                    self.jobs.push(id.clone(), job);
                }
            }
        }
    }

    fn chain(&mut self, id: &RouterId, job: Job) {
        if let Some(member) = self.members.get_mut(id) {
            member.chain.push(&mut self.jobs, id, job);
        }
    }

    fn process(&self, id: &RouterId, program: Program) -> Option<Rc<Process>> {
        self.members.get(id)?.processes.get(&program).cloned()
    }

    pub(super) fn stop(&mut self, id: &RouterId, program: Program) {
        let (Some(process), Some(member)) = (self.process(id, program), self.members.get(id))
        else {
            return;
        };
        let job = programs::stop(member.plan(), program, process);
        self.jobs.push(id.clone(), job);
    }

    fn tell(&mut self, id: &RouterId, now: Nanos, transition: Transition) {
        self.report_soon(id, now);
        let at = self.clock.instant(now);
        if let Some(member) = self.members.get(id) {
            member.notifier.tell(notify::Transition {
                router: Arc::from(id.as_str()),
                state: transition.to,
                previous: transition.from,
                sequence: transition.sequence,
                reason: transition.reason,
                at,
            });
        }
    }

    /// Tells hooks that were declared anew what the state is.
    pub(super) fn tell_again(&mut self, id: &RouterId) {
        let Ok(now) = monotonic_ns() else {
            return;
        };
        let last = self
            .members
            .get(id)
            .and_then(|it| it.engine.last_transition());
        if let Some(last) = last {
            self.tell(id, now, last);
        }
    }

    fn resign(&mut self, id: &RouterId) {
        // Before others hear of it.
        self.let_know(id);
        let outcome = self.members.get(id).and_then(|member| {
            let site = self.site(member)?;
            let managed = member.managed()?;
            Some(password(managed).and_then(|it| network::resign(site, managed, it)))
        });
        match outcome {
            Some(Ok(())) => {
                info!(router = %id, "resigned for keepalived");
                if let Ok(now) = monotonic_ns() {
                    self.note(id, now, "resigned", "for the keepalived that has ended");
                }
            }
            Some(Err(error)) => self.trouble(id, &error.context("resign for keepalived")),
            None => {}
        }
    }

    pub(super) fn announce(&mut self, id: &RouterId, places: &[Place]) {
        let job = self.members.get(id).and_then(|member| {
            let site = self.site(member)?;
            Some(network::announce(site, places))
        });
        if let Some(job) = job {
            self.jobs.push(id.clone(), job);
        }
    }

    /// Writes a line into a router's event log.
    pub(super) fn note(&mut self, id: &RouterId, at: Nanos, event: &str, detail: &str) {
        self.note_with(id, at, event, detail, json!({}));
    }

    /// Does so with `more`, an object's members.
    pub(super) fn note_with(
        &mut self,
        id: &RouterId,
        at: Nanos,
        event: &str,
        detail: &str,
        mut more: Value,
    ) {
        let time = self.clock.instant(at).to_string();
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let Member { log, engine, .. } = &mut *member;
        let mut line = json!({
            "time": time,
            "monotonic_ns": at,
            "router": id.as_str(),
            "event": event,
            "detail": detail,
            "state": engine.state().as_str(),
        });
        if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object_mut()) {
            line.append(more);
        }
        if let Err(error) = log.append(&line) {
            // Once is enough to be seen; the count tells the rest.
            if member.unlogged == 0 {
                error!(router = %id, "write the event log: {error:#}");
            }
            member.unlogged += 1;
        }
    }
}
