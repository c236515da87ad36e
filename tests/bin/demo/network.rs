//! The demonstration's network: two routers, a client and a gateway on one switch.

use crate::LIMIT;
use anyhow::Result;
use lab::keepalived::{Instance, Keepalived, State};
use lab::link;
use lab::netns::Namespace;
use lab::process;
use lab::segment::{Port, Segment};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// What the routers share.
pub(crate) const VIRTUAL: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
/// The router with the higher priority.
pub(crate) const FIRST: &str = "10.99.0.1";
const SECOND: &str = "10.99.0.2";
const CLIENT: &str = "10.99.0.3";
/// Where the routers' default route leads.
pub(crate) const GATEWAY: &str = "10.99.0.254";
/// keepalived's name for the virtual router.
const ROUTER: &str = "VI_1";
/// What each namespace calls its only interface.
const INTERFACE: &str = "eth0";
const FIRST_PRIORITY: u8 = 101;
/// The priority of the router that waits.
pub(crate) const SECOND_PRIORITY: u8 = 100;
/// The time between adverts.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a backup adds to three intervals, by its priority (RFC 9568, section 6.1).
pub(crate) fn skew() -> Duration {
    INTERVAL * (256 - u32::from(SECOND_PRIORITY)) / 256
}

/// The namespaces, and the power that will be cut.
pub(crate) struct Network {
    segment: Segment,
    first: Namespace,
    /// Where keepfast watches.
    pub(crate) second: Namespace,
    /// Who notices.
    pub(crate) client: Namespace,
    gateway: Namespace,
    /// The first router's port of the switch.
    pub(crate) power: Port,
}

impl Network {
    /// Makes the namespaces and plugs them in; no router runs yet.
    pub(crate) fn new() -> Result<Self> {
        let segment = Segment::new("switch")?;
        let [first, second, client, gateway] =
            ["router1", "router2", "client", "gateway"].map(Namespace::new);
        let (first, second, client, gateway) = (first?, second?, client?, gateway?);
        let attach = |namespace, address: &str| {
            let addresses = &[&*format!("{address}/24")];
            segment.attach(namespace, INTERFACE, addresses)
        };
        let power = attach(&first, FIRST)?;
        attach(&second, SECOND)?;
        attach(&client, CLIENT)?;
        attach(&gateway, GATEWAY)?;
        for router in [&first, &second] {
            link::ip(router, &format!("route add default via {GATEWAY}\n"))?;
        }
        Ok(Self {
            segment,
            first,
            second,
            client,
            gateway,
            power,
        })
    }

    /// The switch, which sees all that is sent.
    pub(crate) fn switch(&self) -> &Namespace {
        self.segment.switch()
    }

    /// Starts keepalived on the first router and waits until it is master.
    pub(crate) fn start_first(&self) -> Result<Keepalived> {
        let mut keepalived = start(&self.first, FIRST_PRIORITY)?;
        keepalived.wait_state(ROUTER, State::Master, LIMIT)?;
        Ok(keepalived)
    }

    /// Starts keepalived on the second router and waits until it listens.
    pub(crate) fn start_second(&self) -> Result<Keepalived> {
        let mut keepalived = start(&self.second, SECOND_PRIORITY)?;
        keepalived.wait_state(ROUTER, State::Backup, LIMIT)?;
        Ok(keepalived)
    }

    /// Has the second router resolve its gateway.
    pub(crate) fn ping_gateway(&self) -> Result<()> {
        let mut ping = self.second.command("ping");
        process::output(ping.args(["-n", "-c", "1", "-W", "5", GATEWAY]))?;
        Ok(())
    }
}

fn start(namespace: &Namespace, priority: u8) -> Result<Keepalived> {
    let instance = Instance {
        name: ROUTER.into(),
        interface: INTERFACE.into(),
        priority,
        interval: INTERVAL,
        addresses: vec![format!("{VIRTUAL}/24")],
        ..Instance::default()
    };
    Keepalived::start(namespace, instance.into())
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let router = |priority| format!("keepalived, VRRPv3, priority {priority}, 1 s adverts");
        let rows = [
            (FIRST, &self.first, router(FIRST_PRIORITY)),
            (SECOND, &self.second, router(SECOND_PRIORITY)),
            (CLIENT, &self.client, format!("asks {VIRTUAL} every 0.5 ms")),
            (GATEWAY, &self.gateway, "the routers' gateway".into()),
            ("", self.switch(), "the switch".into()),
        ];
        rows.iter().try_for_each(|(address, namespace, what)| {
            writeln!(f, "  {address:<11}  {:<20}  {what}", namespace.name())
        })
    }
}
