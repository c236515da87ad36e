//! Many virtual routers on two hosts, the first of which is the primary of them all.

use crate::daemon::Daemon;
use crate::gate::Gate;
use crate::netns::Namespace;
use crate::router::{Declaration, HA};
use crate::segment::{Plug, Port, Segment};
use crate::wait;
use anyhow::{Context, Result};
use serde_json::Value;
use std::slice;
use std::time::Duration;

/// For all of them to be what they should be.
const LIMIT: Duration = Duration::from_secs(120);

/// Where the routers of a host are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Places {
    /// All on one interface of one namespace.
    One,
    /// Each in a namespace of its own, on a segment of its own.
    Own,
}

/// The routers and the two daemons.
#[derive(Debug)]
pub struct Many {
    // Before the namespaces that they hold open.
    /// On the host that is the primary at first.
    pub primary: Daemon,
    /// On the other one.
    pub backup: Daemon,
    /// What the routers are called on both.
    pub ids: Vec<String>,
    /// The primary's, the n-th of which is the n-th router's where each has its own.
    pub ports: Vec<Port>,
    _segments: Vec<Segment>,
    _namespaces: Vec<Namespace>,
}

impl Many {
    /// Starts `count` routers, with these tables at the end of their declarations on the first host
    /// and on the second, and waits until all are primary on the first and backup on the second.
    ///
    /// A keepalived that may be raised takes one of what `fs.inotify.max_user_instances` allows,
    /// 128 on most systems: of many routers the primaries are better left without a fast path.
    ///
    /// # Errors
    /// Without root or keepalived, or when one does not become that.
    pub fn start(count: u8, places: Places, tables: [&str; 2]) -> Result<Self> {
        let mut many = Self {
            primary: Daemon::prepare("primary")?,
            backup: Daemon::prepare("backup")?,
            ids: (1..=count).map(|vrid| format!("r{vrid}")).collect(),
            ports: Vec::new(),
            _segments: Vec::new(),
            _namespaces: Vec::new(),
        };
        let mut hosts = [Vec::new(), Vec::new()];
        for number in 0..match places {
            Places::One => 1,
            Places::Own => count,
        } {
            let [first, second] = ["first", "second"].map(Namespace::new);
            let (first, second) = (first?, second?);
            let segment = Segment::new("ha")?;
            let plugs = [&first, &second].map(|namespace| Plug {
                namespace,
                interface: HA,
                addresses: &[],
            });
            let port = segment.attach_all(&plugs)?.into_iter().next();
            many.ports
                .push(port.with_context(|| format!("find port {number}"))?);
            many._segments.push(segment);
            many._namespaces.extend([first.clone(), second.clone()]);
            for (host, namespace) in hosts.iter_mut().zip([first, second]) {
                host.push(namespace);
            }
        }
        let daemons = [&many.primary, &many.backup].into_iter();
        for (number, ((daemon, host), tables)) in daemons.zip(&hosts).zip(tables).enumerate() {
            for (vrid, namespace) in (1..=count).zip(host.iter().cycle()) {
                let declaration = Declaration {
                    own_address: format!("169.254.192.{}/18", number + 1),
                    interval: Duration::from_secs(1),
                    tables: tables.to_owned(),
                    ..Declaration::bare(namespace, vrid)
                };
                daemon.declare(&declaration.id, &declaration.toml()?)?;
            }
        }
        many.primary.start()?;
        many.wait_states(&many.primary, "primary")?;
        many.backup.start()?;
        many.wait_states(&many.backup, "backup")?;
        Ok(many)
    }

    /// Waits until all routers of a daemon are in this state.
    ///
    /// # Errors
    /// When one is not in time.
    pub fn wait_states(&self, daemon: &Daemon, state: &str) -> Result<()> {
        self.ids
            .iter()
            .try_for_each(|id| daemon.wait_state(id, state, LIMIT))
    }

    /// Waits until the fast path of each backup has a session with its primary.
    ///
    /// # Errors
    /// When one has none in time.
    pub fn wait_sessions(&self) -> Result<()> {
        for id in &self.ids {
            let what = format!("a session of {id}");
            wait::until(&what, LIMIT, || match self.fast_path(id) {
                Ok(shown) if shown["session"] == "up" => Ok(()),
                Ok(shown) => Err(shown.to_string()),
                Err(error) => Err(format!("{error:#}")),
            })?;
        }
        Ok(())
    }

    /// What the backup's fast path says of a router.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn fast_path(&self, id: &str) -> Result<Value> {
        let mut shown = self.backup.show(id)?;
        Ok(shown["fast_path"].take())
    }

    /// Cuts the primary's power: all its ports are shut one right after the other, and then go
    /// down.
    ///
    /// # Errors
    /// When a port is gone.
    pub fn cut(&self) -> Result<()> {
        self.cut_rest(&[])
    }

    /// Cuts the primary's power, which has been cut off from these segments before.
    ///
    /// # Errors
    /// When a port is gone.
    pub fn cut_rest(&self, without: &[usize]) -> Result<()> {
        let ports = self.ports.iter().enumerate();
        let rest = ports.filter(|(number, _)| !without.contains(number));
        let rest: Vec<_> = rest.map(|(_, port)| port.clone()).collect();
        cut(&rest)
    }

    /// Cuts the primary off from the n-th segment alone.
    ///
    /// # Errors
    /// When there is no such segment.
    pub fn cut_one(&self, number: usize) -> Result<()> {
        let port = self.ports.get(number);
        cut(slice::from_ref(
            port.with_context(|| format!("find port {number}"))?,
        ))
    }
}

fn cut(ports: &[Port]) -> Result<()> {
    // All at once first: to set them down takes longer.
    let gates: Vec<Gate> = ports.iter().map(Port::gate).collect::<Result<_>>()?;
    gates.iter().try_for_each(Gate::shut)?;
    ports.iter().try_for_each(Port::cut)
}
