//! One namespace: its interfaces, attached and let go as they come and go, and
//! the addresses that matter on them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use keepfast_common::maps::RouterKey;
use keepfast_common::track::VirtualRouter;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{info, warn};

use super::addresses::Addresses;
use crate::exit::BadInput;
use crate::kernel::{Attachment, Kernel, Maps, PinDirectory};
use crate::netlink::{Interface, Netlink, Snapshot};
use crate::netns::Namespace;

/// How long the kernel may take to list a namespace's configuration.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// How long an interface that could not be watched is let be. Trying is itself a
/// change of the interface, which would call for the next try at once.
const RETRY: Duration = Duration::from_secs(30);

/// A namespace that is watched.
pub(super) struct Site {
    namespace: Namespace,
    /// `None` when the namespace is gone.
    netlink: Option<Netlink>,
    /// The interfaces that were asked for; empty for all.
    wanted: Vec<String>,
    watched: BTreeMap<u32, Watched>,
    /// The interfaces that could not be watched, and when that was tried.
    refused: BTreeMap<u32, Instant>,
    addresses: Addresses,
    /// What the programs call the namespace: its inode number, or 0.
    netns: u32,
}

/// An interface that is watched.
struct Watched {
    name: String,
    _attachment: Attachment,
}

impl Site {
    /// Listens to changes of `namespace`, which it reports as `label` and which the
    /// programs call `netns`.
    pub(super) fn open(
        namespace: Namespace,
        label: usize,
        wanted: Vec<String>,
        changed: mpsc::Sender<usize>,
        netns: u32,
    ) -> Result<Self> {
        // Listens before it looks: what changes in between is seen twice, not missed.
        let netlink = Netlink::connect(&namespace, label, changed)?;
        let addresses = Addresses::new(netns);
        Ok(Self {
            namespace,
            netlink: Some(netlink),
            wanted,
            watched: BTreeMap::new(),
            refused: BTreeMap::new(),
            addresses,
            netns,
        })
    }

    /// What the programs call the namespace.
    pub(super) const fn netns(&self) -> u32 {
        self.netns
    }

    /// The namespace's name; `None` for the own one.
    pub(super) fn name(&self) -> Option<&str> {
        self.namespace.name()
    }

    /// How many interfaces are watched.
    pub(super) fn attached(&self) -> usize {
        self.watched.len()
    }

    /// The name of a watched interface.
    pub(super) fn interface_name(&self, index: u32) -> Option<&str> {
        self.watched
            .get(&index)
            .map(|watched| watched.name.as_str())
    }

    /// Whether the namespace is gone.
    pub(super) const fn is_closed(&self) -> bool {
        self.netlink.is_none()
    }

    /// The configuration as it is now; empty where the namespace is gone.
    pub(super) async fn look(&self) -> Result<Snapshot> {
        let Some(netlink) = &self.netlink else {
            return Ok(Snapshot::default());
        };
        timeout(LOOK_LIMIT, netlink.snapshot())
            .await
            .with_context(|| format!("no answer within {} s", LOOK_LIMIT.as_secs()))
            .and_then(|snapshot| snapshot)
            .with_context(|| format!("look at network namespace {}", self.namespace.label()))
    }

    /// Insists that the interfaces that were asked for exist.
    pub(super) fn demand_named(&self, snapshot: &Snapshot) -> Result<()> {
        for name in &self.wanted {
            if !snapshot
                .interfaces
                .iter()
                .any(|interface| interface.name == *name)
            {
                let there: Vec<&str> = snapshot
                    .interfaces
                    .iter()
                    .map(|interface| interface.name.as_str())
                    .collect();
                return Err(BadInput(format!(
                    "interface {name:?} does not exist in network namespace {}: expected one of {}",
                    self.namespace.label(),
                    there.join(", ")
                ))
                .into());
            }
        }
        Ok(())
    }

    /// Attaches to what is new and lets go what is gone.
    pub(super) fn reconcile(
        &mut self,
        snapshot: Snapshot,
        kernel: &mut Kernel,
        pins: &PinDirectory,
        gateways: &[IpAddr],
    ) -> Result<()> {
        let is_there = |index: u32| snapshot.interfaces.iter().any(|it| it.index == index);
        let gone: Vec<u32> = self
            .watched
            .keys()
            .copied()
            .filter(|index| !is_there(*index))
            .collect();
        for index in gone {
            self.let_go(index, kernel.maps())?;
        }
        self.refused.retain(|index, _| is_there(*index));
        for interface in &snapshot.interfaces {
            if let Some(watched) = self.watched.get_mut(&interface.index) {
                if watched.name != interface.name {
                    info!("{} is called {} now", watched.name, interface.name);
                    watched.name.clone_from(&interface.name);
                }
            } else if self.wants(interface) && !self.is_let_be(interface.index) {
                self.attach(interface, kernel, pins)?;
            }
        }
        let indices: Vec<u32> = self.watched.keys().copied().collect();
        self.addresses.configure(&snapshot, &indices, gateways);
        self.addresses.apply(kernel.maps())
    }

    /// Watches the addresses that the adverts of a virtual router list.
    pub(super) fn learn(
        &mut self,
        key: &RouterKey,
        router: &VirtualRouter,
        maps: &mut Maps,
    ) -> Result<()> {
        if self.watched.contains_key(&key.ifindex) && self.addresses.learn(key, router) {
            self.addresses.apply(maps)?;
        }
        Ok(())
    }

    /// Lets all go where the namespace's name is gone: what is held open here
    /// would keep the namespace, and its interfaces, from going.
    pub(super) fn close_if_gone(&mut self, maps: &mut Maps) -> Result<()> {
        if self.netlink.is_some() && !self.namespace.is_still_named() {
            warn!("network namespace {} is gone", self.namespace.label());
            let all: Vec<u32> = self.watched.keys().copied().collect();
            for index in all {
                self.let_go(index, maps)?;
            }
            self.netlink = None;
            self.namespace.release();
        }
        Ok(())
    }

    /// Whether an interface that could not be watched is to be tried again.
    pub(super) fn is_due(&self) -> bool {
        !self.is_closed() && self.refused.values().any(|tried| tried.elapsed() >= RETRY)
    }

    fn is_let_be(&self, index: u32) -> bool {
        self.refused
            .get(&index)
            .is_some_and(|tried| tried.elapsed() < RETRY)
    }

    fn wants(&self, interface: &Interface) -> bool {
        if self.wanted.is_empty() {
            interface.ethernet
        } else {
            self.wanted.contains(&interface.name)
        }
    }

    fn attach(
        &mut self,
        interface: &Interface,
        kernel: &mut Kernel,
        pins: &PinDirectory,
    ) -> Result<()> {
        let name = &interface.name;
        let label = self.namespace.label();
        match kernel.attach(&self.namespace, interface, Some(pins)) {
            Ok(attachment) => {
                attachment.tell(name, &label);
                let watched = Watched {
                    name: name.clone(),
                    _attachment: attachment,
                };
                self.refused.remove(&interface.index);
                self.watched.insert(interface.index, watched);
                Ok(())
            }
            // Asked for by name it must work, else the others are worth watching.
            Err(error) if self.wanted.is_empty() => {
                warn!("cannot watch {name} in {label}: {error:#}");
                self.refused.insert(interface.index, Instant::now());
                Ok(())
            }
            Err(error) => Err(error.context(format!("watch {name} in {label}"))),
        }
    }

    fn let_go(&mut self, index: u32, maps: &mut Maps) -> Result<()> {
        if let Some(watched) = self.watched.remove(&index) {
            warn!(
                "{} is gone from network namespace {}",
                watched.name,
                self.namespace.label()
            );
            for (key, _) in maps.routers()? {
                if key.netns == self.netns && key.ifindex == index {
                    maps.forget(key)?;
                }
            }
            self.addresses.forget_interface(index);
            self.addresses.apply(maps)?;
        }
        Ok(())
    }
}
