//! Network namespaces: made by system calls, named so that `ip netns` sees them.

use crate::link;
use crate::workdir::unique_name;
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

/// Where `ip netns` looks for names.
const DIRECTORY: &str = "/run/netns";

/// A network namespace with its loopback up and IPv6 duplicate address detection off.
///
/// A clone is another handle of the same namespace. The last one to go removes the name; the
/// namespace itself lives on as long as a process is in it.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    path: PathBuf,
    file: File,
}

impl Namespace {
    /// Makes a namespace called `kf-<pid>-<n>-<role>`.
    ///
    /// # Errors
    /// Without root, or when /run/netns cannot be used.
    pub fn new(role: &str) -> Result<Self> {
        Self::named(unique_name(role))
    }

    fn named(name: String) -> Result<Self> {
        prepare_directory().with_context(|| format!("prepare {DIRECTORY}"))?;
        let path = Path::new(DIRECTORY).join(&name);
        File::create_new(&path).with_context(|| format!("make {}", path.display()))?;
        let made = on_new_thread(|| make_here(&path))
            .and_then(|()| File::open(&path).context("open it"))
            .with_context(|| format!("make namespace {name}"));
        match made {
            Ok(file) => Ok(Self(Arc::new(Inner { name, path, file }))),
            Err(error) => {
                if let Err(left) = remove(&path) {
                    eprintln!("remove namespace {name}: {left}");
                }
                Err(error)
            }
        }
    }

    /// Removes the name, as `ip netns delete` does. What runs in it runs on.
    ///
    /// # Errors
    /// When it has none any more.
    pub fn delete(&self) -> Result<()> {
        remove(self.path()).with_context(|| format!("delete namespace {}", self.name()))
    }

    /// Makes another namespace of the name of this one, which was deleted.
    ///
    /// # Errors
    /// As [`Namespace::new`].
    pub fn another(&self) -> Result<Self> {
        Self::named(self.name().to_owned())
    }

    /// Its name, as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The file that holds it, to be opened for `setns`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Runs `work` on a thread of its own inside the namespace.
    ///
    /// Sockets made there stay in the namespace wherever they are used later.
    ///
    /// # Errors
    /// When the namespace cannot be entered, and those of `work`.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_new_thread(|| {
            setns(&self.0.file, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("enter namespace {}", self.name()))?;
            work()
        })
    }

    /// A command that will run inside the namespace.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let inner = Arc::clone(&self.0);
        let enter = move || setns(&inner.file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
        // SAFETY: between fork and exec the closure makes one system call and allocates nothing;
        // the file it uses is kept open by the closure's own handle.
        unsafe { command.pre_exec(enter) };
        command
    }
}

impl Inner {
    /// Whether the name is still this namespace's: it may be nobody's by now, or another one's.
    fn has_its_name(&self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if matches!(self.has_its_name(), Ok(false)) {
            return;
        }
        if let Err(error) = remove(&self.path) {
            eprintln!("remove namespace {}: {error}", self.name);
        }
    }
}

/// Runs `work` on a thread that ends with it: its namespace is then nobody else's.
fn on_new_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(payload) => panic::resume_unwind(payload),
    })
}

fn make_here(path: &Path) -> Result<()> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNET).context("unshare")?;
    mount(
        Some("/proc/thread-self/ns/net"),
        path,
        NONE,
        MsFlags::MS_BIND,
        NONE,
    )
    .context("bind mount")?;
    // An address is usable at once instead of after a second of duplicate detection.
    for scope in ["all", "default"] {
        let setting = format!("/proc/sys/net/ipv6/conf/{scope}/accept_dad");
        fs::write(&setting, "0").with_context(|| format!("write {setting}"))?;
    }
    link::raise("lo")
}

/// Makes the directory a shared mount, as `ip netns` does, so that names made here are seen in
/// other mount namespaces and disappear from all of them.
fn prepare_directory() -> Result<()> {
    const NONE: Option<&str> = None;
    fs::create_dir_all(DIRECTORY)?;
    let share = || {
        mount(
            NONE,
            DIRECTORY,
            NONE,
            MsFlags::MS_SHARED | MsFlags::MS_REC,
            NONE,
        )
    };
    match share() {
        Err(Errno::EINVAL) => {
            mount(
                Some(DIRECTORY),
                DIRECTORY,
                NONE,
                MsFlags::MS_BIND | MsFlags::MS_REC,
                NONE,
            )
            .context("mount it on itself")?;
            share().context("share it")
        }
        other => other.context("share it"),
    }
}

fn remove(path: &Path) -> Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // Not a mount point: making the namespace got no further than the file.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(error) => return Err(anyhow!(error).context("unmount")),
    }
    fs::remove_file(path).context("remove its file")
}
