//! A report made of the evidence.

use keepfast_common::blackbox::{ANNOUNCED, FIRST_PACKET, Record};
use keepfast_common::event::EventKind;
use keepfast_common::time::{CENTISECOND_NS, down_after_ns, skew_ns};

use super::cause::{self, Loss};
use super::evidence::{Evidence, Fact};
use super::report::{Cause, Moment, Report, SCHEMA, Side, Steps, Until};
use super::turns::{self, Turn};
use crate::engine::Nanos;
use crate::report::clock::ClockMapping;

/// How long before the last sign of the old primary a timeline begins.
const BEFORE_NS: Nanos = 3_000_000_000;
/// How long after a change of hands it ends: first packets are waited for as long.
const AFTER_NS: Nanos = keepfast_common::blackbox::TURN_NS;
/// How long before a change of hands its cause may lie.
const CAUSE_NS: Nanos = 60_000_000_000;
/// Entries of a timeline at most.
const LONGEST: usize = 200;

impl Report {
    /// What `evidence` says of a change of hands, one of [`super::turns()`]. Times are
    /// told by `clock`.
    #[must_use]
    pub fn build(evidence: &Evidence, turn: &Turn, clock: &ClockMapping) -> Self {
        let facts = evidence.facts();
        let all = turns::of(&facts);
        let before = all.iter().rev().find(|it| it.at_ns < turn.at_ns);
        let after = all.iter().find(|it| it.at_ns > turn.at_ns);
        let from = turn.at_ns.saturating_sub(CAUSE_NS);
        let from = before.map_or(from, |it| it.at_ns.max(from));
        let until = turn.at_ns.saturating_add(AFTER_NS);
        let until = after.map_or(until, |it| it.at_ns.min(until));
        let facts: Vec<Fact> = facts
            .into_iter()
            .filter(|fact| fact.at_ns >= from && fact.at_ns < until)
            .collect();
        match turn.side {
            Side::NewPrimary => new_primary(evidence, &facts, turn, clock),
            Side::OldPrimary => old_primary(evidence, &facts, turn, clock),
        }
    }
}

fn new_primary(evidence: &Evidence, facts: &[Fact], turn: &Turn, clock: &ClockMapping) -> Report {
    let loss = Loss::of(facts, turn);
    let cause = loss.cause(evidence.identity.priority);
    let detected = [loss.resigned, loss.silent, loss.down];
    let detected = detected.into_iter().flatten().map(|it| it.time_ns).min();
    let begin = detected.unwrap_or(turn.at_ns);
    let advert_ns = |record: Option<Record>| record.map(|it| it.time_ns);
    let mut steps = Steps {
        last_advert_ns: advert_ns(loss.resigned).or(advert_ns(loss.advert)),
        last_answer_ns: loss.silent.and_then(|it| some(it.heard_ns)),
        first_unanswered_ns: loss.silent.and_then(|it| some(it.due_ns)),
        detected_ns: detected,
        ..later(facts, begin)
    };
    let last_sign = if loss.resigned.is_some() {
        detected
    } else {
        steps.last_advert_ns.max(steps.last_answer_ns)
    };
    let without = matches!(cause, Cause::FirstStart | Cause::Preempted | Cause::Unknown);
    let last_sign = last_sign.filter(|_| !without);
    // What left before the takeover went the way of a lease, or of another router.
    steps.first_packet_ns = steps
        .first_packet_ns
        .filter(|at| steps.announced_ns.is_none_or(|announced| *at >= announced));
    let end = [
        (steps.first_packet_ns, Until::FirstPacket),
        (steps.announced_ns, Until::Announcement),
    ];
    let end = end.into_iter().find_map(|(at, until)| Some((at?, until)));
    let outage = last_sign.zip(end);
    Report {
        schema: SCHEMA.to_owned(),
        router: evidence.router.clone(),
        side: Side::NewPrimary,
        time: clock.instant(turn.at_ns).to_string(),
        turned_ns: turn.at_ns,
        cause,
        words: cause::words(cause).to_owned(),
        outage_ns: outage.map(|(last, (at, _))| at.saturating_sub(last)),
        outage_until: outage.map(|(_, (_, until))| until),
        stock_ns: last_sign.and_then(|last| stock(evidence, cause, &loss, last)),
        zero_ns: last_sign.unwrap_or(turn.at_ns),
        timeline: timeline(facts, last_sign.unwrap_or(turn.at_ns)),
        steps,
    }
}

/// How long after the last sign keepalived alone would have taken over.
fn stock(evidence: &Evidence, cause: Cause, loss: &Loss, last_sign: Nanos) -> Option<Nanos> {
    let identity = &evidence.identity;
    let own = u16::try_from(identity.advert_interval_ns / CENTISECOND_NS).ok()?;
    // Version 3 has a backup follow the master's interval (RFC 9568 section 6.4.2).
    let interval = match loss.advert {
        Some(advert) if identity.version == 3 => advert.interval_cs,
        _ => own,
    };
    let (version, priority) = (identity.version, identity.priority);
    // One that was cut off says why only when it is back: its resignation was not heard.
    let unheard = loss.silent.is_some() && loss.resigned.is_none();
    match cause {
        Cause::HandedOver | Cause::PeerResigned | Cause::PeerInterface if !unheard => {
            Some(skew_ns(version, interval, priority))
        }
        Cause::HandedOver
        | Cause::PeerInterface
        | Cause::PeerSilent
        | Cause::PeerKeepalived
        | Cause::PeerKeepalivedSilent
        | Cause::AdvertsCeased => {
            let heard = loss.advert?.time_ns;
            let down = heard.saturating_add(down_after_ns(version, interval, priority));
            Some(down.saturating_sub(last_sign))
        }
        _ => None,
    }
}

fn old_primary(evidence: &Evidence, facts: &[Fact], turn: &Turn, clock: &ClockMapping) -> Report {
    let cause = cause::of_old_primary(facts, turn);
    let own = |fact: &&Fact| {
        let own = fact.record.is_some_and(|record| record.local != 0);
        fact.event == "advert" && own && fact.at_ns <= turn.at_ns
    };
    let after = |wanted: &dyn Fn(&Fact) -> bool| {
        let mut after = facts.iter().filter(|fact| fact.at_ns >= turn.at_ns);
        after.find(|fact| wanted(fact)).map(|fact| fact.at_ns)
    };
    let other = |fact: &Fact| fact.record.is_some_and(|record| record.local == 0);
    let steps = Steps {
        last_advert_ns: facts.iter().rev().find(own).map(|fact| fact.at_ns),
        detected_ns: Some(turn.at_ns),
        decided_ns: facts
            .iter()
            .rev()
            .find(|fact| fact.is_line("hands_over"))
            .map(|fact| fact.at_ns),
        took_over_ns: after(&|fact| {
            fact.is(EventKind::MasterAppeared) || fact.is(EventKind::MasterChanged)
        }),
        address_ns: after(&|fact| {
            fact.is_line("state") && !fact.what.contains("-> falling") && fact.what.contains("-> ")
        }),
        announced_ns: after(&|fact| fact.kind() == Some(ANNOUNCED) && other(fact)),
        ..Steps::default()
    };
    Report {
        schema: SCHEMA.to_owned(),
        router: evidence.router.clone(),
        side: Side::OldPrimary,
        time: clock.instant(turn.at_ns).to_string(),
        turned_ns: turn.at_ns,
        cause,
        words: cause::words(cause).to_owned(),
        outage_ns: None,
        outage_until: None,
        stock_ns: None,
        zero_ns: turn.at_ns,
        timeline: timeline(facts, turn.at_ns),
        steps,
    }
}

/// The steps of a new primary after the loss.
fn later(facts: &[Fact], begin: Nanos) -> Steps {
    let first = |wanted: &dyn Fn(&Fact) -> bool| {
        let mut later = facts.iter().filter(|fact| fact.at_ns >= begin);
        later.find(|fact| wanted(fact)).map(|fact| fact.at_ns)
    };
    let own = |fact: &Fact| fact.record.is_some_and(|record| record.local != 0);
    Steps {
        decided_ns: first(&|fact| fact.is_line("takeover_begins")),
        took_over_ns: first(&|fact| fact.is(EventKind::LocalMaster)),
        address_ns: first(&|fact| fact.is_line("state") && fact.what.contains("-> primary:")),
        announced_ns: first(&|fact| fact.kind() == Some(ANNOUNCED) && own(fact)),
        first_packet_ns: first(&|fact| fact.kind() == Some(FIRST_PACKET)),
        ..Steps::default()
    }
}

fn timeline(facts: &[Fact], zero: Nanos) -> Vec<Moment> {
    let begin = zero.saturating_sub(BEFORE_NS);
    let seen = facts.iter().filter(|fact| fact.at_ns >= begin);
    seen.take(LONGEST)
        .map(|fact| Moment {
            at_ns: fact.at_ns,
            after_ns: fact.at_ns.cast_signed().saturating_sub(zero.cast_signed()),
            event: fact.event.clone(),
            what: fact.words(),
            kernel: fact.record.is_some(),
        })
        .collect()
}

const fn some(ns: Nanos) -> Option<Nanos> {
    if ns == 0 { None } else { Some(ns) }
}
