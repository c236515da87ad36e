//! When addresses of a namespace came and went, as another process than the agent heard of it.

use crate::clock;
use crate::netns::Namespace;
use crate::wait;
use anyhow::{Context, Result, anyhow};
use keepfast::config::Cidr;
use keepfast::network::monitor::{Change, Monitor};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;

/// An address came or went.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The address and its prefix length.
    pub address: String,
    /// Whether it came.
    pub present: bool,
    /// When that was heard of, in nanoseconds of CLOCK_MONOTONIC.
    pub at_ns: u64,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Addresses {
    moments: Arc<Mutex<Vec<Moment>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Addresses {
    /// Listens in a namespace; what happens from then on is heard.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn listen(namespace: &Namespace) -> Result<Self> {
        let namespace = keepfast::netns::Namespace::named(namespace.name())?;
        let moments = Arc::new(Mutex::new(Vec::new()));
        let of_thread = Arc::clone(&moments);
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(async {
                    let (sender, mut changes) = tokio::sync::mpsc::channel(4096);
                    let monitor = Monitor::open(&namespace, 0, sender)?;
                    monitor.dump()?;
                    ready.send(())?;
                    let follow = async {
                        while let Some((_, change)) = changes.recv().await {
                            note(&of_thread, change)?;
                        }
                        Ok(())
                    };
                    tokio::select! {
                        _ = stopped => Ok(()),
                        end = follow => end,
                    }
                })
        });
        let listening = Self {
            moments,
            stop: Some(stop),
            thread: Some(thread),
        };
        match is_ready.recv() {
            Ok(()) => Ok(listening),
            Err(_) => Err(listening.why()),
        }
    }

    /// What was heard up to now, in order.
    #[must_use]
    pub fn moments(&self) -> Vec<Moment> {
        let moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        moments.clone()
    }

    /// Waits for `address` to come or go, and when it did; the first time of all that it did.
    ///
    /// # Errors
    /// When `limit` is over first.
    pub fn wait(&self, address: &str, present: bool, limit: Duration) -> Result<u64> {
        wait::until(&format!("{address} present: {present}"), limit, || {
            let moments = self.moments();
            let found = moments
                .iter()
                .find(|moment| moment.address == address && moment.present == present);
            found
                .map(|moment| moment.at_ns)
                .ok_or_else(|| format!("{moments:?}"))
        })
    }

    /// Forgets what was heard up to now.
    pub fn forget(&self) {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        moments.clear();
    }

    fn why(mut self) -> anyhow::Error {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => error.context("listen to addresses"),
            _ => anyhow!("listen to addresses"),
        }
    }
}

fn note(moments: &Mutex<Vec<Moment>>, change: Change) -> Result<()> {
    let Change::Address {
        address, present, ..
    } = change
    else {
        return match change {
            Change::Overrun => Err(anyhow!("addresses were lost")),
            _ => Ok(()),
        };
    };
    let moment = Moment {
        address: address.to_string(),
        present,
        at_ns: clock::monotonic_ns()?,
    };
    let mut moments = moments.lock().unwrap_or_else(PoisonError::into_inner);
    moments.push(moment);
    Ok(())
}

impl Drop for Addresses {
    fn drop(&mut self) {
        // Where it has ended by itself there is nobody to be told.
        let _told = self.stop.take().map(|stop| stop.send(()));
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => eprintln!("listen to addresses: {error:#}"),
            Some(Err(_)) => eprintln!("listening to addresses panicked"),
        }
    }
}

/// Adds and removes addresses of one interface, in no time.
#[derive(Debug)]
pub struct Switch {
    runtime: tokio::runtime::Runtime,
    monitor: Monitor,
    index: u32,
}

impl Switch {
    /// For an interface of a namespace.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn new(namespace: &Namespace, interface: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let namespace = keepfast::netns::Namespace::named(namespace.name())?;
        let (sender, _) = tokio::sync::mpsc::channel(1);
        let (monitor, index) = {
            let _entered = runtime.enter();
            let monitor = Monitor::open(&namespace, 0, sender)?;
            let view = monitor.dump()?;
            let link = view.links.values().find(|link| link.name == interface);
            let link = link.with_context(|| format!("find {interface}"))?;
            (monitor, link.index)
        };
        Ok(Self {
            runtime,
            monitor,
            index,
        })
    }

    /// Adds or removes an address.
    ///
    /// # Errors
    /// When the kernel does not.
    pub fn set(&self, address: &str, present: bool) -> Result<()> {
        let address: Cidr = address.parse().map_err(|error: String| anyhow!(error))?;
        let _entered = self.runtime.enter();
        if present {
            self.monitor.add_address(self.index, &address, false)?;
        } else {
            self.monitor.remove_address(self.index, &address)?;
        }
        Ok(())
    }
}
