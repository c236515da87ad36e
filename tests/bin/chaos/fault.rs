//! Breaking things, and mending them.

use crate::cluster::{Cluster, Place, descriptors, id, primary_address};
use crate::kind::Kind;
use crate::plan::{Planned, Where};
use anyhow::{Context, Result, bail};
use lab::fault::{ALL, Fault, Way};
use lab::link;
use lab::process;
use lab::router::{HA, INNER};
use lab::segment::{BRIDGE, Port};
use lab::sender::{Advert, Sender};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

/// More than the kernel's ring has room for.
const FLOOD: u32 = 30_000;

/// Something that is broken now.
pub(crate) struct Broken {
    pub(crate) kind: Kind,
    pub(crate) vrid: u8,
    pub(crate) node: usize,
    held: Held,
}

/// What is needed to mend it.
enum Held {
    Nothing,
    Pids(Vec<Pid>),
    Losing(Vec<Fault>),
    Limit(&'static str, String),
}

impl Broken {
    /// Breaks it.
    pub(crate) fn begin(cluster: &mut Cluster, planned: Planned) -> Result<Self> {
        let Planned { kind, vrid, place } = planned;
        let node = match place {
            Where::Node(node) => node,
            Where::Primary => cluster.primary(vrid)?.unwrap_or(0),
        };
        let held = begin(cluster, kind, vrid, node)
            .with_context(|| format!("{} on node {node}, router {vrid}", kind.name()))?;
        Ok(Self {
            kind,
            vrid,
            node,
            held,
        })
    }

    /// Mends it.
    pub(crate) fn end(self, cluster: &mut Cluster) -> Result<()> {
        let (kind, node) = (self.kind, self.node);
        end(cluster, self).with_context(|| format!("end of {} on node {node}", kind.name()))
    }
}

fn begin(cluster: &mut Cluster, kind: Kind, vrid: u8, node: usize) -> Result<Held> {
    match kind {
        Kind::AgentKilled => cluster.node(node)?.daemon.kill()?,
        Kind::AgentStopped => cluster.node(node)?.daemon.signal(Signal::SIGSTOP)?,
        Kind::KeepalivedKilled => cluster.node(node)?.daemon.crash_keepalived(&id(vrid))?,
        Kind::KeepalivedStopped => {
            let pids = cluster.node(node)?.daemon.keepalived(&id(vrid))?;
            pids.iter()
                .try_for_each(|pid| send(*pid, Signal::SIGSTOP))?;
            return Ok(Held::Pids(pids.into()));
        }
        Kind::NodeCut => {
            for port in all_ports(cluster, node)? {
                port.cut()?;
            }
        }
        Kind::RouterCut => return lose(cluster, node, vrid, &[Way::FromHost, Way::ToHost]),
        Kind::RouterDeaf => return lose(cluster, node, vrid, &[Way::ToHost]),
        Kind::RouterMute => return lose(cluster, node, vrid, &[Way::FromHost]),
        Kind::SwitchDown => switches(cluster, "down")?,
        Kind::AddressDeleted => {
            let place = cluster.place(node, vrid)?;
            if place.holds(vrid)?[0] {
                let address = primary_address(vrid);
                link::ip(
                    &place.namespace,
                    &format!("address del {address}/24 dev {HA}\n"),
                )?;
            }
        }
        Kind::InterfaceDeleted => {
            let port = &cluster.place(node, vrid)?.ha;
            link::ip(port.switch(), &format!("link del {}\n", port.interface()))?;
        }
        Kind::NamespaceDeleted => cluster.place(node, vrid)?.namespace.delete()?,
        Kind::DiskFull => cluster.node(node)?.disk.fill()?,
        Kind::DiskReadOnly => cluster.node(node)?.disk.set_read_only(true)?,
        Kind::Descriptors => {
            let pid = cluster.node(node)?.daemon.pid()?;
            let one_more = descriptors(pid)? + 1;
            let held = limit(pid, "nofile", &one_more.to_string())?;
            // Now there is something to do.
            cluster.node(node)?.daemon.crash_keepalived(&id(vrid))?;
            return Ok(held);
        }
        Kind::Memory => {
            let pid = cluster.node(node)?.daemon.pid()?;
            let held = limit(pid, "as", &memory(pid)?.to_string())?;
            cluster.node(node)?.daemon.crash_keepalived(&id(vrid))?;
            return Ok(held);
        }
        Kind::Overrun => {
            cluster.node(node)?.daemon.signal(Signal::SIGSTOP)?;
            flood(cluster)?;
        }
    }
    Ok(Held::Nothing)
}

fn end(cluster: &mut Cluster, broken: Broken) -> Result<()> {
    let Broken {
        kind,
        vrid,
        node,
        held,
    } = broken;
    match held {
        Held::Pids(pids) => {
            return pids.iter().try_for_each(|pid| send(*pid, Signal::SIGCONT));
        }
        Held::Losing(faults) => {
            for mut fault in faults {
                fault.heal()?;
            }
            return Ok(());
        }
        Held::Limit(what, before) => {
            let pid = cluster.node(node)?.daemon.pid()?;
            // Without memory it may have ended, as a service manager would see.
            if ended(pid) {
                let daemon = &mut cluster.node(node)?.daemon;
                daemon.kill()?;
                return daemon.start();
            }
            return set_limit(pid, what, &before);
        }
        Held::Nothing => {}
    }
    match kind {
        Kind::AgentKilled => cluster.node(node)?.daemon.start(),
        Kind::AgentStopped | Kind::Overrun => cluster.node(node)?.daemon.signal(Signal::SIGCONT),
        Kind::NodeCut => all_ports(cluster, node)?.iter().try_for_each(Port::restore),
        Kind::SwitchDown => switches(cluster, "up"),
        Kind::InterfaceDeleted => {
            let place = cluster.place(node, vrid)?;
            let port = cluster.ha.attach(&place.namespace, HA, &[])?;
            cluster.node(node)?.place_mut(vrid)?.ha = port;
            Ok(())
        }
        Kind::NamespaceDeleted => {
            let namespace = cluster.place(node, vrid)?.namespace.another()?;
            let inner = cluster.inner.attach(&namespace, INNER, &[])?;
            let ha = cluster.ha.attach(&namespace, HA, &[])?;
            *cluster.node(node)?.place_mut(vrid)? = Place {
                namespace,
                ha,
                inner,
            };
            Ok(())
        }
        Kind::DiskFull => cluster.node(node)?.disk.empty(),
        Kind::DiskReadOnly => cluster.node(node)?.disk.set_read_only(false),
        _ => Ok(()),
    }
}

fn send(pid: Pid, signal: Signal) -> Result<()> {
    match kill(pid, signal) {
        // Somebody else has ended it meanwhile.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("send {signal} to {pid}")),
    }
}

fn all_ports(cluster: &mut Cluster, node: usize) -> Result<Vec<Port>> {
    let places = cluster.node(node)?.places.iter();
    Ok(places
        .flat_map(|place| [place.inner.clone(), place.ha.clone()])
        .collect())
}

fn lose(cluster: &Cluster, node: usize, vrid: u8, ways: &[Way]) -> Result<Held> {
    let place = cluster.place(node, vrid)?;
    let frames: Vec<_> = ways.iter().map(|way| (*way, ALL)).collect();
    let mut faults = vec![Fault::new(&place.inner)?, Fault::new(&place.ha)?];
    for fault in &mut faults {
        fault.lose(&frames)?;
    }
    Ok(Held::Losing(faults))
}

fn switches(cluster: &Cluster, state: &str) -> Result<()> {
    for segment in [&cluster.inner, &cluster.ha] {
        link::ip(segment.switch(), &format!("link set {BRIDGE} {state}\n"))?;
    }
    Ok(())
}

/// As much as it has, in bytes.
fn memory(pid: Pid) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).context("read its memory")?;
    let pages: u64 = text
        .split(' ')
        .next()
        .context("no size")?
        .parse()
        .context("read its size")?;
    Ok(pages * 4_096)
}

/// Lowers a soft limit of a process.
fn limit(pid: Pid, what: &'static str, value: &str) -> Result<Held> {
    let mut ask = Command::new("prlimit");
    ask.args(["--noheadings", "--raw", "--output", "SOFT"]);
    let before = process::output(ask.arg(format!("--{what}")).arg(format!("--pid={pid}")))?;
    set_limit(pid, what, value)?;
    Ok(Held::Limit(what, before.trim().to_owned()))
}

fn set_limit(pid: Pid, what: &str, value: &str) -> Result<()> {
    let mut set = Command::new("prlimit");
    let set = set.arg(format!("--pid={pid}"));
    process::output(set.arg(format!("--{what}={value}:"))).map(drop)
}

/// Whether our own child has ended.
pub(crate) fn ended(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// Adverts of routers that nobody has declared, each another event.
fn flood(cluster: &Cluster) -> Result<()> {
    let sender = Sender::new(&cluster.observer, HA)?;
    for number in 0..FLOOD {
        let [low, high, ..] = number.to_le_bytes();
        let advert = Advert {
            source: Ipv4Addr::new(169, 254, 201, high),
            vrid: 100 + low % 100,
            priority: if number / 100 % 2 == 0 { 200 } else { 0 },
            interval_cs: 100,
            address: Ipv4Addr::new(169, 254, 0, 100 + low % 100),
        };
        if let Err(error) = sender.send(&advert) {
            bail!("advert {number}: {error:#}");
        }
    }
    Ok(())
}
