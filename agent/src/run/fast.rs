//! What the fast path knows of the routers, and what it tells.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use keepfast_common::maps::{
    AddressKey, Agent, Guarded, KEEPALIVED_ENDED, KEEPALIVED_RUNS, KEEPALIVED_UNKNOWN, RouterKey,
};
use keepfast_common::neighbour::{ROLE_GATEWAY, ROLE_VIRTUAL, Watched};
use keepfast_common::time::down_after_ns;
use keepfast_common::wire::{Address, IPV4, IPV6, widen};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::config::{Mode, RouterId};
use crate::engine::{Instance, Liveness, State};
use crate::fast::standing::Standing;
use crate::fast::{Facts, FastPath, Gateway, Guard, Order, Told};
use crate::keepalived::render;
use crate::netns::Namespace;
use crate::network::announce::Announcement;
use crate::network::lease::LeaseAddress;
use crate::report::clock::monotonic_ns;
use crate::takeover;
use crate::tracker::GATEWAY_SILENCE_NS;

use super::daemon::Daemon;
use super::member::Member;
use super::plan::password;
use super::site::Site;

/// How many addresses of a router are watched for claims of others.
const WATCHED_ADDRESSES: usize = 1024;

/// The fast path, and what the kernel programs were told for it.
pub(super) struct Fast {
    pub(super) path: FastPath,
    agent: Agent,
    /// By router: what it is on the wire, and the addresses that are watched for it.
    guarded: BTreeMap<RouterId, (RouterKey, BTreeMap<AddressKey, Watched>)>,
    /// What the thread was told last.
    known: BTreeMap<RouterId, Facts>,
}

impl Fast {
    /// Starts it with the loaded programs of `observer`.
    pub(super) fn start(observer: &mut crate::observe::Observer, priority: u8) -> Result<Self> {
        let random = |number: u64| RandomState::new().hash_one(number);
        let [_, _, a, b, c, d, e, f] = random(1).to_be_bytes();
        let agent = Agent {
            alive_ns: monotonic_ns()?,
            host: random(2),
            // Never 0, which is no mark.
            mark: random(3) as u32 | 1,
            leaving: 0,
            reserved: 0,
            // Locally administered, and no group's.
            ghost: [a & 0xfc | 2, b, c, d, e, f],
            padding: [0; 4],
        };
        let kernel = observer.kernel.take_fast()?;
        observer.kernel.maps().introduce(agent)?;
        Ok(Self {
            path: FastPath::start(kernel, agent.mark, agent.ghost, Standing { priority })?,
            agent,
            guarded: BTreeMap::new(),
            known: BTreeMap::new(),
        })
    }

    /// What is told to peers: that the agent lives, or that it is about to go.
    pub(super) fn sign(
        &mut self,
        observer: &mut crate::observe::Observer,
        leaving: bool,
    ) -> Result<()> {
        self.agent.alive_ns = monotonic_ns()?;
        self.agent.leaving = leaving.into();
        observer.kernel.maps().introduce(self.agent)
    }
}

/// What the fast path says next.
pub(super) async fn next_told(fast: Option<&mut Fast>) -> Option<Told> {
    match fast {
        Some(fast) => fast.path.next().await,
        None => std::future::pending().await,
    }
}

impl Daemon {
    /// Takes what the fast path tells.
    pub(super) fn take_told(&mut self, told: &Told) {
        let Told {
            id,
            at,
            name,
            detail,
        } = told;
        info!(router = %id, "{name}: {detail}");
        self.note(id, *at, name, detail);
    }

    /// Has the fast path guard a router as it is declared and as its interfaces are,
    /// or guard it no longer.
    pub(super) fn guard(&mut self, id: &RouterId) {
        if self.fast.is_none() {
            return;
        }
        match self.guard_of(id) {
            Ok(Some((guard, watched))) => {
                let key = guard.key;
                if let Some(fast) = &mut self.fast {
                    fast.known.insert(id.clone(), guard.facts);
                    fast.path.order(Order::Guard(Box::new(guard)));
                }
                if let Err(error) = self.tell_programs(id, key, watched) {
                    self.trouble(id, &error);
                }
            }
            Ok(None) => self.unguard(id),
            Err(error) => {
                self.unguard(id);
                self.trouble(id, &error.context("guard it by the fast path"));
            }
        }
    }

    /// Guards a router no longer.
    pub(super) fn unguard(&mut self, id: &RouterId) {
        let Some(fast) = &mut self.fast else {
            return;
        };
        let Some((key, watched)) = fast.guarded.remove(id) else {
            return;
        };
        fast.known.remove(id);
        fast.path.order(Order::Forget(id.clone()));
        let Some(observer) = &mut self.observer else {
            return;
        };
        let maps = observer.kernel.maps();
        let outcome = maps.unguard(key);
        let outcome = watched
            .keys()
            .fold(outcome, |outcome, key| outcome.and(maps.unwatch(*key)));
        if let Err(error) = outcome {
            self.trouble(id, &error);
        }
    }

    /// Tells the fast path how a router is, if that is news.
    pub(super) fn let_know(&mut self, id: &RouterId) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        let facts = facts(member);
        let Some(fast) = &mut self.fast else {
            return;
        };
        let Some(known) = fast.known.get_mut(id) else {
            return;
        };
        if *known == facts {
            return;
        }
        *known = facts;
        fast.path.order(Order::Know(id.clone(), facts));
        let key = fast.guarded.get(id).map(|(key, _)| *key);
        let health = health(member);
        if let (Some(observer), Some(key)) = (&mut self.observer, key)
            && let Err(error) = observer.kernel.maps().guard(key, health)
        {
            self.trouble(id, &error);
        }
    }

    /// Has another host serve.
    pub(super) fn drain(&mut self, id: &RouterId) -> Result<Value> {
        let fast = self
            .fast
            .as_ref()
            .filter(|fast| fast.known.contains_key(id));
        let fast = fast.with_context(|| {
            format!("router {id} has no fast path: expected [fast_path] with mode = \"armed\"")
        })?;
        fast.path.order(Order::HandOver(id.clone()));
        Ok(json!({ "id": id.as_str() }))
    }

    /// How the fast path of a router is.
    pub(super) fn fast_status(&self, member: &Member) -> Value {
        let mode = member.plan().router.fast_path.mode;
        if mode == Mode::Off {
            return json!({ "mode": "off" });
        }
        let status = self
            .fast
            .as_ref()
            .and_then(|fast| fast.path.status(&member.id));
        let why = || {
            let obstacle = member
                .plan()
                .instance
                .as_ref()
                .and_then(|it| it.obstacle.clone());
            let general = if self.fast.is_none() {
                "the kernel programs are not loaded"
            } else {
                "its interfaces are not watched yet"
            };
            json!({ "mode": "off", "why": obstacle.unwrap_or_else(|| general.to_owned()) })
        };
        status.unwrap_or_else(why)
    }

    fn guard_of(&self, id: &RouterId) -> Result<Option<(Guard, BTreeMap<AddressKey, Watched>)>> {
        let Some(member) = self.members.get(id) else {
            return Ok(None);
        };
        let plan = member.plan();
        let fast_path = &plan.router.fast_path;
        let (Some(site), Some(instance)) = (self.site(member), &plan.instance) else {
            return Ok(None);
        };
        if fast_path.mode == Mode::Off || member.engine.is_deleted() || instance.obstacle.is_some()
        {
            return Ok(None);
        }
        let Some(link) = site.link(instance.interface.as_str()) else {
            return Ok(None);
        };
        if !site.is_watched(link.index) {
            return Ok(None);
        }
        let (Some(mac), Some(source)) = (link.mac, source(site, member, instance, link.index))
        else {
            return Ok(None);
        };
        let netns = site.namespace.inode();
        let key = RouterKey {
            netns,
            ifindex: link.index,
            vlan: 0,
            inner_vlan: 0,
            family: instance.family,
            vrid: instance.vrid.get(),
            reserved: 0,
        };
        let gateways = gateways(site, member);
        let watched = watched(site, member, &key, &gateways);
        let managed = member.managed();
        let password = managed.map(password).transpose()?.flatten();
        let interval_cs = u16::try_from(plan.advert_interval_ns / 10_000_000)
            .context("tell the advert interval")?;
        let down_ns = down_after_ns(instance.version, interval_cs, instance.priority);
        let raise = managed.is_some();
        let policy = takeover::Policy {
            mode: match fast_path.mode {
                Mode::Off => takeover::Mode::Off,
                Mode::Shadow => takeover::Mode::Shadow,
                Mode::Armed => takeover::Mode::Armed,
            },
            version: instance.version,
            witness: fast_path.witness && !gateways.is_empty(),
            raise,
            lease: raise,
            solicit: true,
            advert_interval_ns: plan.advert_interval_ns,
            down_ns,
            solicit_interval_ns: u64::try_from(fast_path.solicit_interval.as_nanos())
                .context("tell the solicitation interval")?,
        };
        let directory = if raise {
            Some(self.base.subdirectory(id.as_str(), 0o755)?)
        } else {
            None
        };
        let guard = Guard {
            id: id.clone(),
            policy,
            fast_path: fast_path.clone(),
            key,
            namespace: Namespace::clone_of(&site.namespace)?,
            speech: crate::fast::order::Speech {
                mac,
                source,
                priority: instance.priority,
                interval_cs,
                addresses: instance.advertised.clone(),
            },
            password,
            directory,
            addresses: addresses(site, member),
            announcements: announcements(site, member),
            gateways,
            facts: facts(member),
        };
        Ok(Some((guard, watched)))
    }

    fn tell_programs(
        &mut self,
        id: &RouterId,
        key: RouterKey,
        watched: BTreeMap<AddressKey, Watched>,
    ) -> Result<()> {
        let (Some(fast), Some(observer), Some(member)) =
            (&mut self.fast, &mut self.observer, self.members.get(id))
        else {
            return Ok(());
        };
        let maps = observer.kernel.maps();
        let (old_key, old) = fast.guarded.remove(id).unwrap_or((key, BTreeMap::new()));
        if old_key != key {
            maps.unguard(old_key)?;
        }
        maps.guard(key, health(member))?;
        for address in old.keys().filter(|address| !watched.contains_key(address)) {
            maps.unwatch(*address)?;
        }
        for (address, why) in &watched {
            if old.get(address) != Some(why) {
                maps.watch(*address, *why)?;
            }
        }
        fast.guarded.insert(id.clone(), (key, watched));
        Ok(())
    }

    /// Says to peers that the programs are about to go, so that their silence means
    /// nothing, and waits until they have asked.
    pub(super) async fn take_leave(&mut self) {
        let (Some(fast), Some(observer)) = (&mut self.fast, &mut self.observer) else {
            return;
        };
        match fast.sign(observer, true) {
            Ok(()) => tokio::time::sleep(crate::kernel::LEAVE).await,
            Err(error) => warn!("peers are not told that this agent ends: {error:#}"),
        }
        // What was raised is taken back while the maps are there.
        self.fast = None;
    }

    /// Every second: peers are told that the agent lives.
    pub(super) fn sign(&mut self) {
        if let (Some(fast), Some(observer)) = (&mut self.fast, &mut self.observer)
            && let Err(error) = fast.sign(observer, false)
        {
            warn!("{error:#}");
        }
    }
}

fn facts(member: &Member) -> Facts {
    let engine = &member.engine;
    Facts {
        backup: engine.state() == State::Backup,
        keepalived_runs: engine.keepalived() != Liveness::Ended,
        link_up: engine.interfaces_up(),
    }
}

fn health(member: &Member) -> Guarded {
    Guarded {
        keepalived: match member.engine.keepalived() {
            Liveness::Unknown => KEEPALIVED_UNKNOWN,
            Liveness::Running => KEEPALIVED_RUNS,
            Liveness::Ended => KEEPALIVED_ENDED,
        },
        reserved: [0; 7],
    }
}

/// This host's own address on the interface, from which keepalived advertises.
fn source(site: &Site, member: &Member, instance: &Instance, index: u32) -> Option<IpAddr> {
    let virtual_addresses = &member.plan().addresses;
    let fits = |own: &IpAddr| match own {
        IpAddr::V4(_) => instance.family == IPV4,
        // Adverts over IPv6 come from a link-local address (RFC 9568 section 5.1.2.1).
        IpAddr::V6(own) => instance.family == IPV6 && own.is_unicast_link_local(),
    };
    let own = member.managed().map(|it| it.vrrp.addresses.as_slice());
    let declared = own.into_iter().flatten().map(crate::config::Cidr::address);
    declared.chain(site.addresses_of(index)).find(|own| {
        fits(own)
            && !virtual_addresses
                .iter()
                .any(|it| it.address.address() == *own)
    })
}

fn addresses(site: &Site, member: &Member) -> Vec<LeaseAddress> {
    let Some(managed) = member.managed() else {
        return Vec::new();
    };
    let links = |name: &str| site.link(name).map(|link| link.index);
    let primary = links(managed.vrrp.interface.as_str()).map(|index| LeaseAddress {
        index,
        address: managed.vrrp.primary_address,
        link_scope: false,
    });
    let others = managed.addresses.iter().filter_map(|it| {
        Some(LeaseAddress {
            index: links(it.interface.as_str())?,
            address: it.address,
            link_scope: it.link_scope,
        })
    });
    primary.into_iter().chain(others).collect()
}

fn announcements(site: &Site, member: &Member) -> Vec<Announcement> {
    let one = |place: &crate::engine::Place| {
        let link = site.link(place.interface.as_str())?;
        Some(Announcement {
            index: link.index,
            mac: link.mac?,
            address: place.address.address(),
            router: true,
        })
    };
    member.plan().addresses.iter().filter_map(one).collect()
}

fn gateways(site: &Site, member: &Member) -> Vec<Gateway> {
    let Some(managed) = member.managed() else {
        return Vec::new();
    };
    let virtual_addresses = &member.plan().addresses;
    let one = |gateway: render::Gateway| {
        let link = site.link(gateway.interface.as_str())?;
        if !site.is_watched(link.index) {
            return None;
        }
        // One that a backup does not have either.
        let source = site.addresses_of(link.index).find(|own| {
            let usable = match own {
                IpAddr::V4(_) => gateway.address.is_ipv4(),
                IpAddr::V6(_) => gateway.address.is_ipv6(),
            };
            usable
                && !virtual_addresses
                    .iter()
                    .any(|it| it.address.address() == *own)
        });
        Some(Gateway {
            key: address_key(site, link.index, gateway.address),
            address: gateway.address,
            mac: link.mac?,
            source,
        })
    };
    render::gateways(managed)
        .into_iter()
        .filter_map(one)
        .collect()
}

/// The addresses about which the programs are to know: gateways, and virtual addresses
/// with the router that they belong to.
fn watched(
    site: &Site,
    member: &Member,
    key: &RouterKey,
    gateways: &[Gateway],
) -> BTreeMap<AddressKey, Watched> {
    let why = |roles| Watched {
        silence_ns: GATEWAY_SILENCE_NS,
        roles,
        vrid: key.vrid,
        family: key.family,
        reserved: 0,
        router_ifindex: key.ifindex,
    };
    let virtual_addresses = member.plan().addresses.iter().take(WATCHED_ADDRESSES);
    let virtual_addresses = virtual_addresses.filter_map(|place| {
        let link = site.link(place.interface.as_str())?;
        let address = address_key(site, link.index, place.address.address());
        site.is_watched(link.index)
            .then_some((address, why(ROLE_VIRTUAL)))
    });
    let gateways = gateways
        .iter()
        .map(|gateway| (gateway.key, why(ROLE_GATEWAY)));
    virtual_addresses.chain(gateways).collect()
}

fn address_key(site: &Site, ifindex: u32, address: IpAddr) -> AddressKey {
    let (family, address): (u8, Address) = match address {
        IpAddr::V4(address) => (IPV4, widen(address.octets())),
        IpAddr::V6(address) => (IPV6, address.octets()),
    };
    AddressKey {
        netns: site.namespace.inode(),
        ifindex,
        family: u32::from(family),
        address,
    }
}
