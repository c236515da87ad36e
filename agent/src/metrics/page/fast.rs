//! The families about the fast path.

use std::fmt;

use super::writer::Writer;
use crate::metrics::counted::ByRouter;
use crate::metrics::scrape::Scrape;

/// The phases of a session, by their numbers.
pub(super) const PHASES: [&str; 6] = ["down", "learning", "up", "suspect", "silent", "leaving"];

pub(super) fn write(scrape: &Scrape, to: &mut Writer<'_>) -> fmt::Result {
    to.gauges(
        "keepfast_router_fast_path_working",
        "1 while the declared fast path of the router works, 0 while it does not.",
        scrape.routers.iter().filter_map(|it| {
            let (mode, works) = it.fast_path?;
            let labels = [("router", it.id.as_str()), ("mode", mode)];
            Some((labels, u64::from(works)))
        }),
    )?;
    let metrics = &scrape.metrics;
    by_router(
        to,
        "keepfast_takeovers",
        "How often the fast path took the router over (took_over), and how takeovers went on: \
         wrong, the old master lived; failed, keepalived did not follow; lost, no longer \
         master; yields, gave way to a master that insisted; not_now, there was an occasion.",
        ("outcome", &metrics.takeovers),
    )?;
    to.counters(
        "keepfast_takeovers_not_now",
        "How often there was an occasion for a takeover and a reason against it.",
        metrics
            .not_now
            .iter()
            .map(|(reason, count)| ([("reason", *reason)], *count)),
    )?;
    by_router(
        to,
        "keepfast_shadow_verdicts",
        "What the fast path would have done in mode armed: take_over; and what came of it: \
         mattered, there was no master for a while; wrong, the old master lived.",
        ("verdict", &metrics.shadow),
    )?;
    by_router(
        to,
        "keepfast_hand_overs",
        "How often this host was to hand the router over, and how that went.",
        ("outcome", &metrics.hand_overs),
    )?;
    to.counters(
        "keepfast_router_gateway_losses",
        "How often the fast path lost all gateways of the router.",
        metrics
            .gateways
            .iter()
            .map(|((id, _), count)| ([("router", id.as_str())], *count)),
    )?;
    to.times(
        "keepfast_failover_outage_seconds",
        "Measured outages of failovers by cause, seconds.",
        metrics
            .outages
            .iter()
            .map(|(cause, times)| ([("cause", *cause)], times)),
    )?;
    sessions(scrape, to)?;
    to.times(
        "keepfast_fast_path_wake_lateness_seconds",
        "How late the fast path's thread woke, seconds.",
        scrape.wake_lateness.iter().map(|times| ([], times)),
    )
}

fn sessions(scrape: &Scrape, to: &mut Writer<'_>) -> fmt::Result {
    let sessions = &scrape.sessions;
    to.gauges(
        "keepfast_sessions",
        "Sessions of probes with masters' hosts, by phase.",
        PHASES
            .into_iter()
            .zip(sessions.phases)
            .map(|(phase, count)| ([("phase", phase)], count)),
    )?;
    let [sent, answered, late, voided, suspected] = sessions.counts;
    for (name, help, count) in [
        ("keepfast_probes_sent", "Probes that left.", sent),
        (
            "keepfast_probes_answered",
            "Answers to own probes that counted.",
            answered,
        ),
        (
            "keepfast_probes_late",
            "Probes that left too late to be evidence.",
            late,
        ),
        (
            "keepfast_session_evidence_void",
            "How often unanswered probes did not count, for this host was late itself.",
            voided,
        ),
        (
            "keepfast_session_suspicions",
            "How often the first probes in a row were not answered.",
            suspected,
        ),
    ] {
        to.counter(name, help, count)?;
    }
    Ok(())
}

fn by_router(
    to: &mut Writer<'_>,
    name: &str,
    help: &str,
    (label, counts): (&'static str, &ByRouter),
) -> fmt::Result {
    to.counters(
        name,
        help,
        counts.iter().map(|((id, word), count)| {
            let labels = [("router", id.as_str()), (label, *word)];
            (labels, *count)
        }),
    )
}
