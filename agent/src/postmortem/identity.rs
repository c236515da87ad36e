//! Which black box is a router's: a file in its directory, for when there is no daemon
//! to ask.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use keepfast_common::maps::RouterKey;
use serde::{Deserialize, Serialize};

use crate::engine::Nanos;
use crate::files::Dir;

/// The file's name.
const FILE: &str = "blackbox.json";
const MODE: u32 = 0o644;
const LONGEST: usize = 64 * 1024;

/// What a router is on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Index of the interface that adverts are exchanged on.
    pub ifindex: u32,
    /// 4 or 6.
    pub family: u8,
    /// The virtual router identifier.
    pub vrid: u8,
    /// VRRP version, 2 or 3.
    pub version: u8,
    /// This host's own priority.
    pub priority: u8,
    /// Between two adverts of this host's.
    pub advert_interval_ns: Nanos,
    /// The names of the router's interfaces, by index.
    pub links: BTreeMap<u32, String>,
}

impl Identity {
    /// The key of the router's black box.
    #[must_use]
    pub const fn key(&self) -> RouterKey {
        RouterKey {
            family: self.family,
            vrid: self.vrid,
            ..RouterKey::of_link(self.netns, self.ifindex)
        }
    }

    /// The name of an interface, or its index.
    #[must_use]
    pub fn link(&self, ifindex: u32) -> String {
        let name = self.links.get(&ifindex);
        name.map_or_else(|| format!("interface {ifindex}"), Clone::clone)
    }

    /// Writes it into a router's directory.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, directory: &Dir) -> Result<()> {
        let text = serde_json::to_vec(self).context("write the identity of a black box")?;
        directory.replace_soon(FILE, &text, MODE)
    }

    /// That of a router; `None` where the kernel never kept anything of it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is something else.
    pub fn read(directory: &Dir) -> Result<Option<Self>> {
        let Some(text) = directory.read(FILE, LONGEST)? else {
            return Ok(None);
        };
        serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("read {}/{FILE}", directory.path().display()))
    }
}
