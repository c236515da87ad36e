//! A router as the fast path is to guard it: made of its declaration and of what there
//! is of its interfaces.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use keepfast_common::maps::{AddressKey, RouterKey};
use keepfast_common::neighbour::{ROLE_GATEWAY, ROLE_VIRTUAL, Watched};
use keepfast_common::time::down_after_ns;
use keepfast_common::wire::{IPV4, IPV6};

use crate::config::{Cidr, FastPath, Mode, RouterId};
use crate::engine::Instance;
use crate::fast::order::Speech;
use crate::fast::{Gateway, Guard};
use crate::keepalived::render;
use crate::netns::Namespace;
use crate::network::lease::LeaseAddress;
use crate::takeover;
use crate::tracker::GATEWAY_SILENCE_NS;

use super::daemon::Daemon;
use super::fast::facts;
use super::member::Member;
use super::network::announcements;
use super::plan::password;
use super::site::Site;

/// How many addresses of a router are watched for claims of others.
const WATCHED_ADDRESSES: usize = 1024;

impl Daemon {
    /// What the fast path is to be told of a router, and the addresses that the kernel
    /// programs are to watch for it; `None` where there is nothing to guard, or not yet.
    pub(super) fn guard_of(
        &self,
        id: &RouterId,
    ) -> Result<Option<(Guard, BTreeMap<AddressKey, Watched>)>> {
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
        let Some(key) = self.key_of(member) else {
            return Ok(None);
        };
        let gateways = gateways(site, member);
        let watched = watched(site, member, &key, &gateways);
        let managed = member.managed();
        let password = managed.map(password).transpose()?.flatten();
        let interval_cs = u16::try_from(plan.advert_interval_ns / 10_000_000)
            .context("tell the advert interval")?;
        let down_ns = down_after_ns(instance.version, interval_cs, instance.priority);
        let raise = managed.is_some();
        let mode = member.mode();
        let policy = takeover::Policy {
            drained: self.drained,
            mode: match mode {
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
            fast_path: FastPath {
                mode,
                ..fast_path.clone()
            },
            key,
            namespace: Namespace::clone_of(&site.namespace)?,
            speech: Speech {
                mac,
                source,
                priority: instance.priority,
                interval_cs,
                addresses: instance.advertised.clone(),
            },
            password,
            directory,
            addresses: addresses(site, member),
            announcements: announcements(site, &plan.addresses),
            gateways,
            facts: facts(member),
        };
        Ok(Some((guard, watched)))
    }
}

/// This host's own address on the interface, from which keepalived advertises.
pub(super) fn source(
    site: &Site,
    member: &Member,
    instance: &Instance,
    index: u32,
) -> Option<IpAddr> {
    let virtual_addresses = &member.plan().addresses;
    let fits = |own: &IpAddr| match own {
        IpAddr::V4(_) => instance.family == IPV4,
        // Adverts over IPv6 come from a link-local address (RFC 9568 section 5.1.2.1).
        IpAddr::V6(own) => instance.family == IPV6 && own.is_unicast_link_local(),
    };
    let own = member.managed().map(|it| it.vrrp.addresses.as_slice());
    let declared = own.into_iter().flatten().map(Cidr::address);
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
            key: site.address_key(link.index, gateway.address),
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
        let address = site.address_key(link.index, place.address.address());
        site.is_watched(link.index)
            .then_some((address, why(ROLE_VIRTUAL)))
    });
    let gateways = gateways
        .iter()
        .map(|gateway| (gateway.key, why(ROLE_GATEWAY)));
    virtual_addresses.chain(gateways).collect()
}
