//! A report as one HTML file: no script, nothing from elsewhere, dark or light as the
//! reader's system is, and as wide as the screen.

use super::report::{Report, Side, Steps};
use super::text::{offset, outage};
use crate::engine::Nanos;
use crate::report::clock::duration;

const STYLE: &str = include_str!("report.css");

/// Of the plot: pixels for each step, below them for the scale, and above for a mark.
const ROW: usize = 34;
const SCALE: usize = 28;
/// How many parts the scale has: more, and the words under it would touch on a phone.
const LINES: u64 = 2;
/// How much of the width the plot uses, so that what is at its ends can be seen: per
/// mille, from this on.
const LEFT: u64 = 20;
const WIDE: u64 = 960;

/// The whole file.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut html = String::new();
    let router = escape(&report.router);
    let side = match report.side {
        Side::NewPrimary => "this host became primary",
        Side::OldPrimary => "this host is primary no longer",
    };
    html.push_str(&format!("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{router}: post-mortem</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <p class=\"kind\">Post-mortem of router</p>\n<h1>{router}</h1>\n\
         <p><time datetime=\"{0}\">{0}</time>: {side}</p>\n\
         <p class=\"cause\">{1}</p>\n",
        escape(&report.time),
        escape(&report.words),
    ));
    figures(&mut html, report);
    plot(&mut html, report);
    table(&mut html, report);
    html.push_str(&format!("<p class=\"foot\">{} &middot; cause <code>{}</code> &middot; times are CLOCK_MONOTONIC of this host</p>\n\
         </main>\n</body>\n</html>\n",
        escape(&report.schema),
        escape(&cause_name(report)),
    ));
    html
}

fn cause_name(report: &Report) -> String {
    serde_json::to_value(report.cause)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// How long nobody served, beside how long that would have been.
fn figures(html: &mut String, report: &Report) {
    let Some(length) = report.outage_ns else {
        html.push_str(&format!("<p>Outage: {}</p>\n", escape(&outage(report))));
        return;
    };
    html.push_str(&format!(
        "<p class=\"outage\"><strong>{}</strong> outage</p>\n<p class=\"note\">{}</p>\n",
        escape(&duration(length)),
        escape(&outage(report)),
    ));
    let Some(stock) = report.stock_ns else {
        return;
    };
    let longest = stock.max(length).max(1);
    html.push_str("<dl class=\"bars\">\n");
    for (name, class, length) in [
        ("this failover", "own", length),
        ("keepalived alone", "stock", stock),
    ] {
        let percent = per_mille(length, longest).max(3);
        html.push_str(&format!("<dt>{name}: {}</dt><dd><svg role=\"img\" aria-label=\"{name}\" width=\"100%\" height=\"14\">\
             <rect class=\"{class}\" width=\"{}\" height=\"14\" rx=\"3\"/></svg></dd>\n",
            escape(&duration(length)),
            percent_of(percent),
        ));
    }
    html.push_str("</dl>\n");
}

/// The steps, each a mark on a line of its own, on one scale.
fn plot(html: &mut String, report: &Report) {
    let steps = named(&report.steps);
    let Some(end) = steps.iter().map(|(_, at)| *at).max() else {
        return;
    };
    let zero = report.zero_ns;
    // What was long before would leave no room for what matters.
    let lead = end.saturating_sub(zero) / 4;
    let earliest = zero.saturating_sub(lead.max(1_000));
    let shown: Vec<_> = steps
        .into_iter()
        .filter(|(_, at)| *at >= earliest)
        .collect();
    let begin = shown
        .iter()
        .map(|(_, at)| *at)
        .min()
        .unwrap_or(zero)
        .min(zero);
    let span = end.saturating_sub(begin).max(1);
    let place = |at: Nanos| LEFT + per_mille(at.saturating_sub(begin), span) * WIDE / 1_000;
    let height = shown.len() * ROW + SCALE;
    let base = height - SCALE;
    html.push_str(&format!("<h2>Steps</h2>\n<svg class=\"plot\" role=\"img\" aria-label=\"the steps of the failover in time\" width=\"100%\" height=\"{height}\">\n"
    ));
    if let Some(length) = report.outage_ns {
        let (from, to) = (place(zero), place(zero.saturating_add(length).min(end)));
        html.push_str(&format!(
            "<rect class=\"gap\" x=\"{}\" y=\"0\" width=\"{}\" height=\"{base}\"/>\n",
            percent_of(from),
            percent_of(to.saturating_sub(from)),
        ));
    }
    for line in 0..=LINES {
        let at = begin + span / LINES * line;
        let x = percent_of(place(at));
        let anchor = match line {
            0 => "start",
            LINES => "end",
            _ => "middle",
        };
        html.push_str(&format!(
            "<line class=\"grid\" x1=\"{x}\" x2=\"{x}\" y1=\"0\" y2=\"{base}\"/>\
             <text class=\"tick\" x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>\n",
            base + 18,
            scale(at.cast_signed().saturating_sub(zero.cast_signed())),
        ));
    }
    for (row, (name, at)) in shown.iter().enumerate() {
        let (x, y) = (place(*at), row * ROW + 24);
        let anchor = if x > 500 { "end" } else { "start" };
        let after = at.cast_signed().saturating_sub(zero.cast_signed());
        html.push_str(&format!("<line class=\"way\" x1=\"{}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/><circle class=\"mark\" cx=\"{}\" cy=\"{y}\" r=\"4.5\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{name} <tspan class=\"tick\">{}</tspan></text>\n",
            percent_of(LEFT),
            percent_of(x),
            percent_of(x),
            percent_of(x),
            y - 9,
            offset(after),
        ));
    }
    html.push_str("</svg>\n");
}

/// The steps that were seen, in the order of their time.
fn named(steps: &Steps) -> Vec<(&'static str, Nanos)> {
    let all = [
        ("last advert", steps.last_advert_ns),
        ("last answer to a probe", steps.last_answer_ns),
        ("first unanswered probe", steps.first_unanswered_ns),
        ("loss noticed", steps.detected_ns),
        ("decision", steps.decided_ns),
        ("first advert of the new primary", steps.took_over_ns),
        ("first address announced", steps.announced_ns),
        ("address and state", steps.address_ns),
        ("first packet", steps.first_packet_ns),
    ];
    let seen = all.into_iter().filter_map(|(name, at)| Some((name, at?)));
    let mut seen: Vec<_> = seen.collect();
    seen.sort_by_key(|(_, at)| *at);
    seen
}

fn table(html: &mut String, report: &Report) {
    html.push_str("<h2>All that was seen</h2>\n<table>\n<thead><tr><th>after</th><th>what</th><th>by</th></tr></thead>\n<tbody>\n");
    for moment in &report.timeline {
        let (by, class) = if moment.kernel {
            ("kernel", "kernel")
        } else {
            ("agent", "agent")
        };
        html.push_str(&format!(
            "<tr class=\"{class}\"><td>{}</td><td>{}</td><td>{by}</td></tr>\n",
            offset(moment.after_ns),
            escape(&moment.what),
        ));
    }
    html.push_str("</tbody>\n</table>\n");
}

/// A place on the scale, no longer than it must be.
fn scale(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    format!("{sign}{}", duration(ns.unsigned_abs() / 1_000 * 1_000))
}

/// How much of `whole` a part is, per mille; at most all of it.
fn per_mille(part: Nanos, whole: Nanos) -> u64 {
    let share = u128::from(part) * 1_000 / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(1_000).min(1_000)
}

fn percent_of(per_mille: u64) -> String {
    format!("{}.{}%", per_mille / 10, per_mille % 10)
}

/// Text that is no markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
