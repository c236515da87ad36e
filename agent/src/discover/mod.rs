//! `keepfast discover`: what router files would say of a keepalived that runs
//! already.
//!
//! It reads keepalived.conf, listens for adverts for a while, and prints a router
//! file for each instance, with what was heard of it as comments. It changes
//! nothing, and sends nothing.

mod hear;

mod text;

use std::io::{self, Write as _};
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cli::DiscoverArgs;
use crate::config::{NamespaceChoice, NamespaceName};
use crate::exit::BadInput;
use crate::keepalived::read::{Instance, read_file};
use crate::netns::Namespace;

use hear::Heard;

/// keepalived's own defaults.
const CONFIG_FILE: &str = "/etc/keepalived/keepalived.conf";
const PID_FILE: &str = "/run/keepalived.pid";

/// A keepalived.conf and the instances in it.
struct Found {
    config_file: PathBuf,
    is_there: bool,
    pid_file: Option<PathBuf>,
    instances: Vec<Instance>,
}

/// A namespace, and what was heard there.
struct Site {
    place: NamespaceChoice,
    heard: Heard,
}

/// Runs `keepfast discover`.
///
/// # Errors
///
/// The file or the namespace that was named does not exist or cannot be read, there
/// is no privilege to listen, or stdout cannot be written.
pub fn run(args: &DiscoverArgs) -> Result<()> {
    let found = find(args.config.as_deref())?;
    let chosen = args.netns.as_deref().map(named).transpose()?;
    let place = |instance: &Instance| match (&chosen, &instance.namespace) {
        (Some(chosen), _) => Ok(chosen.clone()),
        (None, Some(name)) => named(name),
        (None, None) => Ok(NamespaceChoice::Host),
    };
    let places: Vec<_> = found.instances.iter().map(place).collect::<Result<_>>()?;
    let mut sites = vec![chosen.clone().unwrap_or(NamespaceChoice::Host)];
    for place in &places {
        if !sites.contains(place) {
            sites.push(place.clone());
        }
    }
    let limit = Duration::from_secs(args.listen);
    let namespaces = sites.iter().map(open).collect::<Result<Vec<_>>>()?;
    let heard = hear::all(&namespaces, limit)?;
    let sites: Vec<_> = sites
        .into_iter()
        .zip(heard)
        .map(|(place, heard)| Site { place, heard })
        .collect();
    let text = text::report(&found, &places, &sites, limit);
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).context("write to stdout")?;
    out.flush().context("write to stdout")
}

/// The instances in the file that was named, or in keepalived's own if there is one.
fn find(config_file: Option<&Path>) -> Result<Found> {
    let path = config_file.unwrap_or(Path::new(CONFIG_FILE));
    let is_there = config_file.is_some() || path.exists();
    let instances = if is_there {
        read_file(path)?
    } else {
        Vec::new()
    };
    // Another keepalived has its process id elsewhere.
    let pid_file = Path::new(PID_FILE);
    let pid_file = (path == Path::new(CONFIG_FILE) && pid_file.is_file()).then_some(pid_file);
    Ok(Found {
        config_file: path::absolute(path).context("find the current directory")?,
        is_there,
        pid_file: pid_file.map(Path::to_owned),
        instances,
    })
}

fn named(name: &str) -> Result<NamespaceChoice> {
    let name: NamespaceName = name.parse().map_err(BadInput)?;
    Ok(NamespaceChoice::Named {
        name,
        create: false,
    })
}

fn open(place: &NamespaceChoice) -> Result<Namespace> {
    match place {
        NamespaceChoice::Host => Namespace::current(),
        NamespaceChoice::Named { name, .. } => {
            Namespace::named(name.as_str()).map_err(|error| BadInput(format!("{error:#}")).into())
        }
    }
}
