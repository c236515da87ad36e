//! Which session speaks for all with the same host.
//!
//! | the one that leads                                        | then                |
//! |-----------------------------------------------------------|---------------------|
//! | answers, or is suspect                                    | it goes on          |
//! | is silent, and no other has answered since                | it goes on          |
//! | is silent, but another one has answered since             | the first that does |
//! | is gone, or goes, or nobody does                          | the first that does |
//!
//! A silence of the one that leads is told for all of them, unless another one shows at that
//! moment that the host lives.
//!
//! So one whose link alone is cut does not speak for a host that lives, and what is
//! silent is still spoken for while the routers of the others take over.

use std::collections::BTreeMap;

use crate::engine::Nanos;

/// A session that may share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate<K> {
    pub(super) key: K,
    /// As its answers name it.
    pub(super) host: u64,
    /// It speaks for others already.
    pub(super) leads: bool,
    /// It is there for a router, not for those that it leads alone.
    pub(super) used: bool,
    pub(super) voice: Voice,
}

/// Whether its peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// It does, most lately then.
    Up { answered_ns: Nanos },
    /// Maybe not.
    Suspect,
    /// It has not, since then.
    Silent { since_ns: Nanos },
}

impl<K> Candidate<K> {
    /// Whether its peer answers.
    pub(super) const fn is_up(&self) -> bool {
        matches!(self.voice, Voice::Up { .. })
    }
}

/// Those that are led, and by which; all others speak for themselves.
pub(super) fn led<K: Ord + Copy>(candidates: &[Candidate<K>]) -> BTreeMap<K, K> {
    let mut answered: BTreeMap<u64, Nanos> = BTreeMap::new();
    for candidate in candidates {
        if let Voice::Up { answered_ns } = candidate.voice {
            let last = answered.entry(candidate.host).or_default();
            *last = answered_ns.max(*last);
        }
    }
    let mut leaders: BTreeMap<u64, K> = BTreeMap::new();
    for candidate in candidates.iter().filter(|it| it.leads) {
        let goes_on = match candidate.voice {
            Voice::Up { .. } => candidate.used,
            Voice::Suspect => true,
            Voice::Silent { since_ns } => {
                let last = answered.get(&candidate.host);
                last.is_none_or(|last| *last <= since_ns)
            }
        };
        if goes_on {
            leaders.entry(candidate.host).or_insert(candidate.key);
        }
    }
    let up = || candidates.iter().filter(|it| it.is_up() && it.used);
    for candidate in up() {
        leaders.entry(candidate.host).or_insert(candidate.key);
    }
    up().filter_map(|it| Some((it.key, *leaders.get(&it.host)?)))
        .filter(|(key, leader)| key != leader)
        .collect()
}

/// Whether an answer to one session shows that the host lives whose answers another session has
/// missed since its probe of `lost_ns`: what was on its way for `way_ns` may come after the
/// host's end.
pub(super) const fn shows_life(answered_ns: Nanos, lost_ns: Nanos, way_ns: Nanos) -> bool {
    answered_ns > lost_ns.saturating_add(way_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn up(key: u32, answered_ns: Nanos) -> Candidate<u32> {
        Candidate {
            key,
            host: 7,
            leads: false,
            used: true,
            voice: Voice::Up { answered_ns },
        }
    }

    const fn leader(key: u32, voice: Voice) -> Candidate<u32> {
        Candidate {
            leads: true,
            voice,
            ..up(key, 0)
        }
    }

    fn pairs(candidates: &[Candidate<u32>]) -> Vec<(u32, u32)> {
        led(candidates).into_iter().collect()
    }

    #[test]
    fn one_of_each_host_leads() {
        let other = |key| Candidate {
            host: 8,
            ..up(key, 1)
        };
        let all = [up(1, 1), other(2), up(3, 1), other(4), up(5, 1)];
        assert_eq!(pairs(&all), [(3, 1), (4, 2), (5, 1)]);
        assert_eq!(pairs(&[up(1, 1)]), []);
    }

    #[test]
    fn the_one_that_leads_goes_on() {
        let all = [up(1, 1), leader(2, Voice::Up { answered_ns: 1 })];
        assert_eq!(pairs(&all), [(1, 2)]);
        assert_eq!(pairs(&[up(1, 9), leader(2, Voice::Suspect)]), [(1, 2)]);
    }

    #[test]
    fn a_silent_one_speaks_for_those_that_have_not_answered_since() {
        let silent = leader(1, Voice::Silent { since_ns: 100 });
        assert_eq!(pairs(&[silent, up(2, 90), up(3, 100)]), [(2, 1), (3, 1)]);
        assert_eq!(pairs(&[silent, up(2, 90), up(3, 101)]), [(3, 2)]);
    }

    #[test]
    fn a_silent_one_that_led_nobody_does_not_begin_to() {
        let silent = Candidate {
            voice: Voice::Silent { since_ns: 100 },
            ..up(1, 0)
        };
        assert_eq!(pairs(&[silent, up(2, 90), up(3, 90)]), [(3, 2)]);
    }

    #[test]
    fn only_an_answer_that_left_after_the_loss_shows_life() {
        assert!(!shows_life(90, 100, 5));
        assert!(!shows_life(105, 100, 5), "on its way then");
        assert!(shows_life(106, 100, 5));
    }

    #[test]
    fn one_without_routers_leads_only_while_it_is_missed() {
        let unused = |voice| Candidate {
            used: false,
            ..leader(1, voice)
        };
        let since_ns = 100;
        let others = [up(2, 90), up(3, 90)];
        let with = |first| [&[first], &others[..]].concat();
        let silent = unused(Voice::Silent { since_ns });
        assert_eq!(pairs(&with(silent)), [(2, 1), (3, 1)]);
        let answers = unused(Voice::Up { answered_ns: 200 });
        assert_eq!(pairs(&with(answers)), [(3, 2)]);
    }
}
