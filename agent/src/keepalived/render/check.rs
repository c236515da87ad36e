//! The script that keepalived runs to learn whether the gateways live.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use crate::config::{InterfaceName, Managed, VirtualRoute};

/// A gateway to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its address.
    pub address: IpAddr,
    /// The interface it is asked on.
    pub interface: InterfaceName,
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%{}", self.address, self.interface)
    }
}

/// The next hops of the default routes, each once.
///
/// Where a route names no interface, it is the one whose virtual address has the
/// next hop in its network; a route without either is not asked about.
#[must_use]
pub fn gateways(managed: &Managed) -> Vec<Gateway> {
    let mut gateways = Vec::new();
    for route in managed.routes.iter().filter(|route| route.to.prefix() == 0) {
        let gateway = gateway(managed, route);
        gateways.extend(gateway.filter(|gateway| !gateways.contains(gateway)));
    }
    gateways
}

fn gateway(managed: &Managed, route: &VirtualRoute) -> Option<Gateway> {
    let address = route.via?;
    let on_link = || {
        let mut addresses = managed.addresses.iter();
        let found = addresses.find(|virtual_address| virtual_address.address.contains(address))?;
        Some(found.interface.clone())
    };
    let interface = route.interface.clone().or_else(on_link)?;
    Some(Gateway { address, interface })
}

/// The script: `keepfast`, told the gateways, where to keep its state, and the
/// address that only the primary holds. `None` without gateways.
#[must_use]
pub fn check_script(managed: &Managed, keepfast: &Path, state_file: &Path) -> Option<String> {
    let gateways = gateways(managed);
    if gateways.is_empty() {
        return None;
    }
    let mut script = format!(
        "#!/bin/sh\nexec {} gateway-check --state-file {}",
        quoted(keepfast.display()),
        quoted(state_file.display())
    );
    for gateway in gateways {
        script += &format!(" --gateway {}", quoted(gateway));
    }
    let vrrp = &managed.vrrp;
    let holder = format_args!("{}%{}", vrrp.primary_address.address(), vrrp.interface).to_string();
    script += &format!(" --holder {}\n", quoted(holder));
    Some(script)
}

/// `value` as one word of a shell, whatever is in it.
fn quoted(value: impl fmt::Display) -> String {
    format!("'{}'", value.to_string().replace('\'', r"'\''"))
}
