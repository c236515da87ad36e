//! Reading regular files, and nothing that could be put in their place.

use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;
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
    insist(&file)?;
    trust(&file, refused)?;
    Ok(file)
}

/// Insists that `file` is a regular one.
pub(super) fn insist(file: &File) -> Result<()> {
    if file.metadata().context("inspect")?.is_file() {
        return Ok(());
    }
    bail!(BadInput("is no regular file: expected one".to_owned()))
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
pub(super) fn contents(file: impl Read, most: usize) -> Result<Vec<u8>> {
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

#[cfg(test)]
pub(super) mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory of one test, removed when dropped.
    pub(in crate::config) struct Scratch(PathBuf);

    impl Scratch {
        pub(in crate::config) fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("kf-config-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        pub(in crate::config) fn path(&self) -> &Path {
            &self.0
        }

        /// Makes a file of exactly this mode.
        pub(in crate::config) fn file(&self, name: &str, contents: &[u8], mode: u32) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, contents).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}
