//! What the kernel programs tell of routers.

use std::time::Instant;

use keepfast_common::event::{Event, EventKind};
use tokio::time::sleep;
use tracing::warn;

use crate::config::RouterId;
use crate::engine::{Adverts, Input, Published, State};
use crate::kernel;
use crate::report::clock::monotonic_ns;
use crate::report::json::kind_name;
use crate::report::words::sentence;

use super::daemon::Daemon;
use super::jobs::Outcome;
use super::keepalived;
use super::member::Member;

/// For how long after this host resigned another primary is no wonder: keepalived answers
/// the first advert of whoever follows before it gives way.
const FOLLOWED_NS: u64 = 1_000_000_000;

impl Daemon {
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
        for id in self.members_in(label) {
            self.guard(&id);
        }
    }

    /// Takes the kernel's events.
    pub(super) fn take_events(&mut self, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            if let Ok(now) = monotonic_ns() {
                self.metrics.event(now.saturating_sub(event.time_ns));
            }
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
            if event.kind == EventKind::AddressClaimed as u8 {
                let (label, interface) = (*label, interface.to_owned());
                self.take_claim(label, &interface, &event);
                continue;
            }
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

    pub(super) fn take_event(&mut self, id: &RouterId, event: &Event) {
        let Some(kind) = EventKind::from_number(event.kind) else {
            return;
        };
        self.note(id, event.time_ns, kind_name(kind), &sentence(event));
        if kind == EventKind::LocalResigned
            && let Some(member) = self.members.get_mut(id)
        {
            member.resigned_ns = event.time_ns;
        }
        if kind == EventKind::LocalMaster {
            self.forget_reason(id, event.time_ns);
        }
        self.suspect_two_primaries(id, kind, event);
        if kind == EventKind::LocalStalled {
            let stopped = self.is_keepalived_stopped(id);
            self.input_at(id, event.time_ns, Input::Stalled { stopped });
        }
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

    /// An address was announced by somebody else: where this host serves, it says again
    /// that it does, for the neighbours have just been told otherwise.
    fn take_claim(&mut self, label: usize, interface: &str, event: &Event) {
        let mut claims = Vec::new();
        for member in self.members.values() {
            let vrid = member.plan().instance.as_ref().map(|it| it.vrid.get());
            let primary = member.engine.published() == Some(Published::Primary);
            if member.site != Some(label) || vrid != Some(event.vrid) || !primary {
                continue;
            }
            let claimed = member.plan().addresses.iter().find(|place| {
                let (_, address) = kernel::address(place.address.address());
                place.interface.as_str() == interface && address == event.new.address
            });
            claims.extend(claimed.map(|place| (member.id.clone(), place.clone())));
        }
        for (id, place) in claims {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            // Those that come before the answer are told with it.
            if let Some(pause) = member.claims.claimed(&place, Instant::now()) {
                self.note(&id, event.time_ns, "address_claimed", &sentence(event));
                let job = Box::pin(async move {
                    sleep(pause).await;
                    Outcome::AnswerClaims
                });
                self.jobs.push(id, job);
            }
        }
    }

    /// Says again that this host has the addresses that others have claimed, if it has.
    pub(super) fn answer_claims(&mut self, id: &RouterId) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let places = member.claims.answer(Instant::now());
        if member.engine.published() == Some(Published::Primary) {
            self.announce(id, &places);
        }
    }

    /// Tells of another primary besides this one: where nobody preempts, a link was cut and is
    /// whole again.
    pub(super) fn suspect_two_primaries(&mut self, id: &RouterId, kind: EventKind, event: &Event) {
        let overruled = kind == EventKind::MasterChanged && event.new.local == 0;
        if !overruled && kind != EventKind::MultipleMasters {
            return;
        }
        let suspicious = self.members.get(id).is_some_and(|member| {
            let preempts = member.managed().is_some_and(|it| it.vrrp.preempt);
            let followed = member.resigned_ns.saturating_add(FOLLOWED_NS);
            member.engine.state() == State::Primary && !preempts && event.time_ns > followed
        });
        if suspicious {
            self.metrics.dual_primary(id);
            warn!(router = %id, "two primaries suspected: {}", sentence(event));
            self.note(
                id,
                event.time_ns,
                "dual_primary_suspected",
                &sentence(event),
            );
        }
    }

    /// Whether a router's VRRP process has been stopped, and cannot send adverts.
    fn is_keepalived_stopped(&mut self, id: &RouterId) -> bool {
        let Some(stage) = self.stage(id) else {
            return false;
        };
        let stopped = keepalived::vrrp_process(&stage)
            .and_then(|process| process.map_or(Ok(None), |process| process.is_stopped()));
        match stopped {
            Ok(stopped) => stopped.unwrap_or(false),
            Err(error) => {
                self.trouble(id, &error.context("look at keepalived"));
                false
            }
        }
    }
}
