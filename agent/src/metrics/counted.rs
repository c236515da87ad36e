//! What the daemon counts as it happens.

use std::collections::BTreeMap;

use super::distribution::Distribution;
use crate::config::RouterId;
use crate::engine::{Input, Program, State};

/// By router and a word, how often.
pub(super) type ByRouter = BTreeMap<(RouterId, &'static str), u64>;

/// What the fast path's notes count as: the note's name, and the word for it.
const TAKEOVERS: [(&str, &str); 6] = [
    ("took_over", "took_over"),
    ("takeover_failed", "failed"),
    ("takeover_lost", "lost"),
    ("takeover_not_now", "not_now"),
    ("takeover_wrong", "wrong"),
    ("takeover_yields", "yields"),
];
const SHADOW: [(&str, &str); 3] = [
    ("would_have_been_wrong", "wrong"),
    ("would_have_mattered", "mattered"),
    ("would_take_over", "take_over"),
];
const HAND_OVERS: [(&str, &str); 3] = [
    ("hand_over_failed", "failed"),
    ("hand_over_refused", "refused"),
    ("handed_over", "done"),
];
const GATEWAYS: [(&str, &str); 1] = [("gateway_lost", "")];

/// What the daemon counts as it happens; since it started.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// By router, the state it came into, and what that was due to.
    pub(super) transitions: BTreeMap<(RouterId, &'static str, &'static str), u64>,
    pub(super) takeovers: ByRouter,
    pub(super) shadow: ByRouter,
    pub(super) hand_overs: ByRouter,
    pub(super) gateways: ByRouter,
    pub(super) not_now: BTreeMap<&'static str, u64>,
    pub(super) dual_primaries: BTreeMap<RouterId, u64>,
    pub(super) requests: BTreeMap<&'static str, u64>,
    pub(super) programs: BTreeMap<(&'static str, &'static str), u64>,
    /// By cause, how long clients were without an answer.
    pub(super) outages: BTreeMap<&'static str, Distribution>,
    /// From the kernel's time stamp of an event until it was dealt with.
    pub(super) event_latency: Distribution,
    /// How long after it was due the daemon did something.
    pub(super) lateness: Distribution,
    /// How long the daemon did nothing else than to gather a [`super::Scrape`].
    pub(super) gathering: Distribution,
}

/// What an input can make a router change its state for.
#[must_use]
pub const fn why(input: &Input) -> &'static str {
    match input {
        Input::Address { .. } => "address",
        Input::Adverts(_) | Input::Stalled { .. } => "advert",
        Input::Declared(_) | Input::Delete | Input::Removed => "declaration",
        Input::Halted(_) => "operator",
        Input::Interfaces { .. } => "interface",
        Input::Looked | Input::Found(..) => "found",
        Input::Started(_) | Input::NotStarted(..) | Input::Ended(..) => "program",
        Input::Tick | Input::Reloaded(_) | Input::Synced => "other",
    }
}

/// What a program counts as; the names of children are the operator's.
pub(super) const fn kind(program: Program) -> &'static str {
    match program {
        Program::Keepalived => "keepalived",
        Program::Conntrackd => "conntrackd",
        Program::Radvd => "radvd",
        Program::Child(_) => "child",
    }
}

/// The programs there are, and what happens to them.
pub(super) const PROGRAMS: [&str; 4] = ["keepalived", "conntrackd", "radvd", "child"];
const HAPPENINGS: [&str; 3] = ["started", "not_started", "ended"];

/// How requests on the control socket end.
const OUTCOMES: [&str; 4] = ["done", "bad_input", "not_found", "failure"];

impl Metrics {
    /// Nothing has happened yet. What may happen is there from the beginning, with zero:
    /// of a count that appears Prometheus does not see the first step.
    #[must_use]
    pub fn new() -> Self {
        let programs = PROGRAMS
            .into_iter()
            .flat_map(|program| HAPPENINGS.map(|what| ((program, what), 0)));
        Self {
            requests: OUTCOMES.map(|outcome| (outcome, 0)).into(),
            programs: programs.collect(),
            ..Self::default()
        }
    }

    /// A router with a fast path is looked after.
    pub fn expect(&mut self, router: &RouterId) {
        for (counts, words) in [
            (&mut self.takeovers, TAKEOVERS.as_slice()),
            (&mut self.shadow, &SHADOW),
            (&mut self.hand_overs, &HAND_OVERS),
            (&mut self.gateways, &GATEWAYS),
        ] {
            for (_, word) in words {
                counts.entry((router.clone(), word)).or_insert(0);
            }
        }
    }

    /// A router came into another state, due to [`why`].
    pub fn changed(&mut self, router: &RouterId, to: State, why: &'static str) {
        let key = (router.clone(), to.as_str(), why);
        *self.transitions.entry(key).or_insert(0) += 1;
    }

    /// The fast path told this of a router, and why not.
    pub fn told(&mut self, router: &RouterId, name: &str, reason: Option<&'static str>) {
        for (counts, words) in [
            (&mut self.takeovers, TAKEOVERS.as_slice()),
            (&mut self.shadow, &SHADOW),
            (&mut self.hand_overs, &HAND_OVERS),
            (&mut self.gateways, &GATEWAYS),
        ] {
            if let Some((_, word)) = words.iter().find(|(note, _)| *note == name) {
                *counts.entry((router.clone(), word)).or_insert(0) += 1;
            }
        }
        if let Some(reason) = reason.filter(|_| name == "takeover_not_now") {
            *self.not_now.entry(reason).or_insert(0) += 1;
        }
    }

    /// A failover was measured: its cause, and for how long clients had no answer.
    pub fn failover(&mut self, cause: &'static str, outage_ns: u64) {
        self.outages.entry(cause).or_default().observe(outage_ns);
    }

    /// Two primaries are suspected.
    pub fn dual_primary(&mut self, router: &RouterId) {
        *self.dual_primaries.entry(router.clone()).or_insert(0) += 1;
    }

    /// An event of the kernel's was dealt with, so long after its time stamp.
    pub fn event(&mut self, latency_ns: u64) {
        self.event_latency.observe(latency_ns);
    }

    /// Something was done so long after it was due.
    pub fn late(&mut self, ns: u64) {
        self.lateness.observe(ns);
    }

    /// So long it took to gather a [`super::Scrape`].
    pub fn gathered(&mut self, ns: u64) {
        self.gathering.observe(ns);
    }

    /// A request on the control socket was answered.
    pub fn answered(&mut self, outcome: &'static str) {
        *self.requests.entry(outcome).or_insert(0) += 1;
    }

    /// A program was started.
    pub fn started(&mut self, program: Program) {
        self.happened(program, "started");
    }

    /// A program could not be started.
    pub fn not_started(&mut self, program: Program) {
        self.happened(program, "not_started");
    }

    /// A program has ended.
    pub fn ended(&mut self, program: Program) {
        self.happened(program, "ended");
    }

    fn happened(&mut self, program: Program, what: &'static str) {
        *self.programs.entry((kind(program), what)).or_insert(0) += 1;
    }

    /// A router is gone.
    pub fn forget(&mut self, router: &RouterId) {
        self.transitions.retain(|(of, _, _), _| of != router);
        for counts in [
            &mut self.takeovers,
            &mut self.shadow,
            &mut self.hand_overs,
            &mut self.gateways,
        ] {
            counts.retain(|(of, _), _| of != router);
        }
        self.dual_primaries.remove(router);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::takeover::{Cause, Note, Reason};

    #[test]
    fn what_is_counted_is_what_the_fast_path_tells() {
        let (cause, after_ns, back_off_ns) = (Cause::Silence, 0, 0);
        let told = [
            Note::TookOver {
                cause,
                since_loss_ns: 0,
                since_verdict_ns: 0,
            },
            Note::Failed { back_off_ns },
            Note::Lost { after_ns },
            Note::NotNow(Reason::NoMaster),
            Note::Wrong {
                after_ns,
                back_off_ns,
            },
            Note::Yields { after_ns },
            Note::WouldHaveBeenWrong { after_ns },
            Note::WouldHaveMattered { saved_ns: None },
            Note::WouldTakeOver {
                cause,
                since_loss_ns: 0,
            },
            Note::NotHandedOver,
            Note::Keeps(Reason::NoMaster),
            Note::HandedOver { after_ns },
        ];
        let router: RouterId = "office".parse().unwrap();
        let mut metrics = Metrics::new();
        metrics.expect(&router);
        for note in told {
            metrics.told(&router, note.name(), note.reason().map(Reason::name));
        }
        let counted = [&metrics.takeovers, &metrics.shadow, &metrics.hand_overs];
        let counts: Vec<u64> = counted.iter().flat_map(|it| it.values()).copied().collect();
        assert_eq!(counts, [1; 12]);
        // Only what was an occasion.
        assert_eq!(metrics.not_now, [("no_master", 1)].into());
    }
}
