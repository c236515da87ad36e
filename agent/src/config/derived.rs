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

#[cfg(test)]
mod tests {
    use crate::config::file::parse;
    use crate::config::file::tests::managed;
    use crate::config::{Managed, Router, VirtualRoute};

    fn router() -> Router {
        let route = |to: &str, rest: &str| format!("[[route]]\nto = \"{to}\"\n{rest}\n");
        let wan = "interface = \"wan0\"";
        let text = [
            "[vrrp]\ninterface = \"ha0\"\nvrid = 9\ntrack_interfaces = [\"lan0\"]\n".to_owned(),
            "[[address]]\ninterface = \"lan1\"\naddress = \"10.0.0.1/24\"\n".to_owned(),
            route("10.1.0.0/16", "via = \"10.0.0.9\""),
            route("default", &format!("via = \"192.0.2.1\"\n{wan}")),
            route("203.0.113.0/24", wan),
            route("default", &format!("via = \"2001:db8::1\"\n{wan}")),
            // On another link, so not what the gateway needs.
            route("192.0.2.1", "interface = \"lan1\""),
            route("192.0.2.1", wan),
            "[[radvd.interface]]\ninterface = \"lan2\"\n".to_owned(),
        ];
        parse(&text.concat(), "r.toml", Some("r")).unwrap_or_else(|it| panic!("{it}"))
    }

    fn shown<'a>(routes: impl IntoIterator<Item = &'a VirtualRoute>) -> Vec<String> {
        let show = |it: &VirtualRoute| match (&it.via, &it.interface) {
            (Some(via), _) => format!("{} via {via}", it.to),
            (None, Some(interface)) => format!("{} on {interface}", it.to),
            (None, None) => it.to.to_string(),
        };
        routes.into_iter().map(show).collect()
    }

    #[test]
    fn routes_are_gateway_static_or_on_link() {
        let router = router();
        let managed: &Managed = managed(&router);
        assert_eq!(
            shown(managed.gateway_routes()),
            [
                "192.0.2.1/32 on wan0",
                "0.0.0.0/0 via 192.0.2.1",
                "::/0 via 2001:db8::1",
            ]
        );
        assert_eq!(shown(managed.static_routes()), ["10.1.0.0/16 via 10.0.0.9"]);
        assert_eq!(
            shown(managed.on_link_routes()),
            ["203.0.113.0/24 on wan0", "192.0.2.1/32 on lan1"]
        );
    }

    #[test]
    fn primary_address_comes_first_and_every_interface_is_named() {
        let router = router();
        let managed = managed(&router);
        let addresses: Vec<_> = managed
            .all_addresses()
            .map(|(interface, address)| format!("{address} on {interface}"))
            .collect();
        assert_eq!(addresses, ["169.254.0.9/24 on ha0", "10.0.0.1/24 on lan1"]);
        let names: Vec<_> = managed
            .interfaces()
            .into_iter()
            .map(|it| it.as_str())
            .collect();
        assert_eq!(names, ["ha0", "lan0", "lan1", "lan2", "wan0"]);
    }
}
