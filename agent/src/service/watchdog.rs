//! When the service manager's watchdog is fed: only while both the daemon's loop and the
//! fast path's thread get on. Pure: time and progress are passed in.
//!
//! A hung one is so ended by the manager and started anew. Routers stay as they are
//! meanwhile.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::engine::Nanos;

/// The manager's limit in microseconds, and for which process it is meant.
const LIMIT: &str = "WATCHDOG_USEC";
const PID: &str = "WATCHDOG_PID";

/// The fast path's thread makes a turn each second, the daemon's loop, too. Below this
/// a busy host would be taken for a hung daemon.
pub const LEAST: Duration = Duration::from_secs(4);

/// So often in the manager's limit it is fed: a late one or a lost one does no harm.
const MEALS: Nanos = 4;

/// How a watchdog of the manager's is fed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchdog {
    /// The manager's limit.
    limit: Duration,
    fed_ns: Nanos,
    /// How many turns the fast path's thread had made then; `None`: there was no thread.
    turns: Option<u64>,
}

impl Watchdog {
    /// As the manager asked for it in the environment, by `get`, of process `pid`; `None`:
    /// it has none.
    ///
    /// # Errors
    ///
    /// What it asked for is no time.
    pub fn asked_for(
        get: impl Fn(&'static str) -> Option<String>,
        pid: u32,
        now: Nanos,
    ) -> Result<Option<Self>> {
        let Some(limit) = get(LIMIT) else {
            return Ok(None);
        };
        if get(PID).is_some_and(|other| other != pid.to_string()) {
            return Ok(None);
        }
        let limit = limit
            .parse()
            .with_context(|| format!("{LIMIT} is {limit:?}: expected microseconds"))?;
        Ok(Some(Self {
            limit: Duration::from_micros(limit),
            fed_ns: now,
            turns: None,
        }))
    }

    /// The manager's limit.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether it is to be fed at `now`, as the daemon's loop gets there. `turns`: how many
    /// the fast path's thread has made; `None`: there is no such thread.
    pub fn is_due(&mut self, now: Nanos, turns: Option<u64>) -> bool {
        let pause = u64::try_from(self.limit.as_nanos()).unwrap_or(Nanos::MAX) / MEALS;
        let gets_on = turns.is_none() || turns != self.turns;
        if now.saturating_sub(self.fed_ns) < pause || !gets_on {
            return false;
        }
        self.fed_ns = now;
        self.turns = turns;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    fn asked(limit: Option<&str>, pid: Option<&str>) -> Result<Option<Watchdog>> {
        let get = |name| {
            match name {
                LIMIT => limit,
                PID => pid,
                _ => None,
            }
            .map(str::to_owned)
        };
        Watchdog::asked_for(get, 42, 100 * S)
    }

    #[test]
    fn it_is_fed_four_times_in_its_limit() {
        let mut watchdog = asked(Some("20000000"), Some("42")).unwrap().unwrap();
        let mut turns = 0;
        let mut due = |now| {
            turns += 1;
            watchdog.is_due(now, Some(turns))
        };
        assert!(!due(104 * S));
        assert!(due(105 * S));
        assert!(!due(109 * S));
        assert!(due(111 * S));
        assert!(!due(115 * S));
        assert!(due(116 * S));
    }

    #[test]
    fn a_thread_that_hangs_is_not_fed() {
        let mut watchdog = asked(Some("20000000"), None).unwrap().unwrap();
        assert!(watchdog.is_due(110 * S, Some(7)));
        for second in 111..200 {
            assert!(!watchdog.is_due(second * S, Some(7)), "{second}");
        }
        assert!(watchdog.is_due(200 * S, Some(8)), "it gets on again");
        // Where it could not be started there is none to wait for.
        assert!(watchdog.is_due(206 * S, None));
        assert!(watchdog.is_due(212 * S, None));
    }

    #[test]
    fn only_the_process_that_is_meant_has_a_watchdog() {
        assert_eq!(asked(None, None).unwrap(), None);
        assert_eq!(asked(Some("1"), Some("41")).unwrap(), None);
        assert!(asked(Some("1"), Some("42")).unwrap().is_some());
        for wrong in ["", "-1", "1.5", "soon"] {
            let error = asked(Some(wrong), None).unwrap_err();
            assert!(
                error.to_string().contains("expected microseconds"),
                "{error:#}"
            );
        }
    }
}
