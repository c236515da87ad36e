//! What OpenStack Neutron writes, byte for byte, so that either can take over a
//! router from the other without a reload; and where there is a fast path, what that
//! needs besides.

use std::collections::BTreeMap;

use super::{Features, Paths, authentication, is_raised, raise_file, raised, seconds, way};
use crate::config::{Cidr, Managed, Router, VirtualAddress, VirtualRoute};
use crate::lines::Lines;

/// The keepalived.conf of a router.
pub(super) fn render(
    router: &Router,
    managed: &Managed,
    secret: Option<&str>,
    paths: &Paths,
    features: Features,
) -> String {
    let mut lines = Lines::new("}");
    lines.block("global_defs", |lines| {
        lines.line("notification_email_from neutron@openstack.local");
        lines.line("router_id neutron");
    });
    let vrid = managed.vrrp.vrid.get();
    let check = format!("ha_health_check_{vrid}");
    if let Some(interval) = managed.gateway_check {
        lines.gap();
        lines.block(format_args!("vrrp_script {check}"), |lines| {
            lines.line(format_args!("script \"{}\"", paths.check_script.display()));
            lines.line(format_args!("interval {}", interval.as_secs()));
            lines.line("fall 2");
            lines.line("rise 2");
        });
        lines.gap();
    }
    if is_raised(router) {
        raise_file(&mut lines, paths);
        lines.gap();
    }
    lines.block(format_args!("vrrp_instance VR_{vrid}"), |lines| {
        instance(lines, managed, secret);
        lines.list(
            "virtual_ipaddress_excluded",
            addresses(managed, features).into_values(),
        );
        lines.list("virtual_routes", routes(managed, features));
        // Neutron has no script without a gateway, and yet its declaration above.
        let gateways = managed.routes.iter().any(is_gateway);
        if managed.gateway_check.is_some() && gateways {
            lines.list("track_script", [&check]);
        }
        if is_raised(router) {
            raised(lines);
        }
    });
    let mut text = lines.into_text();
    // The last line has no end.
    text.pop();
    text
}

/// All of the instance that every router has.
fn instance(lines: &mut Lines, managed: &Managed, secret: Option<&str>) {
    let vrrp = &managed.vrrp;
    lines.line("state BACKUP");
    lines.line(format_args!("interface {}", vrrp.interface));
    lines.line(format_args!("virtual_router_id {}", vrrp.vrid.get()));
    lines.line(format_args!("priority {}", vrrp.priority));
    lines.line(format_args!(
        "garp_master_delay {}",
        managed.announce_again.as_secs()
    ));
    if !vrrp.preempt {
        lines.line("nopreempt");
    }
    lines.line(format_args!("advert_int {}", seconds(vrrp.advert_interval)));
    authentication(lines, vrrp, secret);
    lines.list("track_interface", &vrrp.track_interfaces);
    let primary = format!("{} dev {}", vrrp.primary_address, vrrp.interface);
    lines.list("virtual_ipaddress", [primary]);
}

/// The other addresses, sorted as text. An address is there once, on the first
/// interface that has it.
fn addresses(managed: &Managed, features: Features) -> BTreeMap<String, String> {
    let mut sorted = BTreeMap::new();
    for VirtualAddress {
        interface,
        address,
        link_scope,
    } in &managed.addresses
    {
        let mut line = format!("{address} dev {interface}");
        if *link_scope {
            line += " scope link";
        }
        if features.no_track && !managed.vrrp.track_interfaces.contains(interface) {
            line += " no_track";
        }
        sorted.entry(address.to_string()).or_insert(line);
    }
    sorted
}

/// The routes: those to and by gateways, those by other routers, those to more
/// networks on the link.
fn routes(managed: &Managed, features: Features) -> Vec<String> {
    let to_gateway = |route: &VirtualRoute| {
        let address = route.to.address();
        route.via.is_none()
            && is_host(&route.to)
            && managed.routes.iter().any(|other| {
                is_gateway(other)
                    && other.via == Some(address)
                    && other.interface == route.interface
            })
    };
    let class = |route: &&VirtualRoute| match route.via {
        None if to_gateway(route) => 0,
        _ if is_gateway(route) => 1,
        Some(_) => 2,
        None => 3,
    };
    let mut routes: Vec<_> = managed.routes.iter().collect();
    routes.sort_by_key(class);
    let line = |route: &VirtualRoute| {
        let mut line = if to_gateway(route) {
            route.to.address().to_string()
        } else {
            route.to.to_string()
        };
        line += &way(route);
        if features.no_track {
            line += " no_track";
        }
        line + " protocol static"
    };
    routes.into_iter().map(line).collect()
}

/// Whether it is a default route of the router's own, not one that its user added:
/// those name no interface.
fn is_gateway(route: &VirtualRoute) -> bool {
    route.to.prefix() == 0 && route.via.is_some() && route.interface.is_some()
}

/// Whether it is one address.
fn is_host(network: &Cidr) -> bool {
    network.prefix() == if network.address().is_ipv4() { 32 } else { 128 }
}
