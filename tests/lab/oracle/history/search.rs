//! Among all histories that the adverts allow, the one that agrees with what was seen.

use super::{Advert, Kind, Observer, Teller, Transition, steps};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// Looks for a history that agrees with what was seen. The doubtful cases are many, but what was
/// seen decides nearly each of them at once.
///
/// # Errors
/// When there is none: how many transitions the best one agrees with.
pub(in crate::oracle) fn follow(
    adverts: &[Advert],
    observer: &Observer,
    seen: &[Transition],
    tolerance: Duration,
) -> Result<(), usize> {
    let mut tellers = vec![Teller::new(&observer.own)];
    let mut furthest = 0;
    for (now, advert) in steps(adverts, observer) {
        let mut agreeing = Vec::new();
        for mut teller in tellers.iter().flat_map(|teller| teller.ways(now, advert)) {
            if teller.agree(now, seen, tolerance) && !agreeing.contains(&teller) {
                furthest = furthest.max(teller.agreed);
                agreeing.push(teller);
            }
        }
        tellers = agreeing;
    }
    let whole = |teller: &mut Teller<'_>| {
        teller.agree(u64::MAX, seen, tolerance) && teller.agreed == seen.len()
    };
    if tellers.iter_mut().any(whole) {
        Ok(())
    } else {
        Err(furthest)
    }
}

impl Teller<'_> {
    /// Every way in which the next step may have gone.
    fn ways(&self, now: u64, advert: Option<Advert>) -> Vec<Self> {
        let mut ways = Vec::new();
        let mut doubts = 0;
        let mut choice = 0;
        // Which doubts there are depends on the choices made before them, so the number of
        // choices grows while they are tried.
        while choice < 1_u32 << doubts {
            let mut way = Self {
                choice,
                ..self.clone()
            };
            way.step(now, advert);
            doubts = doubts.max(way.doubts);
            (way.choice, way.doubts) = (0, 0);
            ways.push(way);
            choice += 1;
        }
        ways
    }

    /// Compares what was told of the time before `now`, moment by moment: what one moment
    /// changes has no order.
    fn agree(&mut self, now: u64, seen: &[Transition], tolerance: Duration) -> bool {
        let past = self
            .told
            .iter()
            .take_while(|transition| transition.time_ns < now)
            .count();
        let past: Vec<_> = self.told.drain(..past).collect();
        for moment in past.chunk_by(|one, next| one.time_ns == next.time_ns) {
            let end = self.agreed + moment.len();
            let Some(seen) = seen.get(self.agreed..end) else {
                return false;
            };
            let in_time = |seen: &Transition| {
                Duration::from_nanos(moment[0].time_ns.abs_diff(seen.time_ns)) <= tolerance
            };
            if what_and_who(moment) != what_and_who(seen) || !seen.iter().all(in_time) {
                return false;
            }
            self.agreed = end;
        }
        true
    }
}

fn what_and_who(moment: &[Transition]) -> BTreeSet<(Kind, IpAddr)> {
    moment
        .iter()
        .map(|transition| (transition.kind, transition.router))
        .collect()
}
