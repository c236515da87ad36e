//! Each router in a namespace and on two segments of its own, as Neutron has them: adverts go over
//! one, the client asks over the other. All segments are bridges of one switch, so that a host
//! loses all of its links in one moment, however many routers it has.

use crate::peers::pair::address;
use anyhow::{Context, Result};
use lab::link;
use lab::netns::Namespace;
use lab::process;
use lab::router::{HA, INNER};
use lab::segment;
use std::fmt::Write;

/// What the names of each host's ports begin with, at the switch.
const HOSTS: [&str; 2] = ["first", "second"];
/// So many routers are made at once: `ip` takes a while for each.
const AT_ONCE: usize = 50;

/// The routers of two hosts.
pub(crate) struct Own {
    hosts: [Vec<Namespace>; 2],
    switch: Namespace,
}

impl Own {
    /// Makes them, and a link of the client's to each.
    pub(crate) fn new(client: &Namespace, count: usize) -> Result<Self> {
        let mut own = Self {
            hosts: [Vec::new(), Vec::new()],
            switch: segment::switch("switch")?,
        };
        let numbers: Vec<usize> = (0..count).collect();
        for numbers in numbers.chunks(AT_ONCE) {
            own.add(client, numbers)?;
        }
        Ok(own)
    }

    fn add(&mut self, client: &Namespace, numbers: &[usize]) -> Result<()> {
        let mut switch = String::new();
        let mut legs = String::new();
        for number in numbers {
            for bridge in [format!("ha{number}"), format!("in{number}")] {
                writeln!(
                    switch,
                    "link add {bridge} up type bridge stp_state 0 mcast_snooping 0"
                )?;
            }
            for (host, role) in self.hosts.iter_mut().zip(HOSTS) {
                let namespace = Namespace::new(role)?;
                for (segment, inside) in [("ha", HA), ("in", INNER)] {
                    let segment = format!("{segment}{number}");
                    plug(&mut switch, &segment, role, inside, namespace.name())?;
                }
                host.push(namespace);
            }
            let leg = format!("c{number}");
            let segment = format!("in{number}");
            plug(&mut switch, &segment, "client", &leg, client.name())?;
            writeln!(
                legs,
                "link set {leg} up\nroute add {}/32 dev {leg}",
                address(*number)
            )?;
        }
        link::ip(&self.switch, &switch)?;
        link::ip(client, &legs)?;
        for namespace in self
            .hosts
            .iter()
            .flat_map(|it| it.iter().rev().take(numbers.len()))
        {
            link::ip(
                namespace,
                &format!("link set {HA} up\nlink set {INNER} up\n"),
            )?;
        }
        Ok(())
    }

    /// A host's, the n-th of which is the n-th router's.
    pub(crate) fn places(&self, host: usize) -> Result<&[Namespace]> {
        Ok(self.hosts.get(host).context("find a host")?)
    }

    /// From one moment on nothing passes to a host or from it; no end has lost its carrier.
    pub(crate) fn cut(&self, host: usize) -> Result<()> {
        let role = HOSTS.get(host).context("find a host")?;
        let rules = format!(
            "table bridge power {{\n chain cut {{\n type filter hook forward priority 0\n \
             iifname \"{role}-*\" drop\n oifname \"{role}-*\" drop\n }}\n}}\n"
        );
        let mut command = self.switch.command("nft");
        process::output_with_input(command.args(["-f", "-"]), &rules)
            .context("cut the power of a host")?;
        Ok(())
    }
}

/// A line of `ip` for a port of a segment, and its other end.
fn plug(
    lines: &mut String,
    segment: &str,
    role: &str,
    inside: &str,
    namespace: &str,
) -> Result<()> {
    writeln!(
        lines,
        "link add {role}-{segment} up master {segment} type veth \
         peer name {inside} netns {namespace}"
    )?;
    Ok(())
}
