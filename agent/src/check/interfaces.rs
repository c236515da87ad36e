//! The interfaces of a namespace, each tried.

use std::fs;

use anyhow::{Error, Result};
use aya::programs::loaded_programs;
use serde::Serialize;
use tokio::sync::mpsc;

use super::{Mark, listed};
use crate::exit::BadInput;
use crate::kernel::{Attachment, Hook, Kernel};
use crate::netlink::{Interface, Netlink};
use crate::netns::Namespace;

/// Where `ip netns` keeps its names.
const NAMED: &str = "/run/netns";

/// What was found out about an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) interface: String,
    pub(super) ifindex: u32,
    pub(super) mark: Mark,
    pub(super) ingress: Option<&'static str>,
    pub(super) egress: Option<&'static str>,
    pub(super) xdp_program: Option<u32>,
    pub(super) message: String,
}

/// The namespace called `name`; where there is none, the error names those that
/// there are.
pub(super) fn namespace(name: &str) -> Result<Namespace> {
    Namespace::named(name).map_err(|error| {
        let mut names: Vec<String> = fs::read_dir(NAMED)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        BadInput(format!("{error:#}; those that exist: {}", listed(&names))).into()
    })
}

/// The interfaces that are `named`, or else those that watching takes.
pub(super) async fn list(namespace: &Namespace, named: &[String]) -> Result<Vec<Interface>> {
    // Nobody waits for changes.
    let (changed, _) = mpsc::channel(1);
    let mut there = Netlink::connect(namespace, 0, changed)?
        .snapshot()
        .await?
        .interfaces;
    if let Some(name) = named
        .iter()
        .find(|name| there.iter().all(|interface| interface.name != **name))
    {
        let names: Vec<String> = there.into_iter().map(|interface| interface.name).collect();
        let (label, names) = (namespace.label(), listed(&names));
        return Err(BadInput(format!(
            "interface {name:?} does not exist in network namespace {label}; those that exist: {names}"
        ))
        .into());
    }
    there.retain(|interface| {
        if named.is_empty() {
            interface.ethernet
        } else {
            named.contains(&interface.name)
        }
    });
    Ok(there)
}

/// Attaches to `interface` for a moment, if there is anything to attach.
pub(super) fn attempt(
    kernel: Option<&mut Kernel>,
    namespace: &Namespace,
    interface: &Interface,
) -> Finding {
    let mut finding = Finding {
        interface: interface.name.clone(),
        ifindex: interface.index,
        mark: Mark::Unknown,
        ingress: None,
        egress: None,
        xdp_program: interface.xdp_program,
        message: "not tried: the programs are not loaded".to_owned(),
    };
    match kernel.map(|kernel| kernel.attach(namespace, interface, None)) {
        None => {}
        Some(Ok(attachment)) => finding.works(&attachment),
        Some(Err(error)) => finding.fails(&error),
    }
    if let Some(id) = interface.xdp_program {
        let name = name_of(id).map_or_else(String::new, |name| format!(", called {name}"));
        finding.message += &format!("; XDP program there: id {id}{name}");
    }
    finding
}

impl Finding {
    fn works(&mut self, attachment: &Attachment) {
        let Attachment {
            ingress,
            egress,
            fallbacks,
            ..
        } = attachment;
        self.ingress = Some(identifier(*ingress));
        self.egress = Some(identifier(*egress));
        self.message = format!("{ingress} in, {egress} out");
        self.mark = Mark::Ok;
        if !fallbacks.is_empty() {
            self.mark = Mark::Fallback;
            self.message += &format!(" ({})", fallbacks.join("; "));
        }
        if [ingress, egress].contains(&&Hook::Clsact) {
            self.message += "; the clsact qdisc stays";
        }
    }

    fn fails(&mut self, error: &Error) {
        self.mark = Mark::Missing;
        self.message = format!("{error:#}");
    }
}

const fn identifier(hook: Hook) -> &'static str {
    match hook {
        Hook::NativeXdp => "native_xdp",
        Hook::GenericXdp => "generic_xdp",
        Hook::Tcx => "tcx",
        Hook::Clsact => "clsact",
    }
}

/// The name of a loaded program, for who may know it.
fn name_of(id: u32) -> Option<String> {
    loaded_programs()
        .flatten()
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
}
