//! What two routers cannot both have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use super::{Attached, Cidr, InterfaceName, Keepalived, Managed, Router, Vrid};

/// Two routers that cannot both be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The file of the router that came later, and so is to blame.
    pub origin: String,
    /// The file of the other one.
    pub other: String,
    /// The field of `origin`.
    pub field: String,
    /// What they share and what was expected.
    pub message: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.field, self.message)
    }
}

/// The conflicts among `routers`, each of which stands beside what messages call its
/// file.
///
/// Whether interfaces of different namespaces are on one segment cannot be seen. That
/// their subnets are the same says so, unless these are link-local: such a subnet is
/// everywhere, and Neutron gives the HA networks of all projects the same one.
#[must_use]
pub fn conflicts(routers: &[(&str, &Router)]) -> Vec<Conflict> {
    let mut claimed: HashMap<Claim<'_>, &str> = HashMap::new();
    let mut conflicts: Vec<Conflict> = Vec::new();
    for (origin, router) in routers {
        let first_of_this = conflicts.len();
        for (field, claim) in claims(router) {
            let other = match claimed.entry(claim) {
                Entry::Vacant(free) => {
                    free.insert(origin);
                    continue;
                }
                Entry::Occupied(taken) => *taken.get(),
            };
            let told = conflicts.iter().skip(first_of_this);
            if told.clone().all(|it| it.field != field) {
                conflicts.push(Conflict {
                    origin: (*origin).to_owned(),
                    other: other.to_owned(),
                    message: claim.conflict(other),
                    field,
                });
            }
        }
    }
    conflicts
}

/// What only one router can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Claim<'a> {
    Id(&'a str),
    /// A VRID of one family on an interface of a namespace.
    Interface(Option<&'a str>, &'a InterfaceName, Vrid, bool),
    /// A VRID of one family on a subnet.
    Subnet(Cidr, Vrid, bool),
    /// An address in a namespace, on one interface if it is link-local.
    Address(Option<&'a str>, Option<&'a InterfaceName>, IpAddr),
    Instance(&'a Path, &'a str),
}

impl Claim<'_> {
    fn conflict(&self, other: &str) -> String {
        match self {
            Self::Id(id) => {
                format!("{id} is the router of {other} too: expected an id of its own")
            }
            Self::Interface(_, interface, vrid, _) => format!(
                "{} is that of {other} too, on {interface} as here: expected a VRID of its own on \
                 a segment",
                vrid.get()
            ),
            Self::Subnet(subnet, vrid, _) => format!(
                "{} is that of {other} too, on {subnet} as here: expected a VRID of its own on a \
                 segment",
                vrid.get()
            ),
            Self::Address(_, _, address) => format!(
                "{address} is a virtual address of {other} too, in the same namespace: expected \
                 each address once"
            ),
            Self::Instance(_, instance) => {
                format!("{instance} is that of {other} too: expected each instance once")
            }
        }
    }
}

fn claims(router: &Router) -> Vec<(String, Claim<'_>)> {
    let mut claims = vec![("id".to_owned(), Claim::Id(router.id.as_str()))];
    match &router.keepalived {
        Keepalived::Managed(managed) => {
            claims.extend(managed_claims(managed, router.namespace_name()));
        }
        Keepalived::Attached(Attached {
            config_file,
            instance,
            ..
        }) => claims.push((
            "attached.instance".to_owned(),
            Claim::Instance(config_file, instance),
        )),
    }
    claims
}

fn managed_claims<'a>(
    managed: &'a Managed,
    namespace: Option<&'a str>,
) -> Vec<(String, Claim<'a>)> {
    let vrrp = &managed.vrrp;
    // VRIDs of IPv4 and IPv6 are apart.
    let is_ipv4 = vrrp.primary_address.address().is_ipv4();
    let field = || "vrrp.vrid".to_owned();
    let interface = Claim::Interface(namespace, &vrrp.interface, vrrp.vrid, is_ipv4);
    let mut claims = vec![(field(), interface)];
    let mut subnets: Vec<Cidr> = vrrp
        .addresses
        .iter()
        .filter(|it| !it.is_host() && !is_link_local(it.address()))
        .map(Cidr::network)
        .collect();
    subnets.sort_unstable();
    // Two addresses on one subnet are one claim.
    subnets.dedup();
    for subnet in subnets {
        claims.push((field(), Claim::Subnet(subnet, vrrp.vrid, is_ipv4)));
    }
    for (number, (interface, address)) in managed.all_addresses().enumerate() {
        let address = address.address();
        let interface = is_link_local(address).then_some(interface);
        // The primary address comes first.
        let field = number.checked_sub(1).map_or_else(
            || "vrrp.primary_address".to_owned(),
            |index| format!("address[{index}].address"),
        );
        claims.push((field, Claim::Address(namespace, interface, address)));
    }
    claims
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NamespaceChoice;
    use crate::config::file::parse;

    /// A managed router in the namespace `n`, and more lines of its file.
    fn router(id: &str, vrid: u8, more: &str) -> Router {
        let text = format!("namespace = \"n\"\n[vrrp]\ninterface = \"ha0\"\nvrid = {vrid}\n{more}");
        parse(&text, id, Some(id)).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn elsewhere(mut router: Router) -> Router {
        router.namespace = NamespaceChoice::Host;
        router
    }

    fn check(a: &Router, b: &Router, expected: &[&str]) {
        let conflicts = conflicts(&[("a.toml", a), ("b.toml", b)]);
        let told: Vec<_> = conflicts.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
        assert!(conflicts.iter().all(|it| it.other == "a.toml"));
    }

    const OWN: &str = "addresses = [\"10.9.0.2/24\", \"10.9.0.3/24\"]\n";
    const LINK_LOCAL: &str = "addresses = [\"169.254.192.2/18\"]\n";

    #[test]
    fn routers_of_their_own_are_no_conflict() {
        check(&router("a", 1, OWN), &router("b", 2, OWN), &[]);
        check(
            &router("a", 1, LINK_LOCAL),
            &elsewhere(router("b", 1, LINK_LOCAL)),
            &[],
        );
        let ipv6 = "addresses = [\"fe80::2/64\"]\nprimary_address = \"fe80::1/64\"\n";
        check(&router("a", 1, OWN), &router("b", 1, ipv6), &[]);
    }

    #[test]
    fn one_vrid_on_one_interface_is_one_router() {
        let (a, b) = (
            router("a", 1, OWN),
            router("b", 1, "primary_address = \"10.9.0.7/24\""),
        );
        check(
            &a,
            &b,
            &[
                "b.toml: vrrp.vrid: 1 is that of a.toml too, on ha0 as here: expected a VRID of its \
               own on a segment",
            ],
        );
    }

    #[test]
    fn one_vrid_on_one_subnet_is_one_router_even_across_namespaces() {
        let (a, b) = (router("a", 1, OWN), elsewhere(router("b", 1, OWN)));
        check(
            &a,
            &b,
            &[
                "b.toml: vrrp.vrid: 1 is that of a.toml too, on 10.9.0.0/24 as here: expected a \
               VRID of its own on a segment",
            ],
        );
    }

    #[test]
    fn a_virtual_address_is_there_once_in_a_namespace() {
        let address = "[[address]]\ninterface = \"lan0\"\naddress = \"10.0.0.1/24\"\n";
        let (a, b) = (router("a", 1, address), router("b", 2, address));
        check(
            &a,
            &b,
            &[
                "b.toml: address[0].address: 10.0.0.1 is a virtual address of a.toml too, in the \
               same namespace: expected each address once",
            ],
        );
        check(&a, &elsewhere(b), &[]);
        // Link-local addresses are apart on each link.
        let on =
            |lan: u8| format!("[[address]]\ninterface = \"lan{lan}\"\naddress = \"fe80::1/64\"\n");
        check(&router("a", 1, &on(0)), &router("b", 2, &on(1)), &[]);
    }

    #[test]
    fn ids_and_attached_instances_are_there_once() {
        let attached = |id: &str| {
            let text = "host = true\n[attached]\nconfig_file = \"/k.conf\"\ninstance = \"i\"\n";
            parse(text, id, Some(id)).unwrap()
        };
        check(
            &attached("a"),
            &attached("a"),
            &[
                "b.toml: id: a is the router of a.toml too: expected an id of its own",
                "b.toml: attached.instance: i is that of a.toml too: expected each instance once",
            ],
        );
    }
}
