//! A virtual router on one host or several, as `keepfast run` is told to look after it: the
//! segments it is on, its namespace on each host, a client inside and a gateway outside.

use crate::daemon::Daemon;
use crate::gate::Gate;
use crate::netns::Namespace;
use crate::segment::{Port, Segment};
use crate::sender::{Advert, Sender};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

/// The interface on which routers exchange adverts.
pub const HA: &str = "ha-lab";
/// The interface of the client's network.
pub const INNER: &str = "qr-lab";
/// The interface of the gateway's network.
pub const OUTER: &str = "qg-lab";
/// The virtual router identifier, unless a test chooses another.
pub const VRID: u8 = 7;
/// The address whose presence means "primary", for [`VRID`].
pub const PRIMARY: &str = "169.254.0.7/24";

/// The three segments of a router and what is on them.
#[derive(Debug)]
pub struct Topology {
    /// Adverts go here.
    pub ha: Segment,
    /// The client's.
    pub inner: Segment,
    /// The gateway's.
    pub outer: Segment,
    /// 10.0.0.100 and 2001:db8:1::100, with the router as its gateway.
    pub client: Namespace,
    /// 198.51.100.1 and 2001:db8::1, with routes back to the client.
    pub gateway: Namespace,
    /// The gateway's port of `outer`.
    pub outside: Port,
    /// The hosts, the n-th of which is number n + 1.
    pub hosts: Vec<Host>,
}

/// The router's namespace on one host.
#[derive(Debug)]
pub struct Host {
    /// Counts from 1.
    pub number: u8,
    /// Where the router is.
    pub namespace: Namespace,
    /// The port of [`HA`].
    pub ha: Port,
    /// The port of [`INNER`].
    pub inner: Port,
    /// The port of [`OUTER`].
    pub outer: Port,
}

impl Topology {
    /// Makes a router's surroundings for `hosts` hosts.
    ///
    /// # Errors
    /// Without root, or when a network cannot be made.
    pub fn new(hosts: u8) -> Result<Self> {
        let [ha, inner, outer] = ["ha", "inner", "outer"].map(Segment::new);
        let (ha, inner, outer) = (ha?, inner?, outer?);
        let [client, gateway] = ["client", "gateway"].map(Namespace::new);
        let (client, gateway) = (client?, gateway?);
        inner.attach(&client, "eth0", &["10.0.0.100/24", "2001:db8:1::100/64"])?;
        let outside = outer.attach(&gateway, "eth0", &["198.51.100.1/24", "2001:db8::1/64"])?;
        crate::link::ip(
            &client,
            "route add default via 10.0.0.1\nroute add default via 2001:db8:1::1\n",
        )?;
        crate::link::ip(
            &gateway,
            "route add 10.0.0.0/24 via 198.51.100.10\n\
             route add 2001:db8:1::/64 via 2001:db8::10\n",
        )?;
        let host = |number: u8| -> Result<Host> {
            let namespace = Namespace::new(&format!("router{number}"))?;
            Ok(Host {
                number,
                ha: ha.attach(&namespace, HA, &[])?,
                inner: inner.attach(&namespace, INNER, &[])?,
                outer: outer.attach(&namespace, OUTER, &[])?,
                namespace,
            })
        };
        let hosts = (1..=hosts).map(host).collect::<Result<_>>()?;
        Ok(Self {
            ha,
            inner,
            outer,
            client,
            gateway,
            outside,
            hosts,
        })
    }
}

impl Host {
    /// Cuts the host's power: all its ports go down, one right after the other.
    ///
    /// The client's goes first: what a client is without counts from no later than the moment
    /// from which another host could know.
    ///
    /// # Errors
    /// When a port is gone.
    pub fn cut(&self) -> Result<()> {
        // All three at once first: to set them down takes longer.
        let [inner, ha, outer] = [&self.inner, &self.ha, &self.outer].map(Port::gate);
        let gates = [inner?, ha?, outer?];
        gates.iter().try_for_each(Gate::shut)?;
        self.power(false)
    }

    /// Ends [`Host::cut`].
    ///
    /// # Errors
    /// When a port is gone.
    pub fn restore(&self) -> Result<()> {
        self.power(true)
    }

    fn power(&self, on: bool) -> Result<()> {
        let [inner, ha, outer] = [&self.inner, &self.ha, &self.outer].map(Port::power);
        let switches = [inner?, ha?, outer?];
        switches.iter().try_for_each(|switch| switch.set(on))
    }
}

/// A virtual router as one host declares it. Change what the test is about:
/// `..Declaration::plain(&host)`.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// Its name.
    pub id: String,
    /// The network namespace that it is in.
    pub namespace: String,
    /// `plain` or `neutron`.
    pub profile: &'static str,
    /// This host's own address on [`HA`].
    pub own_address: String,
    /// The virtual router identifier.
    pub vrid: u8,
    /// The priority.
    pub priority: u8,
    /// Between two adverts.
    pub interval: Duration,
    /// Further keys of its `[vrrp]` table.
    pub vrrp: String,
    /// Virtual addresses besides the primary one: interface and address.
    pub addresses: Vec<(&'static str, String)>,
    /// Virtual routes: destination, gateway and interface.
    pub routes: Vec<(&'static str, &'static str, &'static str)>,
    /// Hooks, as lines of `[[hook]]` tables.
    pub hooks: Vec<String>,
    /// Further keys, at the beginning.
    pub keys: String,
    /// Further tables, at the end.
    pub tables: String,
}

impl Declaration {
    /// In keepfast's own style, with an advert every 100 ms and the inner and outer addresses of
    /// both families, without link-local ones.
    #[must_use]
    pub fn plain(host: &Host) -> Self {
        Self {
            id: "r".into(),
            own_address: format!("169.254.192.{}/18", host.number),
            addresses: [
                (INNER, "10.0.0.1/24"),
                (INNER, "2001:db8:1::1/64"),
                (OUTER, "198.51.100.10/24"),
                (OUTER, "2001:db8::10/64"),
            ]
            .map(|(interface, address)| (interface, address.to_owned()))
            .into(),
            routes: vec![
                ("0.0.0.0/0", "198.51.100.1", OUTER),
                ("::/0", "2001:db8::1", OUTER),
            ],
            ..Self::bare(&host.namespace, VRID)
        }
    }

    /// In keepfast's own style, with the primary address alone, named by its virtual router
    /// identifier; for many routers on one segment.
    #[must_use]
    pub fn bare(namespace: &Namespace, vrid: u8) -> Self {
        Self {
            id: format!("r{vrid}"),
            namespace: namespace.name().to_owned(),
            profile: "plain",
            own_address: format!("169.254.192.{vrid}/18"),
            vrid,
            priority: 100,
            interval: Duration::from_millis(100),
            vrrp: String::new(),
            addresses: Vec::new(),
            routes: Vec::new(),
            hooks: Vec::new(),
            keys: String::new(),
            tables: String::new(),
        }
    }

    /// As Neutron has it, priority 50 and an advert every 2 s, with its link-local addresses.
    #[must_use]
    pub fn neutron(host: &Host) -> Self {
        let mut declaration = Self {
            profile: "neutron",
            priority: 50,
            interval: Duration::from_secs(2),
            ..Self::plain(host)
        };
        declaration.addresses.extend([
            (INNER, "fe80::f816:3eff:fe00:1/64".to_owned()),
            (OUTER, "fe80::f816:3eff:fe00:2/64".to_owned()),
        ]);
        declaration
    }

    /// With a hook that a [`crate::listener::Listener`] at `path` is told by.
    #[must_use]
    pub fn telling(self, path: &Path) -> Self {
        self.hook("socket", path, "")
    }

    /// With a hook that a [`crate::listener::NeutronAgent`] at `path` is told by.
    #[must_use]
    pub fn telling_neutron(self, path: &Path) -> Self {
        self.hook("neutron_socket", path, "")
    }

    /// With a hook of this kind, and further lines.
    #[must_use]
    pub fn hook(mut self, kind: &str, path: &Path, more: &str) -> Self {
        let (name, path) = (self.hooks.len(), path.display());
        self.hooks.push(format!(
            "name = \"hook{name}\"\n{kind} = \"{path}\"\n{more}"
        ));
        self
    }

    /// The file that declares it.
    ///
    /// # Errors
    /// Never, in fact.
    pub fn toml(&self) -> Result<String> {
        let Self {
            id,
            namespace,
            profile,
            own_address,
            vrid,
            priority,
            vrrp,
            keys,
            ..
        } = self;
        let interval = self.interval.as_millis();
        let mut toml = format!(
            "id = \"{id}\"\nnamespace = \"{namespace}\"\nprofile = \"{profile}\"\n{keys}\n\
             [vrrp]\ninterface = \"{HA}\"\naddresses = [\"{own_address}\"]\nvrid = {vrid}\n\
             priority = {priority}\nadvert_interval = \"{interval}ms\"\n{vrrp}"
        );
        for (interface, address) in &self.addresses {
            write!(
                toml,
                "\n[[address]]\ninterface = \"{interface}\"\naddress = \"{address}\"\n"
            )?;
        }
        for (to, via, interface) in &self.routes {
            write!(
                toml,
                "\n[[route]]\nto = \"{to}\"\nvia = \"{via}\"\ninterface = \"{interface}\"\n"
            )?;
        }
        for hook in &self.hooks {
            write!(toml, "\n[[hook]]\n{hook}\n")?;
        }
        toml.push_str(&self.tables);
        Ok(toml)
    }

    /// Has a daemon look after it.
    ///
    /// # Errors
    /// When it is refused.
    pub fn apply(&self, daemon: &Daemon) -> Result<()> {
        daemon
            .apply(&self.toml()?)
            .with_context(|| format!("declare {}", self.id))
    }
}

/// Another router on the HA segment: it says that it is a better one, or resigns, so that a real
/// keepalived changes its state at once.
#[derive(Debug)]
pub struct Rival {
    sender: Sender,
    _port: Port,
    _namespace: Namespace,
}

impl Rival {
    /// Plugs it into the segment, in a namespace of its own.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new(segment: &Segment) -> Result<Self> {
        let namespace = Namespace::new("rival")?;
        let port = segment.attach(&namespace, HA, &["169.254.192.200/18"])?;
        Ok(Self {
            sender: Sender::new(&namespace, HA)?,
            _port: port,
            _namespace: namespace,
        })
    }

    /// Says that it is a better one and will say so again after `interval`: until three of them
    /// and a little more have passed, others are backups.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn take(&self, interval: Duration) -> Result<()> {
        self.send(VRID, 254, interval)
    }

    /// Resigns: the others do not wait for its next advert.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn resign(&self, interval: Duration) -> Result<()> {
        self.send(VRID, 0, interval)
    }

    /// Sends one advert of any virtual router.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn send(&self, vrid: u8, priority: u8, interval: Duration) -> Result<()> {
        self.sender.send(&Advert {
            source: Ipv4Addr::new(169, 254, 192, 200),
            vrid,
            priority,
            interval_cs: u16::try_from(interval.as_millis() / 10)?,
            address: Ipv4Addr::new(169, 254, 0, vrid),
        })
    }
}
