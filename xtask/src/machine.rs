//! The machine that tests run on: its user and its Debian packages.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{capture, run, step};

/// The peers and tools that the lab starts.
const PACKAGES: &[&str] = &[
    "bpftool",
    "chromium",
    "conntrack",
    "conntrackd",
    "cpio",
    "curl",
    "debootstrap",
    "frr",
    "haproxy",
    "iproute2",
    "iputils-arping",
    "iputils-ping",
    "keepalived",
    "nftables",
    "procps",
    "prometheus",
    "python3",
    "python3-jsonschema",
    "python3-venv",
    "qemu-system-x86",
    "radvd",
    "systemd-container",
    "tcpdump",
    "tshark",
];

/// Those of the packages whose services start on installation.
const SERVICES: &[&str] = &[
    "conntrackd.service",
    "frr.service",
    "haproxy.service",
    "keepalived.service",
    "prometheus.service",
    "radvd.service",
];

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Makes the machine ready for the lab.
///
/// # Errors
/// When not run as root, which namespaces and BPF need anyway, or when a
/// package is missing and cannot be installed.
pub(crate) fn provide_lab() -> Result<()> {
    if !is_root() {
        bail!("the lab makes network namespaces and loads BPF programs: run this as root");
    }
    let missing = missing_packages()?;
    if missing.is_empty() {
        return Ok(());
    }
    step(format!("installing {}", missing.join(" ")));
    install(&missing).with_context(|| {
        format!(
            "install the missing Debian packages: apt-get install {}",
            missing.join(" ")
        )
    })
}

fn missing_packages() -> Result<Vec<&'static str>> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${db:Status-Status}\n"]);
    let installed = capture(&mut query).with_context(|| {
        format!(
            "ask dpkg; without it, the lab cannot get {}",
            PACKAGES.join(" ")
        )
    })?;
    Ok(missing_from(&installed))
}

fn missing_from(installed: &str) -> Vec<&'static str> {
    let is_installed = |package: &str| {
        installed
            .lines()
            .any(|line| line.split_once(' ') == Some((package, "installed")))
    };
    PACKAGES
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect()
}

fn install(packages: &[&str]) -> Result<()> {
    // An archive that is of no use here may be out of order: apt-get install
    // then says whether something is really missing.
    if let Err(error) = run(apt_get().arg("update")) {
        step(format!("{error:#}"));
    }
    // Only the programs are wanted: daemons on the real interfaces are not.
    let _masked = MaskedServices::mask()?;
    run(apt_get()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages))
}

fn apt_get() -> Command {
    let mut apt = Command::new("apt-get");
    apt.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Keeps services from starting while this value lives, where systemd runs.
struct MaskedServices;

impl MaskedServices {
    fn mask() -> Result<Option<Self>> {
        if !Path::new("/run/systemd/system").exists() {
            return Ok(None);
        }
        run(&mut systemctl("mask"))?;
        Ok(Some(Self))
    }
}

impl Drop for MaskedServices {
    fn drop(&mut self) {
        if let Err(error) = run(&mut systemctl("unmask")) {
            step(format!("{error:#}"));
        }
    }
}

fn systemctl(verb: &str) -> Command {
    let mut systemctl = Command::new("systemctl");
    systemctl.args(["--runtime", verb]).args(SERVICES);
    systemctl
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_fully_installed_counts() {
        let all: String = PACKAGES
            .iter()
            .map(|name| format!("{name} installed\n"))
            .collect();
        assert!(missing_from(&all).is_empty());
        let removed = all.replace("frr installed", "frr config-files");
        assert_eq!(missing_from(&removed), ["frr"]);
        let namesake = all.replace("frr installed", "frr-doc installed");
        assert_eq!(missing_from(&namesake), ["frr"]);
        assert_eq!(missing_from(""), PACKAGES);
    }
}
