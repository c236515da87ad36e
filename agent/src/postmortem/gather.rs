//! The evidence about a router, from pinned maps and files: no daemon is needed.

use std::fs;

use anyhow::{Context as _, Result};
use keepfast_common::blackbox::BlackBox;
use keepfast_common::maps::RouterKey;

use super::{Evidence, Identity, Line, shelf};
use crate::event_log;
use crate::files::Dir;
use crate::kernel::{Boxes, PIN_ROOT, pinned_boxes};

/// How many lines of the event log a failover has at most.
const RECENT: usize = 100;

/// The routers of which there is something to say.
///
/// # Errors
///
/// The directory cannot be read.
pub fn routers(base: &Dir) -> Result<Vec<String>> {
    let mut routers = Vec::new();
    for name in base.names()? {
        if let Ok(Some(directory)) = base.existing(&name)
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
pub fn gather(base: &Dir, router: &str) -> Result<Option<Evidence>> {
    let Some(directory) = base.existing(router)? else {
        return Ok(None);
    };
    let Some(identity) = Identity::read(&directory)? else {
        return Ok(None);
    };
    let found = find(base, identity.key())?;
    let of = |key: &RouterKey| found.get(key).copied().unwrap_or(BlackBox::EMPTY);
    let link = RouterKey::of_link(identity.netns, identity.ifindex);
    Ok(Some(Evidence {
        router: router.to_owned(),
        boxes: [of(&identity.key()), of(&link)],
        log: log(&directory)?,
        identity,
    }))
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

/// The boxes of the agent that keeps this one, running or dead; else those that one put
/// away when it ended.
fn find(base: &Dir, key: RouterKey) -> Result<Boxes> {
    let mut best = shelf::look(base)?;
    let Ok(agents) = fs::read_dir(PIN_ROOT) else {
        return Ok(best);
    };
    for agent in agents {
        let path = agent.with_context(|| format!("list {PIN_ROOT}"))?.path();
        let boxes = pinned_boxes(&path)?;
        let newest = |boxes: &Boxes| boxes.get(&key).map(|it| it.turned_ns);
        if newest(&boxes) > newest(&best) {
            best = boxes;
        }
    }
    Ok(best)
}
