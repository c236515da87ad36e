//! What is known of a router's past, from the kernel and from the agent, as one
//! sequence of facts.

use keepfast_common::blackbox::{BlackBox, Record};
use keepfast_common::event::EventKind;
use serde_json::Value;

use super::words;
use super::{FAILOVER, Identity};
use crate::engine::Nanos;
use crate::report::json::kind_name;

/// Times of the event log that go back by more than this are of another boot.
const REBOOT_NS: Nanos = 10_000_000_000;

/// All that is known.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The router.
    pub router: String,
    /// What it is on the wire.
    pub identity: Identity,
    /// Its black box, and that of its interface's peers.
    pub boxes: [BlackBox; 2],
    /// Its event log, the oldest first.
    pub log: Vec<Line>,
}

/// A line of the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When, nanoseconds of CLOCK_MONOTONIC.
    pub at_ns: Nanos,
    /// The event's name.
    pub event: String,
    /// The event in words.
    pub detail: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    /// When, nanoseconds of CLOCK_MONOTONIC.
    pub(super) at_ns: Nanos,
    /// Its short name.
    pub(super) event: String,
    /// The event in words.
    pub(super) what: String,
    /// What the kernel kept; `None`: the agent says so.
    pub(super) record: Option<Record>,
}

impl Line {
    /// Reads one line of a log; `None` where it is none.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        let text = |field: &str| value.get(field)?.as_str().map(str::to_owned);
        Some(Self {
            at_ns: value.get("monotonic_ns")?.as_u64()?,
            event: text("event")?,
            detail: text("detail")?,
        })
    }
}

impl Fact {
    /// Whether it is an event of this kind.
    pub(super) fn is(&self, kind: EventKind) -> bool {
        self.kind() == Some(kind as u8)
    }

    /// In words, for who does not see its name.
    pub(super) fn words(&self) -> String {
        if self.record.is_some() || self.event == "state" {
            self.what.clone()
        } else {
            format!("{}: {}", self.event.replace('_', " "), self.what)
        }
    }

    /// What the kernel calls it.
    pub(super) fn kind(&self) -> Option<u8> {
        self.record.map(|record| record.kind)
    }

    /// Whether it is an entry of the event log with this name.
    pub(super) fn is_line(&self, name: &str) -> bool {
        self.record.is_none() && self.event == name
    }
}

impl Evidence {
    /// All facts, in the order of their time.
    pub(super) fn facts(&self) -> Vec<Fact> {
        let records = self.boxes.iter();
        let records = records.flat_map(|it| it.adverts.iter().chain(&it.records));
        let records = records.filter(|record| record.time_ns != 0);
        let mut facts: Vec<Fact> = records.map(|record| self.fact(record)).collect();
        let kernel: Vec<(Nanos, String)> = facts
            .iter()
            .map(|fact| (fact.at_ns, fact.event.clone()))
            .collect();
        let lines = since_boot(&self.log).iter();
        // The log repeats what the kernel has told.
        let lines = lines.filter(|line| {
            line.event != FAILOVER && !kernel.contains(&(line.at_ns, line.event.clone()))
        });
        facts.extend(lines.map(|line| Fact {
            at_ns: line.at_ns,
            event: line.event.clone(),
            what: line.detail.clone(),
            record: None,
        }));
        facts.sort_by_key(|fact| fact.at_ns);
        facts
    }

    fn fact(&self, record: &Record) -> Fact {
        let event =
            EventKind::from_number(record.kind).map_or_else(|| words::name(record.kind), kind_name);
        Fact {
            at_ns: record.time_ns,
            event: event.to_owned(),
            what: words::sentence(record, &self.identity),
            record: Some(*record),
        }
    }
}

/// The lines since this host was started: CLOCK_MONOTONIC begins anew with it.
fn since_boot(log: &[Line]) -> &[Line] {
    let went_back = |pair: &[Line]| match pair {
        [before, after] => after.at_ns.saturating_add(REBOOT_NS) < before.at_ns,
        _ => false,
    };
    let first = log.windows(2).rposition(went_back);
    log.get(first.map_or(0, |at| at + 1)..).unwrap_or_default()
}
