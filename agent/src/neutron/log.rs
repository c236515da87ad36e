//! The monitor's log file, in the format of Neutron's own monitor.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::OFlag;
use nix::libc;

use crate::printable::printable;

/// How a log begins: with a date.
const DATE: &[u8; 10] = b"0000-00-00";

/// The most characters of a message.
const MOST: usize = 1000;

/// Where a monitor says what it does. What cannot be written is lost: there is nobody to tell.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    router: String,
    debug: bool,
}

impl Log {
    /// A log at `path`. It is opened for each line, for others may rotate it.
    pub(super) fn new(path: &Path, router: &str, debug: bool) -> Self {
        Self {
            path: path.to_owned(),
            router: router.to_owned(),
            debug,
        }
    }

    /// Only with `--debug`.
    pub(super) fn debug(&self, message: &str) {
        if self.debug {
            self.say("DEBUG", message);
        }
    }

    /// What is of interest to an operator.
    pub(super) fn info(&self, message: &str) {
        self.say("INFO", message);
    }

    /// What went wrong.
    pub(super) fn error(&self, message: &str) {
        self.say("ERROR", message);
    }

    fn say(&self, level: &str, message: &str) {
        let router = if self.router.is_empty() {
            String::new()
        } else {
            format!(" {}:", self.router)
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut line = format!("{} {level} {}{router} ", local(now), std::process::id());
        line.extend(printable(message).chars().take(MOST));
        line.push('\n');
        // See the type's comment.
        drop(open(&self.path).and_then(|mut file| file.write_all(line.as_bytes())));
    }
}

/// Opens a log to append to it; made where missing if its name ends with `.log`, so that it is
/// none of the files that some program runs or reads for what it does. Anything that does not
/// look like a log is refused.
fn open(path: &Path) -> Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(path.extension().is_some_and(|it| it == "log"))
        .mode(0o644)
        .custom_flags(flags.bits())
        .open(path)?;
    let metadata = file.metadata()?;
    let mut begin = DATE.to_owned();
    let count = if metadata.is_file() {
        file.read_at(&mut begin, 0)?
    } else {
        0
    };
    let fits = |(found, like): (&u8, &u8)| {
        if *like == b'0' {
            found.is_ascii_digit()
        } else {
            found == like
        }
    };
    let is_log = count == 0 || (count == DATE.len() && begin.iter().zip(DATE).all(fits));
    if metadata.is_file() && metadata.nlink() == 1 && is_log {
        Ok(file)
    } else {
        Err(Error::new(ErrorKind::InvalidInput, "expected a log file"))
    }
}

/// A time of the wall clock, in local time, with milliseconds.
fn local(since_epoch: Duration) -> String {
    let seconds = libc::time_t::try_from(since_epoch.as_secs()).unwrap_or_default();
    // SAFETY: plain numbers and a pointer that may be null.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to what lives until the call returns; no other thread runs.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut parts) };
    let mut text = String::new();
    // Into a String, which does not fail.
    write!(
        text,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
        parts.tm_year.saturating_add(1900),
        parts.tm_mon.saturating_add(1),
        parts.tm_mday,
        parts.tm_hour,
        parts.tm_min,
        parts.tm_sec,
        since_epoch.subsec_millis()
    )
    .unwrap_or_default();
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn lines_are_appended_to_logs_and_to_nothing_else() {
        let folder = std::env::temp_dir().join(format!("kf-{}-log", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("r.log");
        let log = Log::new(&path, "r-1", false);
        log.info("Initial status of\nrouter");
        log.debug("not said");
        log.error("second");
        let said = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(
            lines[0].contains(" INFO ") && lines[0].ends_with(" r-1: Initial status of router")
        );

        let precious = folder.join("precious");
        Log::new(&folder.join("run.sh"), "r-1", false).info("new");
        assert!(!folder.join("run.sh").exists());
        fs::write(&precious, "root:x:0:0::/:/bin/sh\n").unwrap();
        symlink(&path, folder.join("symbolic")).unwrap();
        fs::hard_link(&path, folder.join("hard")).unwrap();
        for name in ["precious", "symbolic", "hard"] {
            Log::new(&folder.join(name), "r-1", false).info("more");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), said);
        assert_eq!(
            fs::read_to_string(&precious).unwrap(),
            "root:x:0:0::/:/bin/sh\n"
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
