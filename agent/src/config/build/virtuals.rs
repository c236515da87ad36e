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
        let known = Known {
            vrrp,
            addresses,
            routes,
            host: form.host == Some(true),
        };
        known.check_next_hops(check);
    }
    (addresses, routes)
}

fn address(check: &mut Check, form: &AddressForm, at: &str) -> Option<VirtualAddress> {
    let interface = check.parse(&format!("{at}.interface"), form.interface.as_deref());
    let address = check.host(&format!("{at}.address"), form.address.as_deref())?;
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

/// What is known of where next hops can be.
struct Known<'a> {
    vrrp: &'a Vrrp,
    addresses: &'a [VirtualAddress],
    routes: &'a [VirtualRoute],
    /// Whether the router is in the host's own namespace, with interfaces that have
    /// nothing to do with it.
    host: bool,
}

impl Known<'_> {
    /// Checks that each next hop is on a subnet of the virtual addresses of its
    /// interface, or that a route leads to it there. Where they are of single hosts
    /// only, the interface may have its subnet from elsewhere.
    fn check_next_hops(&self, check: &mut Check) {
        for (index, route) in self.routes.iter().enumerate() {
            let interface = route.interface.as_ref();
            let Some(via) = route.via.filter(|via| !is_link_local(*via)) else {
                continue;
            };
            let near = self.subnets(interface, via);
            let anywhere = near.is_empty() || interface.is_none() && self.host;
            if anywhere || self.is_on_link(interface, via) {
                continue;
            }
            let near: Vec<_> = near.iter().map(Cidr::to_string).collect();
            let place = interface.map_or_else(String::new, |it| format!(" of {it}"));
            let message = format!(
                "{via} is on no subnet{place} ({}): expected one that is, or an on-link route \
                 to it",
                near.join(", ")
            );
            check.wrong(format!("route[{index}].via"), message);
        }
    }

    /// The subnets of the virtual addresses of `via`'s family.
    fn subnets(&self, interface: Option<&InterfaceName>, via: IpAddr) -> Vec<Cidr> {
        self.addresses
            .iter()
            .filter(|it| interface.is_none_or(|interface| *interface == it.interface))
            .map(|it| it.address.network())
            .filter(|it| it.address().is_ipv4() == via.is_ipv4())
            .filter(|it| !it.is_host() && !is_link_local(it.address()))
            .collect()
    }

    fn is_on_link(&self, interface: Option<&InterfaceName>, via: IpAddr) -> bool {
        let here = |other: &InterfaceName| interface.is_none_or(|it| it == other);
        let at_ha = || {
            self.vrrp
                .addresses
                .iter()
                .chain([&self.vrrp.primary_address])
        };
        let by_subnet = self
            .subnets(interface, via)
            .iter()
            .any(|it| it.contains(via))
            || here(&self.vrrp.interface) && at_ha().any(|it| it.contains(via));
        let by_route = |route: &VirtualRoute| {
            route.via.is_none()
                && route.to.contains(via)
                && route.interface.as_ref().is_none_or(here)
        };
        by_subnet || self.routes.iter().any(by_route)
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(it) if it.is_unicast_link_local())
}
