//! One router as the thread has it.

use std::net::IpAddr;

use keepfast_common::event::Party;
use keepfast_common::session::Session;
use keepfast_common::wire::probe::{ROLE_MASTER, SENDER_ARMED, SENDER_GATEWAY, Stamps};
use keepfast_common::wire::{Address, Mac};

use crate::config::Mode;
use crate::engine::Nanos;
use crate::kernel;
use crate::takeover::{Action, Answer, Takeover};

use super::order::{Facts, Guard};
use super::peer::{PeerKey, Wish};
use super::probe::Question;
use super::questions::Questions;

/// How often it is looked for adverts of the one whose place was taken.
pub(super) const LOOK_NS: Nanos = 2_000_000;

/// A guarded router.
pub(super) struct Guarded {
    pub(super) guard: Guard,
    pub(super) facts: Facts,
    pub(super) takeover: Takeover,
    /// With whom its session is, and since when it wants one.
    pub(super) peer: Option<PeerKey>,
    /// The address of that master.
    pub(super) peer_address: Option<Address>,
    /// What that peer last said about this router.
    pub(super) stamps: Stamps,
    /// And whether its keepalived is master, to which probe.
    pub(super) answer: Answer,
    /// Asks the master's keepalived, where probes are not answered.
    pub(super) solicitation: Option<Questions>,
    /// Asks each gateway, where that is declared.
    pub(super) gateways: Vec<Questions>,
    pub(super) gateway_lost: bool,
    /// Heirs when it was last told of them.
    pub(super) heirs: u32,
    /// Whose place was taken.
    pub(super) deposed: Option<Party>,
    /// When that one was last heard, as far as it was told.
    pub(super) deposed_heard_ns: Nanos,
    pub(super) look_at: Nanos,
    /// Until when addresses may lapse that an agent which died has added.
    pub(super) leftovers_until: Nanos,
    /// The backups that probe this host.
    pub(super) followers: Vec<Mac>,
    /// When the thread has something to do for it.
    pub(super) due: Option<Nanos>,
}

impl Guarded {
    pub(super) fn new(guard: Guard, actions: &mut Vec<Action>) -> Self {
        let takeover = Takeover::new(guard.policy, actions);
        let gateways = questions(&guard);
        Self {
            facts: guard.facts,
            takeover,
            peer: None,
            peer_address: None,
            stamps: Stamps::NONE,
            answer: Answer::NONE,
            solicitation: None,
            gateways,
            gateway_lost: false,
            heirs: 0,
            deposed: None,
            deposed_heard_ns: 0,
            look_at: 0,
            leftovers_until: 0,
            followers: Vec::new(),
            due: None,
            guard,
        }
    }

    /// It is declared otherwise; what is the same goes on.
    pub(super) fn redeclare(&mut self, guard: Guard) {
        let old = &self.guard;
        let asks_otherwise = old.gateways != guard.gateways
            || old.fast_path.gateway_interval != guard.fast_path.gateway_interval
            || old.fast_path.gateway_multiplier != guard.fast_path.gateway_multiplier;
        if asks_otherwise {
            self.gateways = questions(&guard);
            self.gateway_lost = false;
        }
        if old.fast_path.solicit_interval != guard.fast_path.solicit_interval {
            self.solicitation = None;
        }
        self.facts = guard.facts;
        self.guard = guard;
    }

    /// When something is due that is not a takeover's.
    pub(super) fn own_deadline(&self) -> Option<Nanos> {
        let gateways = self.gateways.iter().map(Questions::due);
        let solicitation = self.solicitation.iter().map(Questions::due);
        let look = self.looks().then_some(self.look_at);
        gateways.chain(solicitation).chain(look).min()
    }

    /// Whether it is looked for adverts of the one whose place was taken.
    pub(super) fn looks(&self) -> bool {
        self.deposed.is_some() && self.has_decided()
    }

    /// Whether it takes over, or has just done so.
    pub(super) fn has_decided(&self) -> bool {
        matches!(self.takeover.as_str(), "taking over" | "holding")
    }

    /// Whether this host can reach a gateway, as far as that is asked. One in doubt does
    /// not count: where all hosts lose theirs, the primary is to know before its own
    /// is silent that no backup is better.
    pub(super) fn has_gateway(&self) -> bool {
        self.gateways.is_empty() || self.gateways.iter().any(Questions::answers)
    }

    /// The peer has said this about the router. Its place in line, and the token, are
    /// those that it was given by a master: one that resigns has none to give, and just
    /// then they matter.
    pub(super) fn hear(&mut self, session: &Session) {
        let said = session.stamps;
        self.answer = Answer::of(session).unwrap_or(self.answer);
        let Stamps { rank, token, .. } = self.stamps;
        self.stamps = said;
        if said.role != ROLE_MASTER {
            self.stamps.rank = rank;
            self.stamps.token = token;
        }
    }

    /// What its probes ask.
    pub(super) fn question(&self) -> Question {
        let speech = &self.guard.speech;
        let policy = &self.guard.policy;
        let armed = self.guard.fast_path.mode == Mode::Armed && policy.raise && !policy.drained;
        let mut flags = 0;
        if armed {
            flags |= SENDER_ARMED;
        }
        if self.has_gateway() {
            flags |= SENDER_GATEWAY;
        }
        Question {
            vrid: self.guard.key.vrid,
            family: self.guard.key.family,
            address: kernel::address(speech.source).1,
            priority: speech.priority,
            flags,
            reason: self.facts.reason,
        }
    }

    /// What it wants of its session; `None` where it has no address to probe from.
    pub(super) fn wish(&self) -> Option<Wish> {
        let IpAddr::V4(own) = self.guard.speech.source else {
            return None;
        };
        let fast_path = &self.guard.fast_path;
        Some(Wish {
            interval_ns: nanos(fast_path.interval),
            multiplier: fast_path.multiplier,
            mac: self.guard.speech.mac,
            own,
            sharing: fast_path.liveness,
        })
    }
}

fn questions(guard: &Guard) -> Vec<Questions> {
    let Some(interval) = guard.fast_path.gateway_interval else {
        return Vec::new();
    };
    let multiplier = guard.fast_path.gateway_multiplier;
    let one = |_| Questions::new(nanos(interval), multiplier);
    guard.gateways.iter().map(one).collect()
}

/// A duration in nanoseconds.
pub(super) fn nanos(duration: std::time::Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}
