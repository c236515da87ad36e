//! What there is in the place of a file, in words.

use std::fs::{self, File, FileType};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::errno::Errno;

pub(super) const A_DIRECTORY: &str = "a directory";
pub(super) const A_FILE: &str = "a regular file";

/// What was opened, if it is a regular file.
pub(super) fn regular(descriptor: OwnedFd, path: &Path) -> Result<File> {
    let file = File::from(descriptor);
    let kind = file
        .metadata()
        .with_context(|| format!("inspect {}", path.display()))?
        .file_type();
    ensure!(
        kind.is_file(),
        "{} is {}: expected {A_FILE}",
        path.display(),
        in_words(kind)
    );
    Ok(file)
}

/// Why `path` could not be used as what was `expected`: what there is in its place,
/// or else the error.
pub(super) fn surprise(doing: &str, path: &Path, expected: &str, errno: Errno) -> anyhow::Error {
    let last = [(path, expected)].into_iter();
    let parents = path.ancestors().skip(1).map(|parent| (parent, A_DIRECTORY));
    for (path, expected) in last.chain(parents) {
        if let Ok(metadata) = fs::symlink_metadata(path) {
            let found = in_words(metadata.file_type());
            if found != expected {
                return anyhow!("{} is {found}: expected {expected}", path.display());
            }
        }
    }
    anyhow!(errno).context(format!("{doing} {}", path.display()))
}

fn in_words(kind: FileType) -> &'static str {
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        A_DIRECTORY
    } else if kind.is_file() {
        A_FILE
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
