//! Removing all routers on purpose, and ending.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::error;

use crate::config::RouterId;
use crate::engine::Input;
use crate::postmortem::shelf;

use super::daemon::Daemon;

/// How long it may take to remove what a daemon left: every step has a limit of its own.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits for `work`, but not for ever.
pub(super) async fn limited(work: impl Future<Output = Result<()>>) -> Result<()> {
    timeout(LIMIT, work)
        .await
        .with_context(|| format!("routers were still there after {LIMIT:?}: expected none"))?
}

/// Removes the directory of all routers, if nothing is in it any more.
fn remove_directory(path: &Path) -> Result<()> {
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() != ErrorKind::DirectoryNotEmpty => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

impl Daemon {
    /// Begins to remove all routers; which ones.
    pub(super) fn tear_down(&mut self) -> Value {
        self.is_tearing_down = true;
        let ids: Vec<RouterId> = self.members.keys().cloned().collect();
        for id in &ids {
            let member = self.members.get(id);
            if member.is_some_and(|it| !it.engine.is_deleted()) {
                self.input(id, Input::Delete);
            }
        }
        let ids: Vec<&str> = ids.iter().map(RouterId::as_str).collect();
        json!({ "routers": ids })
    }

    /// Takes up the routers of a daemon before this one, to remove them.
    pub(super) fn take_up_to_tear_down(&mut self) {
        let mut problems = Vec::new();
        self.remembered_taken_up = true;
        self.take_up_remembered(&BTreeSet::new(), &mut problems);
        self.is_tearing_down = true;
        for problem in problems {
            error!("{problem}");
        }
    }

    /// Removes what is left in `path`, the directory of all routers, and it.
    pub(super) fn remove_base(&mut self, path: &Path) -> Result<()> {
        self.forget_drained()?;
        shelf::take(&self.base)?;
        remove_directory(path)
    }

    /// Whether all routers were to be removed, and are.
    pub(super) fn is_torn_down(&self) -> bool {
        self.is_tearing_down && self.members.is_empty()
    }
}
