//! Network namespaces: finding them, and working in one for a moment.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

/// Where `ip netns` keeps its names.
pub const NAMED: &str = "/run/netns";
/// The namespace of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace. Held open: its inode number cannot come to mean another
/// one while this lives.
#[derive(Debug)]
pub struct Namespace {
    name: Option<String>,
    /// `None` when it was let go.
    file: Option<File>,
    inode: u32,
}

impl Namespace {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// `/proc` is not mounted.
    pub fn current() -> Result<Self> {
        let file = File::open(OWN).with_context(|| format!("open {OWN}"))?;
        Self::of_file(None, file, Path::new(OWN))
    }

    /// The namespace that `ip netns` knows by `name`.
    ///
    /// # Errors
    ///
    /// There is none of that name, the name is a path, or what has the name is no
    /// namespace.
    pub fn named(name: &str) -> Result<Self> {
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            bail!("network namespace {name:?}: expected a name as `ip netns` lists it");
        }
        let path = PathBuf::from(NAMED).join(name);
        // Neither another file by way of a link, nor waiting for who opens a FIFO.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path)
            .with_context(|| {
                let path = path.display();
                format!("network namespace {name:?} does not exist: there is no usable {path}")
            })?;
        let filesystem = fstatfs(&file)
            .with_context(|| format!("inspect {}", path.display()))?
            .filesystem_type();
        if filesystem != NSFS_MAGIC {
            bail!(
                "{}: expected a network namespace, found a file",
                path.display()
            );
        }
        Self::of_file(Some(name.to_owned()), file, &path)
    }

    /// Another handle to the same namespace.
    ///
    /// # Errors
    ///
    /// It was let go, or there are too many open files.
    pub fn clone_of(other: &Self) -> Result<Self> {
        let file = other
            .file
            .as_ref()
            .with_context(|| format!("network namespace {} is gone", other.label()))?;
        Ok(Self {
            name: other.name.clone(),
            file: Some(file.try_clone().context("hold a network namespace")?),
            inode: other.inode,
        })
    }

    fn of_file(name: Option<String>, file: File, path: &Path) -> Result<Self> {
        let metadata = file
            .metadata()
            .with_context(|| format!("inspect {}", path.display()))?;
        // Inode numbers of namespaces are 32 bits wide in the kernel.
        let inode = metadata.st_ino() as u32;
        Ok(Self {
            name,
            file: Some(file),
            inode,
        })
    }

    /// Its name; `None` for the one that the agent was started in.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its inode number, as `ls -i /run/netns` and `lsns` show it.
    pub const fn inode(&self) -> u32 {
        self.inode
    }

    /// Runs `work` with the calling thread in this namespace.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or `work` fails.
    pub fn enter<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let own = File::open(OWN).with_context(|| format!("open {OWN}"))?;
        let own_inode = own
            .metadata()
            .with_context(|| format!("inspect {OWN}"))?
            .st_ino();
        if own_inode as u32 == self.inode {
            return work();
        }
        let file = self
            .file
            .as_ref()
            .with_context(|| format!("network namespace {} is gone", self.label()))?;
        setns(file.as_fd(), CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("enter network namespace {}", self.label()))?;
        let result = work();
        setns(own.as_fd(), CloneFlags::CLONE_NEWNET).context("return to own network namespace")?;
        result
    }

    /// Whether its name still stands for it; the own one has none to lose.
    pub fn is_still_named(&self) -> bool {
        self.name.as_ref().is_none_or(|name| {
            std::fs::metadata(PathBuf::from(NAMED).join(name))
                .is_ok_and(|metadata| metadata.st_ino() as u32 == self.inode)
        })
    }

    /// Lets it go: nothing here keeps it alive from now on.
    pub fn release(&mut self) {
        self.file = None;
    }

    /// Its name, or its inode number.
    pub fn label(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| format!("{} (own)", self.inode))
    }
}
