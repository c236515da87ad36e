//! The task of one hook: takes from the mailbox, delivers, tries again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;
use tracing::{debug, info, warn};

use super::mailbox::{Failure, Mailbox, Next, Verdict};
use super::socket::Protocol;
use super::{HookStatus, Shared, Transition, program, socket};
use crate::config::{Hook, HookTarget, RouterId};
use crate::report::clock::monotonic_ns;

/// The longest pause between two attempts at a program.
const PROGRAM_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause between two attempts at a socket: how late its return may be
/// noticed.
const SOCKET_PAUSE: Duration = Duration::from_secs(1);

/// The task of one hook, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct HookTask {
    shelf: Arc<Shelf>,
    task: JoinHandle<()>,
}

/// What the task and those who tell it have in common.
#[derive(Debug)]
struct Shelf {
    mailbox: Mutex<Mailbox>,
    filled: Notify,
}

/// What the task alone has.
struct Courier {
    router: RouterId,
    hook: Hook,
    turns: Arc<Semaphore>,
    shelf: Arc<Shelf>,
}

impl HookTask {
    /// Starts the task of `hook`.
    pub(super) fn start(router: &RouterId, hook: &Hook, shared: &Shared) -> Self {
        let courier = Courier::new(router, hook, shared);
        Self {
            shelf: Arc::clone(&courier.shelf),
            task: tokio::spawn(courier.run()),
        }
    }

    /// Takes a transition in.
    pub(super) fn tell(&self, transition: Arc<Transition>) {
        self.shelf.mailbox().put(transition, Instant::now());
        self.shelf.filled.notify_one();
    }

    /// How the hook fares.
    pub(super) fn status(&self) -> HookStatus {
        self.shelf.mailbox().status()
    }
}

impl Drop for HookTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shelf {
    /// Held for a moment only, never while waiting.
    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Courier {
    fn new(router: &RouterId, hook: &Hook, shared: &Shared) -> Self {
        let longest_pause = match hook.target {
            HookTarget::Program(_) => PROGRAM_PAUSE,
            HookTarget::Socket(_) | HookTarget::NeutronSocket(_) => SOCKET_PAUSE,
        };
        Self {
            router: router.clone(),
            hook: hook.clone(),
            turns: shared.turns(&hook.target),
            shelf: Arc::new(Shelf {
                mailbox: Mutex::new(Mailbox::new(&hook.name, hook.settle, longest_pause)),
                filled: Notify::new(),
            }),
        }
    }

    async fn run(self) {
        loop {
            let next = self.shelf.mailbox().next(Instant::now());
            match next {
                Next::Deliver(transition) => {
                    // On the heap, for a moment: the task itself, of which there
                    // are thousands and which mostly sleep, stays small.
                    let outcome = Box::pin(self.deliver(&transition)).await;
                    self.note(&transition, outcome);
                }
                Next::Wait(None) => self.shelf.filled.notified().await,
                Next::Wait(Some(at)) => {
                    // Over or not: the mailbox knows what is next.
                    timeout_at(at.into(), self.shelf.filled.notified())
                        .await
                        .unwrap_or_default();
                }
            }
        }
    }

    async fn deliver(&self, transition: &Transition) -> Result<(), Failure> {
        let limit = self.hook.timeout;
        let (path, protocol) = match &self.hook.target {
            HookTarget::Program(command) => {
                return program::tell(command, transition, &self.turns, limit).await;
            }
            HookTarget::Socket(path) => (path, Protocol::Line),
            HookTarget::NeutronSocket(path) => (path, Protocol::Neutron),
        };
        Ok(socket::tell(path, protocol, transition, &self.turns, limit).await?)
    }

    fn note(&self, transition: &Transition, outcome: Result<(), Failure>) {
        let (router, hook) = (&self.router, &self.hook.name);
        let state = transition.state.as_str();
        let mut mailbox = self.shelf.mailbox();
        match outcome {
            Ok(()) => match mailbox.delivered(monotonic_ns().ok()) {
                0 => debug!("router {router}: told hook {hook} {state}"),
                failures => {
                    info!("router {router}: told hook {hook} {state} after {failures} failures");
                }
            },
            Err(failure) => {
                let first = mailbox.failures() == 0;
                let verdict = mailbox.failed(&failure, Instant::now());
                let why = failure.words();
                match verdict {
                    Verdict::GivenUp => warn!(
                        "router {router}: hook {hook} is not told {state}, nor asked again before \
                         the next change: {why}"
                    ),
                    Verdict::Again if first => warn!(
                        "router {router}: hook {hook} could not be told {state}, trying again: \
                         {why}"
                    ),
                    Verdict::Again => debug!("router {router}: hook {hook}: {why}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_has_nothing_to_do_takes_little_memory() {
        let hook = Hook {
            name: "hook".to_owned(),
            target: HookTarget::Program(vec!["/bin/true".to_owned()]),
            timeout: SOCKET_PAUSE,
            settle: SOCKET_PAUSE,
        };
        let courier = Courier::new(&"r".parse().unwrap(), &hook, &Shared::default());
        let size = size_of::<Shelf>() + size_of_val(&courier.run());
        assert!(size < 1024, "{size} bytes");
    }
}
