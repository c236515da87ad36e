//! From a declaration to a plan: reading what it names, rendering what programs
//! are told.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::config::secret::{self, Secret};
use crate::config::{
    Attached, AuthenticationKind, Keepalived, Managed, Protect, Protection, Router,
};
use crate::engine::{Instance, Nanos, Place, Plan};
use crate::exit::BadInput;
use crate::helper::{conntrackd, radvd};
use crate::keepalived::render::{self, Features};
use crate::keepalived::{raise, read};

/// Makes plans.
pub(super) struct Planner {
    /// Where routers' directories are.
    base: PathBuf,
    /// The keepfast that check scripts run.
    program: PathBuf,
    features: Features,
}

impl Planner {
    pub(super) const fn new(base: PathBuf, program: PathBuf, features: Features) -> Self {
        Self {
            base,
            program,
            features,
        }
    }

    /// The plan of a router.
    ///
    /// # Errors
    ///
    /// The password cannot be read, somebody else's configuration cannot be read, or
    /// a path is too long for conntrackd.
    pub(super) fn plan(&self, router: Router) -> Result<Plan> {
        let router = Arc::new(router);
        match &router.keepalived {
            Keepalived::Managed(managed) => self.managed(&router, managed),
            Keepalived::Attached(attached) => attached_plan(&router, attached),
        }
        .with_context(|| format!("router {}", router.id))
    }

    fn managed(&self, router: &Arc<Router>, managed: &Managed) -> Result<Plan> {
        let vrrp = &managed.vrrp;
        let directory = self.base.join(router.id.as_str());
        let password = password(managed)?;
        let paths = render::Paths {
            check_script: directory.join(check_script_name(managed)),
            raise: directory.join(raise::FILE),
        };
        let text = render::render(
            router,
            managed,
            password.as_ref().map(|password| password.expose()),
            &paths,
            self.features,
        );
        let conntrackd = managed.conntrackd.as_ref().map(|conntrackd| {
            let own = vrrp.addresses.iter().find_map(|own| match own.address() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            });
            let own = own.ok_or_else(|| {
                BadInput(
                    "conntrackd: expected an IPv4 address among vrrp.addresses to speak from"
                        .to_owned(),
                )
            })?;
            let paths = conntrackd::ConntrackdPaths {
                lock: directory.join("conntrackd.lock"),
                control_socket: directory.join("conntrackd.ctl"),
            };
            conntrackd::config(conntrackd, &paths, &vrrp.interface, own)
        });
        Ok(Plan {
            configuration: Some(Arc::from(text)),
            radvd: managed
                .radvd
                .as_ref()
                .map(|it| Arc::from(radvd::config(it))),
            conntrackd: conntrackd.transpose()?.map(Arc::from),
            addresses: managed
                .all_addresses()
                .map(|(interface, address)| Place {
                    interface: interface.clone(),
                    address,
                })
                .collect(),
            instance: Some(Instance {
                interface: vrrp.interface.clone(),
                tracked: vrrp.track_interfaces.clone(),
                vrid: vrrp.vrid,
                family: family(&vrrp.primary_address.address()),
                version: vrrp.version,
                priority: vrrp.priority,
                advertised: vec![vrrp.primary_address.address()],
                authentication: vrrp.authentication.as_ref().map(|it| it.kind),
                protect: router.protect.clone().unwrap_or(Protect::OFF),
                obstacle: obstacle_of(managed),
            }),
            advert_interval_ns: nanos(vrrp.advert_interval),
            router: Arc::clone(router),
        })
    }

    /// The script by which keepalived checks the gateways: its name and text; `None`
    /// where they are not checked.
    pub(super) fn check_script(&self, plan: &Plan) -> Option<(String, String)> {
        let managed = super::member::managed(plan)?;
        managed.gateway_check?;
        let state = self.base.join(plan.router.id.as_str()).join("gateway");
        let text = render::check_script(managed, &self.program, &state)?;
        Some((check_script_name(managed), text))
    }

    /// Where a router's directory is.
    pub(super) fn directory(&self, id: &str) -> PathBuf {
        self.base.join(id)
    }
}

/// The password of a router's adverts; `None`: it has none.
pub(super) fn password(managed: &Managed) -> Result<Option<Secret>> {
    let authentication = managed.vrrp.authentication.as_ref();
    let password = authentication.map(|authentication| {
        secret::read(&authentication.secret_file).context("vrrp.authentication.secret_file")
    });
    password.transpose()
}

fn check_script_name(managed: &Managed) -> String {
    format!("ha_check_script_{}.sh", managed.vrrp.vrid.get())
}

/// The plan of a router whose keepalived is somebody else's.
pub(super) fn attached_plan(router: &Arc<Router>, attached: &Attached) -> Result<Plan> {
    let instance = find_instance(&attached.config_file, &attached.instance)?;
    let family = instance
        .addresses
        .first()
        .map_or(4, |first| family(&first.address.address()));
    let places = instance
        .addresses
        .iter()
        .chain(&instance.excluded_addresses);
    Ok(Plan {
        configuration: None,
        radvd: None,
        conntrackd: None,
        addresses: places
            .map(|it| Place {
                interface: it.interface.clone(),
                address: it.address,
            })
            .collect(),
        instance: Some(Instance {
            interface: instance.interface.clone(),
            tracked: instance.track_interfaces.clone(),
            vrid: instance.vrid,
            family,
            version: instance.version,
            priority: instance.priority,
            advertised: instance
                .addresses
                .iter()
                .map(|it| it.address.address())
                .collect(),
            // keepalived ignores it in version 3.
            authentication: instance.authentication.filter(|_| instance.version == 2),
            protect: attached_protect(router, &instance, family)?,
            obstacle: attached_obstacle(&instance),
        }),
        advert_interval_ns: nanos(instance.advert_interval),
        router: Arc::clone(router),
    })
}

/// What is legitimate for an attached router: whom it sends to may send to it, and where
/// nothing is declared, others are counted.
fn attached_protect(router: &Router, instance: &read::Instance, family: u8) -> Result<Protect> {
    let protect = match &router.protect {
        Some(declared) => declared.clone(),
        None if instance.unicast_peers.is_empty() => return Ok(Protect::OFF),
        None => Protect {
            mode: Protection::Observe,
            ..Protect::OFF
        },
    };
    let strange = |address: &&IpAddr| self::family(address) != family;
    let mut declared = protect.peers.iter().chain(&protect.owner);
    if let Some(address) = declared.find(strange) {
        let what = format!(
            "protect: {address} cannot send adverts over IPv{family}: expected an address of that family"
        );
        return Err(BadInput(what).into());
    }
    if !protect.peers.is_empty() || instance.unicast_peers.len() > Protect::MOST_PEERS {
        return Ok(protect);
    }
    Ok(Protect {
        peers: instance.unicast_peers.clone(),
        ..protect
    })
}

fn find_instance(file: &Path, name: &str) -> Result<read::Instance> {
    let instances = read::read_file(file)?;
    let names: Vec<String> = instances.iter().map(|it| it.name.clone()).collect();
    let found = instances.into_iter().find(|it| it.name == name);
    found.ok_or_else(|| {
        BadInput(format!(
            "attached.instance: {} has no vrrp_instance {name:?}: expected one of {}",
            file.display(),
            names.join(", ")
        ))
        .into()
    })
}

/// Why keepalived cannot be made to take over, if so.
fn obstacle_of(managed: &Managed) -> Option<String> {
    let authentication = managed.vrrp.authentication.as_ref();
    let header = authentication.is_some_and(|it| it.kind == AuthenticationKind::Ah);
    header.then(|| {
        "adverts in an authentication header (AH) can be made by keepalived only".to_owned()
    })
}

/// The same of somebody else's.
fn attached_obstacle(instance: &read::Instance) -> Option<String> {
    let why = if instance.authentication.is_some() {
        "the password of somebody else's keepalived is not known"
    } else if !instance.unicast_peers.is_empty() {
        "adverts go to single peers (unicast_peer)"
    } else if instance.synchronised {
        "it changes its state together with others (vrrp_sync_group)"
    } else if instance.own_interface {
        "keepalived advertises on an interface of its own (use_vmac)"
    } else if instance.addresses.is_empty() {
        "it advertises no address"
    } else {
        return None;
    };
    Some(why.to_owned())
}

const fn family(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

fn nanos(duration: std::time::Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
