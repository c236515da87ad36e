//! A host without keepfast: a keepalived that holds the same addresses, ranks higher, and takes
//! over again as soon as it can.

use anyhow::{Context, Result, ensure};
use lab::keepalived::{Instance, Keepalived, State, Version};
use lab::link;
use lab::router::{Declaration, HA, Host, PRIMARY};
use std::fs;
use std::time::Duration;

const INSTANCE: &str = "VI_1";
const PRIORITY: u8 = 150;
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
/// For the three intervals and the skew after its start.
const LIMIT: Duration = Duration::from_secs(15);

pub(crate) struct Peer(Keepalived);

impl Peer {
    /// Starts one that does what `declaration` says, and waits until it is the primary.
    pub(crate) fn start(host: &Host, declaration: &Declaration, forwards: bool) -> Result<Self> {
        ensure!(
            declaration.profile == "plain" && declaration.vrrp.is_empty(),
            "only VRRP version 3 is spoken by a host without keepfast"
        );
        let forwarding = if forwards { "1" } else { "0" };
        host.namespace.run(|| {
            fs::write(FORWARDING, forwarding).with_context(|| format!("write {FORWARDING}"))
        })?;
        let own = &declaration.own_address;
        link::ip(&host.namespace, &format!("address add {own} dev {HA}\n"))?;
        let addresses = declaration.addresses.iter();
        let addresses: Vec<String> = addresses
            .map(|(interface, address)| format!("{address} dev {interface}\n"))
            .collect();
        let instance = Instance {
            name: INSTANCE.into(),
            version: Version::V3,
            interface: HA.into(),
            vrid: declaration.vrid,
            priority: PRIORITY,
            interval: declaration.interval,
            addresses: vec![format!("{PRIMARY} dev {HA}")],
            extra: vec![format!(
                "virtual_ipaddress_excluded {{\n{}}}",
                addresses.concat()
            )],
            ..Instance::default()
        };
        let mut keepalived = Keepalived::start(&host.namespace, instance.into())?;
        keepalived.wait_state(INSTANCE, State::Master, LIMIT)?;
        Ok(Self(keepalived))
    }

    /// `primary`, `backup` or `fault`.
    pub(crate) fn state(&self) -> &'static str {
        match self.0.states(INSTANCE).last() {
            Some(State::Master) => "primary",
            Some(State::Fault) => "fault",
            Some(State::Backup) | None => "backup",
        }
    }
}
