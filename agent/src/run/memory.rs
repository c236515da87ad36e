//! What was declared last of each router, kept in its directory: so that what an agent
//! finds at its start is taken up, or taken down, as what it is, whatever has been
//! declared since.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use tracing::{info, warn};

use crate::config::{self, Router, RouterId};
use crate::engine::Input;
use crate::files::Dir;

use super::daemon::Daemon;

/// The declaration that was brought about last.
const FILE: &str = "router.toml";

impl Daemon {
    /// Keeps a router's declaration.
    pub(super) fn remember(&self, id: &RouterId) -> Result<()> {
        let Some(member) = self.members.get(id).filter(|it| it.registered.is_none()) else {
            return Ok(());
        };
        let text = config::render::render(&member.plan().router);
        let kept = member.directory.read(FILE, config::file::LONGEST)?;
        if kept.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        member
            .directory
            .replace_soon(FILE, text.as_bytes(), 0o640)
            .context("keep the declaration")
    }

    /// Whether a router is looked after, or was by an agent before this one.
    pub(super) fn is_known(&self, id: &RouterId) -> bool {
        self.members.contains_key(id) || matches!(remembered(&self.base, id.as_str()), Ok(Some(_)))
    }

    /// Takes a router up as it was declared to an agent before this one, if that was
    /// otherwise than it is now: what of it runs is found as that, and then changed.
    pub(super) fn adopt_as_remembered(&mut self, now: &Router) {
        let Ok(Some(old)) = remembered(&self.base, now.id.as_str()) else {
            return;
        };
        if old == *now {
            return;
        }
        let adopted = self.planner.plan(old).and_then(|plan| self.adopt(plan));
        if let Err(error) = adopted {
            warn!(router = %now.id, "what was declared before cannot be taken up: {error:#}");
        }
    }

    /// Takes up the routers that an agent before this one looked after and this one does
    /// not yet. Those of which there is no file, which are not among `with_file`, are
    /// taken down; those whose file is wrong go on as they were declared before.
    pub(super) fn take_up_remembered(
        &mut self,
        with_file: &BTreeSet<String>,
        problems: &mut Vec<String>,
    ) {
        let names = match self.base.names() {
            Ok(names) => names,
            Err(error) => return problems.push(format!("{error:#}")),
        };
        for name in names {
            let known = self.members.keys().any(|id| id.as_str() == name);
            if known || name.parse::<RouterId>().is_err() {
                continue;
            }
            if let Err(error) = self.take_up(&name, with_file.contains(&name)) {
                problems.push(format!(
                    "router {name} was declared before, but cannot be taken up: {error:#}"
                ));
            }
        }
    }

    fn take_up(&mut self, name: &str, has_file: bool) -> Result<()> {
        let Some(router) = remembered(&self.base, name)? else {
            return Ok(());
        };
        let plan = self.planner.plan(router)?;
        let id = plan.router.id.clone();
        self.adopt(plan)?;
        if has_file {
            warn!(router = %id, "its file is wrong: it goes on as it was declared before");
        } else {
            info!(router = %id, "no file declares it any more");
            self.input(&id, Input::Delete);
        }
        Ok(())
    }
}

/// What was kept of a router; `None`: nothing.
fn remembered(base: &Dir, id: &str) -> Result<Option<Router>> {
    let Some(directory) = base.existing(id)? else {
        return Ok(None);
    };
    let Some(text) = directory.read(FILE, config::file::LONGEST)? else {
        return Ok(None);
    };
    let path = directory.path().join(FILE);
    let text = String::from_utf8(text).with_context(|| format!("read {}", path.display()))?;
    let router = config::file::parse(&text, &path.display().to_string(), Some(id))?;
    Ok(Some(router))
}
