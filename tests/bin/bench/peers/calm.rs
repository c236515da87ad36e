//! Failovers without a fault: pairs of all that are compared, side by side, while nothing is
//! wrong, idle and under load.

use crate::load::Load;
use crate::peers::pair::Pair;
use crate::peers::peer::Peer;
use anyhow::{Context, Result};
use lab::interrupt;
use std::thread;
use std::time::{Duration, Instant};

/// For a pair to have become what it was to be.
const REST: Duration = Duration::from_secs(3);

/// What was counted of one under one load.
#[derive(Debug)]
pub(crate) struct Calm {
    pub(crate) peer: &'static Peer,
    pub(crate) load: &'static str,
    pub(crate) seconds: f64,
    /// Routers that became the primary on either host.
    pub(crate) changes: usize,
}

/// In the order of the table: above all that keepfast and keepalived are, no peer is put.
const LOADS: [Load; 5] = [
    Load::Idle,
    Load::Fair,
    Load::Below,
    Load::Memory,
    Load::Disk,
];

/// Watches all `peers` for `span` under each load, and puts what was seen at the end of `all`.
pub(crate) fn watch(peers: &[&'static Peer], span: Duration, all: &mut Vec<Calm>) -> Result<()> {
    let mut pairs = Vec::new();
    for &peer in peers {
        let pair = Pair::start(peer, 1).with_context(|| peer.name)?;
        pairs.push((peer, pair));
    }
    for load in LOADS {
        for (peer, pair) in &pairs {
            pair.settle()
                .with_context(|| format!("{} before {}", peer.name, load.name()))?;
        }
        thread::sleep(REST);
        println!(
            "all side by side, {}, {:.0} s",
            load.name(),
            span.as_secs_f64()
        );
        let before = masters(&pairs)?;
        let begin = Instant::now();
        let running = load.put()?;
        interrupt::pause(span)?;
        drop(running);
        // What was noticed late is told by now.
        thread::sleep(REST);
        let seconds = begin.elapsed().as_secs_f64();
        for (((peer, _), before), after) in pairs.iter().zip(before).zip(masters(&pairs)?) {
            all.push(Calm {
                peer,
                load: load.name(),
                seconds,
                changes: after.saturating_sub(before),
            });
        }
    }
    Ok(())
}

fn masters(pairs: &[(&'static Peer, Pair)]) -> Result<Vec<usize>> {
    pairs.iter().map(|(_, pair)| pair.masters()).collect()
}
