//! Moving routers to other hosts on purpose: one (`keepfast failover`), or all of a host
//! that is drained and takes nothing over until it is told to again.

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::config::RouterId;
use crate::control::{ErrorKind, Reply};
use crate::engine::Input;
use crate::keepalived::raise;
use crate::report::clock::monotonic_ns;

use super::daemon::Daemon;

/// The file that says that the host is drained. No router can have that name.
const FILE: &str = "_drained";

/// The longest that such a file is.
const LONGEST: usize = 4096;

impl Daemon {
    /// Whether an agent before this one was told to drain the host.
    pub(super) fn recall_drained(&mut self) -> Result<()> {
        self.drained = self.base.read(FILE, LONGEST)?.is_some();
        if self.drained {
            warn!("this host is drained: it takes nothing over until `keepfast undrain`");
        }
        Ok(())
    }

    /// Removes what says that the host is drained.
    pub(super) fn forget_drained(&mut self) -> Result<()> {
        self.base.remove(FILE).map(drop)
    }

    /// Has another host serve a router; answered when that has happened, or not.
    pub(super) fn failover(&mut self, id: RouterId, answer: oneshot::Sender<Reply>) {
        if self.moves.is_under_way(&id) {
            let why = format!("router {id} is on its way to another host already");
            return reply(answer, Reply::refused(ErrorKind::Failure, why));
        }
        self.moves.fail_over(id, answer);
        self.go_on_moving();
    }

    /// Moves all routers away, and takes none any more; answered when each has gone, or
    /// stays. `by` says who wants it.
    pub(super) fn drain_host(&mut self, by: &str, answer: oneshot::Sender<Reply>) {
        if self.moves.is_draining() {
            let why = "this host is being drained already".to_owned();
            return reply(answer, Reply::refused(ErrorKind::Failure, why));
        }
        let kept = json!({ "by": by, "since": self.now() });
        let kept = format!("{kept}\n");
        if let Err(error) = self.base.replace(FILE, kept.as_bytes(), 0o644) {
            return reply(answer, Reply::from(&error));
        }
        self.drained = true;
        let ids: Vec<RouterId> = self.members.keys().cloned().collect();
        for id in &ids {
            self.guard(id);
            self.lower(id);
        }
        self.moves.drain(ids, answer);
        self.go_on_moving();
    }

    /// Ends that; returns the routers.
    pub(super) fn undrain_host(&mut self) -> Result<serde_json::Value> {
        if self.moves.is_draining() {
            anyhow::bail!("this host is being drained: expected that to have ended");
        }
        let was_drained = self.base.remove(FILE)?;
        self.drained = false;
        let ids: Vec<RouterId> = self.members.keys().cloned().collect();
        for id in &ids {
            self.guard(id);
            self.raise_again(id);
            self.input(id, Input::Halted(false));
        }
        let names: Vec<&str> = ids.iter().map(RouterId::as_str).collect();
        Ok(json!({ "was_drained": was_drained, "routers": names }))
    }

    /// Puts an armed router into shadow, or takes that back.
    pub(super) fn shadow(&mut self, id: &RouterId, on: bool) -> Result<serde_json::Value> {
        let member = self.members.get_mut(id).context("no such router")?;
        member.set_shadowed(on)?;
        self.guard(id);
        Ok(json!({ "id": id.as_str(), "shadow": on }))
    }

    /// Keeps a router of a drained host from being primary, unless it is: its priority is
    /// lowered, or its keepalived is not run.
    pub(super) fn hold_back(&mut self, id: &RouterId) {
        let Some(member) = self.members.get(id).filter(|_| self.drained) else {
            return;
        };
        let serves = member.engine.state().serves();
        if member.managed().is_none() {
            return;
        }
        if member.is_lowered() {
            self.lower(id);
            self.input(id, Input::Halted(false));
        } else if !serves {
            self.input(id, Input::Halted(true));
        }
    }

    /// Lowers a router's priority. What is guarded the fast path's thread lowers.
    fn lower(&mut self, id: &RouterId) {
        self.write_raise(id, raise::lower);
    }

    fn raise_again(&mut self, id: &RouterId) {
        self.write_raise(id, |directory| raise::raise(directory, 0));
    }

    fn write_raise(&mut self, id: &RouterId, write: impl Fn(&crate::files::Dir) -> Result<()>) {
        let guarded = self.fast.as_ref().is_some_and(|fast| fast.guards(id));
        let Some(member) = self.members.get(id).filter(|_| !guarded) else {
            return;
        };
        if member.is_lowered()
            && let Err(error) = write(&member.directory)
        {
            self.trouble(id, &error.context("raise or lower the priority"));
        }
    }

    fn now(&self) -> Option<String> {
        Some(self.clock.instant(monotonic_ns().ok()?).to_string())
    }
}

/// Whoever asked may have gone away.
pub(super) fn reply(answer: oneshot::Sender<Reply>, reply: Reply) {
    if answer.send(reply).is_err() {
        debug!("nobody waits for the answer any more");
    }
}
