//! What else happens on the hosts.

use crate::cluster::{Cluster, LIMIT, Member, ROUTER};
use anyhow::{Context, Result};
use lab::load::Load;
use lab::router::INNER;
use lab::wait;
use std::thread;
use std::time::{Duration, Instant};

/// How often the agent is killed.
const KILLS: u32 = 20;
/// How many addresses are added, in how many reloads.
const ADDRESSES: u32 = 500;
const RELOADS: u32 = 10;

/// Something else that happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Strain {
    /// Nothing.
    Idle,
    /// As many busy loops as a small machine has processors.
    Busy,
    /// Far more busy loops than there are processors.
    Crowded,
    /// The primary's agent is killed and started again.
    Agent,
    /// The router gets more addresses, of which its keepalived is told.
    Addresses,
}

pub(crate) const STRAINS: [Strain; 5] = [
    Strain::Idle,
    Strain::Busy,
    Strain::Crowded,
    Strain::Agent,
    Strain::Addresses,
];

impl Strain {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "nothing",
            Self::Busy => "2 busy loops",
            Self::Crowded => "32 busy loops",
            Self::Agent => "primary's agent killed 20 times",
            Self::Addresses => "500 addresses added in 10 reloads",
        }
    }

    /// Puts the cluster under it, for `span` or until all was done.
    pub(crate) fn put(self, cluster: &mut Cluster, primary: usize, span: Duration) -> Result<()> {
        match self {
            Self::Idle => thread::sleep(span),
            Self::Busy => load(2, span),
            Self::Crowded => load(32, span),
            Self::Agent => {
                let member = cluster.members.get_mut(primary);
                let Some(Member::Managed { daemon, .. }) = member else {
                    return None.context("find the primary's agent");
                };
                in_steps(KILLS, span, |_| {
                    daemon.kill()?;
                    daemon.start()
                })?;
            }
            Self::Addresses => in_steps(RELOADS, span, |step| add(cluster, primary, step))?,
        }
        Ok(())
    }
}

fn load(loops: usize, span: Duration) {
    let _load = Load::start(loops);
    thread::sleep(span);
}

/// Does something so often, evenly over `span` where there is time enough.
fn in_steps(steps: u32, span: Duration, mut work: impl FnMut(u32) -> Result<()>) -> Result<()> {
    let begin = Instant::now();
    for step in 0..steps {
        work(step).with_context(|| format!("step {} of {steps}", step + 1))?;
        let due = begin + span * (step + 1) / steps;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Adds this step's addresses on all hosts, and waits until the primary has them.
fn add(cluster: &mut Cluster, primary: usize, step: u32) -> Result<()> {
    for member in &mut cluster.members {
        let Member::Managed {
            daemon,
            declaration,
        } = member
        else {
            continue;
        };
        for number in 0..ADDRESSES / RELOADS {
            let address = format!("10.1.{step}.{number}/32");
            declaration.addresses.push((INNER, address));
        }
        declaration.apply(daemon)?;
    }
    let (daemon, declaration) = cluster.at(primary)?.0.managed()?;
    // The last of them is the last to come.
    let (_, last) = declaration.addresses.last().context("find an address")?;
    let last = format!("{last} dev {INNER}");
    wait::until(&last, LIMIT, || {
        let shown = daemon.show(ROUTER).map_err(|error| format!("{error:#}"))?;
        let present = shown["addresses_present"].as_array();
        let present = present.map_or(&[][..], Vec::as_slice);
        match present.iter().any(|address| address == last.as_str()) {
            true => Ok(()),
            false => Err(format!("{} addresses", present.len())),
        }
    })
}
