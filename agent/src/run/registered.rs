//! Routers of Neutron's whose monitors have registered them ([`crate::neutron`]): attached,
//! while the monitor's connection is open, and declared nowhere.
//!
//! The monitor is told when keepalived has ended; it writes the state file and tells the
//! agent. So nothing is written here where a user other than root can: the router's directory
//! below the daemon's own holds the event log and the state as any other's does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::{
    Attached, Cidr, FastPath, Keepalived, NamespaceChoice, NamespaceName, Router, RouterId,
};
use crate::control::{Peer, Request};
use crate::engine::{Input, Place, Plan};
use crate::exit::BadInput;
use crate::keepalived::read;
use crate::netns::Namespace;

use super::daemon::Daemon;
use super::plan::attached_plan;

/// The most routers that are registered.
const MOST: usize = 4096;

/// What says that a directory is that of a registered router.
const MARK: &str = "registered";

/// How long monitors have to register again after the daemon's start before what is left of
/// their routers is removed.
pub(super) const RETURN_LIMIT: Duration = Duration::from_secs(60);

/// Of a router that was registered.
pub(super) struct Registered {
    place: Place,
    lines: mpsc::Sender<bool>,
    /// What it was told last.
    ended: Option<bool>,
    /// The monitor's process id, by the kernel's word.
    pub(super) pid: Option<i32>,
}

impl Registered {
    /// Tells the monitor whether keepalived has ended, if that is news. One that does not keep
    /// up loses its connection and goes on alone.
    pub(super) fn tell(&mut self, id: &RouterId, ended: bool) {
        if self.ended.replace(ended) != Some(ended) && self.lines.try_send(ended).is_err() {
            warn!(router = %id, "its monitor does not listen");
            // A channel without a receiver: this end of the true one is dropped.
            (self.lines, _) = mpsc::channel(1);
        }
    }

    /// The plan of the router: its primary address, and what its keepalived.conf adds once
    /// there is one.
    pub(super) fn plan(&self, router: &Router) -> Plan {
        plan(router, &self.place)
    }
}

impl Daemon {
    /// Begins to look after a router while its monitor's connection is open.
    pub(super) fn register(
        &mut self,
        request: &Request,
        lines: Option<mpsc::Sender<bool>>,
        peer: Peer,
    ) -> Result<Value> {
        let (router, place) = declared(request)?;
        let Some(lines) = lines else {
            return Err(BadInput("a registration needs a connection".to_owned()).into());
        };
        let id = router.id.clone();
        if self.members.contains_key(&id) {
            return Err(BadInput(format!("router {id} is looked after already")).into());
        }
        let count = self
            .members
            .values()
            .filter(|it| it.registered.is_some())
            .count();
        ensure!(count < MOST, "{MOST} routers are registered already");
        self.demand_no_conflict(&router, "the monitor's command line")?;
        // What is not seen from here cannot be looked after: the monitor may see it.
        if let Some(name) = router.namespace_name() {
            Namespace::named(name)?;
        }
        let registered = Registered {
            place,
            lines,
            ended: None,
            pid: peer.pid,
        };
        let plan = registered.plan(&router);
        let directory = self.base.subdirectory(id.as_str(), 0o755)?;
        directory.replace_soon(MARK, b"", 0o644)?;
        self.adopt_as(plan, Some(registered))?;
        info!(router = %id, "registered by Neutron's monitor");
        Ok(json!({ "id": id.as_str() }))
    }

    /// Looks after a registered router no more.
    pub(super) fn unregister(&mut self, id: &str) -> Result<Value> {
        let id = self.known(id)?;
        if !self.is_registered(&id) {
            return Err(BadInput(format!("router {id} was not registered")).into());
        }
        self.input(&id, Input::Delete);
        Ok(Value::Null)
    }

    pub(super) fn is_registered(&self, id: &RouterId) -> bool {
        self.members
            .get(id)
            .is_some_and(|it| it.registered.is_some())
    }

    /// Removes what routers left that were registered with an agent before this one and are
    /// not with this one, once their monitors have had time to return.
    pub(super) fn sweep(&mut self) {
        if self.sweep_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.sweep_at = None;
        for name in self.base.names().unwrap_or_default() {
            let left = name
                .parse()
                .is_ok_and(|id: RouterId| !self.members.contains_key(&id));
            let marked = || {
                let directory = self.base.existing(&name).ok().flatten()?;
                directory.read(MARK, 0).ok().flatten()
            };
            if left
                && marked().is_some()
                && let Err(error) = self.base.remove_tree(&name)
            {
                warn!("remove what is left of router {name}: {error:#}");
            }
        }
    }
}

/// The router that a registration means, and the place of its primary address.
fn declared(request: &Request) -> Result<(Router, Place)> {
    let wrong = |field: &str, why: String| BadInput(format!("{field}: {why}"));
    let Request::Register {
        id,
        namespace,
        interface,
        address,
        conf_dir,
    } = request
    else {
        return Err(wrong("op", "expected a registration".to_owned()).into());
    };
    let id: RouterId = id.parse().map_err(|why| wrong("id", why))?;
    let name: NamespaceName = namespace.parse().map_err(|why| wrong("namespace", why))?;
    let address: Cidr = address.parse().map_err(|why| wrong("address", why))?;
    let place = Place {
        interface: interface.parse().map_err(|why| wrong("interface", why))?,
        address,
    };
    if !conf_dir.is_absolute() {
        return Err(wrong("conf_dir", "expected an absolute path".to_owned()).into());
    }
    let router = Router {
        namespace: NamespaceChoice::Named {
            name,
            create: false,
        },
        keepalived: Keepalived::Attached(Attached {
            config_file: conf_dir.join("keepalived.conf"),
            // Known when the file is there.
            instance: String::new(),
            pid_file: Some(pid_file(conf_dir, &id)),
        }),
        fast_path: FastPath::OFF,
        protect: None,
        hooks: Vec::new(),
        children: Vec::new(),
        id,
    };
    Ok((router, place))
}

/// Neutron keeps keepalived's pid file beside the router's directory.
fn pid_file(conf_dir: &Path, id: &RouterId) -> PathBuf {
    conf_dir.with_file_name(format!("{id}.pid.keepalived"))
}

fn plan(router: &Router, place: &Place) -> Plan {
    let mut router = router.clone();
    if let Keepalived::Attached(attached) = &mut router.keepalived {
        attached.instance = instance(&attached.config_file, place);
    }
    let router = Arc::new(router);
    let read = match &router.keepalived {
        Keepalived::Attached(attached) if !attached.instance.is_empty() => {
            attached_plan(&router, attached)
                .inspect_err(|error| warn!(router = %router.id, "{error:#}"))
                .ok()
        }
        _ => None,
    };
    let mut plan = read.unwrap_or_else(|| Plan {
        router: Arc::clone(&router),
        configuration: None,
        radvd: None,
        conntrackd: None,
        addresses: Vec::new(),
        instance: None,
        advert_interval_ns: 0,
    });
    // By its presence "primary" is told, whatever else the file says.
    plan.addresses.retain(|it| it != place);
    plan.addresses.insert(0, place.clone());
    plan
}

/// The name of the instance that has the primary address; empty where there is none.
fn instance(file: &Path, place: &Place) -> String {
    // Neutron starts the monitor before it writes the file.
    if !file.exists() {
        return String::new();
    }
    let instances = read::read_file(file).unwrap_or_else(|error| {
        warn!("{error:#}");
        Vec::new()
    });
    let is_it = |it: &read::Instance| {
        let mut addresses = it.addresses.iter();
        addresses.any(|it| it.interface == place.interface && it.address == place.address)
    };
    let found = instances.into_iter().find(is_it);
    found.map(|it| it.name).unwrap_or_default()
}
