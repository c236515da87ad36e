//! A network namespace that routers are in: what it has, as told by netlink, and
//! the kernel programs on the interfaces that adverts are exchanged on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use anyhow::Result;
use keepfast_common::maps::AddressKey;
use tokio::sync::mpsc;
use tracing::warn;

use crate::config::RouterId;
use crate::engine::Place;
use crate::kernel::{self, Attachment};
use crate::netlink::Interface;
use crate::netns::Namespace;
use crate::network::monitor::{Change, Link, Monitor, View};
use crate::observe::Observer;

/// A namespace that routers are in.
pub(super) struct Site {
    pub(super) namespace: Rc<Namespace>,
    pub(super) monitor: Rc<Monitor>,
    /// The routers in it.
    pub(super) members: BTreeSet<RouterId>,
    view: View,
    attached: BTreeMap<u32, Attachment>,
}

/// What a change of the namespace is to the routers in it.
pub(super) enum Consequence {
    /// An address appeared or went.
    Address { place: Place, present: bool },
    /// Interfaces came, went or changed.
    Interfaces,
    /// All must be looked at again.
    Everything,
    /// Nothing.
    Nothing,
}

impl Site {
    /// Listens to `namespace`, then looks at it.
    pub(super) fn open(
        namespace: Namespace,
        label: usize,
        changes: mpsc::Sender<(usize, Change)>,
    ) -> Result<Self> {
        let monitor = Monitor::open(&namespace, label, changes)?;
        let view = monitor.dump()?;
        Ok(Self {
            namespace: Rc::new(namespace),
            monitor: Rc::new(monitor),
            members: BTreeSet::new(),
            view,
            attached: BTreeMap::new(),
        })
    }

    /// What the kernel programs call an address on one of its interfaces.
    pub(super) fn address_key(&self, ifindex: u32, address: IpAddr) -> AddressKey {
        let (family, address) = kernel::address(address);
        AddressKey {
            netns: self.namespace.inode(),
            ifindex,
            family: u32::from(family),
            address,
        }
    }

    /// Looks at everything again.
    pub(super) fn look(&mut self) -> Result<()> {
        self.view = self.monitor.dump()?;
        self.let_go_of_missing();
        Ok(())
    }

    /// Takes a change into account.
    pub(super) fn take(&mut self, change: &Change) -> Consequence {
        let consequence = match change {
            Change::Link(link) => {
                let before = self.view.links.get(&link.index);
                let same = before.is_some_and(|before| {
                    before.up == link.up && before.name == link.name && before.mac == link.mac
                });
                if same {
                    Consequence::Nothing
                } else {
                    Consequence::Interfaces
                }
            }
            Change::LinkGone { .. } | Change::Overrun => Consequence::Everything,
            Change::Address {
                index,
                address,
                present,
            } => match self.name_of(*index).map(str::parse) {
                Some(Ok(interface)) => Consequence::Address {
                    place: Place {
                        interface,
                        address: *address,
                    },
                    present: *present,
                },
                _ => Consequence::Nothing,
            },
        };
        self.view.apply(change);
        self.let_go_of_missing();
        consequence
    }

    /// The interface of this name.
    pub(super) fn link(&self, name: &str) -> Option<&Link> {
        self.view.links.values().find(|link| link.name == name)
    }

    /// The name of an interface.
    pub(super) fn name_of(&self, index: u32) -> Option<&str> {
        self.view.links.get(&index).map(|link| link.name.as_str())
    }

    /// Whether an address is there.
    pub(super) fn has(&self, place: &Place) -> bool {
        self.link(place.interface.as_str())
            .is_some_and(|link| self.view.addresses.contains(&(link.index, place.address)))
    }

    /// The addresses of an interface.
    pub(super) fn addresses_of(&self, index: u32) -> impl Iterator<Item = IpAddr> {
        let all = self.view.addresses.iter();
        all.filter(move |(holder, _)| *holder == index)
            .map(|(_, address)| address.address())
    }

    /// Has the kernel programs watch an interface, unless they do; returns in words
    /// by which hooks.
    pub(super) fn attach(&mut self, observer: &mut Observer, name: &str) {
        let label = self.namespace.label();
        let Some(link) = self.link(name) else {
            return;
        };
        let index = link.index;
        if self.attached.contains_key(&index) {
            return;
        }
        // Asked anew: the XDP program that was there may have been that of an agent
        // before this one.
        let link = match self.monitor.link(index) {
            Ok(Some(link)) => link,
            Ok(None) => return,
            Err(error) => return warn!("look at {name} in {label}: {error:#}"),
        };
        let interface = Interface {
            index,
            name: link.name.clone(),
            ethernet: link.ethernet,
            xdp_program: link.xdp_program,
        };
        let Observer { kernel, pins, .. } = observer;
        match kernel.attach(&self.namespace, &interface, Some(pins)) {
            Ok(mut attachment) => {
                let outcome =
                    kernel.answer_probes(&self.namespace, &link, &mut attachment, Some(pins));
                attachment.tell(name, &label);
                if let Err(error) = outcome {
                    warn!("probes are not answered on {name} in {label}: {error:#}");
                }
                self.attached.insert(index, attachment);
            }
            Err(error) => {
                warn!("cannot watch {name} in {label}, addresses tell alone: {error:#}");
            }
        }
    }

    /// Where the links of the kernel programs on its interfaces are pinned.
    pub(super) fn pins(&self) -> impl Iterator<Item = &std::path::Path> {
        self.attached.values().flat_map(Attachment::pins)
    }

    /// Whether the kernel programs watch an interface.
    pub(super) fn is_watched(&self, index: u32) -> bool {
        self.attached.contains_key(&index)
    }

    /// How many interfaces are watched by other hooks than they should be.
    pub(super) fn fallbacks(&self) -> usize {
        let attached = self.attached.values();
        attached.filter(|it| !it.fallbacks.is_empty()).count()
    }

    /// By which hooks an interface is watched, in words; `None`: by netlink alone.
    pub(super) fn hooks(&self, name: &str) -> Option<String> {
        self.attached
            .get(&self.link(name)?.index)
            .map(Attachment::hooks)
    }

    /// How the kernel programs watch an interface; `None`: they do not.
    pub(super) fn attachment(&self, name: &str) -> Option<&Attachment> {
        self.attached.get(&self.link(name)?.index)
    }

    fn let_go_of_missing(&mut self) {
        let links = &self.view.links;
        self.attached.retain(|index, _| links.contains_key(index));
    }
}
