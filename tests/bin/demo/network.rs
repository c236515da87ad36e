//! The demonstration's network: two routers, a client and a gateway on one switch, and the file
//! that declares each router.

use anyhow::Result;
use lab::netns::Namespace;
use lab::segment::{Port, Segment};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// What a declaration says in addition for the fast path.
pub(crate) const FAST_PATH: &str = "\n[fast_path]\nmode = \"armed\"\n";
/// What the routers share.
pub(crate) const VIRTUAL: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
/// The router with the higher priority.
pub(crate) const FIRST: &str = "10.99.0.1";
const SECOND: &str = "10.99.0.2";
const CLIENT: &str = "10.99.0.3";
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
    /// Where the first router is.
    pub(crate) first: Namespace,
    /// Where the second router is.
    pub(crate) second: Namespace,
    /// Who notices.
    pub(crate) client: Namespace,
    /// The first router's port of the switch.
    pub(crate) power: Port,
}

impl Network {
    /// Makes the namespaces and plugs them in; the routers' addresses are keepfast's to add.
    pub(crate) fn new() -> Result<Self> {
        let segment = Segment::new("switch")?;
        let [first, second, client] = ["router1", "router2", "client"].map(Namespace::new);
        let (first, second, client) = (first?, second?, client?);
        let power = segment.attach(&first, INTERFACE, &[])?;
        segment.attach(&second, INTERFACE, &[])?;
        segment.attach(&client, INTERFACE, &[&*format!("{CLIENT}/24")])?;
        Ok(Self {
            segment,
            first,
            second,
            client,
            power,
        })
    }

    /// The switch, which sees all that is sent.
    pub(crate) fn switch(&self) -> &Namespace {
        self.segment.switch()
    }

    /// The file that declares the first router; the fast path is not in it.
    pub(crate) fn first_router(&self) -> String {
        declare(&self.first, FIRST, FIRST_PRIORITY)
    }

    /// The file that declares the second router; the fast path is not in it.
    pub(crate) fn second_router(&self) -> String {
        declare(&self.second, SECOND, SECOND_PRIORITY)
    }
}

fn declare(namespace: &Namespace, address: &str, priority: u8) -> String {
    let (namespace, seconds) = (namespace.name(), INTERVAL.as_secs());
    format!(
        "namespace = \"{namespace}\"\n\
         \n\
         [vrrp]\n\
         interface = \"{INTERFACE}\"\n\
         addresses = [\"{address}/24\"]\n\
         vrid = 51\n\
         priority = {priority}\n\
         advert_interval = \"{seconds}s\"\n\
         preempt = true\n\
         primary_address = \"{VIRTUAL}/24\"\n"
    )
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let router = |priority| format!("a host, its router has priority {priority}");
        let rows = [
            (FIRST, &self.first, router(FIRST_PRIORITY)),
            (SECOND, &self.second, router(SECOND_PRIORITY)),
            (CLIENT, &self.client, format!("asks {VIRTUAL} every 0.5 ms")),
            ("", self.switch(), "the switch".into()),
        ];
        rows.iter().try_for_each(|(address, namespace, what)| {
            writeln!(f, "  {address:<11}  {:<20}  {what}", namespace.name())
        })
    }
}
