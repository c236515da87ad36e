//! Going on where an agent before this one has stopped, and leaving all to the next one.

use std::collections::BTreeSet;

use tracing::{info, warn};

use crate::config::RouterId;
use crate::engine::{Adverts, Input, Nanos};
use crate::observe::Source;
use crate::report::clock::monotonic_ns;

use super::daemon::Daemon;
use super::site::Site;

/// How long routers of the agent before this one may take to be declared again, nanoseconds.
const RETURN_NS: Nanos = 120_000_000_000;

impl Daemon {
    /// Every second: what the agent before this one has left of routers that nobody has
    /// declared again is let go.
    pub(super) fn let_go_of_left_links(&mut self) {
        let (Some(observer), Ok(now)) = (&mut self.observer, monotonic_ns()) else {
            return;
        };
        let waits = now < self.started_ns + RETURN_NS || !self.unattached.is_empty();
        if waits || !std::mem::take(&mut observer.pins.adopted) {
            return;
        }
        let held: BTreeSet<_> = self.sites.values().flat_map(Site::pins).collect();
        match observer.pins.let_go_of_others(&held) {
            Ok(0) => {}
            Ok(count) => info!("let go of {count} links that the agent before this one has left"),
            Err(error) => warn!("{error:#}"),
        }
        let protection = observer.kernel.maps().protection();
        if let Err(error) = protection.keep_only(&self.configured.keys()) {
            warn!("{error:#}");
        }
    }

    /// The kernel programs have told nothing new of routers that an agent before this one
    /// has looked after: how they are is in the maps.
    pub(super) fn take_up_states(&mut self) {
        let keys = self.members.values();
        let keys = keys.filter_map(|member| Some((member.id.clone(), self.key_of(member)?)));
        let keys: Vec<_> = keys.collect();
        let Some(observer) = self.observer.as_mut().filter(|it| it.pins.adopted) else {
            return;
        };
        let maps = observer.kernel.maps();
        let mut masters: Vec<RouterId> = Vec::new();
        for (id, key) in keys {
            match maps.router(key) {
                Ok(Some(router)) if router.own_active != 0 => masters.push(id),
                Ok(_) => {}
                Err(error) => warn!("{error:#}"),
            }
        }
        for id in masters {
            self.input(&id, Input::Adverts(Adverts::Sent));
        }
    }

    /// What the kernel programs told is acted upon.
    pub(super) fn acted(&mut self, source: Option<&Source>) {
        if let (Some(observer), Some(source)) = (&mut self.observer, source)
            && let Err(error) = observer.acted(source)
        {
            warn!("{error:#}");
        }
    }

    /// Leaves the kernel programs, their maps and where they are attached to the agent
    /// after this one. What was raised for a takeover under way is taken back.
    pub(super) fn make_room(&mut self) {
        if let Some(fast) = self.fast.take() {
            fast.path.make_room();
        }
        if let Some(observer) = &mut self.observer {
            observer.pins.leave();
            info!("the kernel programs stay for the next agent");
        }
        // What is let go would be detached: the kernel lets go of the rest at the end.
        std::mem::forget(std::mem::take(&mut self.sites));
        std::mem::forget(self.observer.take());
    }
}
