//! A report in words.

use super::report::{Report, Side, Until};
use crate::report::clock::duration;

/// A whole report, for a terminal.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = head(report);
    text.push('\n');
    for moment in &report.timeline {
        let by = if moment.kernel { ' ' } else { '*' };
        text.push_str(&format!(
            "{:>14} {by} {}\n",
            offset(moment.after_ns),
            moment.what
        ));
    }
    text.push_str("\n* as the agent says; all else the kernel programs saw\n");
    text
}

fn head(report: &Report) -> String {
    let mut text = String::new();
    let what = match report.side {
        Side::NewPrimary => "this host became primary",
        Side::OldPrimary => "this host is primary no longer",
    };
    text.push_str(&format!("router  {}\n", report.router));
    text.push_str(&format!("when    {}: {what}\n", report.time));
    text.push_str(&format!("cause   {}\n", report.words));
    text.push_str(&format!("outage  {}\n", outage(report)));
    if let Some(stock) = report.stock_ns {
        text.push_str(&format!(
            "else    keepalived alone would have taken over after {}\n",
            duration(stock)
        ));
    }
    text
}

/// How long the outage was, in words.
#[must_use]
pub fn outage(report: &Report) -> String {
    let until = match report.outage_until {
        Some(Until::FirstPacket) => "the first packet through this host",
        Some(Until::Announcement) => {
            "this host's first announcement of an address (there was no traffic)"
        }
        None => {
            return match report.side {
                Side::NewPrimary => "none that this host knows of".to_owned(),
                Side::OldPrimary => "the new primary knows".to_owned(),
            };
        }
    };
    let length = report.outage_ns.map_or_else(String::new, duration);
    format!("{length}, from the last sign of the old primary to {until}")
}

/// A time before or after, in milliseconds with three decimals.
pub(super) fn offset(ns: i64) -> String {
    let sign = if ns < 0 { '-' } else { '+' };
    let us = ns.unsigned_abs() / 1_000;
    format!("{sign}{}.{:03} ms", us / 1_000, us % 1_000)
}
