//! Failovers without a fault: pairs of all that are compared, side by side, while nothing is
//! wrong, idle and under load.

use crate::peers::pair::Pair;
use crate::peers::peer::Peer;
use anyhow::{Context, Result};
use lab::load::Load;
use std::thread;
use std::time::{Duration, Instant};

/// For a pair to have become what it was to be.
const REST: Duration = Duration::from_secs(3);
/// Above what the agent may have, and above the kernel's interrupt threads.
const PRIORITY: i32 = 50;

/// What was counted of one under one load.
#[derive(Debug)]
pub(crate) struct Calm {
    pub(crate) peer: &'static Peer,
    pub(crate) load: &'static str,
    pub(crate) seconds: f64,
    /// Routers that became the primary on either host.
    pub(crate) changes: usize,
}

/// What a load is called and what starts it.
type Named = (&'static str, fn() -> Result<Load>);

/// In the order of the table.
const LOADS: [Named; 3] = [
    ("nothing", || Ok(Load::start(0))),
    ("a busy loop on each processor", || {
        Ok(Load::start(processors()))
    }),
    ("SCHED_FIFO 50 loops on each", || {
        Load::start_fifo(processors(), PRIORITY)
    }),
];

/// Watches all `peers` for `span` under each load.
pub(crate) fn watch(peers: &[&'static Peer], span: Duration) -> Result<Vec<Calm>> {
    let mut pairs = Vec::new();
    for &peer in peers {
        let pair = Pair::start(peer, 1).with_context(|| peer.name)?;
        pairs.push((peer, pair));
    }
    let mut all = Vec::new();
    for (load, start) in LOADS {
        for (peer, pair) in &pairs {
            pair.settle()
                .with_context(|| format!("{} before {load}", peer.name))?;
        }
        thread::sleep(REST);
        println!("all side by side, {load}, {:.0} s", span.as_secs_f64());
        let before = masters(&pairs)?;
        let begin = Instant::now();
        let running = start()?;
        thread::sleep(span);
        drop(running);
        // What was noticed late is told by now.
        thread::sleep(REST);
        let seconds = begin.elapsed().as_secs_f64();
        for (((peer, _), before), after) in pairs.iter().zip(before).zip(masters(&pairs)?) {
            all.push(Calm {
                peer,
                load,
                seconds,
                changes: after.saturating_sub(before),
            });
        }
    }
    Ok(all)
}

fn masters(pairs: &[(&'static Peer, Pair)]) -> Result<Vec<usize>> {
    pairs.iter().map(|(_, pair)| pair.masters()).collect()
}

fn processors() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}
