//! What happened to a router, one JSON line each: in a file of bounded size with
//! one older generation, `<name>.1`.
//!
//! The file is opened for each line: a thousand routers have a thousand of them.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::files::Dir;

/// How big a generation may become, bytes.
pub(crate) const LIMIT: usize = 256 * 1024;
/// For root, and for those whom the administrator gives the file.
const MODE: u32 = 0o640;

/// The log of one router.
#[derive(Debug)]
pub struct EventLog {
    dir: Dir,
    name: String,
}

impl EventLog {
    /// The log called `name` in `dir`; its file is made where missing.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or is something else.
    pub fn open(dir: &Dir, name: &str) -> Result<Self> {
        dir.open_append(name, MODE)?;
        Ok(Self {
            dir: dir.clone(),
            name: name.to_owned(),
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    ///
    /// It cannot be written, or is longer than a whole log may be.
    pub fn append(&mut self, value: &Value) -> Result<()> {
        let doing = || format!("write {}/{}", self.dir.path().display(), self.name);
        let mut line = format!("{value}\n").into_bytes();
        ensure!(line.len() < LIMIT, "a line of {} bytes", line.len());
        let mut file = self.dir.open_append(&self.name, MODE)?;
        let size = file.metadata().with_context(doing)?.len();
        if size + line.len() as u64 >= LIMIT as u64 {
            self.dir.rename(&self.name, &older(&self.name))?;
            file = self.dir.open_append(&self.name, MODE)?;
        } else if let Some(last) = size.checked_sub(1) {
            // A line that a crash or a full disk cut short spoils itself only.
            let mut end = [0];
            file.read_exact_at(&mut end, last).with_context(doing)?;
            if end != *b"\n" {
                line.insert(0, b'\n');
            }
        }
        // In one piece, so that a reader finds whole lines.
        file.write_all(&line).with_context(doing)
    }
}

/// All lines of a log, the oldest first, without those that were cut short.
///
/// # Errors
///
/// A file of it cannot be read, or is something else.
pub fn read(dir: &Dir, name: &str) -> Result<Vec<Value>> {
    last(dir, name, usize::MAX)
}

/// The last `count` lines at most, as [`read`].
///
/// # Errors
///
/// As of [`read`].
pub fn last(dir: &Dir, name: &str, count: usize) -> Result<Vec<Value>> {
    let mut lines = Vec::new();
    for name in [name.to_owned(), older(name)] {
        if lines.len() == count {
            break;
        }
        let content = dir.read(&name, LIMIT)?.unwrap_or_default();
        let whole = content
            .rsplit(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        lines.extend(whole.take(count - lines.len()));
    }
    lines.reverse();
    Ok(lines)
}

/// The name of the older generation.
pub(crate) fn older(name: &str) -> String {
    format!("{name}.1")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    /// A directory of one test, removed when dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let name = format!("kf-event-log-{}-{test}", std::process::id());
            let path = std::env::temp_dir().join(name);
            Dir::create(&path, 0o700).unwrap();
            Self(path)
        }

        fn dir(&self) -> Dir {
            Dir::open(&self.0).unwrap()
        }

        fn log(&self) -> EventLog {
            EventLog::open(&self.dir(), "events").unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let scratch = Scratch::new("lines");
        assert_eq!(read(&scratch.dir(), "events").unwrap(), [] as [Value; 0]);
        let lines = [json!({"state": "primary"}), json!("two\nlines"), json!({})];
        for line in &lines {
            // Each by another agent: nothing but the file is needed to go on.
            scratch.log().append(line).unwrap();
        }
        assert_eq!(read(&scratch.dir(), "events").unwrap(), lines);
        let metadata = fs::metadata(scratch.0.join("events")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
    }

    #[test]
    fn a_line_cut_short_spoils_itself_only() {
        let scratch = Scratch::new("torn");
        let file = scratch.0.join("events");
        for torn in ["{\"n\":1}\n{\"n\":", "{\"n\":1}\n\u{0}", "{\"n\":1}"] {
            fs::write(&file, torn).unwrap();
            let mut log = scratch.log();
            log.append(&json!({"n": 2})).unwrap();
            log.append(&json!({"n": 3})).unwrap();
            let expected = [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})];
            assert_eq!(
                read(&scratch.dir(), "events").unwrap(),
                expected,
                "{torn:?}"
            );
        }
    }

    #[test]
    fn a_full_log_becomes_the_older_of_two() {
        let scratch = Scratch::new("full");
        let mut log = scratch.log();
        let text = "x".repeat(1000);
        let count = 3 * LIMIT / 1000;
        for number in 0..count {
            log.append(&json!([number, text])).unwrap();
        }
        let names = scratch.dir().names().unwrap();
        assert_eq!(names, ["events", "events.1"]);
        for name in names {
            let size = fs::metadata(scratch.0.join(&name)).unwrap().len();
            assert!(size <= LIMIT as u64, "{name}: {size}");
        }
        let lines = read(&scratch.dir(), "events").unwrap();
        let numbers: Vec<_> = lines.iter().map(|line| line[0].as_u64().unwrap()).collect();
        // The newest, and at least one whole generation of them.
        let first = numbers[0];
        assert!(numbers.len() > LIMIT / 1100, "{}", numbers.len());
        assert_eq!(numbers, (first..count as u64).collect::<Vec<_>>());
        for few in [0, 1, 2, lines.len() - 1, lines.len(), usize::MAX] {
            let last = last(&scratch.dir(), "events", few).unwrap();
            assert_eq!(last, lines[lines.len().saturating_sub(few)..], "{few}");
        }
    }

    #[test]
    fn a_line_that_no_log_could_hold_is_refused() {
        let scratch = Scratch::new("long");
        let mut log = scratch.log();
        log.append(&json!(1)).unwrap();
        log.append(&json!("x".repeat(LIMIT))).unwrap_err();
        assert_eq!(read(&scratch.dir(), "events").unwrap(), [json!(1)]);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_an_error_and_no_more() {
        let scratch = Scratch::new("link");
        let mut log = scratch.log();
        let file = scratch.0.join("events");
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("elsewhere", &file).unwrap();
        let error = log.append(&json!(1)).unwrap_err().to_string();
        assert!(error.contains("events is a symbolic link"), "{error}");
        fs::remove_file(&file).unwrap();
        log.append(&json!(2)).unwrap();
        assert_eq!(read(&scratch.dir(), "events").unwrap(), [json!(2)]);
    }
}
