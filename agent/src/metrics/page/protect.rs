//! The families about adverts that cannot be legitimate.

use std::fmt;

use keepfast_common::protect::{OFFENCES, Offence, Tally};

use super::writer::Writer;
use crate::metrics::scrape::Scrape;

pub(super) fn write(scrape: &Scrape, to: &mut Writer<'_>) -> fmt::Result {
    let tallies = || {
        let routers = scrape.routers.iter();
        routers.filter_map(|it| Some((it.id.as_str(), it.tally.as_ref()?)))
    };
    let by_reason = |counts: fn(&Tally) -> &[u64; OFFENCES]| {
        tallies().flat_map(move |(id, tally)| {
            Offence::ALL.map(|offence| {
                let labels = [("router", id), ("reason", offence.name())];
                let count = counts(tally).get(offence as usize).copied();
                (labels, count.unwrap_or(0))
            })
        })
    };
    to.counters(
        "keepfast_protect_adverts_passed",
        "Received adverts that were judged and found legitimate.",
        tallies().map(|(id, tally)| {
            let count = tally.dropped.first().copied();
            ([("router", id)], count.unwrap_or(0))
        }),
    )?;
    to.counters(
        "keepfast_protect_adverts_dropped",
        "Received adverts that could not be legitimate and were dropped, by reason.",
        by_reason(|tally| &tally.dropped),
    )?;
    to.counters(
        "keepfast_protect_adverts_observed",
        "Received adverts that could not be legitimate and were let pass, by reason.",
        by_reason(|tally| &tally.observed),
    )
}
