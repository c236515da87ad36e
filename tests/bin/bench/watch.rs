//! The agent's own code in this process: programs loaded and attached, events read as it reads
//! them.

use crate::network::INTERFACE;
use anyhow::{Context, Result, anyhow};
use keepfast::kernel::{Attachment, Events, Kernel, LoadOptions};
use keepfast::netlink::Netlink;
use keepfast::netns::Namespace;
use keepfast::report::{ClockMapping, Format, Place, Reporter};
use keepfast_common::event::Event;
use lab::clock;
use std::collections::HashMap;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What an agent holds while it watches one interface in each of some namespaces.
pub(crate) struct Watch {
    kernel: Kernel,
    events: Events,
    reporter: Reporter,
    /// By the namespace's inode number, which events carry.
    watched: HashMap<u32, Watched>,
    _changed: mpsc::Receiver<usize>,
}

struct Watched {
    namespace: Namespace,
    _attachment: Attachment,
    _netlink: Netlink,
}

/// How often the agent stands in for refused timers.
const TICK: Duration = Duration::from_millis(50);

/// An event, its line as JSON, and when that was ready.
pub(crate) struct Seen {
    pub(crate) event: Event,
    pub(crate) line: String,
    pub(crate) ready_ns: u64,
}

/// A runtime like the agent's.
pub(crate) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")
}

impl Watch {
    /// Watches [`INTERFACE`] in each of the named namespaces.
    pub(crate) async fn start(names: impl Iterator<Item = &str>) -> Result<Self> {
        let mut kernel = Kernel::load(&LoadOptions::default(), None)?;
        let events = kernel.take_events()?;
        let (change, changed) = mpsc::channel(1);
        let mut watched = HashMap::new();
        for (label, name) in names.enumerate() {
            let namespace = Namespace::named(name)?;
            let netlink = Netlink::connect(&namespace, label, change.clone())?;
            let snapshot = netlink.snapshot().await?;
            let interface = snapshot
                .interfaces
                .iter()
                .find(|interface| interface.name == INTERFACE)
                .with_context(|| format!("find {INTERFACE} in {name}"))?;
            let attachment = kernel.attach(&namespace, interface, None)?;
            let inode = namespace.inode();
            let held = Watched {
                namespace,
                _attachment: attachment,
                _netlink: netlink,
            };
            watched.insert(inode, held);
        }
        Ok(Self {
            kernel,
            events,
            reporter: Reporter::new(Format::Json, ClockMapping::now()?),
            watched,
            _changed: changed,
        })
    }

    /// Waits for events and hands over all that there are.
    ///
    /// # Errors
    /// Also when one was lost.
    pub(crate) async fn read(&mut self, mut take: impl FnMut(Seen)) -> Result<()> {
        let Self {
            kernel,
            events,
            reporter,
            watched,
            ..
        } = self;
        let mut outcome = Ok(());
        let mut handle = |event: &Event, loss| {
            let netns = watched
                .get(&event.netns)
                .and_then(|held| held.namespace.name());
            let place = Place {
                interface: INTERFACE,
                netns,
            };
            let line = reporter.line(event, &place);
            match (loss, clock::monotonic_ns()) {
                (None, Ok(ready_ns)) => take(Seen {
                    event: *event,
                    line,
                    ready_ns,
                }),
                (None, Err(error)) => outcome = Err(error),
                (Some(loss), _) => {
                    outcome = Err(anyhow!("{loss:?} of events before {line}"));
                }
            }
        };
        // As the agent does where the kernel had refused a timer.
        loop {
            match timeout(TICK, events.read(&mut handle)).await {
                Ok(read) => break read?,
                Err(_) => kernel.rearm().map(drop)?,
            }
        }
        outcome
    }

    /// Reads until `wanted` events have come of which `is_wanted`, or none of any kind for
    /// `limit`; returns all.
    ///
    /// # Errors
    /// When an event was lost on the way.
    pub(crate) async fn read_until(
        &mut self,
        wanted: usize,
        limit: Duration,
        is_wanted: impl Fn(&Event) -> bool,
    ) -> Result<Vec<Seen>> {
        let mut all: Vec<Seen> = Vec::new();
        let mut found = 0;
        while found < wanted {
            let take = |seen: Seen| {
                found += usize::from(is_wanted(&seen.event));
                all.push(seen);
            };
            let Ok(read) = timeout(limit, self.read(take)).await else {
                break;
            };
            read?;
        }
        Ok(all)
    }

    /// What the programs counted, in words.
    pub(crate) fn counted(&mut self) -> Result<String> {
        let counters = self.kernel.maps().counters()?;
        let words = counters
            .iter()
            .map(|(_, _, counter, count)| format!("{counter:?} {count}"));
        Ok(words.collect::<Vec<_>>().join(", "))
    }
}
