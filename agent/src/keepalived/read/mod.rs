//! Reading a keepalived.conf that somebody else wrote.
//!
//! Not all of keepalived's language is understood. What is not, and would have
//! changed an instance, is said in [`Instance::notes`]; an instance without an
//! interface or a VRID is an error. The file is not trusted: its size, its depth
//! and what it includes are bounded.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::config::{AuthenticationKind, InterfaceName, VirtualAddress, Vrid};

mod files;

mod instance;

mod source;

mod statement;

/// The most bytes that are read, of all files together.
const MOST_BYTES: usize = 1 << 20;

/// A `vrrp_instance`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// The namespace that the file has keepalived enter (`net_namespace`).
    pub namespace: Option<String>,
    /// The interface that it advertises on.
    pub interface: InterfaceName,
    /// The virtual router identifier.
    pub vrid: Vrid,
    /// 2 or 3.
    pub version: u8,
    /// The priority, before anything that is tracked changes it.
    pub priority: u8,
    /// Between two adverts.
    pub advert_interval: Duration,
    /// Whether it starts as master.
    pub starts_as_master: bool,
    /// Whether it takes over from a living master of less priority.
    pub preempt: bool,
    /// How adverts are authenticated; the password is not kept.
    pub authentication: Option<AuthenticationKind>,
    /// `virtual_ipaddress`: those that its adverts list.
    pub addresses: Vec<VirtualAddress>,
    /// `virtual_ipaddress_excluded`: those that they do not.
    pub excluded_addresses: Vec<VirtualAddress>,
    /// The source of its adverts (`unicast_src_ip`).
    pub unicast_source: Option<IpAddr>,
    /// Whom it sends to, instead of to the group.
    pub unicast_peers: Vec<IpAddr>,
    /// Interfaces whose loss is a fault, besides its own.
    pub track_interfaces: Vec<InterfaceName>,
    /// Whether keepalived makes an interface of its own for it (`use_vmac`,
    /// `use_ipvlan`).
    pub own_interface: bool,
    /// Whether it changes its state together with others (`vrrp_sync_group`).
    pub synchronised: bool,
    /// What was not understood, each with file and line.
    pub notes: Vec<String>,
}

/// A file's name and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// Reads the instances in a file.
///
/// `include` is asked for the files that a pattern means, and is told the file that
/// has the pattern.
///
/// # Errors
///
/// The text is too long or too deep, its braces or quotes do not match, an instance
/// has no interface or no VRID; with file and line. Or `include` fails.
pub fn read(
    file: &Source,
    mut include: impl FnMut(&Path, &str) -> Result<Vec<Source>>,
) -> Result<Vec<Instance>> {
    let (lines, notes) = source::lines(file, &mut include)?;
    instance::instances(&statement::parse(lines)?, notes)
}

/// Reads the instances in the file at `path`, and in those that it includes.
///
/// # Errors
///
/// As [`read`]; or a file is no regular one, or cannot be read.
pub fn read_file(path: &Path) -> Result<Vec<Instance>> {
    let mut files = files::Files::new();
    let file = files.open(path)?;
    read(&file, |from, pattern| files.matching(from, pattern))
}

#[cfg(test)]
mod tests;
