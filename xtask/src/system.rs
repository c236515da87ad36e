//! Facts about the machine.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
