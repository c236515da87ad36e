//! How all is at a moment.

use jiff::Timestamp;
use keepfast_common::counter::Counter;
use keepfast_common::maps::RouterKey;
use keepfast_common::protect::Tally;
use keepfast_common::track::{GAP_BUCKETS, PHASE_ACTIVE, PHASE_LATE, VirtualRouter};

use super::counted::Metrics;
use super::distribution::Distribution;
use crate::config::RouterId;
use crate::engine::{Nanos, Program, State};
use crate::notify::HookStatus;

/// How all is at a moment; numbers of the kernel programs are sums over all interfaces.
#[derive(Debug, Default)]
pub struct Scrape {
    /// What was counted until then.
    pub metrics: Metrics,
    /// The routers.
    pub routers: Vec<RouterSample>,
    /// What the kernel programs counted; these and the next are asked for later.
    pub counters: Vec<(Counter, u64)>,
    /// The fast path's sessions.
    pub sessions: SessionSample,
    /// How late the fast path's thread woke; `None`: there is none.
    pub wake_lateness: Option<Distribution>,
    /// What does not work as it should: a short name, and how many there are of it.
    pub fallbacks: Vec<(&'static str, u64)>,
    /// What is wrong with declarations.
    pub problems: u64,
    /// Whether the host is drained.
    pub drained: bool,
    /// When the daemon started, seconds since 1970.
    pub started_seconds: f64,
    /// The programs of routers that run, each as often as it does.
    pub running: Vec<Program>,
}

/// A router.
#[derive(Debug)]
pub struct RouterSample {
    /// Its name.
    pub id: RouterId,
    /// Its state.
    pub state: State,
    /// When it came into that, seconds since 1970.
    pub since_seconds: f64,
    /// Whether its keepalived runs; `None`: not known.
    pub keepalived: Option<bool>,
    /// What it is on the wire, where the kernel programs watch that.
    pub key: Option<RouterKey>,
    /// The declared priority; 0: not known.
    pub priority: u8,
    /// The declared mode of its fast path, and whether that works; `None`: there is to be
    /// none.
    pub fast_path: Option<(&'static str, bool)>,
    /// Whether adverts that cannot be legitimate are looked for.
    pub protected: bool,
    /// What was found of received ones, where they are.
    pub tally: Option<Tally>,
    /// Its adverts, where the kernel programs have seen any.
    pub adverts: Option<AdvertSample>,
    /// What its hooks were told; `None`: it has none.
    pub hooks: Option<HookSample>,
    /// Lines that are missing from its event log.
    pub unlogged: u64,
}

/// The adverts of a virtual router, its master's and this host's own.
#[derive(Debug)]
pub struct AdvertSample {
    /// How often a gap was below 1.024 ms, 2.048 ms, ... times two each; the last one:
    /// any longer one.
    pub gaps: [u32; GAP_BUCKETS],
    /// The longest gap.
    pub worst_ns: Nanos,
    /// The longest gap over the time after which a backup takes the master for dead;
    /// `None`: that time is not known.
    pub margin: Option<f64>,
    /// Whether there is a master.
    pub mastered: bool,
    /// Whether several are seen.
    pub contested: bool,
}

/// What the hooks of a router were told, all together.
#[derive(Debug)]
pub struct HookSample {
    /// Transitions that were delivered.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Transitions that are never delivered.
    pub skipped: u64,
}

/// The fast path's sessions, all together.
#[derive(Debug, Default)]
pub struct SessionSample {
    /// How many are in each phase, by the number of the phase.
    pub phases: [u64; 6],
    /// Probes that left; answers; probes that left late; how often evidence was void;
    /// how often a peer was suspect.
    pub counts: [u64; 5],
}

/// Seconds since 1970, to the millisecond: a clock that is set anew by less does not make
/// another number of it.
#[must_use]
pub fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

impl AdvertSample {
    /// What the kernel programs know of a virtual router; `down_ns`: after which silence
    /// of its master this host's own takes that for dead, 0: not known.
    #[must_use]
    pub fn of(known: &VirtualRouter, down_ns: Nanos) -> Self {
        Self {
            gaps: known.gaps,
            worst_ns: known.gap_max_ns,
            margin: (down_ns != 0).then(|| known.gap_max_ns as f64 / down_ns as f64),
            mastered: matches!(known.phase, PHASE_ACTIVE | PHASE_LATE),
            contested: known.contested != 0,
        }
    }
}

impl HookSample {
    /// All hooks of a router; `None`: it has none.
    #[must_use]
    pub fn of(hooks: &[HookStatus]) -> Option<Self> {
        let all = hooks.iter().map(|hook| Self {
            delivered: hook.delivered,
            failed: hook.failed,
            skipped: hook.skipped,
        });
        all.reduce(|one, other| Self {
            delivered: one.delivered + other.delivered,
            failed: one.failed + other.failed,
            skipped: one.skipped + other.skipped,
        })
    }
}
