//! The kernel's switches of a namespace, written directly.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};
use tracing::debug;

use crate::config::InterfaceName;
use crate::netns::Namespace;

const ROOT: &str = "/proc/sys";
/// What is there only where IPv6 was not disabled at boot.
const IPV6: &str = "net/ipv6/";
/// What is there only where the module is loaded.
const CONNTRACK: &str = "net/netfilter/nf_conntrack";

/// A switch and what it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its path below `/proc/sys`, like `net/ipv4/ip_forward`.
    pub key: String,
    /// Its value.
    pub value: &'static str,
}

impl Setting {
    fn new(key: impl Into<String>, value: &'static str) -> Self {
        Self {
            key: key.into(),
            value,
        }
    }

    fn ipv6(scope: &str, name: &str, value: &'static str) -> Self {
        Self::new(format!("{IPV6}conf/{scope}/{name}"), value)
    }
}

/// Brings all of `settings` about in `namespace`, in their order, and returns how
/// many were different. What belongs to IPv6 or connection tracking is left out
/// where the kernel has none.
///
/// # Errors
///
/// A switch does not exist (its interface is gone, for instance), or the kernel
/// refuses the value.
pub fn write(namespace: &Namespace, settings: &[Setting]) -> Result<usize> {
    namespace.enter(|| {
        let mut changed = 0;
        for setting in settings {
            let written = write_here(setting).with_context(|| {
                let Setting { key, value } = setting;
                format!(
                    "set {key} to {value} in network namespace {}",
                    namespace.label()
                )
            })?;
            changed += usize::from(written);
        }
        Ok(changed)
    })
}

/// Whether it was different.
fn write_here(setting: &Setting) -> Result<bool> {
    let path = Path::new(ROOT).join(&setting.key);
    match fs::read_to_string(&path) {
        Ok(found) if found.trim_ascii() == setting.value => Ok(false),
        Ok(_) => {
            fs::write(&path, setting.value)?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::NotFound && is_absent(&setting.key) => {
            debug!("this kernel has no {}", setting.key);
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the whole feature is missing that the switch is part of.
fn is_absent(key: &str) -> bool {
    key.starts_with(CONNTRACK)
        || (key.starts_with(IPV6) && !Path::new(ROOT).join(IPV6).join("conf").exists())
}

/// What the namespace of a router needs, before it has interfaces and at any time.
#[must_use]
pub fn router_settings() -> Vec<Setting> {
    let mut settings = vec![
        // A connection goes on on another host, which has not seen its beginning.
        Setting::new("net/netfilter/nf_conntrack_tcp_be_liberal", "1"),
        Setting::new("net/ipv4/ip_forward", "1"),
        // Each interface answers for its own addresses, and asks by them, only.
        Setting::new("net/ipv4/conf/all/arp_ignore", "1"),
        Setting::new("net/ipv4/conf/all/arp_announce", "2"),
        // Programs may listen on a virtual address before it is here.
        Setting::new("net/ipv4/ip_nonlocal_bind", "1"),
        // The kernel makes up no link-local address: only the primary may have one.
        Setting::ipv6("all", "addr_gen_mode", "1"),
    ];
    settings.extend(quiet("default"));
    settings.push(Setting::ipv6("default", "accept_ra", "0"));
    settings
}

/// What keeps an interface that will have virtual addresses from sending anything on
/// its own account, in either state. It has them from the beginning where it comes
/// after [`router_settings`].
#[must_use]
pub fn interface_settings(interface: &InterfaceName) -> Vec<Setting> {
    quiet(interface.as_str())
}

/// What the primary needs. `interfaces` are those that hold virtual addresses,
/// `gateway` is the one of them that the default route leaves by; `accept_ra` says
/// whether that route is learnt there from router advertisements.
#[must_use]
pub fn primary_settings(
    interfaces: &[InterfaceName],
    gateway: Option<&InterfaceName>,
    accept_ra: bool,
) -> Vec<Setting> {
    // Without this the kernel forwards nothing, whatever the interfaces say. It never
    // goes back: that would make all interfaces speak.
    let mut settings = vec![
        Setting::ipv6("all", "forwarding", "1"),
        // It has changed that, too.
        Setting::ipv6("default", "forwarding", "0"),
    ];
    for interface in interfaces {
        let learns = accept_ra && Some(interface) == gateway;
        let accept = if learns { "2" } else { "0" };
        settings.push(Setting::ipv6(interface.as_str(), "accept_ra", accept));
        settings.push(Setting::ipv6(interface.as_str(), "forwarding", "1"));
    }
    settings
}

/// What the backup needs; `interfaces` are those that hold virtual addresses on the
/// primary.
#[must_use]
pub fn backup_settings(interfaces: &[InterfaceName]) -> Vec<Setting> {
    let mut settings = vec![Setting::ipv6("default", "forwarding", "0")];
    for interface in interfaces {
        // An advertisement, of the primary even, would give it an address.
        settings.push(Setting::ipv6(interface.as_str(), "accept_ra", "0"));
        // A router is in the all-routers group, and must report that.
        settings.push(Setting::ipv6(interface.as_str(), "forwarding", "0"));
    }
    settings
}

fn quiet(scope: &str) -> Vec<Setting> {
    vec![
        Setting::ipv6(scope, "addr_gen_mode", "1"),
        Setting::ipv6(scope, "accept_dad", "0"),
        Setting::ipv6(scope, "router_solicitations", "0"),
        Setting::ipv6(scope, "ndisc_notify", "0"),
        Setting::new(format!("net/ipv4/conf/{scope}/arp_notify"), "0"),
    ]
}
