//! A directory of pins in the BPF file system, and what dead agents left there.
//!
//! Every running agent has a directory of its own below [`ROOT`] and holds a lock
//! on it. A directory without a holder belongs to an agent that was killed: its
//! pins keep programs attached for nobody, so whoever starts next removes it.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use aya::maps::{Array, Map, MapData};
use keepfast_common::maps::{self as names, Agent};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use tracing::{info, warn};

use super::{Boxes, LEAVE, Wire, pinned_boxes};

/// Where all pins are.
pub const ROOT: &str = "/sys/fs/bpf/keepfast";

const BPF_FS: &str = "/sys/fs/bpf";

/// This agent's directory of pins; removed with all it holds when dropped.
#[derive(Debug)]
pub struct PinDirectory {
    path: PathBuf,
    /// The black boxes of dead agents, for whoever goes on with them.
    pub left_behind: Boxes,
    /// Held for as long as the directory is in use.
    _lock: Flock<File>,
}

impl PinDirectory {
    /// Removes what dead agents left and makes a directory called `name`.
    ///
    /// # Errors
    ///
    /// There is no BPF file system, no privilege, or a live agent has that name.
    pub fn create(name: &str) -> Result<Self> {
        mount_if_missing()?;
        make(Path::new(ROOT))?;
        let left_behind = sweep();
        let path = Path::new(ROOT).join(name);
        make(&path)?;
        let Some(lock) = try_lock(&path)? else {
            bail!("another keepfast uses {}", path.display());
        };
        Ok(Self {
            path,
            left_behind,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PinDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            warn!("remove {}: {error}", self.path.display());
        }
        // Goes when the last agent does.
        match fs::remove_dir(ROOT) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            Err(error) => warn!("remove {ROOT}: {error}"),
        }
    }
}

/// Mounts the BPF file system, as bpftool does, where the system has not; `ip
/// netns exec`, too, shows its command a `/sys` without it.
fn mount_if_missing() -> Result<()> {
    let kind = statfs(BPF_FS)
        .with_context(|| format!("inspect {BPF_FS}"))?
        .filesystem_type();
    if kind != BPF_FS_MAGIC {
        mount(
            Some("bpf"),
            BPF_FS,
            Some("bpf"),
            MsFlags::empty(),
            Some("mode=0700"),
        )
        .with_context(|| format!("mount the BPF file system at {BPF_FS}"))?;
        info!("mounted the BPF file system at {BPF_FS}");
    }
    Ok(())
}

/// Removes the directories that nobody holds; returns the black boxes that were there.
fn sweep() -> Boxes {
    let mut boxes = Boxes::new();
    let Ok(entries) = fs::read_dir(ROOT) else {
        return boxes;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if !path.is_dir() {
            continue;
        }
        match try_lock(&path) {
            Ok(None) => {}
            Ok(Some(_lock)) => {
                match pinned_boxes(&path, None) {
                    Ok(found) => boxes.extend(found),
                    Err(error) => warn!("keep what happened to routers: {error:#}"),
                }
                match take_leave(&path).and_then(|()| Ok(fs::remove_dir_all(&path)?)) {
                    Ok(()) => info!(
                        "removed {}, left by a keepfast that was killed",
                        path.display()
                    ),
                    Err(error) => warn!("remove {}: {error:#}", path.display()),
                }
            }
            Err(error) => warn!("{error:#}"),
        }
    }
    boxes
}

/// Has the programs of a dead agent, which answer probes still, say that they are about
/// to go: their silence means nothing then.
fn take_leave(directory: &Path) -> Result<()> {
    let path = directory.join(names::AGENT);
    if !path.exists() {
        return Ok(());
    }
    let data = MapData::from_pin(&path).with_context(|| format!("open {}", path.display()))?;
    let mut agents: Array<MapData, Wire<Agent>> = Map::Array(data).try_into()?;
    let mut agent = agents.get(&0, 0)?.0;
    if agent.alive_ns == 0 {
        // It answered no probes.
        return Ok(());
    }
    agent.leaving = 1;
    agents.set(0, Wire(agent), 0)?;
    std::thread::sleep(LEAVE);
    Ok(())
}

/// Makes a directory that only root can look into, if it is not there.
fn make(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("make {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Locks a directory; `None` where somebody else holds it.
fn try_lock(path: &Path) -> Result<Option<Flock<File>>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}
