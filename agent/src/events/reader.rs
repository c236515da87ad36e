//! The event logs of all routers, as one, in the order of time.
//!
//! What has been read of each is remembered by the file's inode number and its beginning
//! (the numbers are given again soon): a log that was full has become the older
//! generation, a router that is new has a log of its own, and one that was deleted has
//! none any more.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;

use crate::config::RouterId;
use crate::event_log::{LIMIT, older};
use crate::files::Dir;

/// How many bytes tell a log from another one: each line begins with its time, to the
/// nanosecond.
const HEAD: usize = 160;

/// A log's name in a router's directory.
const LOG: &str = "events.jsonl";

/// A line of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When, by the wall clock.
    pub time: Timestamp,
    /// Whose log it is from.
    pub router: String,
    /// The whole line.
    pub line: Value,
}

/// Reads the logs, each time what has come since.
#[derive(Debug)]
pub struct Reader {
    base: Dir,
    /// Those that are wanted; all where there are none.
    routers: Vec<String>,
    places: BTreeMap<String, Place>,
    /// What was wrong in the last look.
    troubles: Vec<String>,
}

/// How far a log has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    inode: u64,
    /// The first bytes, as far as they were there.
    head: Vec<u8>,
    /// Bytes: after the last whole line.
    offset: usize,
}

impl Place {
    /// Whether it is a place in the file with this inode number and content.
    fn is_of(&self, inode: u64, content: &[u8]) -> bool {
        self.inode == inode && self.offset <= content.len() && content.starts_with(&self.head)
    }
}

impl Reader {
    /// Of the routers with these names below `state`, an absolute path; of all without a
    /// name.
    ///
    /// # Errors
    ///
    /// The directory is not there, or others may write to it.
    pub fn new(state: &Path, routers: Vec<String>) -> Result<Self> {
        Ok(Self {
            base: Dir::open(state)?,
            routers,
            places: BTreeMap::new(),
            troubles: Vec::new(),
        })
    }

    /// Leaves out all there is, without reading it.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn skip(&mut self) -> Result<()> {
        for name in self.base.names()? {
            let path = self.base.path().join(&name).join(LOG);
            if let Some((inode, offset)) = identity(&path) {
                let head = Vec::new();
                let place = Place {
                    inode,
                    head,
                    offset,
                };
                self.places.insert(name, place);
            }
        }
        Ok(())
    }

    /// What has come since the last time; the first time, all there is.
    ///
    /// # Errors
    ///
    /// The directory cannot be read. What is wrong with single logs is one of
    /// [`Self::troubles`].
    pub fn read(&mut self) -> Result<Vec<Entry>> {
        self.troubles.clear();
        let mut names = self.base.names()?;
        names.retain(|name| name.parse::<RouterId>().is_ok());
        names.retain(|name| self.routers.is_empty() || self.routers.contains(name));
        self.places.retain(|name, _| names.contains(name));
        let mut entries = Vec::new();
        for name in names {
            if let Err(error) = self.read_one(&name, &mut entries) {
                self.troubles.push(format!("router {name}: {error:#}"));
            }
        }
        // Of one router they are in order already.
        entries.sort_by_key(|entry| entry.time);
        Ok(entries)
    }

    /// What was wrong in the last look, each in words.
    pub fn troubles(&self) -> impl Iterator<Item = &str> {
        self.troubles.iter().map(String::as_str)
    }

    /// Whether a router has a log.
    #[must_use]
    pub fn has(&self, router: &str) -> bool {
        self.places.contains_key(router)
    }

    fn read_one(&mut self, router: &str, entries: &mut Vec<Entry>) -> Result<()> {
        let path = self.base.path().join(router).join(LOG);
        let Some((inode, size)) = identity(&path) else {
            return Ok(());
        };
        let known = self.places.get(router).cloned();
        let unchanged = |it: &Place| it.inode == inode && it.offset == size;
        if known.as_ref().is_some_and(unchanged) {
            return Ok(());
        }
        let Some(directory) = self.base.existing(router)? else {
            return Ok(());
        };
        let content = directory.read(LOG, LIMIT)?.unwrap_or_default();
        if identity(&path).map(|(inode, _)| inode) != Some(inode) {
            // It has just become the older generation, and is read as that the next time.
            return Ok(());
        }
        let same = |it: &&Place| it.is_of(inode, &content);
        let from = match known.as_ref().filter(same) {
            Some(place) => place.offset,
            None => {
                self.finish_older(&directory, router, known.as_ref(), entries)?;
                0
            }
        };
        let offset = self.take(router, &content, from, entries);
        let place = Place {
            inode,
            head: content.get(..HEAD).unwrap_or(&content).to_vec(),
            offset,
        };
        self.places.insert(router.to_owned(), place);
        Ok(())
    }

    /// Reads what is left of the older generation, which was read up to `place` before
    /// it became that.
    fn finish_older(
        &mut self,
        directory: &Dir,
        router: &str,
        place: Option<&Place>,
        entries: &mut Vec<Entry>,
    ) -> Result<()> {
        let name = older(LOG);
        let path: PathBuf = directory.path().join(&name);
        let Some((inode, _)) = identity(&path) else {
            return Ok(());
        };
        let content = directory.read(&name, LIMIT)?.unwrap_or_default();
        let from = match place {
            None => 0,
            Some(place) if place.is_of(inode, &content) => place.offset,
            Some(_) => {
                self.troubles.push(format!(
                    "router {router}: events came faster than they were read; some are lost"
                ));
                0
            }
        };
        self.take(router, &content, from, entries);
        Ok(())
    }

    /// Takes the whole lines from `from` on; returns where they end.
    fn take(
        &mut self,
        router: &str,
        content: &[u8],
        from: usize,
        entries: &mut Vec<Entry>,
    ) -> usize {
        let new = content.get(from..).unwrap_or_default();
        let whole = new
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let mut spoilt = 0;
        for line in new
            .get(..whole)
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
        {
            if line.is_empty() {
                continue;
            }
            match entry(router, line) {
                Some(entry) => entries.push(entry),
                None => spoilt += 1,
            }
        }
        if spoilt > 0 {
            self.troubles
                .push(format!("router {router}: {spoilt} lines cannot be read"));
        }
        from + whole
    }
}

fn entry(router: &str, line: &[u8]) -> Option<Entry> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let time = line.get("time")?.as_str()?.parse().ok()?;
    Some(Entry {
        time,
        router: router.to_owned(),
        line,
    })
}

/// Inode number and size of a file; `None`: it is not there, or none.
fn identity(path: &Path) -> Option<(u64, usize)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let size = usize::try_from(metadata.len()).ok()?;
    metadata.is_file().then_some((metadata.ino(), size))
}

#[cfg(test)]
mod tests;
