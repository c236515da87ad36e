//! Network namespaces with a name: made and removed as `ip netns` does it.

use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{NSFS_MAGIC, statfs};

use super::message::Request;
use super::requests::Requests;
use crate::config::NamespaceName;
use crate::netns::{NAMED, Namespace};

/// The loopback interface is the first of every namespace.
const LOOPBACK: u32 = 1;

/// Makes a namespace called `name`, with its loopback interface up and without IPv6
/// forwarding, whatever the host hands down. When it fails nothing is left.
///
/// # Errors
///
/// There is something of that name already, or a privilege is missing.
pub fn create(name: &NamespaceName) -> Result<Namespace> {
    prepare_directory().with_context(|| format!("prepare {NAMED}"))?;
    let path = Path::new(NAMED).join(name.as_str());
    reserve(&path).with_context(|| format!("make network namespace {name}"))?;
    let made = thread::scope(|scope| {
        // Of its own, for the thread is in the namespace from then on.
        let making = scope.spawn(|| make_here(&path)).join();
        making.unwrap_or_else(|_| bail!("the thread that makes it ended early"))
    });
    made.and_then(|()| Namespace::named(name.as_str()))
        .with_context(|| format!("make network namespace {name}"))
        .map_err(|error| match remove(&path) {
            Ok(()) => error,
            Err(left) => error.context(format!("{} is left: {left:#}", path.display())),
        })
}

/// Removes the name of a namespace; it goes when nobody uses it any more. There
/// may be none.
///
/// # Errors
///
/// What has the name is no namespace, or a privilege is missing.
pub fn delete(name: &NamespaceName) -> Result<()> {
    let path = Path::new(NAMED).join(name.as_str());
    let inspected = fs::symlink_metadata(&path).and_then(|found| {
        // Not followed where it leads elsewhere.
        let namespace = found.is_file() && statfs(&path)?.filesystem_type() == NSFS_MAGIC;
        // What was made or removed by half.
        let empty = found.is_file() && found.len() == 0;
        Ok(namespace || empty)
    });
    match inspected {
        Ok(true) => remove(&path).with_context(|| format!("remove network namespace {name}")),
        Ok(false) => bail!("{}: expected a network namespace", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("inspect {}", path.display())),
    }
}

/// Makes the file that the namespace will be mounted on. One that is there already
/// and empty is what is left where a creation was killed.
fn reserve(path: &Path) -> Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_left_over(path)? => Ok(()),
        Err(error) => Err(error).with_context(|| format!("make {}", path.display())),
    }
}

fn is_left_over(path: &Path) -> Result<bool> {
    let found = fs::symlink_metadata(path)?;
    Ok(found.is_file() && found.len() == 0 && statfs(path)?.filesystem_type() != NSFS_MAGIC)
}

/// Puts the calling thread into a namespace that is made for it, and names that.
fn make_here(path: &Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
    let own = PathBuf::from("/proc/thread-self/ns/net");
    mount_on(Some(&own), path, MsFlags::MS_BIND).context("mount it")?;
    let forwarding = "/proc/sys/net/ipv6/conf/all/forwarding";
    match fs::write(forwarding, "0") {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("write {forwarding}"));
        }
        // Without IPv6 there is nothing to forward.
        _ => {}
    }
    Requests::open()?
        .execute(&Request::set_up(LOOPBACK))?
        .context("set lo up")
}

/// Makes the directory a shared mount, so that a name made here is seen, and a name
/// removed here goes, in all mount namespaces.
fn prepare_directory() -> Result<()> {
    let directory = Path::new(NAMED);
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    let share = || mount_on(None, directory, MsFlags::MS_SHARED | MsFlags::MS_REC);
    match share() {
        // It is no mount yet.
        Err(Errno::EINVAL) => {
            let whole = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount_on(Some(directory), directory, whole).context("mount it on itself")?;
            share().context("share it")
        }
        other => other.context("share it"),
    }
}

fn mount_on(source: Option<&Path>, target: &Path, flags: MsFlags) -> nix::Result<()> {
    mount(source, target, None::<&str>, flags, None::<&str>)
}

fn remove(path: &Path) -> Result<()> {
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        // EINVAL: nothing is mounted there.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(errno) => return Err(anyhow!(errno).context("unmount it")),
    }
    fs::remove_file(path).context("remove its file")
}
