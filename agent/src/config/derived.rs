//! What follows from a router.

use std::collections::BTreeSet;

use super::{Cidr, InterfaceName, Managed, NamespaceChoice, Router, VirtualRoute};

impl Router {
    /// The name of its network namespace; `None` for the agent's own.
    #[must_use]
    pub fn namespace_name(&self) -> Option<&str> {
        match &self.namespace {
            NamespaceChoice::Host => None,
            NamespaceChoice::Named { name, .. } => Some(name.as_str()),
        }
    }
}

impl Managed {
    /// The default routes in the order given, each after the route to its next hop if
    /// it has one: a host's on the link.
    #[must_use]
    pub fn gateway_routes(&self) -> Vec<&VirtualRoute> {
        let mut routes: Vec<&VirtualRoute> = Vec::new();
        for route in self.routes.iter().filter(|route| route.to.is_default()) {
            let hops = self.routes.iter().filter(|hop| leads_to_hop(hop, route));
            for hop in hops {
                if !routes.contains(&hop) {
                    routes.push(hop);
                }
            }
            routes.push(route);
        }
        routes
    }

    /// The other routes that have a next hop, in the order given.
    pub fn static_routes(&self) -> impl Iterator<Item = &VirtualRoute> {
        self.other_routes().filter(|route| route.via.is_some())
    }

    /// The other routes that have none, in the order given.
    pub fn on_link_routes(&self) -> impl Iterator<Item = &VirtualRoute> {
        self.other_routes().filter(|route| route.via.is_none())
    }

    fn other_routes(&self) -> impl Iterator<Item = &VirtualRoute> {
        let gateways = self.gateway_routes();
        self.routes
            .iter()
            .filter(move |route| !gateways.contains(route))
    }

    /// All virtual addresses, the primary one first.
    pub fn all_addresses(&self) -> impl Iterator<Item = (&InterfaceName, Cidr)> {
        let primary = (&self.vrrp.interface, self.vrrp.primary_address);
        let others = self.addresses.iter().map(|it| (&it.interface, it.address));
        [primary].into_iter().chain(others)
    }

    /// Every interface that is named.
    #[must_use]
    pub fn interfaces(&self) -> BTreeSet<&InterfaceName> {
        self.interface_fields()
            .into_iter()
            .map(|(_, name)| name)
            .collect()
    }

    /// The same with the fields that name them.
    pub(super) fn interface_fields(&self) -> Vec<(String, &InterfaceName)> {
        let mut fields = vec![("vrrp.interface".to_owned(), &self.vrrp.interface)];
        for (index, name) in self.vrrp.track_interfaces.iter().enumerate() {
            fields.push((format!("vrrp.track_interfaces[{index}]"), name));
        }
        for (index, address) in self.addresses.iter().enumerate() {
            fields.push((format!("address[{index}].interface"), &address.interface));
        }
        for (index, route) in self.routes.iter().enumerate() {
            let name = route.interface.as_ref();
            fields.extend(name.map(|name| (format!("route[{index}].interface"), name)));
        }
        let advertised = self.radvd.iter().flat_map(|radvd| &radvd.interfaces);
        for (index, it) in advertised.enumerate() {
            fields.push((format!("radvd.interface[{index}].interface"), &it.interface));
        }
        fields
    }
}

/// Whether `hop` is the route of one host, on the link, to the next hop of `route`.
fn leads_to_hop(hop: &VirtualRoute, route: &VirtualRoute) -> bool {
    let same_link = match (&hop.interface, &route.interface) {
        (Some(hop), Some(route)) => hop == route,
        _ => true,
    };
    hop.via.is_none() && hop.to.is_host() && Some(hop.to.address()) == route.via && same_link
}
