//! What was found of a router's received adverts.

use std::collections::BTreeMap;

use keepfast_common::protect::{Offence, Tally};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Protection;
use crate::engine::Nanos;
use crate::report::words;

const MS_NS: u64 = 1_000_000;

/// What was found of a router's received adverts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProtectStatus {
    /// What becomes of those that cannot be legitimate.
    pub mode: Protection,
    /// How many were legitimate, since the kernel programs were loaded.
    pub passed: u64,
    /// How many were dropped, by reason: `hop_limit`, `version`, `malformed`,
    /// `authentication`, `own_address`, `peer`, `owner`. Those of which there were none
    /// are left out.
    pub dropped: BTreeMap<String, u64>,
    /// How many were let pass though they could not be legitimate, by reason.
    pub observed: BTreeMap<String, u64>,
    /// The last one that could not be legitimate; null: there was none.
    pub last: Option<OffenceStatus>,
}

/// An advert that could not be legitimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OffenceStatus {
    /// Why not.
    pub reason: String,
    /// The address that it claimed to come from.
    pub source: String,
    /// The hardware address that it came from.
    pub mac: String,
    /// When it was, milliseconds ago.
    pub ms_ago: u64,
}

impl ProtectStatus {
    /// What `tally` says at `now`, of a router of this family.
    #[must_use]
    pub fn of(mode: Protection, tally: &Tally, family: u8, now: Nanos) -> Self {
        let last = Offence::from_number(tally.last_offence).map(|offence| OffenceStatus {
            reason: offence.name().to_owned(),
            source: words::address(family, &tally.last_source),
            mac: words::mac(&tally.last_mac),
            ms_ago: now.saturating_sub(tally.last_ns) / MS_NS,
        });
        Self {
            mode,
            passed: tally.dropped.first().copied().unwrap_or(0),
            dropped: by_reason(&tally.dropped),
            observed: by_reason(&tally.observed),
            last,
        }
    }
}

fn by_reason(counts: &[u64]) -> BTreeMap<String, u64> {
    let counted = |offence: &Offence| {
        let count = counts.get(*offence as usize).copied()?;
        (count != 0).then(|| (offence.name().to_owned(), count))
    };
    Offence::ALL.iter().filter_map(counted).collect()
}
