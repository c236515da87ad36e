//! A status in words: a table of all routers, or sections about one.

use super::{
    AdvertStatus, DaemonStatus, DetectedBy, FailoverStatus, GatewayStatus, GatewayWord,
    MasterPhase, MasterStatus, Owner, ProtectStatus, RouterStatus, SessionStatus, Status,
};
use crate::config::Mode;
use crate::printable::printable;
use crate::report::clock::duration;

const MS_NS: u64 = 1_000_000;
const US_NS: u64 = 1_000;

/// Between two columns.
const GAP: &str = "  ";

/// All routers, one a line below what is to be said of the daemon.
#[must_use]
pub fn all(status: &Status) -> String {
    let head = [
        "ROUTER",
        "STATE",
        "FOR",
        "MASTER",
        "MARGIN",
        "FAST PATH",
        "SEEN BY",
        "NOTE",
    ];
    let head = head.map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = status.routers.iter().map(row).collect();
    let table = columns(std::iter::once(head).chain(rows));
    format!("{}{table}", daemon(&status.daemon, &status.routers))
}

/// One router, in sections.
#[must_use]
pub fn one(router: &RouterStatus) -> String {
    let mut lines = vec![(router.id.clone(), state(router))];
    let mut say = |key: &str, value: String| lines.push((format!("  {key}"), value));
    if let Some(note) = &router.note {
        say("note", note.clone());
    }
    if let Some(last) = &router.last_transition {
        let (from, to) = (last.from, last.to);
        say(
            "last change",
            format!("{from} -> {to} at {}: {}", last.time, last.reason),
        );
    }
    if let Some(failover) = &router.last_failover {
        say("last failover", last_failover(failover));
    }
    say(
        "told as",
        router.published.map_or("-", |it| it.as_str()).to_owned(),
    );
    say(
        "namespace",
        router.namespace.as_deref().unwrap_or("-").to_owned(),
    );
    say("virtual router", identity(router));
    say("keepalived", keepalived(router));
    say(
        "addresses",
        format!(
            "{} of {} here; primary {}",
            router.addresses_present,
            router.addresses_declared,
            router.primary_address.as_deref().unwrap_or("-")
        ),
    );
    say("master", router.master.as_ref().map_or("-".into(), master));
    if let Some(adverts) = &router.adverts {
        say("adverts", advert(adverts));
        say("margin", margin(adverts));
    }
    for gateway in &router.gateways {
        say("gateway", self::gateway(gateway));
    }
    say("fast path", fast_path(router));
    if let Some(session) = &router.fast_path.session {
        say("session", self::session(session));
    }
    if let Some(protect) = &router.protect {
        say("protect", self::protect(protect));
    }
    say("seen by", router.detection.hooks.clone());
    for fallback in &router.detection.fallbacks {
        say("fallback", fallback.clone());
    }
    if router.events_not_logged > 0 {
        say("not logged", format!("{} events", router.events_not_logged));
    }
    let width = lines.iter().map(|(key, _)| key.chars().count()).max();
    let width = width.unwrap_or(0);
    let line = |(key, value): &(String, String)| format!("{key:width$}{GAP}{}\n", printable(value));
    lines.iter().map(line).collect()
}

/// The daemon, and what is wrong with it: a line each.
fn daemon(daemon: &DaemonStatus, routers: &[RouterStatus]) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for router in routers {
        *counts.entry(router.state.as_str()).or_insert(0_usize) += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(it, n)| format!("{n} {it}")).collect();
    let mut text = format!(
        "keepfast {}, pid {}, up {}; routers: {}\n",
        daemon.version,
        daemon.pid,
        duration(daemon.up_ms.saturating_mul(MS_NS)),
        if counts.is_empty() {
            "none".to_owned()
        } else {
            counts.join(", ")
        }
    );
    if daemon.drained {
        text += "drained: this host takes nothing over until `keepfast undrain`\n";
    }
    for fallback in &daemon.fallbacks {
        text += &format!("fallback: {}\n", printable(fallback));
    }
    for problem in &daemon.problems {
        text += &format!("problem: {}\n", printable(problem));
    }
    if daemon.events_lost > 0 {
        text += &format!("events lost and made up for: {}\n", daemon.events_lost);
    }
    if daemon.timers_refused > 0 {
        text += &format!(
            "the kernel gives no timer for {} deadlines: they are kept to 50 ms\n",
            daemon.timers_refused
        );
    }
    if let Some(wake) = daemon.wake_ups.as_ref().filter(|it| it.late > 0) {
        text += &format!(
            "the fast path woke late {} times of {}, at worst by {}\n",
            wake.late,
            wake.count,
            duration(wake.worst_us.saturating_mul(US_NS))
        );
    }
    text
}

/// What was found of received adverts.
fn protect(protect: &ProtectStatus) -> String {
    let mut text = format!(
        "{}; {} adverts passed",
        protect.mode.as_str(),
        protect.passed
    );
    for (counts, what) in [
        (&protect.dropped, "dropped"),
        (&protect.observed, "not legitimate, let pass"),
    ] {
        if !counts.is_empty() {
            let counts: Vec<_> = counts.iter().map(|(it, n)| format!("{it} {n}")).collect();
            text += &format!(", {what}: {}", counts.join(", "));
        }
    }
    if let Some(last) = &protect.last {
        let ago = duration(last.ms_ago.saturating_mul(MS_NS));
        text += &format!(
            "; the last one {ago} ago from {} at {}",
            last.source, last.mac
        );
    }
    text
}

/// A router's line of the table.
fn row(router: &RouterStatus) -> Vec<String> {
    vec![
        router.id.clone(),
        router.state.as_str().to_owned(),
        duration(router.state_age_ms.saturating_mul(MS_NS)),
        master_in_short(router),
        margin_in_short(router),
        fast_path_in_short(router),
        detected_by(router.detection.by).to_owned(),
        router.note.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

/// The master in a table.
#[must_use]
pub fn master_in_short(router: &RouterStatus) -> String {
    let Some(master) = &router.master else {
        return "-".to_owned();
    };
    let who = if master.this_host {
        "this host"
    } else {
        &master.address
    };
    let phase = match master.phase {
        MasterPhase::Active => "",
        other => &format!(", {}", phase(other)),
    };
    format!("{who} ({}{phase})", master.priority)
}

/// The margin in a table.
#[must_use]
pub fn margin_in_short(router: &RouterStatus) -> String {
    let margin = router.adverts.as_ref().and_then(|it| it.margin);
    margin.map_or("-".to_owned(), |margin| {
        format!("{} % {}", percent(margin.used), margin.word.as_str())
    })
}

/// The fast path in a table.
#[must_use]
pub fn fast_path_in_short(router: &RouterStatus) -> String {
    let fast = &router.fast_path;
    if fast.declared == Mode::Off {
        return "off".to_owned();
    }
    let more = match (&fast.session, &fast.why_not) {
        (None, None) => heirs(fast.heirs),
        (Some(session), None) => session.phase.clone(),
        (_, Some(_)) => "not now".to_owned(),
    };
    format!("{}, {more}", fast.mode.as_str())
}

/// Where frames are seen, in a table.
#[must_use]
pub const fn detected_by(by: DetectedBy) -> &'static str {
    match by {
        DetectedBy::NativeXdp => "native XDP",
        DetectedBy::GenericXdp => "generic XDP",
        DetectedBy::Tc => "tc",
        DetectedBy::Netlink => "netlink only",
    }
}

fn state(router: &RouterStatus) -> String {
    let age = duration(router.state_age_ms.saturating_mul(MS_NS));
    let drained = if router.drained { ", host drained" } else { "" };
    format!(
        "{} for {age} (since {}){drained}",
        router.state, router.since
    )
}

fn identity(router: &RouterStatus) -> String {
    let number = |it: Option<u8>| it.map_or("-".to_owned(), |it| it.to_string());
    format!(
        "vrid {} on {}, priority {} here",
        number(router.vrid),
        router.interface.as_deref().unwrap_or("-"),
        number(router.priority)
    )
}

fn keepalived(router: &RouterStatus) -> String {
    let keepalived = &router.keepalived;
    let owner = match keepalived.owner {
        Owner::Managed => "managed",
        Owner::Attached => "somebody else's",
    };
    let pid = keepalived.pid.map(|pid| format!(", pid {pid}"));
    format!("{}, {owner}{}", keepalived.phase, pid.unwrap_or_default())
}

fn master(master: &MasterStatus) -> String {
    let who = if master.this_host { " (this host)" } else { "" };
    let contested = if master.contested {
        "; several masters advertise"
    } else {
        ""
    };
    format!(
        "{}{who}, {}, priority {}, VRRPv{}, {} for {}{contested}",
        master.address,
        master.mac,
        master.priority,
        master.version,
        phase(master.phase),
        duration(master.phase_age_ms.saturating_mul(MS_NS))
    )
}

const fn phase(phase: MasterPhase) -> &'static str {
    match phase {
        MasterPhase::Vacant => "vacant",
        MasterPhase::Active => "active",
        MasterPhase::Late => "late",
        MasterPhase::Resigned => "resigned",
        MasterPhase::Down => "down",
    }
}

fn advert(adverts: &AdvertStatus) -> String {
    format!(
        "every {}, the last one {} ago; {} received, {} sent",
        duration(adverts.interval_ms.saturating_mul(MS_NS)),
        duration(adverts.age_us.saturating_mul(US_NS)),
        adverts.received,
        adverts.sent
    )
}

fn margin(adverts: &AdvertStatus) -> String {
    let down = duration(adverts.down_after_us.saturating_mul(US_NS));
    match adverts.margin {
        Some(margin) => format!(
            "{}: the worst gap was {}, {} % of the {down} after which keepalived takes over ({})",
            margin.word.as_str(),
            duration(adverts.worst_gap_us.saturating_mul(US_NS)),
            percent(margin.used),
            margin.word.sentence()
        ),
        None => format!("not known yet; keepalived takes over after {down}"),
    }
}

fn percent(part: f64) -> u64 {
    // From 0 to some thousands: a master that was down and is back.
    (part * 100.0) as u64
}

fn gateway(gateway: &GatewayStatus) -> String {
    let state = match gateway.state {
        GatewayWord::Answers => "answers",
        GatewayWord::Silent => "silent",
        GatewayWord::Unheard => "not heard yet",
        GatewayWord::Unwatched => "not watched without a fast path",
    };
    let heard = gateway
        .heard_ms_ago
        .map(|ago| format!(", heard {} ago", duration(ago.saturating_mul(MS_NS))));
    let mac = gateway.mac.as_ref().map(|mac| format!(", {mac}"));
    format!(
        "{} on {}: {state}{}{}",
        gateway.address,
        gateway.interface,
        heard.unwrap_or_default(),
        mac.unwrap_or_default()
    )
}

fn fast_path(router: &RouterStatus) -> String {
    let fast = &router.fast_path;
    if fast.declared == Mode::Off {
        return "off: none is declared".to_owned();
    }
    let mut text = fast.mode.as_str().to_owned();
    if fast.mode != fast.declared {
        text += &format!(" (declared: {})", fast.declared.as_str());
    }
    if let Some(doing) = &fast.doing {
        text += &format!(", {doing}");
    }
    if fast.heirs > 0 {
        text += &format!(", {}", heirs(fast.heirs));
    }
    if let Some(why) = &fast.why_not {
        text += &format!("; would take nothing over now: {why}");
    }
    text
}

fn heirs(count: u64) -> String {
    match count {
        1 => "1 heir".to_owned(),
        _ => format!("{count} heirs"),
    }
}

fn session(session: &SessionStatus) -> String {
    let pace = match (session.interval_us, session.multiplier) {
        (Some(interval), Some(multiplier)) => {
            let interval = duration(interval.saturating_mul(US_NS));
            format!(", every {interval} x {multiplier}")
        }
        _ => String::new(),
    };
    let peer = session.peer.as_deref().unwrap_or("-");
    format!(
        "{} with {peer} by {}{pace}; {} of {} answered, the slowest within {}",
        session.phase,
        session.means,
        session.answered,
        session.sent,
        duration(session.worst_answer_us.saturating_mul(US_NS))
    )
}

/// Rows below each other, each column as wide as its widest cell.
fn columns(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let clean = |row: Vec<String>| row.iter().map(|it| printable(it)).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = rows.into_iter().map(clean).collect();
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; most];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", cells.join(GAP).trim_end())
    };
    rows.iter().map(line).collect()
}

fn last_failover(failover: &FailoverStatus) -> String {
    let outage = failover.outage_us.map_or_else(
        || "outage not known here".to_owned(),
        |us| format!("outage {}", duration(us * US_NS)),
    );
    let stock = failover.stock_us.map_or_else(String::new, |us| {
        format!(" (keepalived alone: {})", duration(us * US_NS))
    });
    format!("{}: {}; {outage}{stock}", failover.time, failover.words)
}

#[cfg(test)]
pub(crate) mod fixture;

#[cfg(test)]
mod tests;
