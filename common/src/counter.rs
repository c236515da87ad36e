//! What is counted per interface.

use crate::wire::Reject;

/// What a counter counts. The first numbers are those of [`Reject`].
///
/// The kernel's map of counters is keyed with this very enum, so that `bpftool
/// map dump` prints the names.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counter {
    /// See [`Reject::Truncated`].
    RejectTruncated = 1,
    /// See [`Reject::Fragment`].
    RejectFragment = 2,
    /// See [`Reject::ExtensionHeader`].
    RejectExtensionHeader = 3,
    /// See [`Reject::IpHeader`].
    RejectIpHeader = 4,
    /// See [`Reject::HopLimit`].
    RejectHopLimit = 5,
    /// See [`Reject::Version`].
    RejectVersion = 6,
    /// See [`Reject::Type`].
    RejectType = 7,
    /// See [`Reject::Vrid`].
    RejectVrid = 8,
    /// See [`Reject::AddressCount`].
    RejectAddressCount = 9,
    /// See [`Reject::Checksum`].
    RejectChecksum = 10,
    /// See [`Reject::Interval`].
    RejectInterval = 11,
    /// See [`Reject::Oversized`].
    RejectOversized = 12,
    /// See [`Reject::Neighbour`].
    RejectNeighbour = 13,
    /// See [`Reject::NeighbourHopLimit`].
    RejectNeighbourHopLimit = 14,
    /// Valid adverts received.
    AdvertReceived = 32,
    /// Valid adverts sent.
    AdvertSent = 33,
    /// Adverts, sent or received, in an authentication header. The header's
    /// digest is not checked: a tracker has no keys.
    AdvertAuthenticationHeader = 34,
    /// ARP and neighbour discovery messages received.
    NeighbourReceived = 35,
    /// ARP and neighbour discovery messages sent.
    NeighbourSent = 36,
    /// Frames that could not be tracked because a map is full.
    MapFull = 37,
    /// Timers that the kernel refused to start.
    TimerFailed = 38,
    /// Events that found the ring buffer full.
    EventLost = 39,
    /// Probes of others that were sent back.
    ProbeAnswered = 40,
    /// Answers that no probe of ours had asked for: forged, replayed or far too late.
    AnswerIgnored = 41,
    /// Words of an heir that did not show the token that it was given.
    TakenIgnored = 42,
    /// ARP and neighbour discovery messages kept back, for their address has been
    /// taken over.
    NeighbourFenced = 43,
    /// Urgent events that found their ring buffer full.
    UrgentLost = 44,
    /// Adverts of virtual routers that nobody has configured and that are not tracked:
    /// there are too many of them.
    StrangerIgnored = 45,
    /// Events that were not sent: there were too many about one router, or about those of
    /// an interface that nobody has configured.
    EventHeld = 46,
    /// Probes of backups that are none of the router's peers: they are answered, and have
    /// no place in line.
    HeirIgnored = 47,
}

impl Counter {
    /// Every counter, in the order of their numbers.
    pub const ALL: [Self; 30] = [
        Self::RejectTruncated,
        Self::RejectFragment,
        Self::RejectExtensionHeader,
        Self::RejectIpHeader,
        Self::RejectHopLimit,
        Self::RejectVersion,
        Self::RejectType,
        Self::RejectVrid,
        Self::RejectAddressCount,
        Self::RejectChecksum,
        Self::RejectInterval,
        Self::RejectOversized,
        Self::RejectNeighbour,
        Self::RejectNeighbourHopLimit,
        Self::AdvertReceived,
        Self::AdvertSent,
        Self::AdvertAuthenticationHeader,
        Self::NeighbourReceived,
        Self::NeighbourSent,
        Self::MapFull,
        Self::TimerFailed,
        Self::EventLost,
        Self::ProbeAnswered,
        Self::AnswerIgnored,
        Self::TakenIgnored,
        Self::NeighbourFenced,
        Self::UrgentLost,
        Self::StrangerIgnored,
        Self::EventHeld,
        Self::HeirIgnored,
    ];

    /// The counter with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|counter| *counter as u8 == number)
    }

    /// The counter of frames rejected for this reason; `None` for valid ones.
    #[inline(always)]
    pub const fn of_reject(reject: Reject) -> Option<Self> {
        Some(match reject {
            Reject::Nothing => return None,
            Reject::Truncated => Self::RejectTruncated,
            Reject::Fragment => Self::RejectFragment,
            Reject::ExtensionHeader => Self::RejectExtensionHeader,
            Reject::IpHeader => Self::RejectIpHeader,
            Reject::HopLimit => Self::RejectHopLimit,
            Reject::Version => Self::RejectVersion,
            Reject::Type => Self::RejectType,
            Reject::Vrid => Self::RejectVrid,
            Reject::AddressCount => Self::RejectAddressCount,
            Reject::Checksum => Self::RejectChecksum,
            Reject::Interval => Self::RejectInterval,
            Reject::Oversized => Self::RejectOversized,
            Reject::Neighbour => Self::RejectNeighbour,
            Reject::NeighbourHopLimit => Self::RejectNeighbourHopLimit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reject_has_the_counter_of_its_number() {
        for reject in Reject::ALL {
            assert_eq!(Counter::of_reject(reject).unwrap() as u8, reject as u8);
            assert_eq!(Reject::from_number(reject as u8), Some(reject));
            assert_eq!(
                Counter::from_number(reject as u8),
                Counter::of_reject(reject)
            );
        }
        assert_eq!(Reject::from_number(0), None);
    }
}
