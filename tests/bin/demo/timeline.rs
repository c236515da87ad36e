//! One takeover as a table, and what the client had of it.

use crate::network::{SECOND_PRIORITY, VIRTUAL, skew};
use crate::watch::Event;
use anyhow::{Context, Result, ensure};
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

/// What keepfast saw.
pub(crate) struct Takeover {
    /// `advert_late`.
    pub(crate) late: Event,
    /// `master_down`.
    pub(crate) down: Event,
    /// `local_master`.
    pub(crate) local: Event,
}

/// The table, and a sentence on how long it took.
pub(crate) fn tell(cut: &Cut, takeover: &Takeover) -> Result<String> {
    let Takeover { late, down, local } = takeover;
    let heard_ns = down.number("/old/heard_ns")?;
    let outage = cut.probes.outage();
    let mut steps = vec![
        (heard_ns, "last advert of the master".to_owned()),
        (cut.cut_ns, "power cut".to_owned()),
        (outage.start_ns, "client's last answer".to_owned()),
        timer("advert late", late, heard_ns)?,
        timer("master down", down, heard_ns)?,
        (
            local.number("/monotonic_ns")?,
            "first advert of this host".to_owned(),
        ),
        (
            announced_ns(cut)?,
            format!("gratuitous ARP for {VIRTUAL} on the wire"),
        ),
        (outage.end_ns, "client's first answer".to_owned()),
    ];
    steps.sort_by_key(|(time_ns, _)| *time_ns);
    let mut text = String::from("Seconds since the last advert, by the monotonic clock:\n");
    for (time_ns, what) in steps {
        writeln!(text, "  {:>9}  {what}", since(heard_ns, time_ns))?;
    }
    let skew = skew();
    write!(
        text,
        "\nThe client was without answers for {:.3} s; {} of its questions were lost. That is\n\
         keepalived's own time: after the last advert, a backup of priority {SECOND_PRIORITY} \
         waits\n3 x 1 s + skew {:.3} s = {:.3} s. keepfast, which had not heard that priority, \
         reckoned\nwith the master's.",
        outage.length().as_secs_f64(),
        cut.probes.lost(),
        skew.as_secs_f64(),
        (Duration::from_secs(3) + skew).as_secs_f64(),
    )?;
    Ok(text)
}

/// What a timer of the kernel found, with its deadline.
fn timer(what: &str, event: &Event, heard_ns: u64) -> Result<(u64, String)> {
    let [time_ns, due_ns] = [event.number("/monotonic_ns")?, event.number("/due_ns")?];
    ensure!(time_ns >= due_ns, "before its deadline: {event:?}");
    let late_us = (time_ns - due_ns) / 1_000;
    let due = since(heard_ns, due_ns);
    let words = format!("{what}: due at {due}, the timer was {late_us} us late");
    Ok((time_ns, words))
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
