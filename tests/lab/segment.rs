//! A network segment: a switch in a namespace of its own, and ports that can lose power.

use crate::gate::Gate;
use crate::link;
use crate::netns::Namespace;
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::fs;
use std::sync::atomic::{AtomicU16, Ordering};

/// The switch's own interface. It is promiscuous: a capture on it sees every port's traffic.
pub const BRIDGE: &str = "br0";

/// A bridge without spanning tree and without multicast snooping.
#[derive(Debug)]
pub struct Segment {
    switch: Namespace,
    ports: AtomicU16,
}

/// What to plug into a segment.
#[derive(Clone, Copy, Debug)]
pub struct Plug<'a> {
    /// Where the interface will be.
    pub namespace: &'a Namespace,
    /// What it will be called there.
    pub interface: &'a str,
    /// Its addresses with prefix length; IPv6 ones are usable at once.
    pub addresses: &'a [&'a str],
}

impl Segment {
    /// Makes the switch.
    ///
    /// # Errors
    /// When the kernel has no bridge, or no permission.
    pub fn new(role: &str) -> Result<Self> {
        let switch = switch(role)?;
        link::ip(
            &switch,
            "link add br0 type bridge stp_state 0 mcast_snooping 0\nlink set br0 promisc on up\n",
        )?;
        Ok(Self {
            switch,
            ports: AtomicU16::new(0),
        })
    }

    /// The switch's namespace; capture there on [`BRIDGE`].
    #[must_use]
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// Plugs one interface in.
    ///
    /// # Errors
    /// When the name is taken or an address is not one.
    pub fn attach(
        &self,
        namespace: &Namespace,
        interface: &str,
        addresses: &[&str],
    ) -> Result<Port> {
        let mut ports = self.attach_all(&[Plug {
            namespace,
            interface,
            addresses,
        }])?;
        ensure!(ports.len() == 1, "one plug gave {} ports", ports.len());
        Ok(ports.remove(0))
    }

    /// Plugs many interfaces in, with one `ip` for the switch and one for each namespace.
    ///
    /// The n-th port of a segment has the hardware address 02:4b:46:00:nn:nn, so that the same
    /// steps always put the same frames on the wire.
    ///
    /// # Errors
    /// When a name is taken or an address is not one.
    pub fn attach_all(&self, plugs: &[Plug<'_>]) -> Result<Vec<Port>> {
        let mut lines = String::new();
        let mut ports = Vec::with_capacity(plugs.len());
        for plug in plugs {
            let number = self.ports.fetch_add(1, Ordering::Relaxed) + 1;
            let [high, low] = number.to_be_bytes();
            let (inside, namespace) = (plug.interface, plug.namespace.name());
            writeln!(
                lines,
                "link add p{number} type veth peer name {inside} \
                 address 02:4b:46:00:{high:02x}:{low:02x} netns {namespace}\n\
                 link set p{number} master {BRIDGE} up"
            )?;
            ports.push(Port {
                switch: self.switch.clone(),
                interface: format!("p{number}"),
            });
        }
        link::ip(&self.switch, &lines)?;
        for plug in plugs {
            let mut lines = format!("link set {} up\n", plug.interface);
            for address in plug.addresses {
                writeln!(lines, "address add {address} dev {}", plug.interface)?;
            }
            link::ip(plug.namespace, &lines)?;
        }
        Ok(ports)
    }
}

/// A namespace for bridges: without IPv6 they have no addresses at all, and never send anything of
/// their own.
///
/// # Errors
/// When there is no permission.
pub fn switch(role: &str) -> Result<Namespace> {
    let switch = Namespace::new(role)?;
    switch.run(|| {
        let setting = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
        fs::write(setting, "1").with_context(|| format!("write {setting}"))
    })?;
    Ok(switch)
}

/// One port of a switch.
#[derive(Clone, Debug)]
pub struct Port {
    switch: Namespace,
    interface: String,
}

impl Port {
    /// Prepares the port to be shut at once.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn gate(&self) -> Result<Gate> {
        self.switch.run(|| Gate::new(&self.interface))
    }

    /// The port's interface in the switch's namespace.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// What takes its power away and gives it back, for who does that to several ports at once.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn power(&self) -> Result<link::Switch> {
        self.switch.run(|| link::Switch::new(&self.interface))
    }

    /// The namespace of the switch that it is a port of.
    #[must_use]
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// Takes the power away: nothing goes in or out and the far end has no carrier.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn cut(&self) -> Result<()> {
        self.switch.run(|| link::lower(&self.interface))
    }

    /// Gives the power back.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn restore(&self) -> Result<()> {
        self.switch.run(|| link::raise(&self.interface))
    }

    /// Takes the port out of the switch: nothing passes, but the far end keeps its carrier.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn block(&self) -> Result<()> {
        link::ip(
            &self.switch,
            &format!("link set {} nomaster\n", self.interface),
        )
    }

    /// Ends [`Port::block`].
    ///
    /// # Errors
    /// When the port is gone.
    pub fn unblock(&self) -> Result<()> {
        link::ip(
            &self.switch,
            &format!("link set {} master {BRIDGE}\n", self.interface),
        )
    }
}
