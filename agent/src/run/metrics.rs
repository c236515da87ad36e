//! How all is, for whoever asks for metrics: gathered in one go, for nothing else
//! happens meanwhile.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use keepfast_common::counter::Counter;
use keepfast_common::maps::RouterKey;
use keepfast_common::time::down_after_ns;
use keepfast_common::track::VirtualRouter;
use tracing::{debug, warn};

use crate::config::{Mode, RouterId};
use crate::engine::{Liveness, Nanos};
use crate::kernel::Maps;
use crate::metrics::{
    AdvertSample, Growth, HookSample, Question, RouterSample, Scrape, SessionSample,
};

use super::daemon::Daemon;
use super::member::Member;
use super::site::Site;

/// What of sessions that have ended is in the sums.
pub(super) type Sessions = Growth<u32, 5>;

impl Daemon {
    /// Tells how all is.
    pub(super) fn gather(&mut self, question: Question) {
        let begun = Instant::now();
        let declared = self
            .members
            .values()
            .filter(|it| declared_mode(it).is_some());
        for member in declared {
            self.metrics.expect(&member.id);
        }
        let running = self.members.values().flat_map(|it| it.processes.keys());
        let mut scrape = Scrape {
            metrics: self.metrics.clone(),
            wake_lateness: self.fast.as_ref().map(|it| it.path.lateness().read()),
            fallbacks: self.fallbacks(),
            problems: self.problems.len() as u64,
            running: running.copied().collect(),
            started_seconds: seconds(self.clock.instant(self.started_ns)),
            ..Scrape::default()
        };
        let mut known = match self.ask_kernel(&mut scrape) {
            Ok(known) => known,
            Err(error) => {
                warn!("metrics without those of the kernel programs: {error:#}");
                BTreeMap::new()
            }
        };
        scrape.routers = self
            .members
            .values()
            .map(|member| self.sample(member, known.remove(&member.id)))
            .collect();
        // Whoever asked may have gone away.
        if question.send(scrape).is_err() {
            debug!("nobody waits for the metrics any more");
        }
        let took = begun.elapsed().as_nanos();
        self.metrics.gathered(took.try_into().unwrap_or(u64::MAX));
    }

    /// Asks the kernel programs; returns what they know of routers.
    fn ask_kernel(&mut self, scrape: &mut Scrape) -> Result<BTreeMap<RouterId, VirtualRouter>> {
        let keys: Vec<(RouterId, RouterKey)> = self
            .members
            .values()
            .filter_map(|member| Some((member.id.clone(), self.key(member)?)))
            .collect();
        let Some(observer) = &mut self.observer else {
            return Ok(BTreeMap::new());
        };
        let maps = observer.kernel.maps();
        scrape.counters = counters(maps)?;
        scrape.sessions = sessions(maps, &mut self.sessions)?;
        let mut known = BTreeMap::new();
        for (id, key) in keys {
            known.extend(maps.router(key)?.map(|router| (id, router)));
        }
        Ok(known)
    }

    fn sample(&self, member: &Member, known: Option<VirtualRouter>) -> RouterSample {
        let engine = &member.engine;
        let priority = member.plan().instance.as_ref().map(|it| it.priority);
        let works = |id| self.fast.as_ref().is_some_and(|fast| fast.guards(id));
        RouterSample {
            id: member.id.clone(),
            state: engine.state(),
            since_seconds: seconds(self.clock.instant(engine.since_ns())),
            keepalived: match engine.keepalived() {
                Liveness::Unknown => None,
                Liveness::Running => Some(true),
                Liveness::Ended => Some(false),
            },
            watched: self.key(member).is_some(),
            fast_path: declared_mode(member).map(|mode| (mode, works(&member.id))),
            adverts: known.map(|known| AdvertSample::of(&known, down_ns(&known, priority))),
            hooks: HookSample::of(&member.notifier.status()),
            unlogged: member.unlogged,
        }
    }

    /// What a router is on the wire, where the kernel programs watch that.
    fn key(&self, member: &Member) -> Option<RouterKey> {
        let instance = member.plan().instance.as_ref()?;
        let site = self.site(member)?;
        let ifindex = site.link(instance.interface.as_str())?.index;
        site.is_watched(ifindex).then_some(RouterKey {
            netns: site.namespace.inode(),
            ifindex,
            vlan: 0,
            inner_vlan: 0,
            family: instance.family,
            vrid: instance.vrid.get(),
            reserved: 0,
        })
    }

    fn fallbacks(&self) -> Vec<(&'static str, u64)> {
        let observer = self.observer.as_ref();
        let watched = |member: &&Member| self.key(member).is_none();
        let unwatched = self.members.values().filter(watched).count();
        let unwritten = self.members.values().filter(|it| it.unwritten.is_some());
        let by_fallback = self.sites.values().map(Site::fallbacks).sum::<usize>();
        let fast = self.fast.as_ref();
        [
            ("no_kernel_programs", usize::from(observer.is_none())),
            ("no_fast_path", usize::from(fast.is_none())),
            (
                "not_real_time",
                fast.map_or(0, |it| it.path.fallbacks().len()),
            ),
            ("routers_by_netlink", unwatched),
            ("interfaces_by_fallback", by_fallback),
            (
                "timers_refused",
                observer.map_or(0, |it| it.refused() as usize),
            ),
            ("state_files_unwritten", unwritten.count()),
        ]
        .map(|(kind, count)| (kind, count as u64))
        .into()
    }
}

/// What the kernel programs count, over all interfaces.
fn counters(maps: &Maps) -> Result<Vec<(Counter, u64)>> {
    let mut sums: Vec<(Counter, u64)> = Counter::ALL.map(|counter| (counter, 0)).into();
    for (_, _, counter, count) in maps.counters()? {
        for (_, sum) in sums.iter_mut().filter(|(it, _)| *it == counter) {
            *sum += count;
        }
    }
    Ok(sums)
}

fn sessions(maps: &Maps, before: &mut Sessions) -> Result<SessionSample> {
    let mut sample = SessionSample::default();
    let mut counts = Vec::new();
    for (number, session) in maps.sessions()? {
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
    sample.counts = before.take(counts);
    Ok(sample)
}

/// After which silence of its master this host takes it for dead; 0: not known.
fn down_ns(known: &VirtualRouter, priority: Option<u8>) -> Nanos {
    let master = &known.master;
    let own = Some(known.own_priority).filter(|priority| *priority != 0);
    match own.or(priority) {
        Some(priority) if master.interval_cs != 0 => {
            down_after_ns(master.version, master.interval_cs, priority)
        }
        _ => 0,
    }
}

fn declared_mode(member: &Member) -> Option<&'static str> {
    match member.plan().router.fast_path.mode {
        Mode::Off => None,
        Mode::Shadow => Some("shadow"),
        Mode::Armed => Some("armed"),
    }
}

fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_nanosecond() as f64 / 1e9
}
