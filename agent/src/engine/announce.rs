//! The second round of gratuitous ARP and unsolicited neighbour advertisements.
//!
//! keepalived announces an address when it adds it, and once more after a delay;
//! but a reload in between cancels its second round. So the second round is kept
//! here: an address is announced again a while after it appeared, whatever is
//! reloaded meanwhile, and only that address.

use std::collections::BTreeSet;

use super::upkeep::Nanos;
use crate::config::{Cidr, InterfaceName};

/// Addresses that appear within this time are announced together.
const TOGETHER_NS: Nanos = 100_000_000;

/// An address and the interface that has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The interface.
    pub interface: InterfaceName,
    /// The address.
    pub address: Cidr,
}

/// What is to be announced again, and when.
#[derive(Debug, Clone, Default)]
pub struct SecondRound(Vec<(Nanos, Place)>);

impl SecondRound {
    /// An address appeared; it is announced again after `delay`.
    pub fn appeared(&mut self, place: Place, now: Nanos, delay: Nanos) {
        self.vanished(&place);
        self.0.push((now.saturating_add(delay), place));
    }

    /// An address went.
    pub fn vanished(&mut self, place: &Place) {
        self.0.retain(|(_, other)| other != place);
    }

    /// Forgets all but these.
    pub fn retain(&mut self, places: &BTreeSet<Place>) {
        self.0.retain(|(_, place)| places.contains(place));
    }

    /// When something is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Nanos> {
        self.0.iter().map(|(due, _)| *due).min()
    }

    /// The addresses that are due.
    pub fn due(&mut self, now: Nanos) -> Vec<Place> {
        if self.deadline().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let limit = now.saturating_add(TOGETHER_NS);
        let due = self.0.extract_if(.., |(due, _)| *due <= limit);
        due.map(|(_, place)| place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn place(number: u8) -> Place {
        Place {
            interface: "qg-1".parse().unwrap(),
            address: format!("198.51.100.{number}/32").parse().unwrap(),
        }
    }

    fn appear(round: &mut SecondRound, number: u8, now: Nanos, delay: Nanos) {
        round.appeared(place(number), now, delay);
    }

    fn check(round: &mut SecondRound, now: Nanos, numbers: &[u8]) {
        let expected: Vec<_> = numbers.iter().copied().map(place).collect();
        assert_eq!(round.due(now), expected);
    }

    #[test]
    fn addresses_that_appear_together_are_announced_together() {
        let mut round = SecondRound::default();
        assert_eq!(round.deadline(), None);
        for number in [0, 1, 2] {
            appear(&mut round, number, u64::from(number) * MS, 60_000 * MS);
        }
        assert_eq!(round.deadline(), Some(60_000 * MS));
        check(&mut round, 60_000 * MS - 1, &[]);
        check(&mut round, 60_000 * MS, &[0, 1, 2]);
        check(&mut round, 90_000 * MS, &[]);
    }

    #[test]
    fn an_added_address_is_announced_alone_and_a_removed_one_is_not() {
        let mut round = SecondRound::default();
        appear(&mut round, 0, 0, 60_000 * MS);
        appear(&mut round, 1, 30_000 * MS, 60_000 * MS);
        appear(&mut round, 2, 30_000 * MS, 60_000 * MS);
        round.vanished(&place(2));
        check(&mut round, 60_000 * MS, &[0]);
        check(&mut round, 90_000 * MS, &[1]);
        assert_eq!(round.deadline(), None);
    }

    #[test]
    fn an_address_that_comes_back_begins_anew() {
        let mut round = SecondRound::default();
        appear(&mut round, 0, 0, 100 * MS);
        round.vanished(&place(0));
        appear(&mut round, 0, 50 * MS, 1_000 * MS);
        assert_eq!(round.deadline(), Some(1_050 * MS));
    }
}
