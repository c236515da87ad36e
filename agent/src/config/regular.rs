//! Reading regular files, and nothing that could be put in their place.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

use crate::exit::BadInput;

/// Opens `name` in `directory`, if it is this user's or root's and has none of the
/// permissions `refused`. A symbolic link is not followed, and nothing is waited
/// for: a FIFO does not hold up.
pub(super) fn open(directory: BorrowedFd<'_>, name: &Path, refused: u32) -> Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::ELOOP) => bail!(BadInput(
            "is a symbolic link: expected a regular file".to_owned()
        )),
        Err(error) => return Err(error).context("open"),
    };
    if !file.metadata().context("inspect")?.is_file() {
        bail!(BadInput("is no regular file: expected one".to_owned()));
    }
    trust(&file, refused)?;
    Ok(file)
}

/// Checks that `file` is this user's or root's and has none of the permissions
/// `refused`.
pub(super) fn trust(file: &File, refused: u32) -> Result<()> {
    let metadata = file.metadata().context("inspect")?;
    let (owner, own) = (metadata.uid(), geteuid().as_raw());
    if owner != 0 && owner != own {
        bail!(BadInput(format!(
            "belongs to user {owner}: expected root or user {own}"
        )));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & refused != 0 {
        let expected = mode & !refused;
        bail!(BadInput(format!(
            "has the permissions {mode:04o}: expected {expected:04o} or less"
        )));
    }
    Ok(())
}

/// All of `file`, which may be `most` bytes long.
pub(super) fn contents(file: impl AsFd + std::io::Read, most: usize) -> Result<Vec<u8>> {
    // What is short is not moved about while it is read.
    let mut contents = Vec::with_capacity(most.min(4096) + 1);
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit)
        .read_to_end(&mut contents)
        .context("read")?;
    if contents.len() > most {
        bail!(BadInput(format!(
            "is too long: expected at most {most} bytes"
        )));
    }
    Ok(contents)
}
