//! What takes time: jobs, each of which ends with an outcome that the daemon takes.
//!
//! Jobs of one router that must not overtake each other (starting keepalived and
//! reloading it) stand in its [`Chain`]; the others run at once.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::Stream as _;
use futures_util::stream::FuturesUnordered;

use crate::config::RouterId;
use crate::engine::Program;
use crate::process::Process;

/// Something that takes time.
pub(super) type Job = Pin<Box<dyn Future<Output = Outcome>>>;

/// How a job ended.
pub(super) enum Outcome {
    /// A program runs, or why not.
    Started(Program, Result<Rc<Process>, String>),
    /// A program has ended, and how; its process id tells it from one that was
    /// started since.
    Ended(Program, i32, String),
    /// keepalived took a configuration, or why not.
    Reloaded(Result<(), String>),
    /// conntrackd has taken or given the connections.
    Synced(Vec<String>),
    /// The hooks of a router that is to go have been told, or had their time.
    Told,
    /// So many addresses were announced, or what went wrong.
    Announced(Result<usize, String>),
    /// The claims on a router's addresses are to be answered.
    AnswerClaims,
    /// A signal was sent, or it was too late for one.
    Signalled,
}

/// An outcome, and whose.
pub(super) struct Done {
    pub(super) router: RouterId,
    /// Whether it was a job of the router's chain.
    pub(super) chained: bool,
    pub(super) outcome: Outcome,
}

/// All jobs that run.
#[derive(Default)]
pub(super) struct Jobs(FuturesUnordered<Pin<Box<dyn Future<Output = Done>>>>);

impl Jobs {
    /// Has a job of `router` run.
    pub(super) fn push(&mut self, router: RouterId, job: Job) {
        self.add(router, false, job);
    }

    fn add(&mut self, router: RouterId, chained: bool, job: Job) {
        self.0.push(Box::pin(async move {
            Done {
                router,
                chained,
                outcome: job.await,
            }
        }));
    }

    /// Waits for the next job to end; for ever where there is none.
    pub(super) async fn next(&mut self) -> Done {
        std::future::poll_fn(|context: &mut Context<'_>| {
            match Pin::new(&mut self.0).poll_next(context) {
                Poll::Ready(Some(done)) => Poll::Ready(done),
                // One that is pushed later is polled when the daemon waits anew.
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// Jobs of one router that run one after the other.
#[derive(Default)]
pub(super) struct Chain {
    waiting: VecDeque<Job>,
    busy: bool,
}

impl Chain {
    /// Has a job run when those before it have ended.
    pub(super) fn push(&mut self, jobs: &mut Jobs, router: &RouterId, job: Job) {
        self.waiting.push_back(job);
        self.next(jobs, router);
    }

    /// The job that ran has ended.
    pub(super) fn ended(&mut self, jobs: &mut Jobs, router: &RouterId) {
        self.busy = false;
        self.next(jobs, router);
    }

    fn next(&mut self, jobs: &mut Jobs, router: &RouterId) {
        if !self.busy
            && let Some(job) = self.waiting.pop_front()
        {
            self.busy = true;
            jobs.add(router.clone(), true, job);
        }
    }
}
