//! The evidence about a router, from pinned maps and files: no daemon is needed.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use keepfast_common::blackbox::BlackBox;
use keepfast_common::maps::RouterKey;

use super::{Evidence, Identity, Line, shelf};
use crate::event_log;
use crate::files::Dir;
use crate::kernel::{Boxes, PIN_ROOT, pinned_boxes};

/// How many lines of the event log a failover has at most.
const RECENT: usize = 100;

/// Where evidence is: the routers' files, the pins of agents, running or dead, and what
/// the last one put away when it ended.
pub struct Archive {
    base: Dir,
    agents: Vec<PathBuf>,
    shelf: Boxes,
}

impl Archive {
    /// Of the routers whose files are in `base`.
    ///
    /// # Errors
    ///
    /// A directory or a file cannot be read: a privilege may be missing.
    pub fn open(base: Dir) -> Result<Self> {
        let doing = || format!("list {PIN_ROOT}");
        let agents = match fs::read_dir(PIN_ROOT) {
            Ok(agents) => agents.map(|agent| Ok(agent?.path())).collect(),
            // Nobody has pinned anything.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        Ok(Self {
            agents: agents.with_context(doing)?,
            shelf: shelf::look(&base)?,
            base,
        })
    }

    /// The routers of which there is something to say.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn routers(&self) -> Result<Vec<String>> {
        let mut routers = Vec::new();
        for name in self.base.names()? {
            if let Ok(Some(directory)) = self.base.existing(&name)
                && Identity::read(&directory)?.is_some()
            {
                routers.push(name);
            }
        }
        Ok(routers)
    }

    /// What is known of a router; `None` where the kernel never kept anything of it.
    ///
    /// # Errors
    ///
    /// A file or a map cannot be read.
    pub fn evidence(&self, router: &str) -> Result<Option<Evidence>> {
        let Some(directory) = self.base.existing(router)? else {
            return Ok(None);
        };
        let Some(identity) = Identity::read(&directory)? else {
            return Ok(None);
        };
        let keys = [
            identity.key(),
            RouterKey::of_link(identity.netns, identity.ifindex),
        ];
        Ok(Some(Evidence {
            router: router.to_owned(),
            boxes: self.boxes(keys)?,
            log: log(&directory)?,
            identity,
        }))
    }

    /// These boxes of the agent that knew the first one last.
    fn boxes(&self, keys: [RouterKey; 2]) -> Result<[BlackBox; 2]> {
        let of = |boxes: &Boxes| {
            let [of_router, of_link] =
                keys.map(|key| boxes.get(&key).copied().unwrap_or(BlackBox::EMPTY));
            [of_router, of_link]
        };
        let mut best = of(&self.shelf);
        for agent in &self.agents {
            let found = of(&pinned_boxes(agent, Some(&keys))?);
            if found[0].turned_ns > best[0].turned_ns {
                best = found;
            }
        }
        Ok(best)
    }
}

/// The last lines of a router's event log: what a failover of just now has left there.
///
/// # Errors
///
/// The log cannot be read.
pub fn last_lines(directory: &Dir) -> Result<Vec<Line>> {
    let lines = event_log::last(directory, "events.jsonl", RECENT)?;
    Ok(lines.iter().filter_map(Line::of).collect())
}

/// A router's event log.
fn log(directory: &Dir) -> Result<Vec<Line>> {
    let lines = event_log::read(directory, "events.jsonl")?;
    Ok(lines.iter().filter_map(Line::of).collect())
}
