//! Virtual addresses and routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::check::Check;
use crate::config::form::{AddressForm, Form, RouteForm, Scope};
use crate::config::{Cidr, InterfaceName, VirtualAddress, VirtualRoute, Vrrp};

pub(super) fn virtuals(
    check: &mut Check,
    form: &Form,
    vrrp: Option<&Vrrp>,
) -> (Option<Vec<VirtualAddress>>, Option<Vec<VirtualRoute>>) {
    let addresses: Vec<_> = form
        .address
        .iter()
        .enumerate()
        .map(|(index, it)| address(check, it, &format!("address[{index}]")))
        .collect();
    differ(check, vrrp, &addresses);
    let routes: Vec<_> = form
        .route
        .iter()
        .enumerate()
        .map(|(index, it)| route(check, it, &format!("route[{index}]")))
        .collect();
    let fields = routes.iter().enumerate().filter_map(|(index, route)| {
        let route = route.as_ref()?;
        let identity = (route.to, route.via, route.interface.as_ref());
        Some((format!("route[{index}]"), identity))
    });
    check.unique(fields, |_, first| {
        format!("is {first} once more: expected each route once")
    });
    let addresses: Option<Vec<_>> = addresses.into_iter().collect();
    let routes: Option<Vec<_>> = routes.into_iter().collect();
    if let (Some(vrrp), Some(addresses), Some(routes)) = (vrrp, &addresses, &routes) {
        reachable(check, vrrp, addresses, routes);
    }
    (addresses, routes)
}

fn address(check: &mut Check, form: &AddressForm, at: &str) -> Option<VirtualAddress> {
    let interface = check.parse(&format!("{at}.interface"), form.interface.as_deref());
    let field = format!("{at}.address");
    let address: Cidr = check.parse(&field, form.address.as_deref())?;
    check.take(&field, address.check_host())?;
    let link_local = matches!(address.address(), IpAddr::V6(it) if it.is_unicast_link_local());
    if link_local && form.scope == Some(Scope::Global) {
        let message = format!("{address} is link-local: expected \"link\"");
        check.wrong(format!("{at}.scope"), message);
    }
    Some(VirtualAddress {
        interface: interface?,
        address,
        link_scope: link_local || form.scope == Some(Scope::Link),
    })
}

/// keepalived and Neutron know an address by itself, wherever it is.
fn differ(check: &mut Check, vrrp: Option<&Vrrp>, addresses: &[Option<VirtualAddress>]) {
    let own = vrrp.into_iter().flat_map(|vrrp| {
        let own = vrrp.addresses.iter().enumerate();
        let own = own.map(|(index, it)| (format!("vrrp.addresses[{index}]"), it.address()));
        let primary = vrrp.primary_address.address();
        own.chain([("vrrp.primary_address".to_owned(), primary)])
    });
    let others = addresses.iter().enumerate().filter_map(|(index, it)| {
        let address = it.as_ref()?.address.address();
        Some((format!("address[{index}].address"), address))
    });
    check.unique(own.chain(others), |address, first| {
        format!(
            "{address} is {first} too, and this one would be ignored: expected each address once"
        )
    });
}

fn route(check: &mut Check, form: &RouteForm, at: &str) -> Option<VirtualRoute> {
    let via = check.optional(form.via.as_deref(), |check, via| {
        next_hop(check, &format!("{at}.via"), via)
    });
    let interface = check.optional(form.interface.as_deref(), |check, name| {
        check.parse(&format!("{at}.interface"), Some(name))
    });
    let to = form.to.as_deref();
    let to = to.and_then(|to| destination(check, &format!("{at}.to"), to, via));
    if form.via.is_none() && form.interface.is_none() {
        check.wrong(at, "leads nowhere: expected via, interface, or both");
    }
    if form.via.is_some() && form.scope == Some(Scope::Link) {
        let message = "\"link\" is for routes without a next hop: expected \"global\"";
        check.wrong(format!("{at}.scope"), message);
    }
    let (to, via, interface) = (to?, via?, interface?);
    if let Some(via) = via {
        let field = format!("{at}.via");
        if to.address().is_ipv4() != via.is_ipv4() {
            let message = format!("{via} leads to no {to}: expected an address of its family");
            check.wrong(field, message);
        } else if is_link_local(via) && interface.is_none() {
            let message = format!("{via} is link-local: expected an interface with it");
            check.wrong(field, message);
        }
    }
    Some(VirtualRoute {
        to,
        via,
        interface,
        link_scope: form
            .scope
            .map_or(via.is_none(), |scope| scope == Scope::Link),
    })
}

fn next_hop(check: &mut Check, field: &str, text: &str) -> Option<IpAddr> {
    let wrong = || format!("{text:?} is no next hop: expected an address like 192.0.2.1");
    let usable = |it: &IpAddr| !it.is_unspecified() && !it.is_multicast() && !it.is_loopback();
    let address = text.parse().ok().filter(usable);
    check.take(field, address.ok_or_else(wrong))
}

fn destination(
    check: &mut Check,
    field: &str,
    text: &str,
    via: Option<Option<IpAddr>>,
) -> Option<Cidr> {
    if text == "default" {
        let any = match via? {
            Some(IpAddr::V4(_)) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            Some(IpAddr::V6(_)) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
            None => {
                let message = "default may be IPv4 or IPv6 without a next hop: expected \
                               \"0.0.0.0/0\" or \"::/0\"";
                check.wrong(field, message);
                return None;
            }
        };
        return check.take(field, Cidr::new(any, 0));
    }
    let network: Cidr = match text.parse::<IpAddr>() {
        Ok(host) => Cidr::of_host(host),
        Err(_) => check.parse(field, Some(text))?,
    };
    if network != network.network() {
        let message = format!(
            "{network} is within a network: expected {}",
            network.network()
        );
        check.wrong(field, message);
        return None;
    }
    Some(network)
}

/// Checks that each next hop is on a subnet that its interface is known to have, or
/// that a route leads to it there. An interface with addresses of single hosts only
/// tells of no subnet: it may have one from elsewhere.
fn reachable(
    check: &mut Check,
    vrrp: &Vrrp,
    addresses: &[VirtualAddress],
    routes: &[VirtualRoute],
) {
    let at_ha = vrrp.addresses.iter().chain([&vrrp.primary_address]);
    let at_ha = at_ha.map(|it| (&vrrp.interface, *it));
    let subnets: Vec<_> = addresses
        .iter()
        .map(|it| (&it.interface, it.address))
        .chain(at_ha)
        .filter(|(_, subnet)| !subnet.is_host())
        .collect();
    for (index, route) in routes.iter().enumerate() {
        let Some(via) = route.via.filter(|via| !is_link_local(*via)) else {
            continue;
        };
        let interface = route.interface.as_ref();
        let here = |it: &InterfaceName| interface.is_none_or(|interface| interface == it);
        let near: Vec<Cidr> = subnets
            .iter()
            .filter(|(interface, subnet)| {
                here(interface) && subnet.address().is_ipv4() == via.is_ipv4()
            })
            .map(|(_, subnet)| subnet.network())
            .filter(|subnet| !is_link_local(subnet.address()))
            .collect();
        let on_link = routes.iter().any(|other| {
            other.via.is_none()
                && other.to.contains(via)
                && other.interface.as_ref().is_none_or(here)
        });
        if !on_link && !near.is_empty() && !near.iter().any(|subnet| subnet.contains(via)) {
            let near: Vec<_> = near.iter().map(Cidr::to_string).collect();
            let place = interface.map_or_else(String::new, |it| format!(" of {it}"));
            let message = format!(
                "{via} is on no subnet{place} ({}): expected one that is, or an on-link route to it",
                near.join(", ")
            );
            check.wrong(format!("route[{index}].via"), message);
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(it) if it.is_unicast_link_local())
}
