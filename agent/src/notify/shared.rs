//! What the hooks of all routers share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use tokio::sync::Semaphore;

use crate::config::HookTarget;

/// How many runs of one program there may be at a time. Enough for some to be slow
/// and the others not to notice; few enough for a thousand routers that change at
/// once not to start a thousand shells.
const PROGRAMS: usize = 32;

/// How many connect to one socket at a time. That takes no time, unless the listener's
/// backlog is full: then each looks every millisecond whether there is room. Enough to
/// fill what a busy listener frees meanwhile; few enough to cost nothing where it hangs.
const CONNECTING: usize = 4;

/// What the hooks of all routers share: turns at the programs and sockets that
/// several of them name.
#[derive(Debug, Default)]
pub struct Shared {
    turns: RefCell<HashMap<PathBuf, Weak<Semaphore>>>,
}

impl Shared {
    /// The turns at `target`.
    pub(super) fn turns(&self, target: &HookTarget) -> Arc<Semaphore> {
        let (path, at_once) = match target {
            HookTarget::Program(command) => (
                Path::new(command.first().map_or("", String::as_str)),
                PROGRAMS,
            ),
            HookTarget::Socket(path) | HookTarget::NeutronSocket(path) => {
                (path.as_path(), CONNECTING)
            }
        };
        let mut turns = self.turns.borrow_mut();
        turns.retain(|_, semaphore| semaphore.strong_count() != 0);
        if let Some(known) = turns.get(path).and_then(Weak::upgrade) {
            return known;
        }
        let fresh = Arc::new(Semaphore::new(at_once));
        turns.insert(path.to_owned(), Arc::downgrade(&fresh));
        fresh
    }
}
