//! Each router in a namespace and on two segments of its own, as Neutron has them: adverts go over
//! one, the client asks over the other.

use crate::peers::pair::address;
use anyhow::{Context, Result, anyhow};
use lab::link;
use lab::netns::Namespace;
use lab::router::{HA, INNER};
use lab::segment::{Plug, Port, Segment};
use std::fmt::Write;

/// The routers of two hosts.
pub(crate) struct Own {
    hosts: [Vec<Place>; 2],
    _segments: Vec<Segment>,
}

/// Where one router of one host is.
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    inner: Port,
    ha: Port,
}

impl Own {
    /// Makes them, and a link of the client's to each.
    pub(crate) fn new(client: &Namespace, count: usize) -> Result<Self> {
        let mut own = Self {
            hosts: [Vec::new(), Vec::new()],
            _segments: Vec::new(),
        };
        let mut routes = String::new();
        for number in 0..count {
            let [first, second] = ["first", "second"].map(Namespace::new);
            let namespaces = [first?, second?];
            let [inner, ha] = ["inner", "ha"].map(Segment::new);
            let (inner, ha) = (inner?, ha?);
            let ports =
                attach(&inner, &namespaces, INNER)?
                    .into_iter()
                    .zip(attach(&ha, &namespaces, HA)?);
            for ((host, namespace), (inner, ha)) in own.hosts.iter_mut().zip(namespaces).zip(ports)
            {
                host.push(Place {
                    namespace,
                    inner,
                    ha,
                });
            }
            let leg = format!("c{number}");
            inner.attach(client, &leg, &[])?;
            writeln!(routes, "route add {}/32 dev {leg}", address(number))?;
            own._segments.extend([inner, ha]);
        }
        link::ip(client, &routes)?;
        Ok(own)
    }

    /// A host's, the n-th of which is the n-th router's.
    pub(crate) fn places(&self, host: usize) -> Result<&[Place]> {
        Ok(self.hosts.get(host).context("find a host")?)
    }

    /// All ports of a host, router by router, the client's first: to shut hundreds takes a while,
    /// in which no client is to wait for the port of the adverts.
    pub(crate) fn ports(&self, host: usize) -> Result<Vec<Port>> {
        let places = self.places(host)?.iter();
        Ok(places.flat_map(|it| [&it.inner, &it.ha]).cloned().collect())
    }
}

/// Plugs both hosts in.
fn attach(segment: &Segment, namespaces: &[Namespace; 2], interface: &str) -> Result<[Port; 2]> {
    let plugs = namespaces.each_ref().map(|namespace| Plug {
        namespace,
        interface,
        addresses: &[],
    });
    segment
        .attach_all(&plugs)?
        .try_into()
        .map_err(|ports: Vec<Port>| anyhow!("two plugs gave {} ports", ports.len()))
}
