//! The families about routers.

use std::fmt;

use super::writer::{Label, Writer};
use crate::engine::State;
use crate::metrics::scrape::{AdvertSample, RouterSample, Scrape};

/// Every state that there is.
const STATES: [State; 6] = [
    State::Unknown,
    State::Primary,
    State::Falling,
    State::Rising,
    State::Backup,
    State::Fault,
];

/// The first bound of the kernel programs' histogram of gaps, seconds; each further one
/// is twice as long.
const FIRST_GAP: f64 = 0.001_024;

pub(super) fn write(scrape: &Scrape, to: &mut Writer<'_>) -> fmt::Result {
    let routers = || scrape.routers.iter();
    to.gauges(
        "keepfast_router_state",
        "1 for the state that the router is in, 0 for the others.",
        routers().flat_map(|it| {
            STATES.map(|state| {
                let labels = [router(it), ("state", state.as_str())];
                (labels, u64::from(it.state == state))
            })
        }),
    )?;
    to.gauges(
        "keepfast_router_state_since_timestamp_seconds",
        "When the router came into its state, seconds since 1970.",
        routers().map(|it| ([router(it)], it.since_seconds)),
    )?;
    to.counters(
        "keepfast_router_transitions",
        "How often the router came into the state, by what that was due to.",
        scrape.metrics.transitions.iter().map(|(key, count)| {
            let (id, state, reason) = key;
            let labels = [("router", id.as_str()), ("to", *state), ("reason", *reason)];
            (labels, *count)
        }),
    )?;
    to.gauges(
        "keepfast_router_keepalived_running",
        "1 while the router's keepalived runs, 0 while it does not; missing: not known.",
        routers().filter_map(|it| Some(([router(it)], u64::from(it.keepalived?)))),
    )?;
    to.gauges(
        "keepfast_router_watched",
        "1 while the kernel programs watch the interface of the router's adverts.",
        routers().map(|it| ([router(it)], u64::from(it.key.is_some()))),
    )?;
    adverts(scrape, to)?;
    to.counters(
        "keepfast_router_dual_primary_suspected",
        "How often another primary was seen beside this host's.",
        routers().map(|it| {
            let count = scrape.metrics.dual_primaries.get(&it.id);
            ([router(it)], count.copied().unwrap_or(0))
        }),
    )?;
    to.counters(
        "keepfast_hook_transitions",
        "Transitions that the router's hooks were told or will never be told (skipped), and \
         attempts that failed.",
        routers().flat_map(|it| {
            let hooks = it.hooks.iter();
            hooks.flat_map(|hooks| {
                [
                    ([router(it), ("outcome", "delivered")], hooks.delivered),
                    ([router(it), ("outcome", "failed")], hooks.failed),
                    ([router(it), ("outcome", "skipped")], hooks.skipped),
                ]
            })
        }),
    )
}

fn adverts(scrape: &Scrape, to: &mut Writer<'_>) -> fmt::Result {
    let seen = || {
        let routers = scrape.routers.iter();
        routers.filter_map(|it| Some(([router(it)], it.adverts.as_ref()?)))
    };
    to.gauges(
        "keepfast_router_mastered",
        "1 while a master, this host's or another one, advertises; 0: none does.",
        seen().map(|(labels, adverts)| (labels, u64::from(adverts.mastered))),
    )?;
    to.gauges(
        "keepfast_router_contested",
        "1 while several masters advertise at once.",
        seen().map(|(labels, adverts)| (labels, u64::from(adverts.contested))),
    )?;
    to.buckets(
        "keepfast_router_advert_gap_seconds",
        "Time between two adverts of the master, seconds; the sum is estimated \
         from the buckets.",
        seen().map(|(labels, adverts)| (labels, gaps(adverts))),
    )?;
    to.gauges(
        "keepfast_router_advert_gap_worst_seconds",
        "The longest time between two adverts of one master since they are watched, seconds.",
        seen().map(|(labels, adverts)| (labels, adverts.worst_ns as f64 / 1e9)),
    )?;
    to.gauges(
        "keepfast_router_advert_margin_ratio",
        "The longest time between two adverts over the silence after which this host's \
         keepalived takes the master for dead: from 1 on it does.",
        seen().filter_map(|(labels, adverts)| Some((labels, adverts.margin?))),
    )
}

fn gaps(adverts: &AdvertSample) -> Vec<(f64, u64)> {
    let last = adverts.gaps.len() - 1;
    let mut bound = FIRST_GAP;
    let mut buckets = Vec::with_capacity(adverts.gaps.len());
    for (number, count) in adverts.gaps.iter().enumerate() {
        let le = if number == last { f64::INFINITY } else { bound };
        buckets.push((le, u64::from(*count)));
        bound *= 2.0;
    }
    buckets
}

fn router(sample: &RouterSample) -> Label<'_> {
    ("router", sample.id.as_str())
}
