//! `keepfast gateway-check`: whether the gateways live, for a `vrrp_script` of
//! keepalived.
//!
//! Only the primary asks. A host that failed as primary and so is none any more goes
//! on asking, in a way that nobody takes for the primary's ([`probe`]), until they
//! answer: if it took itself for healthy it would be elected again, fail again, and
//! so on for as long as the gateways are dead.

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tracing::warn;

use super::monitor::View;
use super::probe::probe;
use super::requests::Requests;
use crate::cli::GatewayCheckArgs;
use crate::exit::BadInput;
use crate::files::Dir;
use crate::keepalived::render::Gateway;

/// How long the gateways have to answer. All are asked at once, and keepalived is
/// told within a second.
const LIMIT: Duration = Duration::from_millis(900);

/// What the state file says after the gateways answered, and after one did not.
const OK: &[u8] = b"ok";
const FAILED: &[u8] = b"failed";

impl FromStr for Gateway {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?}: expected an address and its interface, like 192.0.2.1%eth0");
        let (address, interface) = text.split_once('%').ok_or_else(wrong)?;
        Ok(Self {
            address: address.parse().map_err(|_| wrong())?,
            interface: interface.parse()?,
        })
    }
}

/// Runs `keepfast gateway-check` in the namespace that it was started in.
///
/// # Errors
///
/// A gateway does not answer, or cannot be asked.
pub fn run(args: &GatewayCheckArgs) -> Result<()> {
    let state = StateFile::open(&args.state_file)?;
    let view = look()?;
    let primary = holds(&view, &args.holder);
    // Unreadable is as good as missing: the next outcome replaces it.
    let before = state.read().unwrap_or_else(|error| {
        warn!("{error:#}");
        None
    });
    if !primary && before.as_deref() != Some(FAILED) {
        return Ok(());
    }
    let outcome = ask_all(&view, &args.gateway, primary);
    let word = if outcome.is_ok() { OK } else { FAILED };
    if before.as_deref() != Some(word) {
        // What keepalived is told matters more than this.
        if let Err(error) = state.write(word) {
            warn!("{error:#}");
        }
    }
    outcome
}

/// The links and addresses of this namespace.
fn look() -> Result<View> {
    let requests = Requests::open()?;
    for _ in 0..10 {
        if let Some(view) = requests.view()? {
            return Ok(view);
        }
    }
    bail!("links and addresses go on changing")
}

fn holds(view: &View, holder: &Gateway) -> bool {
    view.addresses.iter().any(|(index, held)| {
        let link = view.links.get(index);
        held.address() == holder.address
            && link.is_some_and(|link| link.name == holder.interface.as_str())
    })
}

/// Asks all gateways at once; fails where one does not answer.
fn ask_all(view: &View, gateways: &[Gateway], primary: bool) -> Result<()> {
    thread::scope(|scope| {
        let asking: Vec<_> = gateways
            .iter()
            .map(|gateway| scope.spawn(move || ask(view, gateway, primary)))
            .collect();
        // All are waited for, whichever fails first.
        let outcomes: Vec<Result<()>> = asking
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| bail!("a thread ended early"))
            })
            .collect();
        outcomes.into_iter().collect()
    })
}

fn ask(view: &View, gateway: &Gateway, primary: bool) -> Result<()> {
    let mut links = view.links.values();
    let link = links
        .find(|link| link.name == gateway.interface.as_str())
        .with_context(|| format!("gateway {gateway}: there is no such interface"))?;
    let sender = if primary {
        sender(view, link.index, gateway.address)
    } else {
        None
    };
    let alive = probe(link, gateway.address, sender, LIMIT)
        .with_context(|| format!("ask gateway {gateway}"))?;
    if !alive {
        bail!("gateway {gateway} does not answer");
    }
    Ok(())
}

/// An address of the interface to ask as: of the gateway's network if there is one.
fn sender(view: &View, index: u32, gateway: IpAddr) -> Option<IpAddr> {
    let held = || {
        let of_link = view.addresses.iter().filter(|(holder, _)| *holder == index);
        of_link.map(|(_, address)| address)
    };
    held()
        .find(|address| address.contains(gateway))
        .or_else(|| held().find(|address| address.address().is_ipv4() == gateway.is_ipv4()))
        .map(|address| address.address())
}

/// Where the outcome is kept until the next time.
struct StateFile<'a> {
    directory: Dir,
    name: &'a str,
}

impl<'a> StateFile<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let (directory, name) = path
            .parent()
            .zip(path.file_name().and_then(|name| name.to_str()))
            .ok_or_else(|| BadInput(format!("{}: expected a file", path.display())))?;
        Ok(Self {
            directory: Dir::open(directory)?,
            name,
        })
    }

    fn read(&self) -> Result<Option<Vec<u8>>> {
        self.directory.read(self.name, OK.len().max(FAILED.len()))
    }

    fn write(&self, word: &[u8]) -> Result<()> {
        self.directory.replace(self.name, word, 0o644)
    }
}
