//! One fault after the other, and what a client of the router noticed of each.

use crate::peers::pair::{Fault, LIMIT, Pair, address};
use crate::peers::peer::Peer;
use crate::spread::Spread;
use anyhow::{Context, Error, Result};
use lab::clock::monotonic_ns;
use lab::interrupt;
use lab::prober::Prober;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// So many answers are a service.
const SERVICE: u64 = 50;
/// Multiples of the golden ratio, but for whole numbers, are spread evenly: so are the moments
/// of the faults between two adverts.
const GOLDEN: f64 = 0.618_033_988_75;
/// How often the client asks, of one that takes milliseconds and of one that takes seconds.
const QUICK: Duration = Duration::from_micros(500);
const SLOW: Duration = Duration::from_millis(5);
/// After the other host has taken over a client may still lose its router: a late advert of the
/// old one, an announcement that comes late.
const AFTER: Duration = Duration::from_millis(300);

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// How long the client had no answer, ms.
    pub(crate) outage_ms: f64,
    /// From the fault until the other host said that it is the primary, ms.
    pub(crate) moved_ms: f64,
}

/// What one peer did with one kind of fault.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) peer: &'static Peer,
    pub(crate) fault: Fault,
    pub(crate) samples: Vec<Sample>,
    pub(crate) error: Option<Error>,
}

impl Measured {
    /// What the client noticed, ms.
    pub(crate) fn outage(&self) -> Result<Spread> {
        Spread::of(self.samples.iter().map(|it| it.outage_ms))
    }

    /// When the other host had it, ms.
    pub(crate) fn moved(&self) -> Result<Spread> {
        Spread::of(self.samples.iter().map(|it| it.moved_ms))
    }
}

/// Does it `cycles` times, by `pairs` pairs of hosts at the same time.
pub(crate) fn repeat(peer: &'static Peer, fault: Fault, cycles: usize, pairs: usize) -> Measured {
    let pairs = pairs.min(cycles).max(1);
    let all = Mutex::new((Vec::new(), None));
    thread::scope(|scope| {
        for pair in 0..pairs {
            let all = &all;
            // Every pairs-th one is this pair's.
            let numbers = (pair..cycles).step_by(pairs);
            scope.spawn(move || {
                let each = |sample| {
                    if let Ok(mut all) = all.lock() {
                        all.0.push(sample);
                    }
                };
                if let Err(error) = one_pair(peer, fault, numbers, each)
                    && let Ok(mut all) = all.lock()
                {
                    all.1.get_or_insert(error);
                }
            });
        }
    });
    let (samples, error) = all.into_inner().unwrap_or_default();
    Measured {
        peer,
        fault,
        samples,
        error,
    }
}

fn one_pair(
    peer: &'static Peer,
    fault: Fault,
    numbers: impl Iterator<Item = usize>,
    mut each: impl FnMut(Sample),
) -> Result<()> {
    let mut pair = Pair::start(peer, 1)?;
    for number in numbers {
        interrupt::check()?;
        let sample = one(&mut pair, peer, fault, number)
            .with_context(|| format!("{}, {}, number {number}", peer.name, fault.name()))?;
        each(sample);
    }
    Ok(())
}

fn one(pair: &mut Pair, peer: &Peer, fault: Fault, number: usize) -> Result<Sample> {
    let primary = pair.settle()?;
    let period = if peer.slow { SLOW } else { QUICK };
    let prober = Prober::start_every(&pair.topology.client, address(0).into(), period)?;
    prober
        .wait_answers(SERVICE, LIMIT)
        .context("before the fault")?;
    let part = (number as f64 * GOLDEN).fract();
    thread::sleep(pair.interval().mul_f64(part));
    let fault_ns = monotonic_ns()?;
    pair.strike(fault, primary)?;
    pair.wait_successor(primary)?;
    let moved_ns = monotonic_ns()?.saturating_sub(fault_ns);
    prober
        .wait_answers(SERVICE, LIMIT)
        .context("after the fault")?;
    thread::sleep(AFTER);
    let outage = prober.stop()?.outage_since(fault_ns);
    pair.mend(fault, primary)?;
    Ok(Sample {
        outage_ms: outage.length().as_secs_f64() * 1e3,
        moved_ms: moved_ns as f64 / 1e6,
    })
}
