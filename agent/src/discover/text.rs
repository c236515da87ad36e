//! What is printed: router files, and comments.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::hear::Router as Heard;
use super::{Found, Site};
use crate::config::{
    Attached, Cidr, FastPath, InterfaceName, Keepalived, Managed, NamespaceChoice, Profile, Router,
    RouterId, VirtualAddress, Vrid, Vrrp, file, render,
};
use crate::keepalived::read::Instance;
use crate::printable::printable;
use crate::report::clock;

/// All that is printed. `places` are those of the instances.
pub(super) fn report(
    found: &Found,
    places: &[NamespaceChoice],
    sites: &[Site],
    limit: Duration,
) -> String {
    let file = printable(&found.config_file.display().to_string());
    let listened = match limit {
        Duration::ZERO => "did not listen".to_owned(),
        _ => format!("listened for {}", duration(limit)),
    };
    let mut text = match found.instances.len() {
        _ if !found.is_there => format!("# there is no {file}; {listened}\n"),
        count => format!("# instances in {file}: {count}; {listened}\n"),
    };
    let mut ids = Ids::default();
    for (instance, place) in found.instances.iter().zip(places) {
        let site = sites.iter().find(|site| site.place == *place);
        let heard = site.map_or(&[][..], |site| &site.heard.routers);
        let id = ids.make(&instance.name);
        text += &comments(instance, &id, heard, limit);
        let name = format!("{id}.toml");
        let file = render::render(&Router {
            id,
            namespace: place.clone(),
            keepalived: Keepalived::Attached(Attached {
                config_file: found.config_file.clone(),
                instance: instance.name.clone(),
                pid_file: found.pid_file.clone(),
            }),
            fast_path: FastPath::OFF,
            protect: None,
            hooks: Vec::new(),
            children: Vec::new(),
        });
        // keepalived takes names that routers of keepfast may not have.
        match file::parse(&file, &name, None) {
            Ok(_) => text += &file,
            Err(problems) => {
                let problems = problems.to_string();
                let refused = problems
                    .lines()
                    .map(|it| format!("refused: {}", printable(it)));
                text += &commented(refused.chain(file.lines().map(str::to_owned)));
            }
        }
    }
    for site in sites {
        let here = found.instances.iter().zip(places);
        let here: Vec<_> = here
            .filter(|(_, place)| **place == site.place)
            .map(|(instance, _)| instance)
            .collect();
        text += &strangers(site, &here, &mut ids);
    }
    text
}

/// What there is to say of an instance.
fn comments(instance: &Instance, id: &RouterId, heard: &[Heard], limit: Duration) -> String {
    let mut lines = vec![
        format!(
            "{id}.toml, for vrrp_instance {}:",
            printable(&instance.name)
        ),
        format!(
            "{} vrid {}, VRRPv{}, priority {}, adverts every {}",
            instance.interface,
            instance.vrid.get(),
            instance.version,
            instance.priority,
            duration(instance.advert_interval)
        ),
    ];
    lines.extend(
        instance
            .notes
            .iter()
            .map(|note| format!("note: {}", printable(note))),
    );
    let heard: Vec<_> = heard.iter().filter(|it| is_of(it, instance)).collect();
    if heard.is_empty() && !limit.is_zero() {
        lines.push("nothing was heard of it".to_owned());
    }
    for router in &heard {
        lines.push(format!("heard {}", described(router)));
        lines.extend(differences(router, instance).map(|it| format!("warning: {it}")));
    }
    let masters = heard.iter().filter(|it| it.priority != 0).count();
    if masters > 1 {
        lines.push(format!(
            "warning: {masters} routers advertise at the same time"
        ));
    }
    format!("\n{}", commented(lines))
}

/// Whether an advert is one of the virtual router that an instance belongs to.
fn is_of(router: &Heard, instance: &Instance) -> bool {
    let ipv6 = instance.addresses.first();
    let ipv6 = ipv6.is_some_and(|it| it.address.address().is_ipv6());
    router.interface == instance.interface.as_str()
        && router.vrid == instance.vrid.get()
        && router.source.is_ipv6() == ipv6
}

/// What would keep a router and an instance from understanding each other.
fn differences(router: &Heard, instance: &Instance) -> impl Iterator<Item = String> + use<> {
    let listed: BTreeSet<IpAddr> = router.addresses.iter().copied().collect();
    let own: BTreeSet<_> = instance
        .addresses
        .iter()
        .map(|it| it.address.address())
        .collect();
    let version = (router.version != instance.version).then(|| {
        let (heard, own) = (router.version, instance.version);
        format!("VRRPv{heard} is heard, the instance has VRRPv{own}")
    });
    let interval = (router.interval != instance.advert_interval).then(|| {
        let heard = duration(router.interval);
        let own = duration(instance.advert_interval);
        format!("adverts every {heard} are heard, the instance has {own}")
    });
    let addresses = (listed != own).then(|| {
        let (heard, own) = (joined(&listed), joined(&own));
        format!("{heard} is listed, the instance has {own}")
    });
    [version, interval, addresses].into_iter().flatten()
}

/// The virtual routers that no instance belongs to, each with a router file to be
/// uncommented.
fn strangers(site: &Site, instances: &[&Instance], ids: &mut Ids) -> String {
    let mut text = String::new();
    let routers = &site.heard.routers;
    let is_known = |router: &Heard| instances.iter().any(|instance| is_of(router, instance));
    // Bridges and keepalived's own interfaces show the same advert once more.
    let is_echo = |router: &Heard| {
        routers
            .iter()
            .any(|it| it.vrid == router.vrid && it.source == router.source && is_known(it))
    };
    let mut told = BTreeSet::new();
    for router in routers.iter().filter(|it| !is_known(it) && !is_echo(it)) {
        let virtual_router = (&router.interface, router.vrid, router.source.is_ipv6());
        let first = told.insert(virtual_router);
        let spot = format!("{} vrid {}", router.interface, router.vrid);
        let mut lines = vec![format!(
            "no instance has {spot}, heard {}",
            described(router)
        )];
        if let Some(skeleton) = first.then(|| skeleton(site, router, ids)).flatten() {
            lines.push("to take part in it, with the right prefix lengths:".to_owned());
            lines.extend(render::render(&skeleton).lines().map(str::to_owned));
        }
        text.push('\n');
        text += &commented(lines);
    }
    let (invalid, dropped) = (site.heard.invalid, site.heard.dropped);
    if invalid != 0 {
        let line = format!("{invalid} adverts were not valid: `keepfast watch` says why");
        text.push('\n');
        text += &commented([line]);
    }
    if dropped != 0 {
        let line = format!("{dropped} adverts of more routers were left out");
        text.push('\n');
        text += &commented([line]);
    }
    text
}

/// A router that could take part in a virtual router that was heard; `None` where
/// nothing useful is listed.
fn skeleton(site: &Site, router: &Heard, ids: &mut Ids) -> Option<Router> {
    let interface: InterfaceName = router.interface.parse().ok()?;
    let mut addresses = router.addresses.iter().filter_map(|address| {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Cidr::new(*address, prefix).ok()
    });
    let managed = Managed {
        profile: Profile::Plain,
        vrrp: Vrrp {
            interface: interface.clone(),
            addresses: Vec::new(),
            vrid: Vrid::new(router.vrid.into()).ok()?,
            priority: 100,
            advert_interval: router.interval,
            version: router.version,
            preempt: false,
            authentication: None,
            primary_address: addresses.next()?,
            track_interfaces: vec![interface.clone()],
        },
        addresses: addresses
            .map(|address| VirtualAddress {
                interface: interface.clone(),
                address,
                link_scope: false,
            })
            .collect(),
        routes: Vec::new(),
        gateway_check: None,
        announce_again: Duration::from_secs(60),
        radvd: None,
        conntrackd: None,
    };
    Some(Router {
        id: ids.make(&format!("{interface}-{}", router.vrid)),
        namespace: site.place.clone(),
        keepalived: Keepalived::Managed(Box::new(managed)),
        fast_path: FastPath::OFF,
        protect: None,
        hooks: Vec::new(),
        children: Vec::new(),
    })
}

fn described(router: &Heard) -> String {
    let who = if router.own { "this host, " } else { "" };
    let listed: BTreeSet<_> = router.addresses.iter().copied().collect();
    let state = if router.priority == 0 {
        "resigned".to_owned()
    } else {
        format!("priority {}", router.priority)
    };
    format!(
        "{who}{}: {state}, VRRPv{}, adverts every {}, lists {}",
        router.source,
        router.version,
        duration(router.interval),
        joined(&listed)
    )
}

fn duration(time: Duration) -> String {
    clock::duration(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn joined(addresses: &BTreeSet<IpAddr>) -> String {
    let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    match addresses[..] {
        [] => "no address".to_owned(),
        _ => addresses.join(", "),
    }
}

/// `lines` as comments.
fn commented(lines: impl IntoIterator<Item = String>) -> String {
    let comment = |line: String| format!("{}\n", format!("# {line}").trim_end());
    lines.into_iter().map(comment).collect()
}

/// The ids that are taken.
#[derive(Default)]
struct Ids(BTreeSet<RouterId>);

impl Ids {
    /// An id like `name` that is not taken.
    fn make(&mut self, name: &str) -> RouterId {
        let known = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let mut base: String = name
            .chars()
            .map(|letter| if known(letter) { letter } else { '-' })
            .take(48)
            .collect();
        if !base.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            base.insert(0, 'r');
        }
        let mut text = base.clone();
        let mut number = 1_u32;
        loop {
            // It always is an id: short, and of nothing but what ids are made of.
            if let Ok(id) = text.parse::<RouterId>()
                && self.0.insert(id.clone())
            {
                return id;
            }
            number += 1;
            text = format!("{base}-{number}");
        }
    }
}

#[cfg(test)]
mod tests;
