//! What must not be forgotten, and what no event tells.

use tracing::{error, info};

use crate::config::{Keepalived, Router, RouterId};
use crate::engine::{Input, Program};
use crate::report::clock::ClockMapping;

use super::daemon::Daemon;
use super::member::FileVersion;

impl Daemon {
    /// Every second: what must not be forgotten, and what no event tells.
    pub(super) fn tick(&mut self) {
        match ClockMapping::now() {
            Ok(clock) => self.clock = clock,
            Err(error) => error!("{error:#}"),
        }
        self.house_homeless();
        self.sign();
        self.forget_old();
        self.tell_offences();
        self.let_go_of_left_links();
        self.report();
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
        self.sweep();
        let attached = self.members.values().filter(|it| it.managed().is_none());
        let attached: Vec<RouterId> = attached.map(|it| it.id.clone()).collect();
        for id in attached {
            self.read_again(&id);
        }
    }

    /// Reads the configuration of somebody else's keepalived again, if it is another
    /// file than before.
    pub(super) fn read_again(&mut self, id: &RouterId) {
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
        let plan = match &member.registered {
            Some(registered) => Ok(registered.plan(&router)),
            None => self.planner.plan(router),
        };
        match plan {
            Ok(plan) => {
                info!(router = %id, "keepalived's configuration has changed");
                self.input(id, Input::Declared(Box::new(plan)));
                self.look_at(id);
            }
            Err(error) => self.trouble(id, &error),
        }
    }
}
