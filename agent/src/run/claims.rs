//! Addresses of a primary that another host has announced: when this host says again
//! that they are its own.

use std::time::{Duration, Instant};

use crate::engine::Place;

/// Before the second answer; the first one is not delayed. Each further one waits for
/// [`GROWTH`] times as long as the last one.
const FIRST: Duration = Duration::from_millis(10);
const GROWTH: u32 = 4;
const LONGEST: Duration = Duration::from_secs(60);

/// After so long a time without a claim the next one is answered at once.
const QUIET: Duration = Duration::from_secs(10);

/// The claims on one router's addresses.
///
/// Two hosts that both believe they are primary would answer each other without an end;
/// that they do so less and less often leaves the neighbours in peace, and whoever
/// remains still has the last word.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Those that are to be answered.
    places: Vec<Place>,
    /// How long the last answer waited.
    pause: Duration,
    /// When it was given.
    answered: Option<Instant>,
}

impl Claims {
    /// Somebody claims `place` at `now`: how long until all claims are to be answered,
    /// unless that was said already.
    pub(super) fn claimed(&mut self, place: &Place, now: Instant) -> Option<Duration> {
        let first = self.places.is_empty();
        if !self.places.contains(place) {
            self.places.push(place.clone());
        }
        if !first {
            return None;
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        let lately = |at: Instant| since(at) < QUIET.saturating_add(self.pause);
        self.pause = if self.answered.is_some_and(lately) {
            self.pause.saturating_mul(GROWTH).clamp(FIRST, LONGEST)
        } else {
            Duration::ZERO
        };
        Some(self.pause)
    }

    /// The claims are answered at `now`: which.
    pub(super) fn answer(&mut self, now: Instant) -> Vec<Place> {
        self.answered = Some(now);
        std::mem::take(&mut self.places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> Place {
        Place {
            interface: "eth0".parse().unwrap(),
            address: address.parse().unwrap(),
        }
    }

    #[test]
    fn claims_are_answered_less_and_less_often() {
        let mut claims = Claims::default();
        let mut now = Instant::now();
        for ms in [0, 10, 40, 160, 640, 2_560, 10_240, 40_960, 60_000, 60_000] {
            let pause = Duration::from_millis(ms);
            assert_eq!(claims.claimed(&place("192.0.2.1/24"), now), Some(pause));
            assert_eq!(claims.claimed(&place("192.0.2.2/24"), now), None);
            now += pause;
            assert_eq!(claims.answer(now).len(), 2);
        }
        now += Duration::from_secs(69);
        let pause = Duration::from_secs(60);
        assert_eq!(claims.claimed(&place("192.0.2.1/24"), now), Some(pause));
    }

    #[test]
    fn after_a_while_a_claim_is_answered_at_once() {
        let mut claims = Claims::default();
        let mut now = Instant::now();
        for pause in [Duration::ZERO, FIRST] {
            assert_eq!(claims.claimed(&place("192.0.2.1/24"), now), Some(pause));
            claims.answer(now);
        }
        now += QUIET + FIRST;
        let at_once = Some(Duration::ZERO);
        assert_eq!(claims.claimed(&place("192.0.2.1/24"), now), at_once);
    }
}
