//! The stream of what the kernel programs tell, with what was lost of it made up
//! for: what `keepfast watch` and `keepfast run` share.

mod told;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use keepfast_common::counter::Counter;
use keepfast_common::event::{Event, EventKind};
use keepfast_common::maps::RouterKey;
use keepfast_common::share::Limits;
use tracing::{enabled, info, warn};

use crate::kernel::{Claim, DebugLines, Events, Kernel, LoadOptions, PinDirectory};
use crate::report::clock::monotonic_ns;

use told::Told;

/// How often refused timers are stood in for.
pub const STAND_IN: Duration = Duration::from_millis(50);

const NO_MORE: &str = "the kernel refuses no timers any more";

/// How often the kernel is asked again for the timers that it refused.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The loaded programs, and what they have told.
pub struct Observer {
    told: Told,
    batch: Vec<Event>,
    /// Virtual routers without a timer, and their deadlines, CLOCK_MONOTONIC
    /// nanoseconds, as of the last look.
    refused: BTreeMap<RouterKey, u64>,
    /// When the kernel was last asked for timers.
    asked: Instant,
    /// Events that the numbers of others show to be missing.
    missed: u64,
    /// Lost events that were told.
    loss_told: u64,
    /// Events that were held back, as far as that was told.
    held_told: u64,
    /// Of which each has its own numbers of events.
    cpus: usize,
    /// The programs.
    pub kernel: Kernel,
    /// Where maps and links are pinned; dropped last, when the links' own pins are
    /// gone.
    pub pins: PinDirectory,
}

/// The programs as they were loaded: this may take a while, and any thread may do it.
pub struct Loaded {
    kernel: Kernel,
    pins: PinDirectory,
    debug: bool,
}

impl Loaded {
    /// Loads the programs and pins their maps in a directory called `name`; for the daemon
    /// of the state directory `owner`, with the maps, links and programs of the one before
    /// it where that is possible.
    ///
    /// # Errors
    ///
    /// A privilege is missing, or the kernel refuses the programs.
    pub fn load(name: &str, owner: Option<&Path>) -> Result<Self> {
        let debug = enabled!(target: "keepfast_ebpf", tracing::Level::DEBUG);
        let options = LoadOptions {
            debug,
            limits: Limits::USUAL,
            ..LoadOptions::default()
        };
        let schema = options.schema()?;
        let claim = owner.map(|owner| Claim { owner, schema });
        let pins = PinDirectory::create(name, claim.as_ref())?;
        let kernel = Kernel::load(&options, Some(&pins))?;
        Ok(Self {
            kernel,
            pins,
            debug,
        })
    }
}

/// Where an [`Observer`] hears from.
pub struct Source {
    events: Events,
    debug: Option<DebugLines>,
}

impl Observer {
    /// Loads the programs and pins their maps in a directory called `name`.
    ///
    /// # Errors
    ///
    /// A privilege is missing, or the kernel refuses the programs.
    pub fn load(name: &str) -> Result<(Self, Source)> {
        Self::begin(Loaded::load(name, None)?)
    }

    /// Begins to read what loaded programs tell.
    ///
    /// # Errors
    ///
    /// There is no runtime, or the kernel refuses.
    pub fn begin(loaded: Loaded) -> Result<(Self, Source)> {
        let Loaded {
            mut kernel,
            pins,
            debug,
        } = loaded;
        let source = Source {
            events: kernel.take_events()?,
            debug: if debug {
                Some(kernel.take_debug_lines()?)
            } else {
                None
            },
        };
        let (read, lost) = kernel.maps().progress()?;
        let mut told = Told::default();
        if pins.adopted {
            // What is still in the ring comes after it, and ends at the same.
            for (key, router) in kernel.maps().routers()? {
                if let Some(event) = told.missing(&key, &router) {
                    told.note(&event);
                }
            }
            kernel.renew_timers()?;
            kernel.maps().protection().suspend()?;
        }
        let observer = Self {
            told,
            batch: Vec::new(),
            refused: BTreeMap::new(),
            asked: Instant::now(),
            missed: lost,
            loss_told: lost,
            held_told: 0,
            cpus: read.len(),
            kernel,
            pins,
        };
        Ok((observer, source))
    }

    /// Notes that what was read is acted upon: an agent that goes on in this one's place
    /// begins with what comes then.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn acted(&mut self, source: &Source) -> Result<()> {
        let read = source.events.read_so_far(self.cpus);
        self.kernel.maps().note_progress(read, self.loss_told)
    }

    /// Waits for events and puts them into `events`, in the order of their time;
    /// logs debug lines of the programs as they come.
    ///
    /// # Errors
    ///
    /// The kernel cannot be asked.
    pub async fn next(&mut self, source: &mut Source, events: &mut Vec<Event>) -> Result<()> {
        let batch = &mut self.batch;
        let mut lost = 0;
        let Source {
            events: ring,
            debug,
        } = source;
        tokio::select! {
            biased;
            outcome = ring.read(|event, loss| {
                batch.push(*event);
                lost += loss.map_or(0, |loss| loss.0);
            }) => outcome?,
            outcome = async {
                match debug {
                    Some(lines) => lines.forward().await,
                    None => std::future::pending().await,
                }
            } => outcome?,
        }
        // The CPUs' records enter the ring nearly, but not quite, in order of time.
        batch.sort_by_key(|event| event.time_ns);
        let first = events.len();
        for event in batch.drain(..) {
            self.told.note(&event);
            events.push(event);
        }
        self.notice_refusals(events.get(first..).unwrap_or_default())?;
        if lost != 0 {
            self.missed += lost;
            self.make_up_for_loss(events)?;
        }
        Ok(())
    }

    /// Once a second: looks whether events were lost, or timers refused.
    ///
    /// # Errors
    ///
    /// The kernel cannot be asked.
    pub fn tick(&mut self, events: &mut Vec<Event>) -> Result<()> {
        self.make_up_for_loss(events)?;
        for key in self.kernel.maps().share_out(monotonic_ns()?)? {
            self.told.forget(&key);
        }
        self.stand_in()
    }

    /// How many events were lost, and made up for from the maps.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.loss_told
    }

    /// How many deadlines have no timer, as of the last look.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.len() as u64
    }

    /// Whether [`Self::stand_in`] is to be called every [`STAND_IN`].
    #[must_use]
    pub fn must_stand_in(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Stands in for the timers that the kernel refused: has those deadlines looked at
    /// that are due, and once a second asks the kernel for timers again.
    ///
    /// # Errors
    ///
    /// The kernel cannot be asked.
    pub fn stand_in(&mut self) -> Result<()> {
        if self.refused.is_empty() || self.asked.elapsed() >= ASK_AGAIN {
            return self.ask_for_timers();
        }
        let now = monotonic_ns()?;
        let due = self.refused.iter().filter(|(_, due)| **due <= now);
        let due: Vec<RouterKey> = due.map(|(key, _)| *key).collect();
        for key in due {
            // An advert may have moved it, or have got a timer for it.
            let mut deadline = self.kernel.maps().unarmed_deadline(key)?;
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.kernel.rearm_one(&key)?;
                deadline = self.kernel.maps().unarmed_deadline(key)?;
            }
            match deadline {
                Some(deadline) => self.refused.insert(key, deadline),
                None => self.refused.remove(&key),
            };
        }
        if self.refused.is_empty() {
            info!("{NO_MORE}");
        }
        Ok(())
    }

    /// A master that has just begun may have got no timer, and its first deadline comes
    /// before the kernel is next asked.
    fn notice_refusals(&mut self, events: &[Event]) -> Result<()> {
        for event in events {
            let Some(EventKind::MasterAppeared | EventKind::MasterChanged | EventKind::LocalMaster) =
                EventKind::from_number(event.kind)
            else {
                continue;
            };
            let key = router_of(event);
            if let Some(deadline) = self.kernel.maps().unarmed_deadline(key)? {
                if self.refused.is_empty() {
                    self.tell_refusals(1);
                }
                self.refused.insert(key, deadline);
            }
        }
        Ok(())
    }

    fn tell_refusals(&self, count: usize) {
        let step = STAND_IN.as_millis();
        warn!("the kernel refused {count} timers; deadlines there are kept to {step} ms");
    }

    fn ask_for_timers(&mut self) -> Result<()> {
        let before = self.refused.len();
        self.asked = Instant::now();
        self.refused.clear();
        if self.kernel.rearm()? != 0 {
            self.refused.extend(self.kernel.maps().unarmed()?);
        }
        let refused = self.refused.len();
        if refused != 0 && before == 0 {
            self.tell_refusals(refused);
        } else if refused == 0 && before != 0 {
            info!("{NO_MORE}");
        }
        Ok(())
    }

    /// Says how many events were lost since it was last said, and catches up.
    ///
    /// A gap in the numbers shows only with the next event of that CPU, which may
    /// never come; the programs' own count shows it anyway.
    fn make_up_for_loss(&mut self, events: &mut Vec<Event>) -> Result<()> {
        let counters = self.kernel.maps().counters()?;
        let count = |wanted: Counter| -> u64 {
            let counters = counters.iter().filter(|(_, _, it, _)| *it == wanted);
            counters.map(|(_, _, _, count)| count).sum()
        };
        let held = count(Counter::EventHeld).saturating_sub(self.held_told);
        let counted = count(Counter::EventLost);
        let total = counted.max(self.missed);
        let lost = total.saturating_sub(self.loss_told);
        if held != 0 {
            warn!(
                "{held} events held back: too many at once (a flood?); catching up from the maps"
            );
            self.held_told += held;
        }
        if lost != 0 {
            warn!("{lost} events lost: the ring buffer was full; catching up from the maps");
            self.loss_told = total;
        }
        if held != 0 || lost != 0 {
            for (key, router) in self.kernel.maps().routers()? {
                if let Some(event) = self.told.missing(&key, &router) {
                    self.told.note(&event);
                    events.push(event);
                }
            }
        }
        Ok(())
    }
}

/// Whose event it is.
#[must_use]
pub const fn router_of(event: &Event) -> RouterKey {
    RouterKey {
        netns: event.netns,
        ifindex: event.ifindex,
        vlan: event.vlan,
        inner_vlan: event.inner_vlan,
        family: event.family,
        vrid: event.vrid,
        reserved: 0,
    }
}
