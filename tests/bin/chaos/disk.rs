//! A small disk for a daemon's state, which can be full and which can be read-only.

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

const NONE: Option<&str> = None;
const OPTIONS: &str = "size=16m,mode=0755";
/// What fills it.
const FILLING: &str = "filling";

pub(crate) struct Disk(PathBuf);

/// Has all mounts that are made from now on go with this process and its children, however they
/// end. Call it before there is a second thread.
pub(crate) fn keep_mounts_apart() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("unshare mounts")?;
    let flags = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(NONE, "/", NONE, flags, NONE).context("keep mounts private")
}

impl Disk {
    /// Mounts one there.
    pub(crate) fn mount(path: &Path) -> Result<Self> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("keepfast"), path, Some("tmpfs"), flags, Some(OPTIONS))
            .with_context(|| format!("mount {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut file = File::create(self.0.join(FILLING)).context("fill the disk")?;
        for size in [4_096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    }

    /// Ends [`Disk::fill`].
    pub(crate) fn empty(&self) -> Result<()> {
        fs::remove_file(self.0.join(FILLING)).context("empty the disk")
    }

    /// Nothing can be written any more, or again.
    pub(crate) fn set_read_only(&self, on: bool) -> Result<()> {
        let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
        flags.set(MsFlags::MS_RDONLY, on);
        mount(NONE, &self.0, NONE, flags, NONE).context("mount the disk anew")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = umount2(&self.0, MntFlags::MNT_DETACH) {
            eprintln!("unmount {}: {error}", self.0.display());
        }
    }
}
