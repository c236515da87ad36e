//! The black boxes: made and read by the agent, written by the programs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, MapError};
use bytemuck::Zeroable as _;
use keepfast_common::blackbox::{BlackBox, Exit};
use keepfast_common::maps::{self as names, BlackBoxSlot, LinkKey, RouterKey};

use super::Wire;
use super::maps::{gone, open};

/// `BPF_NOEXIST`: what is there already stays.
pub(super) const ONLY_NEW: u64 = 1;
/// `BPF_F_LOCK`: under the element's lock, so that no record is torn.
const LOCKED: u64 = 4;

/// Black boxes as they were read.
pub type Boxes = BTreeMap<RouterKey, BlackBox>;

/// The maps of the black boxes.
pub struct BlackBoxes {
    boxes: HashMap<MapData, Wire<RouterKey>, Wire<BlackBoxSlot>>,
    exits: HashMap<MapData, Wire<LinkKey>, Wire<Exit>>,
}

impl BlackBoxes {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            boxes: open(ebpf, names::BLACKBOX)?,
            exits: open(ebpf, names::EXITS)?,
        })
    }

    /// Has what happens to a virtual router, or is heard of peers on an interface
    /// ([`RouterKey::of_link`]), kept from now on; beginning with what `before` holds. A
    /// box that is there already stays as it is.
    ///
    /// # Errors
    ///
    /// The map is full.
    pub fn keep(&mut self, key: RouterKey, before: Option<BlackBox>) -> Result<()> {
        let slot = BlackBoxSlot {
            lock: 0,
            reserved: 0,
            state: before.unwrap_or(BlackBox::EMPTY),
        };
        there(self.boxes.insert(Wire(key), Wire(slot), ONLY_NEW))
            .with_context(|| format!("write map {}", names::BLACKBOX))
    }

    /// Ends that, and forgets what was kept.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn forget(&mut self, key: RouterKey) -> Result<()> {
        gone(self.boxes.remove(&Wire(key)))
            .with_context(|| format!("write map {}", names::BLACKBOX))
    }

    /// Has announcements, and the first packet after them, noticed on an interface of a
    /// router; again is no news.
    ///
    /// # Errors
    ///
    /// The map is full.
    pub fn watch_exit(&mut self, link: LinkKey, router: RouterKey) -> Result<()> {
        let exit = Exit {
            router,
            ..Exit::zeroed()
        };
        there(self.exits.insert(Wire(link), Wire(exit), ONLY_NEW))
            .with_context(|| format!("write map {}", names::EXITS))
    }

    /// Ends that.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn unwatch_exit(&mut self, link: LinkKey) -> Result<()> {
        gone(self.exits.remove(&Wire(link))).with_context(|| format!("write map {}", names::EXITS))
    }

    /// All that is kept.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn all(&self) -> Result<Boxes> {
        read(&self.boxes, self.boxes.keys())
            .with_context(|| format!("read map {}", names::BLACKBOX))
    }

    /// What is kept of a virtual router or an interface; `None` where nothing is.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn read(&self, key: RouterKey) -> Result<Option<BlackBox>> {
        match self.boxes.get(&Wire(key), LOCKED) {
            Ok(slot) => Ok(Some(slot.0.state)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read map {}", names::BLACKBOX)),
        }
    }
}

/// The black boxes of an agent, running or dead, by its directory of pins: those of
/// `keys` or all. None where it has no such map.
///
/// # Errors
///
/// The kernel refuses.
pub fn pinned_boxes(directory: &Path, keys: Option<&[RouterKey]>) -> Result<Boxes> {
    let path = directory.join(names::BLACKBOX);
    if !path.exists() {
        return Ok(Boxes::new());
    }
    let doing = || format!("read {}", path.display());
    let data = MapData::from_pin(&path).with_context(doing)?;
    let boxes: HashMap<MapData, Wire<RouterKey>, Wire<BlackBoxSlot>> =
        Map::HashMap(data).try_into().with_context(doing)?;
    match keys {
        Some(keys) => read(&boxes, keys.iter().map(|key| Ok(Wire(*key)))),
        None => read(&boxes, boxes.keys()),
    }
    .with_context(doing)
}

/// Those that are there.
fn read(
    boxes: &HashMap<MapData, Wire<RouterKey>, Wire<BlackBoxSlot>>,
    keys: impl Iterator<Item = Result<Wire<RouterKey>, MapError>>,
) -> Result<Boxes, MapError> {
    let mut found = Boxes::new();
    for key in keys {
        let Wire(key) = key?;
        match boxes.get(&Wire(key), LOCKED) {
            Ok(Wire(slot)) => {
                found.insert(key, slot.state);
            }
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Adding what is there is done.
pub(super) fn there(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::SyscallError(error))
            if error.io_error.kind() == std::io::ErrorKind::AlreadyExists =>
        {
            Ok(())
        }
        other => other,
    }
}
