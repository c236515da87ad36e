//! Giving back the memory that the start of a big program has touched.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::ptr::NonNull;

use anyhow::{Context as _, Result};
use nix::sys::mman::{MmapAdvise, madvise};

/// Big enough for a line of smaps.
const BUFFER: usize = 1024;

/// Parts of this process's memory that are as they are in files: nothing has been written there
/// and nothing can be.
#[derive(Debug)]
pub(super) struct Clean(Vec<(usize, usize)>);

impl Clean {
    /// Finds them. To be called when what the dynamic linker writes is written.
    pub(super) fn find() -> Result<Self> {
        let smaps = File::open("/proc/self/smaps").context("open /proc/self/smaps")?;
        let mut found = Vec::new();
        let mut candidate = None;
        for line in BufReader::with_capacity(BUFFER, smaps).lines() {
            let line = line.context("read /proc/self/smaps")?;
            if let Some(range) = range(&line) {
                candidate = range;
            } else if is_untouched(&line) {
                found.extend(candidate.take());
            }
        }
        Ok(Self(found))
    }

    /// Gives their pages back. The kernel reads those from the files again that are used
    /// again.
    pub(super) fn give_back(&self) {
        for (start, end) in &self.0 {
            if let Some(address) = NonNull::new(std::ptr::without_provenance_mut(*start)) {
                // SAFETY: a private mapping of a file that has not been written to and is
                // not writable: what is dropped comes back the same. A failure changes
                // nothing.
                let done = unsafe { madvise(address, end - start, MmapAdvise::MADV_DONTNEED) };
                done.unwrap_or_default();
            }
        }
        // SAFETY: takes and returns plain numbers.
        unsafe { nix::libc::malloc_trim(0) };
    }
}

/// The range of a mapping's first line, `Some(None)` if it is not of a file or writable; `None`:
/// another line.
fn range(line: &str) -> Option<Option<(usize, usize)>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let hex = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (hex(start)?, hex(end)?);
    let readable = matches!(words.next()?, "r--p" | "r-xp");
    let of_file = words.nth(2)? != "0" && end > start;
    Some((readable && of_file).then_some((start, end)))
}

/// Whether a line says that nothing has been written: the dynamic linker writes parts that
/// are made read-only afterwards.
fn is_untouched(line: &str) -> bool {
    let rest = line.strip_prefix("Anonymous:");
    rest.is_some_and(|rest| rest.split_ascii_whitespace().eq(["0", "kB"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_of_files_and_cannot_be_written_counts() {
        let text = "55d0a000-55d0b000 r-xp 00001000 fe:01 42   /usr/bin/keepfast";
        assert_eq!(range(text), Some(Some((0x55d0_a000, 0x55d0_b000))));
        for other in [
            "55d0a000-55d0b000 rw-p 00001000 fe:01 42   /usr/bin/keepfast",
            "55d0a000-55d0b000 r-xs 00001000 fe:01 42   /usr/bin/keepfast",
            "7ffd0000-7ffd1000 r-xp 00000000 00:00 0    [vdso]",
        ] {
            assert_eq!(range(other), Some(None), "{other}");
        }
        assert_eq!(range("Size:                  4 kB"), None);
        assert!(is_untouched("Anonymous:             0 kB"));
        assert!(!is_untouched("Anonymous:            12 kB"));
        assert!(!is_untouched("AnonHugePages:         0 kB"));
    }

    #[test]
    fn what_was_given_back_is_still_there() {
        let clean = Clean::find().unwrap();
        assert!(!clean.0.is_empty());
        clean.give_back();
        let after = Clean::find().unwrap();
        assert!(after.0.iter().any(|it| clean.0.contains(it)), "{after:?}");
    }
}
