//! Why a router changed hands.

use keepfast_common::blackbox::{PEER_SAYS, Record};
use keepfast_common::event::EventKind;

use super::evidence::Fact;
use super::reason::{GIVES_UP, Reason};
use super::report::Cause;
use super::turns::Turn;
use crate::engine::Nanos;

/// How long before a turn what is said of it may be said.
const SAID_BEFORE_NS: Nanos = 500_000_000;
/// How long after it: a host that was cut off says so when it is back.
const SAID_AFTER_NS: Nanos = 5_000_000_000;

/// What a new primary has seen of the old one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Loss {
    /// The old primary's last advert that was not a resignation.
    pub(super) advert: Option<Record>,
    /// It resigned.
    pub(super) resigned: Option<Record>,
    /// Its host was silent.
    pub(super) silent: Option<Record>,
    /// Its adverts had been missing for too long.
    pub(super) down: Option<Record>,
    /// What its host said.
    said: Option<Reason>,
    /// Its host answered probes to the end.
    answers: bool,
}

impl Loss {
    /// Of the facts since the turn before and until the one after.
    pub(super) fn of(facts: &[Fact], turn: &Turn) -> Self {
        let mut loss = Self::default();
        let records = facts.iter().filter_map(|fact| Some((fact, fact.record?)));
        for (fact, record) in records.clone().filter(|(it, _)| it.at_ns <= turn.at_ns) {
            if fact.event == "advert" && record.local == 0 && record.priority != 0 {
                loss.advert = Some(record);
                loss.resigned = None;
                loss.down = None;
            } else if fact.is(EventKind::MasterResigned) {
                loss.resigned = Some(record);
            } else if fact.is(EventKind::MasterDown) {
                loss.down = Some(record);
            }
        }
        let of_peer = |record: &Record| loss.advert.is_none_or(|advert| advert.mac == record.mac);
        for (fact, record) in records.filter(|(_, record)| of_peer(record)) {
            if fact.at_ns <= turn.at_ns {
                if fact.is(EventKind::PeerSilent) {
                    loss.silent = Some(record);
                    loss.answers = false;
                } else if fact.is(EventKind::PeerUp) || fact.is(EventKind::PeerBack) {
                    loss.silent = None;
                    loss.answers = true;
                }
            }
            if fact.kind() == Some(PEER_SAYS) && is_near(fact, turn) {
                loss.said = Reason::of_number(record.detail);
            }
        }
        loss
    }

    /// What it comes to, for a host of this priority.
    pub(super) fn cause(&self, priority: u8) -> Cause {
        if let Some(reason) = self.said {
            return match reason {
                Reason::Keepalived => Cause::PeerKeepalived,
                Reason::Interface => Cause::PeerInterface,
                Reason::Operator => Cause::HandedOver,
                Reason::Gateway => Cause::GatewayLost,
            };
        }
        if self.resigned.is_some() {
            Cause::PeerResigned
        } else if self.silent.is_some() {
            Cause::PeerSilent
        } else if self.down.is_some() {
            if self.answers {
                Cause::PeerKeepalivedSilent
            } else {
                Cause::AdvertsCeased
            }
        } else {
            match self.advert {
                None => Cause::FirstStart,
                Some(advert) if advert.priority < priority => Cause::Preempted,
                Some(_) => Cause::Unknown,
            }
        }
    }
}

/// Whether a fact may be about a turn.
const fn is_near(fact: &Fact, turn: &Turn) -> bool {
    fact.at_ns.saturating_add(SAID_BEFORE_NS) > turn.at_ns
        && fact.at_ns < turn.at_ns.saturating_add(SAID_AFTER_NS)
}

/// Why this host is primary no longer.
pub(super) fn of_old_primary(facts: &[Fact], turn: &Turn) -> Cause {
    let near = || {
        let near = facts.iter();
        near.filter(|fact| is_near(fact, turn))
    };
    let gave_up = near().find(|fact| fact.is_line(GIVES_UP));
    if let Some(reason) = gave_up.and_then(|fact| Reason::of_words(&fact.what)) {
        return match reason {
            Reason::Keepalived => Cause::OwnKeepalived,
            Reason::Interface => Cause::OwnInterface,
            Reason::Operator => Cause::HandedOver,
            Reason::Gateway => Cause::GatewayLost,
        };
    }
    if near().any(|fact| fact.is(EventKind::TakenOver) || fact.is_line("taken_over")) {
        return Cause::TakenOver;
    }
    let other = near().find(|fact| fact.is(EventKind::MasterChanged));
    match other.and_then(|fact| fact.record) {
        Some(_) => Cause::Outranked,
        None => Cause::Unknown,
    }
}

/// A cause as an operator would say it.
pub(super) const fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::PeerSilent => {
            "the old primary's host fell silent: its power or its link is cut, or it hangs"
        }
        Cause::PeerKeepalived => "the old primary's keepalived has ended or hung, its host says",
        Cause::PeerKeepalivedSilent => {
            "the old primary's keepalived fell silent, but its host answered to the end"
        }
        Cause::PeerInterface => "an interface of the old primary is down, its host says",
        Cause::PeerResigned => {
            "the old primary resigned: its keepalived was stopped, or no longer fit to serve"
        }
        Cause::AdvertsCeased => {
            "the old primary's adverts ceased; whether its host lived is not known, for it was not probed"
        }
        Cause::HandedOver => "handed over on purpose: an operator wanted another host to serve",
        Cause::GatewayLost => "the old primary's gateway was lost, and a backup had one",
        Cause::FirstStart => "first start: there was no primary before",
        Cause::Preempted => "this host outranks the old primary",
        Cause::OwnKeepalived => "this host's own keepalived has ended or hung",
        Cause::OwnInterface => "an interface of this host is down",
        Cause::TakenOver => {
            "another host took over while this one served: it did not hear this one (a cut link, or a host without processor time)"
        }
        Cause::Outranked => "a host that outranks this one is primary",
        Cause::Unknown => "nothing says why",
    }
}
