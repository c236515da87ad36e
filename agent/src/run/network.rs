//! The network configuration that a router needs, and what it leaves.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::config::secret::Secret;
use crate::config::{AuthenticationKind, Cidr, InterfaceName, Managed};
use crate::engine::{Place, Published};
use crate::files::Dir;
use crate::keepalived::{read, render};
use crate::network::advert::Advert;
use crate::network::announce::{self, Announcement};
use crate::network::sysctl;

use super::jobs::{Job, Outcome};
use super::keepalived;
use super::site::Site;

/// Where the addresses are noted that were added here, so that they go with the
/// router; others were there before it and stay.
const ADDED: &str = "added-addresses";

const ADDED_LIMIT: usize = 64 << 10;

/// How long many addresses may take to be announced.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(5);

/// How long a full queue is given to drain.
const ANNOUNCE_STEP: Duration = Duration::from_millis(1);

/// Makes the namespace as a router needs it, as far as its interfaces are there.
/// What is as it should be is left alone.
pub(super) fn prepare(
    site: &Site,
    directory: &Dir,
    managed: &Managed,
    published: Option<Published>,
) -> Result<()> {
    // In the agent's own namespace other things may need its settings.
    if site.namespace.name().is_some() {
        sysctl::write(&site.namespace, &sysctl::router_settings())?;
    }
    for name in present(site, managed) {
        sysctl::write(&site.namespace, &sysctl::interface_settings(&name))?;
    }
    if let Some(published) = published {
        follow(site, managed, published)?;
    }
    let interface = &managed.vrrp.interface;
    let Some(link) = site.link(interface.as_str()) else {
        return Ok(());
    };
    for address in &managed.vrrp.addresses {
        let place = Place {
            interface: interface.clone(),
            address: *address,
        };
        if !site.has(&place) {
            // Noted first: killed in between, the next agent still knows whose it is.
            note_added(directory, &place)?;
            site.monitor.add_address(link.index, address, false)?;
        }
    }
    Ok(())
}

/// Sets forwarding and the acceptance of router advertisements as `state` needs it.
pub(super) fn follow(site: &Site, managed: &Managed, state: Published) -> Result<()> {
    let interfaces = present(site, managed);
    let settings = match state {
        Published::Backup => sysctl::backup_settings(&interfaces),
        Published::Primary => {
            let gateways = render::gateways(managed);
            let outside = gateways.first().map(|gateway| &gateway.interface);
            let outside = outside.filter(|name| interfaces.contains(name));
            // Where none is declared it is learnt.
            let learns = gateways.iter().all(|gateway| gateway.address.is_ipv4());
            sysctl::primary_settings(&interfaces, outside, learns)
        }
    };
    sysctl::write(&site.namespace, &settings).map(drop)
}

/// The interfaces with virtual addresses that are there.
fn present(site: &Site, managed: &Managed) -> Vec<InterfaceName> {
    let mut names: Vec<InterfaceName> = managed
        .addresses
        .iter()
        .map(|address| address.interface.clone())
        .filter(|name| *name != managed.vrrp.interface && site.link(name.as_str()).is_some())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Removes the virtual addresses and routes that a dead keepalived has left.
pub(super) fn clear(site: &Site, places: &[Place], managed: &Managed) -> Result<()> {
    // Routes first: one by way of an address that is gone cannot be named any more.
    for route in &managed.routes {
        let index = route.interface.as_ref();
        let index = index.and_then(|name| Some(site.link(name.as_str())?.index));
        site.monitor.remove_route(&route.to, route.via, index)?;
    }
    for place in places {
        if let Some(link) = site.link(place.interface.as_str()) {
            site.monitor.remove_address(link.index, &place.address)?;
        }
    }
    Ok(())
}

/// The virtual addresses of the configurations on disk. A keepalived that died before it
/// read a newer one had these, whatever is declared since.
pub(super) fn installed(directory: &Dir) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for text in keepalived::configurations(directory)?.into_iter().flatten() {
        let file = read::Source {
            path: directory.path().join("keepalived.conf"),
            text,
        };
        // What keepfast writes includes nothing.
        let instances = read::read(&file, |_, _| Ok(Vec::new()))?;
        let addresses = instances
            .into_iter()
            .flat_map(|it| it.addresses.into_iter().chain(it.excluded_addresses));
        places.extend(addresses.map(|it| Place {
            interface: it.interface,
            address: it.address,
        }));
    }
    Ok(places)
}

/// Removes the addresses that were added for a router.
pub(super) fn remove_added(site: &Site, directory: &Dir) -> Result<()> {
    for place in added(directory)? {
        if let Some(link) = site.link(place.interface.as_str()) {
            site.monitor.remove_address(link.index, &place.address)?;
        }
    }
    Ok(())
}

/// Resigns in the place of a keepalived that cannot.
pub(super) fn resign(site: &Site, managed: &Managed, password: Option<Secret>) -> Result<()> {
    let vrrp = &managed.vrrp;
    let kind = vrrp.authentication.as_ref().map(|it| it.kind);
    ensure!(
        kind != Some(AuthenticationKind::Ah),
        "adverts with an authentication header can be made by keepalived only"
    );
    let link = site
        .link(vrrp.interface.as_str())
        .with_context(|| format!("interface {} is not there", vrrp.interface))?;
    let primary = vrrp.primary_address.address();
    let own = vrrp.addresses.iter().map(Cidr::address);
    let fits = |own: &IpAddr| match own {
        IpAddr::V4(_) => primary.is_ipv4(),
        // Adverts over IPv6 come from a link-local address (RFC 9568 section 5.1.2.1).
        IpAddr::V6(own) => primary.is_ipv6() && own.is_unicast_link_local(),
    };
    let source = own
        .chain(site.addresses_of(link.index))
        .find(|own| fits(own) && *own != primary)
        .context("this host has no address to resign from")?;
    let hundredths = vrrp.advert_interval.as_millis() / 10;
    let advert = Advert {
        mac: link.mac.context("the interface has no hardware address")?,
        destination: None,
        source,
        peer: None,
        vrid: vrrp.vrid.get(),
        version: vrrp.version,
        priority: 0,
        interval_cs: u16::try_from(hundredths).context("tell the interval")?,
        addresses: vec![primary],
        password: password.as_ref().map(Secret::expose),
    };
    advert.send(&site.namespace, link.index)
}

/// What neighbours are told of addresses, as far as their interfaces are there.
pub(super) fn announcements(site: &Site, places: &[Place]) -> Vec<Announcement> {
    let one = |place: &Place| {
        let link = site.link(place.interface.as_str())?;
        Some(Announcement {
            index: link.index,
            mac: link.mac?,
            address: place.address.address(),
            router: true,
        })
    };
    places.iter().filter_map(one).collect()
}

/// Announces addresses to the neighbours.
pub(super) fn announce(site: &Site, places: &[Place]) -> Job {
    let announcements = announcements(site, places);
    let namespace = Rc::clone(&site.namespace);
    Box::pin(async move {
        let end = Instant::now() + ANNOUNCE_LIMIT;
        let mut rest = announcements.as_slice();
        while !rest.is_empty() && Instant::now() < end {
            match announce::announce(&namespace, rest) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(error) => return Outcome::Announced(Err(format!("{error:#}"))),
            }
            sleep(ANNOUNCE_STEP).await;
        }
        Outcome::Announced(match rest.len() {
            0 => Ok(announcements.len()),
            left => Err(format!("{left} of {} are left", announcements.len())),
        })
    })
}

fn note_added(directory: &Dir, place: &Place) -> Result<()> {
    let mut places = added(directory)?;
    if !places.contains(place) {
        places.push(place.clone());
    }
    let lines: String = places
        .iter()
        .map(|place| format!("{} {}\n", place.interface, place.address))
        .collect();
    directory.replace(ADDED, lines.as_bytes(), 0o644)
}

fn added(directory: &Dir) -> Result<Vec<Place>> {
    let text = directory.read(ADDED, ADDED_LIMIT)?.unwrap_or_default();
    let text = String::from_utf8(text).context("read the list of added addresses")?;
    let place = |line: &str| {
        let (interface, address) = line.split_once(' ')?;
        Some(Place {
            interface: interface.parse().ok()?,
            address: address.parse::<Cidr>().ok()?,
        })
    };
    Ok(text.lines().filter_map(place).collect())
}
