//! What a host's processes take of its processors and of its memory while nothing happens, with
//! one router and with many; and one power cut of all of them.

use crate::held;
use crate::peers::pair::{Fault, LIMIT, Pair, address};
use crate::peers::peer::{Kind, Peer};
use crate::spread::Spread;
use anyhow::{Context, Result};
use lab::clock::monotonic_ns;
use lab::interrupt;
use lab::prober::Prober;
use nix::unistd::Pid;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// For what a start leaves to be done.
const REST: Duration = Duration::from_secs(5);
/// So many of the routers are asked during a power cut, spread over all.
const ASKED: usize = 5;
/// How often each of them is.
const PERIOD: Duration = Duration::from_millis(2);
const SERVICE: u64 = 50;
/// FRR has one interface here, on which an identifier is one byte.
const MOST_OF_FRR: usize = 200;

/// Whether it can be so many here.
pub(crate) fn possible(peer: &Peer, routers: usize) -> bool {
    peer.kind != Kind::Frr || routers <= MOST_OF_FRR
}

const INSTANCES: &str = "/proc/sys/fs/inotify/max_user_instances";
/// Of both hosts, which are one user here.
const ENOUGH: u32 = 2_048;

/// What one host took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Of one processor, in percent.
    pub(crate) busy: f64,
    /// Memory of its processes, shared parts divided, with that of its maps and kernel programs.
    pub(crate) megabytes: f64,
    pub(crate) processes: usize,
}

/// One peer with so many routers.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) peer: &'static Peer,
    pub(crate) routers: usize,
    /// Of the primary and of the backup.
    pub(crate) held: Result<[Held; 2]>,
    /// Of those that were asked during the power cut, ms.
    pub(crate) outage: Option<Result<Spread>>,
}

/// Starts so many routers, watches them for `span`, and cuts the power of the primary.
pub(crate) fn measure(peer: &'static Peer, routers: usize, span: Duration) -> Crowd {
    let mut crowd = Crowd {
        peer,
        routers,
        held: Err(anyhow::anyhow!("not watched")),
        outage: None,
    };
    // Each keepalived with a fast path takes an instance of inotify.
    let allowed = Allowed::raise();
    if let Err(error) = &allowed {
        eprintln!("{error:#}");
    }
    match Pair::start(peer, routers) {
        Ok(mut pair) => {
            crowd.held = watch(&pair, span);
            crowd.outage = Some(cut(&mut pair, routers));
        }
        Err(error) => crowd.held = Err(error),
    }
    crowd
}

/// How many instances of inotify the host allows, raised until this is dropped.
struct Allowed(String);

impl Allowed {
    fn raise() -> Result<Self> {
        let before = fs::read_to_string(INSTANCES).with_context(|| format!("read {INSTANCES}"))?;
        if before.trim().parse::<u32>()? < ENOUGH {
            fs::write(INSTANCES, ENOUGH.to_string())
                .with_context(|| format!("write {INSTANCES}"))?;
        }
        Ok(Self(before))
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        if let Err(error) = fs::write(INSTANCES, &self.0) {
            eprintln!("write {INSTANCES}: {error}");
        }
    }
}

fn watch(pair: &Pair, span: Duration) -> Result<[Held; 2]> {
    let primary = pair.settle()?;
    thread::sleep(REST);
    let hosts = [pair.pids(primary)?, pair.pids(1 - primary)?];
    let [mut before, mut after] = [[Duration::ZERO; 2]; 2];
    for (sum, pids) in before.iter_mut().zip(&hosts) {
        *sum = processor_time(pids)?;
    }
    let begin = Instant::now();
    interrupt::pause(span)?;
    for (sum, pids) in after.iter_mut().zip(&hosts) {
        *sum = processor_time(pids)?;
    }
    let watched = begin.elapsed();
    let [first, second] = &hosts;
    let held = |pids: &[Pid], number: usize| -> Result<Held> {
        let [before, after] = [before, after].map(|it| it.get(number).copied().unwrap_or_default());
        let mut bytes = 0;
        for &pid in pids {
            let pid = pid.as_raw().cast_unsigned();
            bytes += held::proportional(pid)? + held::kernel_memory(pid)?;
        }
        Ok(Held {
            busy: after.saturating_sub(before).as_secs_f64() / watched.as_secs_f64() * 100.0,
            megabytes: bytes as f64 / 1e6,
            processes: pids.len(),
        })
    };
    Ok([held(first, 0)?, held(second, 1)?])
}

fn processor_time(pids: &[Pid]) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for &pid in pids {
        sum += held::processor_time(pid.as_raw().cast_unsigned())?;
    }
    Ok(sum)
}

fn cut(pair: &mut Pair, routers: usize) -> Result<Spread> {
    let primary = pair.settle()?;
    let asked = ASKED.min(routers);
    let mut probers = Vec::new();
    for number in 0..asked {
        let router = number * (routers - 1) / (asked - 1).max(1);
        let prober = Prober::start_every(&pair.topology.client, address(router).into(), PERIOD)?;
        prober
            .wait_answers(SERVICE, LIMIT)
            .with_context(|| format!("router {router} before the cut"))?;
        probers.push(prober);
    }
    let cut_ns = monotonic_ns()?;
    pair.strike(Fault::Power, primary)?;
    let mut outages = Vec::new();
    for prober in probers {
        prober
            .wait_answers(SERVICE, LIMIT)
            .context("after the cut")?;
        let outage = prober.stop()?.outage_since(cut_ns);
        outages.push(outage.length().as_secs_f64() * 1e3);
    }
    Spread::of(outages)
}
