//! Where routers are: their namespaces, and what there is and changes in them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use tracing::{error, info, warn};

use crate::config::{Mode, NamespaceChoice, RouterId};
use crate::engine::{Input, Place, Program};
use crate::netns::Namespace;
use crate::network::monitor::Change;

use super::daemon::Daemon;
use super::network;
use super::removal;
use super::site::{Consequence, Site};

impl Daemon {
    /// The namespace that a router is in, opened or made if need be; `None` where it
    /// is not there.
    pub(super) fn site_of(&mut self, id: &RouterId) -> Result<Option<usize>> {
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
                    removal::make_namespace(&member.directory, name)?
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

    pub(super) fn look_at_interfaces(&mut self, id: &RouterId) {
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
                    indexes: BTreeMap::new(),
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
        let index = |name: &&str| Some(((*name).to_owned(), site.link(name)?.index));
        let indexes = tracked.iter().filter_map(index).collect();
        // Adverts first: what else is watched is of use to the fast path alone.
        let others = member
            .plan()
            .addresses
            .iter()
            .map(|it| it.interface.as_str());
        let guarded = member.plan().router.fast_path.mode != Mode::Off;
        let others = others.filter(|_| guarded);
        for name in member.advert_interface().into_iter().chain(others) {
            let unwatched = site.link(name).is_some() && site.hooks(name).is_none();
            let entry = member.site.map(|label| (label, name.to_owned()));
            if let Some(entry) = entry.filter(|entry| unwatched && !self.unattached.contains(entry))
            {
                self.unattached.push_back(entry);
            }
        }
        self.input(
            id,
            Input::Interfaces {
                missing,
                down,
                indexes,
            },
        );
        self.guard(id);
    }

    /// Has the namespace made as a managed router needs it.
    pub(super) fn prepare(&mut self, id: &RouterId) {
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

    pub(super) fn members_in(&self, label: usize) -> Vec<RouterId> {
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
    pub(super) fn evict(&mut self, id: &RouterId) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        member.site = None;
        self.unguard(id);
        let Some(member) = self.members.get(id) else {
            return;
        };
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

    /// Looks for the router's namespace, and for what is there of the router.
    pub(super) fn enter(&mut self, id: &RouterId) {
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
}
