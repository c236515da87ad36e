//! A small Debian system in a folder, in which tests install and boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::mirror::Mirror;
use crate::machine;
use crate::process::{run, step};
use crate::project::Project;

/// The release that packages are made for.
const SUITE: &str = "bookworm";

/// What is in it beside the least that Debian needs: a service manager, what packages
/// of ours recommend, and what tests use.
const PACKAGES: [&str; 9] = [
    "dbus",
    "iproute2",
    "iputils-ping",
    "keepalived",
    "man-db",
    "procps",
    "systemd",
    "systemd-sysv",
    "tcpdump",
];

/// Makes it, if it is not there; where it is.
pub(crate) fn provide(project: &Project) -> Result<PathBuf> {
    let folder = project.target.join("debian-root");
    let root = folder.join(SUITE);
    // Others' packages would be another system.
    let wanted = PACKAGES.join(",");
    let made_of = folder.join("packages");
    if root.exists() && fs::read_to_string(&made_of).is_ok_and(|made| made == wanted) {
        return Ok(root);
    }
    machine::provide_lab()?;
    step(format!("making a Debian {SUITE} in {}", root.display()));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    // The final name appears last, so that half a system is never used.
    let partial = folder.join("partial");
    debootstrap(SUITE, &wanted, &partial)?;
    fs::rename(&partial, &root).with_context(|| format!("make {}", root.display()))?;
    fs::write(&made_of, wanted).with_context(|| format!("write {}", made_of.display()))?;
    Ok(root)
}

/// Makes the least of a release that Debian needs, with these packages, which are separated by
/// commas.
pub(crate) fn debootstrap(suite: &str, packages: &str, root: &Path) -> Result<()> {
    let mirror = Mirror::of_system().context("find the Debian mirror that this system uses")?;
    run(Command::new("debootstrap")
        .arg("--variant=minbase")
        .arg(format!("--include={packages}"))
        .arg(suite)
        .arg(root)
        .arg(mirror.uri()))
}
