//! How all is, for whoever asks for metrics: gathered in one go, for nothing else
//! happens meanwhile.

use std::time::Instant;

use keepfast_common::maps::RouterKey;
use tracing::debug;

use crate::config::{Mode, Protection, RouterId};
use crate::engine::Liveness;
use crate::metrics::{Gathered, HookSample, Question, RouterSample, Scrape, seconds};
use crate::observe::Observer;

use super::daemon::Daemon;
use super::member::Member;
use super::site::Site;

impl Daemon {
    /// Tells how all is.
    pub(super) fn gather(&mut self, question: Question) {
        let begun = Instant::now();
        let members = self.members.values();
        let declared = members.filter(|it| declared_mode(it).is_some());
        for member in declared {
            self.metrics.expect(&member.id);
        }
        let members = self.members.values();
        let running = members.flat_map(|member| member.processes.keys());
        let mut scrape = Scrape {
            metrics: self.metrics.clone(),
            routers: self.members.values().map(|it| self.sample(it)).collect(),
            wake_lateness: self.fast.as_ref().map(|it| it.path.lateness().read()),
            problems: self.problems.len() as u64,
            drained: self.drained,
            running: running.copied().collect(),
            started_seconds: self.started_seconds,
            ..Scrape::default()
        };
        scrape.fallbacks = self.fallbacks(&scrape.routers);
        let observer = self.observer.as_ref();
        let kernel = observer.map(|observer| observer.kernel.reader());
        // Whoever asked may have gone away.
        if question.send(Gathered { scrape, kernel }).is_err() {
            debug!("nobody waits for the metrics any more");
        }
        let took = begun.elapsed().as_nanos();
        self.metrics.gathered(took.try_into().unwrap_or(u64::MAX));
    }

    fn sample(&self, member: &Member) -> RouterSample {
        let engine = &member.engine;
        let instance = member.plan().instance.as_ref();
        let works = |id: &RouterId| self.fast.as_ref().is_some_and(|fast| fast.guards(id));
        RouterSample {
            id: member.id.clone(),
            state: engine.state(),
            since_seconds: seconds(self.clock.instant(engine.since_ns())),
            keepalived: match engine.keepalived() {
                Liveness::Unknown => None,
                Liveness::Running => Some(true),
                Liveness::Ended => Some(false),
            },
            key: self.key(member),
            priority: instance.map_or(0, |it| it.priority),
            fast_path: declared_mode(member).map(|mode| (mode, works(&member.id))),
            protected: instance.is_some_and(|it| it.protect.mode != Protection::Off),
            tally: None,
            adverts: None,
            hooks: HookSample::of(&member.notifier.status()),
            unlogged: member.unlogged,
        }
    }

    /// What a router is on the wire, where the kernel programs watch that.
    fn key(&self, member: &Member) -> Option<RouterKey> {
        let key = self.key_of(member)?;
        self.site(member)?.is_watched(key.ifindex).then_some(key)
    }

    fn fallbacks(&self, routers: &[RouterSample]) -> Vec<(&'static str, u64)> {
        let observer = self.observer.as_ref();
        let unwatched = routers.iter().filter(|it| it.key.is_none());
        let unwritten = self.members.values().filter(|it| it.unwritten.is_some());
        let by_fallback = self.sites.values().map(Site::fallbacks).sum::<usize>();
        let fast = self.fast.as_ref();
        let not_real_time = fast.map_or(0, |it| it.path.fallbacks().len());
        [
            ("no_kernel_programs", usize::from(observer.is_none())),
            ("no_fast_path", usize::from(fast.is_none())),
            ("not_real_time", not_real_time),
            ("routers_by_netlink", unwatched.count()),
            ("interfaces_by_fallback", by_fallback),
            (
                "timers_refused",
                observer.map_or(0, Observer::refused) as usize,
            ),
            ("state_files_unwritten", unwritten.count()),
        ]
        .map(|(kind, count)| (kind, count as u64))
        .into()
    }
}

fn declared_mode(member: &Member) -> Option<&'static str> {
    let mode = member.plan().router.fast_path.mode;
    (mode != Mode::Off).then(|| mode.as_str())
}
