//! One takeover as a table, and what the client had of it.

use crate::agent::Event;
use crate::network::{SECOND_PRIORITY, VIRTUAL, skew};
use anyhow::{Context, Result};
use lab::capture::Recording;
use lab::prober::{Outage, Probes};
use std::fmt;
use std::time::Duration;

/// The events that are worth a mark in a picture, and what they are called there.
const MARKS: [(&str, &str); 4] = [
    ("advert_late", "advert is late"),
    ("master_down", "master is down"),
    ("takeover_begins", "takeover begins"),
    ("local_master", "keepalived is master"),
];

/// What was done, and what others than keepfast saw of it.
pub(crate) struct Cut {
    /// When the power went, CLOCK_MONOTONIC.
    pub(crate) cut_ns: u64,
    /// What became of the client's questions.
    pub(crate) probes: Probes,
    /// ARP on the switch.
    pub(crate) announcements: Recording,
}

/// All that happened, in the order of time.
pub(crate) struct Takeover {
    /// How the fast path was.
    pub(crate) name: &'static str,
    cut_ns: u64,
    outage: Outage,
    lost: usize,
    steps: Vec<Step>,
}

struct Step {
    time_ns: u64,
    words: String,
    mark: Option<&'static str>,
}

/// A moment in a picture.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// Milliseconds after the cut.
    pub(crate) after_ms: f64,
    pub(crate) label: &'static str,
}

impl Takeover {
    /// Puts what was seen in order, and `events`, which are of who took over.
    pub(crate) fn new(name: &'static str, cut: &Cut, events: &[Event]) -> Result<Self> {
        let outage = cut.probes.outage();
        let step = |time_ns, words: String, mark| Step {
            time_ns,
            words,
            mark,
        };
        let mut steps = vec![
            step(cut.cut_ns, "power cut".to_owned(), Some("power cut")),
            step(outage.start_ns, "client's last answer".to_owned(), None),
            step(
                announced_ns(cut)?,
                format!("gratuitous ARP for {VIRTUAL} on the wire"),
                None,
            ),
            step(
                outage.end_ns,
                "client's first answer".to_owned(),
                Some("client's first answer"),
            ),
        ];
        for event in events {
            let mark = MARKS.iter().find(|(name, _)| *name == event.name());
            let mark = mark.map(|(_, label)| *label);
            steps.push(step(event.time_ns()?, event.words(), mark));
        }
        steps.sort_by_key(|step| step.time_ns);
        Ok(Self {
            name,
            cut_ns: cut.cut_ns,
            outage,
            lost: cut.probes.lost(),
            steps,
        })
    }

    /// How long the client had no answer.
    pub(crate) fn outage_ms(&self) -> f64 {
        self.outage.length().as_secs_f64() * 1e3
    }

    /// When the client was served again, milliseconds after the cut.
    pub(crate) fn served_ms(&self) -> f64 {
        self.after_ms(self.outage.end_ns)
    }

    /// What a picture shows, in the order of time.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Mark> {
        self.steps.iter().filter_map(|step| {
            Some(Mark {
                after_ms: self.after_ms(step.time_ns),
                label: step.mark?,
            })
        })
    }

    fn after_ms(&self, time_ns: u64) -> f64 {
        time_ns.saturating_sub(self.cut_ns) as f64 / 1e6
    }
}

impl fmt::Display for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Seconds since the cut, by the monotonic clock; of the second router, {}:",
            self.name
        )?;
        for Step { time_ns, words, .. } in &self.steps {
            writeln!(f, "  {:>9}  {words}", since(self.cut_ns, *time_ns))?;
        }
        write!(
            f,
            "\nThe client was without answers for {:.3} s; {} of its questions were lost.",
            self.outage.length().as_secs_f64(),
            self.lost,
        )
    }
}

/// Why it takes so long without the fast path.
pub(crate) fn keepalived_alone() -> String {
    let skew = skew();
    format!(
        "That was keepalived's own time: after the last advert, a backup of priority \
         {SECOND_PRIORITY} waits\n3 x 1 s + skew {:.3} s = {:.3} s.",
        skew.as_secs_f64(),
        (Duration::from_secs(3) + skew).as_secs_f64(),
    )
}

/// When the virtual address was first announced after the cut.
fn announced_ns(cut: &Cut) -> Result<u64> {
    let filter = format!("arp.isgratuitous == 1 && arp.src.proto_ipv4 == {VIRTUAL}");
    let rows = cut.announcements.fields(&filter, &["frame.time_epoch"])?;
    for row in rows {
        let time_ns = cut.announcements.monotonic_ns(&row.concat())?;
        if time_ns > cut.cut_ns {
            return Ok(time_ns);
        }
    }
    let summary = cut.announcements.summary()?;
    None.with_context(|| format!("find {filter} after the cut in\n{summary}"))
}

/// Seconds from one time to another, to the microsecond.
fn since(zero_ns: u64, time_ns: u64) -> String {
    let sign = if time_ns < zero_ns { '-' } else { '+' };
    let micros = time_ns.abs_diff(zero_ns) / 1_000;
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
