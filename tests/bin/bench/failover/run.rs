//! One loss, from the start state back to it; and many.

use crate::cluster::{Cluster, LIMIT};
use crate::failover::scenario::Scenario;
use crate::failover::steps::{Steps, takeovers};
use anyhow::{Context, Error, Result};
use lab::clock::monotonic_ns;
use lab::prober::Prober;
use std::collections::HashSet;
use std::thread;

/// So many answers are a service.
const SERVICE: u64 = 100;
/// Multiples of the golden ratio, but for whole numbers, are spread evenly: so are the moments
/// of the losses between two adverts.
const GOLDEN: f64 = 0.618_033_988_75;

/// What was measured up to what went wrong, if anything did.
pub(crate) struct Outcome {
    pub(crate) runs: Vec<Run>,
    pub(crate) fault: Option<Error>,
}

/// One loss.
pub(crate) struct Run {
    /// How long the client had no answer.
    pub(crate) outage_ms: f64,
    /// What led to the end of that, from the loss on.
    pub(crate) steps: Steps,
    /// Takeovers since the run before that are not this loss's.
    pub(crate) unfounded: usize,
}

/// Loses the primary so often, whoever it is then.
pub(crate) fn repeat(scenario: &Scenario, armed: bool, times: usize) -> Outcome {
    let mut runs = Vec::new();
    let mut try_all = || -> Result<()> {
        let cluster = Cluster::start(&scenario.setup(armed))?;
        let mut tally = Tally::default();
        for number in 0..times {
            let run = lose(scenario, armed, &cluster, number, &mut tally)?;
            runs.push(run);
        }
        // The return from the last loss is watched as that from the others is.
        cluster.settle()?;
        let late = tally.more(&cluster)?;
        if let Some(last) = runs.last_mut() {
            last.unfounded += late;
        }
        Ok(())
    };
    let fault = try_all().err();
    Outcome { runs, fault }
}

fn lose(
    scenario: &Scenario,
    armed: bool,
    cluster: &Cluster,
    number: usize,
    tally: &mut Tally,
) -> Result<Run> {
    let Scenario { loss, asked, .. } = *scenario;
    let primary = cluster.settle()?;
    let prober = Prober::start(&cluster.topology.client, asked.into())?;
    prober
        .wait_answers(SERVICE, LIMIT)
        .context("before the loss")?;
    let part = (number as f64 * GOLDEN).fract();
    thread::sleep(cluster.interval().mul_f64(part));
    let lost_ns = monotonic_ns()?;
    loss.strike(cluster, primary, armed)?;
    let successor = cluster.wait_successor(primary)?;
    prober
        .wait_answers(SERVICE, LIMIT)
        .context("after the loss")?;
    let outage = prober.stop()?.outage_since(lost_ns);
    loss.mend(cluster, primary, armed)?;
    let events = cluster.events(successor, lost_ns)?;
    let founded = takeovers(&events).count().min(1);
    Ok(Run {
        outage_ms: outage.length().as_secs_f64() * 1e3,
        steps: Steps::of(&events, lost_ns),
        unfounded: tally.more(cluster)?.saturating_sub(founded),
    })
}

/// The takeovers that have been counted, each by its member and its moment.
#[derive(Default)]
struct Tally(HashSet<(usize, u64)>);

impl Tally {
    /// How many there are on all hosts that were not counted yet.
    fn more(&mut self, cluster: &Cluster) -> Result<usize> {
        let mut more = 0;
        for member in 0..cluster.members.len() {
            for takeover in takeovers(&cluster.events(member, 0)?) {
                let at_ns = takeover["monotonic_ns"].as_u64();
                let at_ns = at_ns.with_context(|| format!("find the time in {takeover}"))?;
                more += usize::from(self.0.insert((member, at_ns)));
            }
        }
        Ok(more)
    }
}
