//! One takeover as a table, and what the client had of it.

use crate::agent::Event;
use crate::network::{SECOND_PRIORITY, VIRTUAL, skew};
use anyhow::{Context, Result};
use lab::capture::Recording;
use lab::prober::Probes;
use std::fmt::Write;
use std::time::Duration;

/// What was done, and what others than keepfast saw of it.
pub(crate) struct Cut {
    /// When the power went, CLOCK_MONOTONIC.
    pub(crate) cut_ns: u64,
    /// What became of the client's questions.
    pub(crate) probes: Probes,
    /// ARP on the switch.
    pub(crate) announcements: Recording,
}

/// The table, and a sentence on how long it took.
pub(crate) fn tell(cut: &Cut, events: &[Event]) -> Result<String> {
    let outage = cut.probes.outage();
    let mut steps = vec![
        (cut.cut_ns, "power cut".to_owned()),
        (outage.start_ns, "client's last answer".to_owned()),
        (
            announced_ns(cut)?,
            format!("gratuitous ARP for {VIRTUAL} on the wire"),
        ),
        (outage.end_ns, "client's first answer".to_owned()),
    ];
    for event in events {
        steps.push((event.time_ns()?, event.words()));
    }
    steps.sort_by_key(|(time_ns, _)| *time_ns);
    let mut text =
        String::from("Seconds since the cut, by the monotonic clock; of the second router:\n");
    for (time_ns, what) in steps {
        writeln!(text, "  {:>9}  {what}", since(cut.cut_ns, time_ns))?;
    }
    let skew = skew();
    write!(
        text,
        "\nThe client was without answers for {:.3} s; {} of its questions were lost. That is\n\
         keepalived's own time: after the last advert, a backup of priority {SECOND_PRIORITY} \
         waits\n3 x 1 s + skew {:.3} s = {:.3} s.",
        outage.length().as_secs_f64(),
        cut.probes.lost(),
        skew.as_secs_f64(),
        (Duration::from_secs(3) + skew).as_secs_f64(),
    )?;
    Ok(text)
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
