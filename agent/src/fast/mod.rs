//! The fast path: a thread of its own that probes masters and has keepalived take over.
//!
//! ```text
//! Daemon --Order--> thread: sessions, guarded routers --Told--> Daemon
//!                     ^  |
//!        urgent ring -/  \-> probes, solicitations, raise file, injected adverts
//! ```
//!
//! What is decided is [`crate::takeover`]'s; here it is done. The thread has a
//! scheduling class of its own, and waits for nothing but the kernel.
//!
//! Reading order: [`order`] (what it is told and tells), [`thread`] (the loop), with
//! [`membership`] (which routers, and whom each probes), [`rounds`] (what is asked again
//! and again) and [`review`] (what is looked at in turn); [`guarded`] (one router),
//! [`facts`] and [`act`] (what is read and done for it),
//! [`sessions`] (whom it probes, and how often: [`peer`], [`budget`], [`schedule`],
//! [`leaders`], [`multiplier`]), [`questions`] (asking at the pace of
//! tens of milliseconds), [`probe`], [`home`] (its sockets in a namespace), [`clock`],
//! [`stale`] (verdicts that come late), [`lateness`], [`status`] (what operators see),
//! [`standing`] (how it is scheduled).

mod act;
mod budget;
mod clock;
mod facts;
mod guarded;
mod home;
mod lateness;
mod leaders;
mod membership;
mod multiplier;
pub mod order;
mod peer;
mod probe;
mod questions;
mod review;
mod rounds;
mod schedule;
mod sessions;
mod stale;
pub mod standing;
mod status;
mod thread;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::config::RouterId;
use crate::kernel::FastKernel;
use crate::metrics::SharedDistribution;

use clock::Bell;
pub use order::{Facts, Gateway, Guard, Order, Told};
use standing::Standing;
use thread::{Signs, Thread};

/// How the guarded routers were when the thread last said so.
pub type Report = Arc<Mutex<BTreeMap<RouterId, Value>>>;

/// The thread, as the daemon has it. Dropped, it ends, and what it has raised or leased
/// is taken back.
pub struct FastPath {
    orders: mpsc::Sender<Order>,
    bell: Arc<Bell>,
    report: Report,
    signs: Arc<Signs>,
    told: UnboundedReceiver<Told>,
    lateness: Arc<SharedDistribution>,
    fallbacks: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl FastPath {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// The system has no thread or timer for it.
    pub fn start(
        kernel: FastKernel,
        mark: u32,
        ghost: [u8; 6],
        standing: Standing,
    ) -> Result<Self> {
        let (orders, ordered) = mpsc::channel();
        let (tell, told) = unbounded_channel();
        let bell = Arc::new(Bell::new()?);
        let report = Report::default();
        let signs = Arc::<Signs>::default();
        let mut thread = Thread::new(
            kernel,
            thread::Marks { mark, ghost },
            ordered,
            Arc::clone(&bell),
            tell,
            Arc::clone(&report),
            Arc::clone(&signs),
        )?;
        let lateness = Arc::clone(&thread.lateness.shared);
        let fallbacks = Arc::default();
        let told_fallbacks: Arc<Mutex<Vec<String>>> = Arc::clone(&fallbacks);
        let thread = Builder::new()
            .name("fast-path".to_owned())
            .spawn(move || {
                let fallen_back = standing.take();
                if let Ok(mut fallbacks) = told_fallbacks.lock() {
                    *fallbacks = fallen_back;
                }
                thread.run();
            })
            .context("start the fast path's thread")?;
        Ok(Self {
            orders,
            bell,
            report,
            signs,
            told,
            lateness,
            fallbacks,
            thread: Some(thread),
        })
    }

    /// Has something done.
    pub fn order(&self, order: Order) {
        // Where the thread has ended, that was told.
        if self.orders.send(order).is_ok() {
            self.bell.ring();
        }
    }

    /// What it tells next; `None`: it has ended.
    pub async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// How late it woke, so far.
    #[must_use]
    pub fn lateness(&self) -> &SharedDistribution {
        &self.lateness
    }

    /// What the thread does in a lesser way than it would like to, in words.
    #[must_use]
    pub fn fallbacks(&self) -> Vec<String> {
        self.fallbacks
            .lock()
            .map_or_else(|_| Vec::new(), |fallbacks| fallbacks.clone())
    }

    /// How a router was when the thread last said so.
    #[must_use]
    pub fn status(&self, id: &RouterId) -> Option<Value> {
        self.report.lock().ok()?.get(id).cloned()
    }

    /// How many turns the thread has made, at least one a second unless it hangs.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.signs.turns.load(Ordering::Relaxed)
    }

    /// Whether it takes over many routers right now. Each takeover takes the kernel's lock on the
    /// network configuration, which who does not hurry leaves alone.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.signs.is_pressed.load(Ordering::Relaxed)
    }

    /// Ends it for an agent that goes on in its place: sessions stay in the kernel's maps.
    pub fn make_room(self) {
        self.order(Order::MakeRoom);
    }
}

impl Drop for FastPath {
    fn drop(&mut self) {
        self.order(Order::End);
        if let Some(thread) = self.thread.take() {
            // It has said why, if it panicked.
            drop(thread.join());
        }
    }
}
