//! What is broken when: the same seed gives the same faults.

use crate::cluster::NODES;
use crate::kind::{KINDS, Kind};

/// One of so many steps has two faults that overlap.
const PAIRED: u64 = 5;

/// What is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Planned {
    pub(crate) kind: Kind,
    /// The router, by its virtual router identifier.
    pub(crate) vrid: u8,
    pub(crate) place: Where,
}

/// On which host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Where {
    /// The router's primary one.
    Primary,
    Node(usize),
}

/// A sequence without an end.
pub(crate) struct Plan {
    state: u64,
    routers: u8,
    /// The kinds that are still to come in this round: each comes once in a round.
    bag: Vec<Kind>,
}

impl Plan {
    pub(crate) const fn new(seed: u64, routers: u8) -> Self {
        Self {
            state: seed,
            routers,
            bag: Vec::new(),
        }
    }

    /// A fault, or two that overlap.
    pub(crate) fn step(&mut self) -> Vec<Planned> {
        let paired = self.below(PAIRED) == 0;
        let mut step = vec![self.planned()];
        if paired {
            step.push(self.planned());
        }
        step
    }

    fn planned(&mut self) -> Planned {
        if self.bag.is_empty() {
            self.bag = KINDS.to_vec();
        }
        let count = self.bag.len() as u64;
        let at = usize::try_from(self.below(count)).unwrap_or(0);
        let kind = self.bag.swap_remove(at);
        let vrid = u8::try_from(self.below(u64::from(self.routers))).unwrap_or(0) + 1;
        let node = usize::try_from(self.below(NODES as u64)).unwrap_or(0);
        // A backup's loss of its link, say, is a fault that nobody notices.
        let place = match self.below(2) {
            _ if !kind.of_host() => Where::Primary,
            0 => Where::Primary,
            _ => Where::Node(node),
        };
        Planned { kind, vrid, place }
    }

    /// A number below this one, by splitmix64.
    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence_and_each_kind_has_its_turn() {
        let steps = |seed| {
            let mut plan = Plan::new(seed, 20);
            let steps: Vec<_> = (0..KINDS.len()).flat_map(|_| plan.step()).collect();
            steps
        };
        assert_eq!(steps(1), steps(1));
        assert_ne!(steps(1), steps(2));
        for kind in KINDS {
            assert!(steps(1).iter().any(|it| it.kind == kind), "{kind:?}");
        }
    }
}
