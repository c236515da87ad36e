//! A directory of pins in the BPF file system, and what agents before this one left there.
//!
//! Every running agent has a directory of its own below [`ROOT`] and holds a lock on it. A
//! directory without a holder belongs to an agent that has ended for another one to go on, or
//! was killed: its pins keep programs attached and maps filled.
//!
//! The directory of a daemon names, by a symbolic link, the state directory of which the
//! daemon looks after the routers, and once all maps are pinned, by another one, their
//! layout ([`super::schema`]). The next daemon of that state directory takes it over where
//! the layout is its own, and removes it otherwise. All other directories without a holder
//! are removed by whoever starts next, unless there still is such a state directory: its
//! next daemon comes.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
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

/// The link to the state directory of the daemon whose pins these are.
const OWNER: &str = "state";

/// The link that says which layout the maps have.
const SCHEMA: &str = "schema";

/// Whose pins are to be taken over.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The state directory of the daemon.
    pub owner: &'a Path,
    /// Of the maps that it can go on with.
    pub schema: u64,
}

/// This agent's directory of pins; removed with all it holds when dropped.
#[derive(Debug)]
pub struct PinDirectory {
    path: PathBuf,
    /// The black boxes of dead agents, for whoever goes on with them.
    pub left_behind: Boxes,
    /// Whether it has the maps of an agent before this one.
    pub adopted: bool,
    /// It stays for the agent after this one.
    stays: bool,
    /// Held for as long as the directory is in use.
    _lock: Flock<File>,
}

impl PinDirectory {
    /// Removes what dead agents left, and makes a directory called `name` of what is claimed
    /// or of nothing.
    ///
    /// # Errors
    ///
    /// There is no BPF file system, no privilege, or a live agent has that name.
    pub fn create(name: &str, claim: Option<&Claim<'_>>) -> Result<Self> {
        mount_if_missing()?;
        make(Path::new(ROOT))?;
        let path = Path::new(ROOT).join(name);
        let (left_behind, found) = sweep(claim);
        if let Some((old, lock)) = found {
            match fs::rename(&old, &path) {
                Ok(()) => {
                    info!("going on with the kernel maps of {}", old.display());
                    return Ok(Self {
                        path,
                        left_behind,
                        adopted: true,
                        stays: false,
                        _lock: lock,
                    });
                }
                Err(error) => warn!("take over {}: {error}", old.display()),
            }
        }
        make(&path)?;
        let Some(lock) = try_lock(&path)? else {
            bail!("another keepfast uses {}", path.display());
        };
        if let Some(claim) = claim {
            mark(&path, OWNER, claim.owner)?;
        }
        Ok(Self {
            path,
            left_behind,
            adopted: false,
            stays: false,
            _lock: lock,
        })
    }

    /// All maps are pinned, and have this layout.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub fn complete(&self, schema: u64) -> Result<()> {
        if self.adopted {
            return Ok(());
        }
        mark(&self.path, SCHEMA, Path::new(&in_digits(schema)))
    }

    /// Makes a directory for programs; again is no news.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub fn subdirectory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        make(&path)?;
        Ok(path)
    }

    /// Lets go of the links of an agent before this one that are not among `held`: of
    /// interfaces that nobody asks for any more. How many there were.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn let_go_of_others(&self, held: &BTreeSet<&Path>) -> Result<usize> {
        let doing = || format!("list {}", self.path.display());
        let mut count = 0;
        for entry in fs::read_dir(&self.path).with_context(doing)? {
            let path = entry.with_context(doing)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            // A map's name begins with a letter, a link's with its namespace's number.
            let is_link = name.is_some_and(|name| name.starts_with(|it: char| it.is_ascii_digit()));
            if is_link && !held.contains(path.as_path()) {
                fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Leaves all that is pinned to the agent after this one.
    pub const fn leave(&mut self) {
        self.stays = true;
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PinDirectory {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
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

/// A directory, and the lock on it.
type Held = (PathBuf, Flock<File>);

/// Removes the directories that nobody holds and nobody will come for; returns the black
/// boxes that were there, and what is claimed if it can be gone on with.
fn sweep(claim: Option<&Claim<'_>>) -> (Boxes, Option<Held>) {
    let mut boxes = Boxes::new();
    let mut found = None;
    let Ok(entries) = fs::read_dir(ROOT) else {
        return (boxes, found);
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if !path.is_dir() {
            continue;
        }
        match try_lock(&path) {
            Ok(None) => {}
            Ok(Some(lock)) => match fate(&path, claim) {
                Fate::Stays => {}
                Fate::IsTakenOver if found.is_none() => found = Some((path, lock)),
                Fate::IsTakenOver | Fate::Goes => remove(&path, &mut boxes),
            },
            Err(error) => warn!("{error:#}"),
        }
    }
    (boxes, found)
}

/// What becomes of a directory without a holder.
enum Fate {
    /// Its next daemon will come.
    Stays,
    /// It is what is claimed.
    IsTakenOver,
    /// It is for nobody.
    Goes,
}

fn fate(path: &Path, claim: Option<&Claim<'_>>) -> Fate {
    let Ok(owner) = fs::read_link(path.join(OWNER)) else {
        return Fate::Goes;
    };
    let Some(claim) = claim.filter(|claim| claim.owner == owner) else {
        return if owner.exists() {
            Fate::Stays
        } else {
            Fate::Goes
        };
    };
    match fs::read_link(path.join(SCHEMA)) {
        Ok(schema) if schema == Path::new(&in_digits(claim.schema)) => Fate::IsTakenOver,
        Ok(_) => {
            warn!(
                "the kernel maps of the agent before this one have another layout and are \
                 made anew: who is master, peers and gateways are learnt again, counters begin \
                 at 0, black boxes are kept if their layout is the same"
            );
            Fate::Goes
        }
        // It was killed before it had them all.
        Err(_) => Fate::Goes,
    }
}

fn remove(path: &Path, boxes: &mut Boxes) {
    match pinned_boxes(path, None) {
        Ok(found) => boxes.extend(found),
        Err(error) => warn!("keep what happened to routers: {error:#}"),
    }
    match take_leave(path).and_then(|()| Ok(fs::remove_dir_all(path)?)) {
        Ok(()) => info!(
            "removed {}, left by a keepfast that was killed",
            path.display()
        ),
        Err(error) => warn!("remove {}: {error:#}", path.display()),
    }
}

fn mark(path: &Path, name: &str, target: &Path) -> Result<()> {
    symlink(target, path.join(name)).with_context(|| format!("mark {}", path.display()))
}

fn in_digits(schema: u64) -> String {
    format!("{schema:016x}")
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
