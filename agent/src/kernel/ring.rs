//! The stream of events.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use keepfast_common::event::Event;
use tokio::io::unix::AsyncFd;

/// How many events are missing before one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss(pub u64);

/// Reads the events of the ring buffer and notices those that are missing.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
    numbers: Numbers,
}

impl Events {
    /// Reads from `ring`.
    ///
    /// # Errors
    ///
    /// There is no runtime, or the kernel cannot poll the ring.
    pub(super) fn new(ring: RingBuf<MapData>) -> Result<Self> {
        // SAFETY: the ring's descriptor is the map's own, the same for as long as
        // the ring lives, and the ring lives in what is returned.
        let ring = unsafe { AsyncFd::register(ring) }.context("wait for events")?;
        Ok(Self {
            ring,
            numbers: Numbers::default(),
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
            let event: Event = bytemuck::checked::try_pod_read_unaligned(&record)
                .map_err(|_| anyhow::Error::msg("event record of an unexpected size"))?;
            let loss = self.numbers.follow(event.cpu, event.sequence);
            take(&event, loss);
        }
        guard.clear_ready();
        Ok(())
    }
}

/// The last number seen of each CPU.
#[derive(Default)]
struct Numbers(HashMap<u32, u64>);

impl Numbers {
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
