//! keepfast's own style: what keepalived 2.2 and later do best, without a word of
//! warning.

use super::{
    Features, Paths, authentication, gateways, is_raised, raise_file, raised, seconds, way,
};
use crate::config::{Managed, Router};
use crate::lines::Lines;

/// Of the script that asks the gateways.
const CHECK: &str = "gateways";

/// The keepalived.conf of a router.
pub(super) fn render(
    router: &Router,
    managed: &Managed,
    secret: Option<&str>,
    paths: &Paths,
    features: Features,
) -> String {
    let check = managed
        .gateway_check
        .filter(|_| !gateways(managed).is_empty());
    let mut lines = Lines::new("}");
    lines.block("global_defs", |lines| {
        lines.line(format_args!("router_id {}", router.id));
        lines.line(format_args!("vrrp_version {}", managed.vrrp.version));
        // A master that hears a worse one says at once that it is there: the other
        // yields, and learns so within a packet instead of an interval.
        lines.line("vrrp_higher_prio_send_advert true");
        // Where it is scheduled late, it raises its own priority, at most so far.
        lines.line("max_auto_priority 50");
        if is_raised(router) {
            // What is injected is worth nothing while it waits for a busy processor.
            lines.line("vrrp_priority -20");
        }
        if check.is_some() {
            lines.line("enable_script_security");
            lines.line("script_user root");
        }
    });
    if let Some(interval) = check {
        lines.gap();
        lines.block(format_args!("vrrp_script {CHECK}"), |lines| {
            lines.line(format_args!("script \"{}\"", paths.check_script.display()));
            lines.line(format_args!("interval {}", seconds(interval)));
            lines.line("fall 2");
            lines.line("rise 2");
        });
    }
    if is_raised(router) {
        lines.gap();
        raise_file(&mut lines, paths);
    }
    lines.gap();
    lines.block(format_args!("vrrp_instance {}", router.id), |lines| {
        instance(lines, managed, secret, features);
        if check.is_some() {
            lines.list("track_script", [CHECK]);
        }
        if is_raised(router) {
            raised(lines);
        }
    });
    lines.into_text()
}

fn instance(lines: &mut Lines, managed: &Managed, secret: Option<&str>, features: Features) {
    let vrrp = &managed.vrrp;
    lines.line("state BACKUP");
    if !vrrp.preempt {
        lines.line("nopreempt");
    }
    lines.line(format_args!("interface {}", vrrp.interface));
    lines.line(format_args!("virtual_router_id {}", vrrp.vrid.get()));
    lines.line(format_args!("priority {}", vrrp.priority));
    lines.line(format_args!("advert_int {}", seconds(vrrp.advert_interval)));
    lines.line("garp_master_repeat 5");
    lines.line(format_args!(
        "garp_master_delay {}",
        managed.announce_again.as_secs()
    ));
    authentication(lines, vrrp, secret);
    // Its own interface it tracks anyway, and warns when told to.
    let others = vrrp.track_interfaces.iter();
    lines.list(
        "track_interface",
        others.filter(|name| **name != vrrp.interface),
    );
    let no_track = if features.no_track { " no_track" } else { "" };
    let primary = format!("{} dev {}", vrrp.primary_address, vrrp.interface);
    lines.list("virtual_ipaddress", [primary]);
    // Not in the adverts: these stay small, and equal whatever is added here.
    lines.list(
        "virtual_ipaddress_excluded",
        managed.addresses.iter().map(|it| {
            // The kernel knows the scope of an IPv6 address by itself.
            let scope = it.link_scope && it.address.address().is_ipv4();
            let scope = if scope { " scope link" } else { "" };
            format!("{} dev {}{scope}{no_track}", it.address, it.interface)
        }),
    );
    lines.list(
        "virtual_routes",
        managed
            .routes
            .iter()
            .map(|route| format!("{}{}{no_track}", route.to, way(route))),
    );
}
