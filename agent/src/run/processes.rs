//! What runs of routers: found, held, and what becomes of it and of other jobs.

use std::rc::Rc;

use tracing::{debug, info, warn};

use crate::config::{Keepalived, RouterId};
use crate::engine::{Input, Program};
use crate::process::Process;

use super::daemon::Daemon;
use super::jobs::{Done, Outcome};
use super::keepalived;
use super::programs::Stage;
use super::{programs, removal};

impl Daemon {
    /// Takes up what an agent before this one has left running, and what belongs to
    /// somebody else.
    pub(super) fn find_programs(&mut self, id: &RouterId) {
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

    pub(super) fn found(
        &mut self,
        id: &RouterId,
        stage: &Stage,
        program: Program,
        process: Rc<Process>,
    ) {
        info!(router = %id, pid = process.pid(), "found {program} running");
        let text = match program {
            Program::Keepalived => keepalived::loaded(&stage.directory).unwrap_or(None),
            _ => None,
        };
        self.hold(id, program, process);
        self.input(id, Input::Found(program, text));
    }

    /// Keeps a process and waits for its end.
    pub(super) fn hold(&mut self, id: &RouterId, program: Program, process: Rc<Process>) {
        if let Some(member) = self.members.get_mut(id) {
            member.processes.insert(program, Rc::clone(&process));
            self.jobs
                .push(id.clone(), programs::watch(program, process));
        }
    }

    /// Looks whether somebody else's keepalived runs (again).
    pub(super) fn find_stranger(&mut self, id: &RouterId) {
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
                self.metrics.started(program);
                debug!(router = %id, pid = process.pid(), "started {program}");
                self.hold(&id, program, process);
                self.input(&id, Input::Started(program));
            }
            Outcome::Started(program, Err(why)) => {
                self.metrics.not_started(program);
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
                    self.metrics.ended(program);
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
            Outcome::AnswerClaims => self.answer_claims(&id),
            Outcome::Signalled => {}
        }
    }

    /// Lets go of a router of which nothing is left.
    pub(super) fn forget(&mut self, id: &RouterId) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        self.deadlines.retain(|(_, other)| other != id);
        self.metrics.forget(id);
        self.box_router(id);
        self.protect_router(id);
        self.unreported.remove(id);
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
}
