//! The stream of events.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use keepfast_common::event::Event;
use tokio::io::unix::AsyncFd;

use super::wire;

/// How many events are missing before one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss(pub u64);

/// Reads the events of the ring buffer and notices those that are missing.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
    numbers: Numbers,
}

impl Events {
    /// Reads from `ring`; `read` is the number of the last event that was read of each CPU.
    ///
    /// # Errors
    ///
    /// There is no runtime, or the kernel cannot poll the ring.
    pub(super) fn new(ring: RingBuf<MapData>, read: &[u64]) -> Result<Self> {
        // SAFETY: the ring's descriptor is the map's own, the same for as long as
        // the ring lives, and the ring lives in what is returned.
        let ring = unsafe { AsyncFd::register(ring) }.context("wait for events")?;
        Ok(Self {
            ring,
            numbers: Numbers::of(read),
        })
    }

    /// Waits for events and hands over all that there are, with the loss before each.
    ///
    /// # Errors
    ///
    /// The kernel cannot poll the ring, or a record has another size than this
    /// agent's.
    pub async fn read(&mut self, mut take: impl FnMut(&Event, Option<Loss>)) -> Result<()> {
        let mut guard = self.ring.readable_mut().await.context("wait for events")?;
        while let Some(record) = guard.get_inner_mut().next() {
            let event = wire::event(&record)?;
            let loss = self.numbers.follow(event.cpu, event.sequence);
            take(&event, loss);
        }
        guard.clear_ready();
        Ok(())
    }

    /// The number of the last event that was read, of each of so many CPUs.
    #[must_use]
    pub fn read_so_far(&self, cpus: usize) -> Vec<u64> {
        let number = |cpu| self.numbers.0.get(&cpu).copied().unwrap_or(0);
        (0..).take(cpus).map(number).collect()
    }
}

/// The last number seen of each CPU.
#[derive(Default)]
struct Numbers(HashMap<u32, u64>);

impl Numbers {
    fn of(read: &[u64]) -> Self {
        Self((0..).zip(read.iter().copied()).collect())
    }

    fn follow(&mut self, cpu: u32, number: u64) -> Option<Loss> {
        // A CPU that was not heard of before has lost what comes before.
        let last = self.0.insert(cpu, number).unwrap_or(0);
        match number.saturating_sub(last) {
            0 | 1 => None,
            missing => Some(Loss(missing - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_goes_on_where_the_one_before_it_stopped() {
        let mut numbers = Numbers::of(&[7, 0]);
        for (cpu, number, loss) in [(0, 8, None), (0, 10, Some(Loss(1))), (1, 1, None)] {
            assert_eq!(numbers.follow(cpu, number), loss);
        }
        assert_eq!(Numbers::of(&[7]).follow(0, 10), Some(Loss(2)));
    }

    #[test]
    fn gaps_are_losses_of_their_own_cpu() {
        let mut numbers = Numbers::default();
        for (cpu, number, loss) in [
            (0, 1, None),
            (0, 2, None),
            (1, 1, None),
            (0, 5, Some(Loss(2))),
            (1, 2, None),
            (2, 4, Some(Loss(3))),
        ] {
            assert_eq!(
                numbers.follow(cpu, number),
                loss,
                "cpu {cpu} number {number}"
            );
        }
    }
}
