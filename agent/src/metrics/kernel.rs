//! What the kernel programs know, asked by the thread that writes the page: with many
//! routers that takes longer than the daemon should stand still.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use keepfast_common::counter::Counter;
use keepfast_common::time::down_after_ns;
use keepfast_common::track::VirtualRouter;

use super::growth::Growth;
use super::scrape::{AdvertSample, Scrape, SessionSample};
use crate::engine::Nanos;
use crate::kernel::Reader;

/// What of sessions that have ended is in the sums.
pub(super) type Sessions = Mutex<Growth<u32, 5>>;

impl Scrape {
    /// Adds what the kernel programs know.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub(super) fn ask_kernel(&mut self, kernel: &Reader, before: &Sessions) -> Result<()> {
        self.counters = counters(kernel)?;
        self.sessions = sessions(kernel, before)?;
        for router in &mut self.routers {
            let Some(key) = &router.key else {
                continue;
            };
            if router.protected {
                router.tally = kernel.tally(*key)?;
            }
            let known = kernel.router(key)?;
            router.adverts =
                known.map(|known| AdvertSample::of(&known, down_ns(&known, router.priority)));
        }
        Ok(())
    }
}

/// What they count, over all interfaces.
fn counters(kernel: &Reader) -> Result<Vec<(Counter, u64)>> {
    let mut sums: Vec<(Counter, u64)> = Counter::ALL.map(|counter| (counter, 0)).into();
    for (_, _, counter, count) in kernel.counters()? {
        for (_, sum) in sums.iter_mut().filter(|(it, _)| *it == counter) {
            *sum += count;
        }
    }
    Ok(sums)
}

fn sessions(kernel: &Reader, before: &Sessions) -> Result<SessionSample> {
    let mut sample = SessionSample::default();
    let mut counts = Vec::new();
    for (number, session) in kernel.sessions()? {
        if let Some(count) = sample.phases.get_mut(usize::from(session.phase)) {
            *count += 1;
        }
        let of_it = [
            session.sent,
            session.answered,
            session.late,
            session.voided,
            session.suspected,
        ];
        counts.push((number, of_it));
    }
    let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
    sample.counts = before.take(counts);
    Ok(sample)
}

/// After which silence of its master this host takes it for dead; 0: not known.
fn down_ns(known: &VirtualRouter, declared: u8) -> Nanos {
    let master = &known.master;
    // Its own, once it has advertised: what is tracked may change the declared one.
    let priority = match known.own_priority {
        0 => declared,
        own => own,
    };
    if priority == 0 || master.interval_cs == 0 {
        return 0;
    }
    down_after_ns(master.version, master.interval_cs, priority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_down_time_is_of_the_masters_interval_and_the_own_priority() {
        let mut known = VirtualRouter::UNKNOWN;
        assert_eq!(down_ns(&known, 100), 0, "no master was heard");
        known.master.interval_cs = 100;
        known.master.version = 3;
        assert_eq!(down_ns(&known, 0), 0, "the own priority is not known");
        assert_eq!(down_ns(&known, 100), 3_609_375_000);
        known.own_priority = 254;
        assert_eq!(down_ns(&known, 100), 3_007_812_500);
    }
}
