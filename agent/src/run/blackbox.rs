//! The black boxes of the routers: which there are, and what is said to peers of why
//! this host gives up a role.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use keepfast_common::maps::{LinkKey, RouterKey};
use tracing::warn;

use crate::config::RouterId;
use crate::engine::{Liveness, Published};
use crate::fast::Told;
use crate::observe::Observer;
use crate::postmortem::{GIVES_UP, Identity, Reason, shelf};
use crate::report::clock::monotonic_ns;
use crate::takeover;

use super::daemon::Daemon;

/// How long after a host was primary it may still give up that role, nanoseconds.
const SERVED_NS: u64 = 2_000_000_000;

/// How long boxes that an agent before this one has left are kept for their routers to
/// appear, nanoseconds.
const LEFT_NS: u64 = 600_000_000_000;

/// How long peers are told of it, nanoseconds.
const LATELY_NS: u64 = 60_000_000_000;

/// The boxes that were made, by router.
#[derive(Debug, Default)]
pub(super) struct Boxes {
    made: BTreeMap<RouterId, Boxed>,
    /// Until when routers are waited for of which an agent before this one has left a
    /// box, CLOCK_MONOTONIC nanoseconds.
    left_until_ns: u64,
}

/// What there is of one router.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Boxed {
    identity: Identity,
    exits: BTreeSet<LinkKey>,
}

impl Boxes {
    /// What a router is on the wire, if it has a box.
    pub(super) fn identity(&self, id: &RouterId) -> Option<&Identity> {
        self.made.get(id).map(|it| &it.identity)
    }
}

impl Boxed {
    const fn link(&self) -> RouterKey {
        let RouterKey { netns, ifindex, .. } = self.identity.key();
        RouterKey::of_link(netns, ifindex)
    }
}

impl Daemon {
    /// Has the kernel keep what happens to a router, where its interfaces are watched,
    /// or keep it no longer.
    pub(super) fn box_router(&mut self, id: &RouterId) {
        let wanted = self.boxed(id);
        if self.boxes.made.get(id) == wanted.as_ref() {
            return;
        }
        if let Err(error) = self.try_box(id, wanted) {
            self.trouble(id, &error.context("keep what happens to it"));
        }
    }

    fn boxed(&self, id: &RouterId) -> Option<Boxed> {
        let member = self.members.get(id)?;
        let (site, plan) = (self.site(member)?, member.plan());
        let instance = plan.instance.as_ref()?;
        let link = site.link(instance.interface.as_str())?;
        if self.observer.is_none() || member.engine.is_deleted() || !site.is_watched(link.index) {
            return None;
        }
        let netns = site.namespace.inode();
        let places = plan.addresses.iter().map(|place| place.interface.as_str());
        let links = places.filter_map(|name| site.link(name)).chain([link]);
        let links: BTreeMap<u32, String> = links
            .filter(|link| site.is_watched(link.index))
            .map(|link| (link.index, link.name.clone()))
            .collect();
        let exits = links.keys().map(|ifindex| LinkKey {
            netns,
            ifindex: *ifindex,
        });
        Some(Boxed {
            exits: exits.collect(),
            identity: Identity {
                netns,
                ifindex: link.index,
                family: instance.family,
                vrid: instance.vrid.get(),
                version: instance.version,
                priority: instance.priority,
                advert_interval_ns: plan.advert_interval_ns,
                links,
            },
        })
    }

    fn try_box(&mut self, id: &RouterId, wanted: Option<Boxed>) -> Result<()> {
        let old = match &wanted {
            Some(wanted) => self.boxes.made.insert(id.clone(), wanted.clone()),
            None => self.boxes.made.remove(id),
        };
        let Some(observer) = &mut self.observer else {
            return Ok(());
        };
        let black_boxes = observer.kernel.maps().black_boxes();
        if let Some(old) = old {
            let others = || self.boxes.made.values();
            let key = old.identity.key();
            if !others().any(|it| it.identity.key() == key) {
                black_boxes.forget(key)?;
            }
            if !others().any(|it| it.link() == old.link()) {
                black_boxes.forget(old.link())?;
            }
            for link in &old.exits {
                if !others().any(|it| it.exits.contains(link)) {
                    black_boxes.unwatch_exit(*link)?;
                }
            }
        }
        let (Some(wanted), Some(member)) = (wanted, self.members.get(id)) else {
            return Ok(());
        };
        let key = wanted.identity.key();
        for key in [key, wanted.link()] {
            black_boxes.keep(key, observer.pins.left_behind.remove(&key))?;
        }
        for link in &wanted.exits {
            black_boxes.watch_exit(*link, key)?;
        }
        wanted
            .identity
            .write(&member.directory)
            .context("note which it is")
    }

    /// Takes over what an agent before this one has kept, found in `observer`'s pins if it
    /// was killed, or in the file that it left.
    pub(super) fn take_boxes(&mut self, observer: &mut Observer) {
        self.boxes.left_until_ns = monotonic_ns().unwrap_or_default() + LEFT_NS;
        match shelf::take(&self.base) {
            Ok(boxes) => {
                for (key, kept) in boxes {
                    // One that was killed since then knows more.
                    observer.pins.left_behind.entry(key).or_insert(kept);
                }
            }
            Err(error) => warn!("what happened before this agent is not known: {error:#}"),
        }
    }

    /// Leaves what is kept to the agent after this one.
    pub(super) fn put_boxes_away(&mut self) {
        let Some(observer) = &mut self.observer else {
            return;
        };
        let boxes = observer.kernel.maps().black_boxes().all();
        let outcome = boxes.and_then(|mut boxes| {
            // Those of routers that this agent has not come to.
            for (key, kept) in std::mem::take(&mut observer.pins.left_behind) {
                boxes.entry(key).or_insert(kept);
            }
            if boxes.is_empty() {
                return Ok(());
            }
            shelf::put(&self.base, &boxes)
        });
        if let Err(error) = outcome {
            warn!("what happened to routers is not kept: {error:#}");
        }
    }

    /// Notes why this host gives up a role, from what its engine knows.
    pub(super) fn note_reason(&mut self, id: &RouterId) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        let engine = &member.engine;
        if !engine.interfaces_up() {
            self.gives_up(id, Reason::Interface);
        } else if engine.keepalived() == Liveness::Ended {
            self.gives_up(id, Reason::Keepalived);
        }
    }

    /// Does so from what the fast path tells.
    pub(super) fn note_told(&mut self, told: &Told) {
        for (gateway, reason) in [(true, Reason::Gateway), (false, Reason::Operator)] {
            let note = takeover::Note::HandsOver { gateway };
            if told.name == note.name() && told.detail == note.to_string() {
                self.gives_up(&told.id, reason);
                self.let_know(&told.id);
            }
        }
    }

    /// This host is, or was until now, the primary, and gives up its role.
    fn gives_up(&mut self, id: &RouterId, reason: Reason) {
        let (Some(member), Ok(now)) = (self.members.get_mut(id), monotonic_ns()) else {
            return;
        };
        let serves = member.engine.published() == Some(Published::Primary);
        let served = member.served_ns != 0 && now < member.served_ns + SERVED_NS;
        // What follows of the first reason is none.
        let known = member
            .gave_up
            .is_some_and(|(_, at)| at + SERVED_NS > now || at > member.served_ns);
        if known || !(serves || served) {
            return;
        }
        member.gave_up = Some((reason, now));
        self.note(id, now, GIVES_UP, reason.words());
    }

    /// It was master at `at`: whatever it gave up for is over, unless that was just now,
    /// when its keepalived may answer the first advert of whoever follows.
    pub(super) fn forget_reason(&mut self, id: &RouterId, at: u64) {
        if let Some(member) = self.members.get_mut(id)
            && member
                .gave_up
                .is_some_and(|(_, gave_up)| at > gave_up + SERVED_NS)
        {
            member.gave_up = None;
            self.let_know(id);
        }
    }

    /// Every second: what is not of late any more is not told, and what nobody wanted is
    /// not kept.
    pub(super) fn forget_old(&mut self) {
        let Ok(now) = monotonic_ns() else {
            return;
        };
        if now > self.boxes.left_until_ns
            && let Some(observer) = &mut self.observer
        {
            observer.pins.left_behind.clear();
        }
        let lapsed = self.members.values_mut().filter_map(|member| {
            let (_, at) = member.gave_up?;
            (now > at + LATELY_NS).then(|| {
                member.gave_up = None;
                member.id.clone()
            })
        });
        let lapsed: Vec<RouterId> = lapsed.collect();
        for id in lapsed {
            self.let_know(&id);
        }
    }
}
