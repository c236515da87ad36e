//! What the kernel knows of a namespace's interfaces, addresses and routes, and
//! when it changes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkLayerType, LinkMessage, LinkXdp};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::netns::Namespace;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether its frames are Ethernet frames, and it is not the loopback interface.
    pub ethernet: bool,
    /// The XDP program that sits on it, if any.
    pub xdp_program: Option<u32>,
}

/// What matters of a namespace's network configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Its interfaces, in the order of their indices.
    pub interfaces: Vec<Interface>,
    /// Interface index and address of every address configured.
    pub addresses: BTreeSet<(u32, IpAddr)>,
    /// Interface index and address of every gateway that a route names.
    pub gateways: BTreeSet<(u32, IpAddr)>,
}

/// A connection to the routing netlink of one namespace.
pub struct Netlink {
    handle: Handle,
    tasks: [JoinHandle<()>; 2],
}

impl Netlink {
    /// Connects to `namespace` and sends `label` to `changed` whenever something
    /// of interest changes there (or a message was lost, which is the same).
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered.
    pub fn connect(
        namespace: &Namespace,
        label: usize,
        changed: mpsc::Sender<usize>,
    ) -> Result<Self> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ];
        let (connection, handle, mut messages) = namespace
            .enter(|| new_multicast_connection(&groups).context("open a routing netlink socket"))?;
        let serve = tokio::spawn(connection);
        let listen = tokio::spawn(async move {
            while messages.next().await.is_some() {
                // What is already under way answers for all that comes until it
                // is taken; the channel has room for it.
                while messages.try_recv().is_ok() {}
                if changed.send(label).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            handle,
            tasks: [serve, listen],
        })
    }

    /// The configuration as it is now.
    ///
    /// # Errors
    ///
    /// The kernel does not answer.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let mut snapshot = Snapshot::default();
        let links: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .context("list interfaces")?;
        snapshot.interfaces = links.into_iter().filter_map(interface).collect();
        snapshot.interfaces.sort_by_key(|interface| interface.index);
        let addresses: Vec<_> = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .context("list addresses")?;
        for message in addresses {
            // Of a point-to-point interface, "local" is ours and "address" the peer's.
            let find = |local: bool| {
                message
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        AddressAttribute::Local(address) if local => Some(*address),
                        AddressAttribute::Address(address) if !local => Some(*address),
                        _ => None,
                    })
            };
            if let Some(address) = find(true).or_else(|| find(false)) {
                snapshot.addresses.insert((message.header.index, address));
            }
        }
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut question = RouteMessage::default();
            question.header.address_family = family;
            let routes: Vec<RouteMessage> = self
                .handle
                .route()
                .get(question)
                .execute()
                .try_collect()
                .await
                .context("list routes")?;
            for route in &routes {
                gateways_of(route, &mut snapshot.gateways);
            }
        }
        Ok(snapshot)
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn interface(message: LinkMessage) -> Option<Interface> {
    let name = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        })?;
    let xdp_program = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Xdp(attributes) => {
                attributes.iter().find_map(|attribute| match attribute {
                    LinkXdp::ProgId(id)
                    | LinkXdp::DrvProgId(id)
                    | LinkXdp::SkbProgId(id)
                    | LinkXdp::HwProgId(id) => Some(*id),
                    _ => None,
                })
            }
            _ => None,
        });
    Some(Interface {
        index: message.header.index,
        name,
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        xdp_program,
    })
}

fn gateways_of(route: &RouteMessage, gateways: &mut BTreeSet<(u32, IpAddr)>) {
    let one = |attributes: &[RouteAttribute]| {
        attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
            _ => None,
        })
    };
    let index = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
    if let (Some(index), Some(address)) = (index, one(&route.attributes)) {
        gateways.insert((index, address));
    }
    for attribute in &route.attributes {
        if let RouteAttribute::MultiPath(hops) = attribute {
            for hop in hops {
                if let Some(address) = one(&hop.attributes) {
                    gateways.insert((hop.interface_index, address));
                }
            }
        }
    }
}
