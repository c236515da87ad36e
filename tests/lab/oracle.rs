//! What a capture says should have been noticed: transitions derived from adverts by simple code.
//!
//! tshark reads the capture, so neither parsing nor tracking is shared with what is tested. The
//! oracle looks at a finished recording. Where an advert is within a millisecond of a deadline,
//! the observer's clock may have decided either way, and either history is as good.

use crate::capture::Recording;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

mod history;

/// How near to a deadline an advert may be heard before or after it.
const DOUBT: Duration = Duration::from_millis(1);

/// One advert on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advert {
    /// When, in nanoseconds of CLOCK_MONOTONIC.
    pub time_ns: u64,
    /// The source hardware address.
    pub mac: [u8; 6],
    /// The source address.
    pub source: IpAddr,
    /// The virtual router id.
    pub vrid: u8,
    /// The priority; 0 resigns.
    pub priority: u8,
    /// The protocol version.
    pub version: u8,
    /// The interval that it announces.
    pub interval: Duration,
}

/// What changed. Where the router is the observer's own, the `Local` kinds take the place of
/// the others.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A master advertises where there was none.
    MasterAppeared,
    /// Another router is master now.
    MasterChanged,
    /// The master advertises another priority than before.
    PriorityChanged,
    /// The master gave up its role.
    MasterResigned,
    /// The master's next advert is overdue.
    AdvertLate,
    /// The master that was late is heard again.
    AdvertResumed,
    /// The master-down time passed, or nobody followed a master that resigned.
    MasterDown,
    /// A router keeps advertising although a higher-ranked one is heard.
    MultipleMasters,
    /// One of several masters gave way or fell silent.
    SingleMaster,
    /// The observer's own router became master.
    LocalMaster,
    /// The observer's own router gave up its role.
    LocalResigned,
    /// The observer's own router is master and overdue.
    LocalStalled,
    /// The observer's own overdue router is heard again.
    LocalResumed,
}

/// One transition of one virtual router.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transition {
    /// When, in nanoseconds of CLOCK_MONOTONIC: the advert's time or the deadline.
    pub time_ns: u64,
    /// Whether the virtual router is one of IPv6.
    pub ipv6: bool,
    /// The virtual router id.
    pub vrid: u8,
    /// What changed.
    pub kind: Kind,
    /// Who did it: the advert's sender, or the master or rival that fell silent.
    pub router: IpAddr,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            time_ns,
            ipv6,
            vrid,
            kind,
            router,
        } = *self;
        let family = if ipv6 { 6 } else { 4 };
        let (seconds, nanos) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000);
        write!(
            f,
            "{seconds}.{nanos:09} IPv{family} VRID {vrid} {kind:?} {router}"
        )
    }
}

/// Reads the adverts of a recording: those with a hop limit of 255 and a good checksum.
///
/// # Errors
/// When tshark cannot read it or prints something else than numbers and addresses.
pub fn adverts(recording: &Recording) -> Result<Vec<Advert>> {
    const FILTER: &str = "vrrp.type == 1 && (ip.ttl == 255 || ipv6.hlim == 255) \
                          && !(vrrp.checksum.status == 0)";
    const FIELDS: [&str; 9] = [
        "frame.time_epoch",
        "eth.src",
        "ip.src",
        "ipv6.src",
        "vrrp.virt_rtr_id",
        "vrrp.prio",
        "vrrp.version",
        "vrrp.adver_int",
        "vrrp.short_adver_int",
    ];
    let rows = recording.fields(FILTER, &FIELDS)?;
    rows.iter()
        .map(|row| advert(recording, row).with_context(|| format!("read advert {row:?}")))
        .collect()
}

fn advert(recording: &Recording, row: &[String]) -> Result<Advert> {
    let [
        time,
        mac,
        v4,
        v6,
        vrid,
        priority,
        version,
        seconds,
        centiseconds,
    ] = row
    else {
        bail!("not nine fields");
    };
    let interval = if seconds.is_empty() {
        Duration::from_millis(10 * centiseconds.parse::<u64>()?)
    } else {
        Duration::from_secs(seconds.parse()?)
    };
    let bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16));
    let bytes = bytes.collect::<Result<Vec<_>, _>>()?;
    Ok(Advert {
        time_ns: recording.monotonic_ns(time)?,
        mac: bytes
            .try_into()
            .ok()
            .context("a hardware address has six bytes")?,
        source: if v4.is_empty() {
            v6.parse()?
        } else {
            v4.parse()?
        },
        vrid: vrid.parse()?,
        priority: priority.parse()?,
        version: version.parse()?,
        interval,
    })
}

/// Who looks, and for how long.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    /// The addresses of its own routers, if it has any.
    pub own: Vec<IpAddr>,
    /// When it stops, in nanoseconds of CLOCK_MONOTONIC.
    pub until_ns: u64,
}

/// What one observer should have seen of each virtual router.
#[derive(Clone, Debug)]
pub struct Expected {
    observer: Observer,
    routers: BTreeMap<(bool, u8), Router>,
}

#[derive(Clone, Debug, Default)]
struct Router {
    adverts: Vec<Advert>,
    likeliest: Vec<Transition>,
}

impl Expected {
    /// Derives the transitions from adverts.
    ///
    /// # Errors
    /// When the adverts are not in the order of their times.
    pub fn derive(adverts: &[Advert], observer: &Observer) -> Result<Self> {
        ensure!(
            adverts.is_sorted_by_key(|advert| advert.time_ns),
            "the adverts are not in the order of their times"
        );
        let mut routers = BTreeMap::<_, Router>::new();
        for advert in adverts
            .iter()
            .filter(|advert| advert.time_ns <= observer.until_ns)
        {
            let key = (advert.source.is_ipv6(), advert.vrid);
            routers.entry(key).or_default().adverts.push(*advert);
        }
        for router in routers.values_mut() {
            router.likeliest = history::likeliest(&router.adverts, observer);
        }
        Ok(Self {
            observer: observer.clone(),
            routers,
        })
    }

    /// The likeliest history of one virtual router.
    #[must_use]
    pub fn of(&self, ipv6: bool, vrid: u8) -> &[Transition] {
        self.routers
            .get(&(ipv6, vrid))
            .map_or(&[], |router| &router.likeliest)
    }

    /// Compares with what was observed, in order for each virtual router; times may differ by
    /// `tolerance`. Transitions of the same moment may come in any order.
    ///
    /// # Errors
    /// When no possible history agrees; shows the likeliest and what was observed.
    pub fn check(&self, observed: &[Transition], tolerance: Duration) -> Result<()> {
        let seen = observed
            .iter()
            .map(|transition| (transition.ipv6, transition.vrid));
        let keys: BTreeSet<_> = self.routers.keys().copied().chain(seen).collect();
        for (ipv6, vrid) in keys {
            let mut seen: Vec<_> = observed
                .iter()
                .filter(|transition| (transition.ipv6, transition.vrid) == (ipv6, vrid))
                .copied()
                .collect();
            seen.sort_by_key(|transition| transition.time_ns);
            let adverts = self
                .routers
                .get(&(ipv6, vrid))
                .map_or(&[][..], |router| &router.adverts);
            if let Err(agreed) = history::follow(adverts, &self.observer, &seen, tolerance) {
                bail!(
                    "no history agrees with more than {agreed} transitions; likeliest is\n{}\
                     observed\n{}",
                    list(self.of(ipv6, vrid)),
                    list(&seen)
                );
            }
        }
        Ok(())
    }
}

fn list(transitions: &[Transition]) -> String {
    transitions
        .iter()
        .map(|transition| format!("  {transition}\n"))
        .collect()
}

#[cfg(test)]
mod tests;
