//! Why a frame was not taken for what it claims to be.

/// A reason for rejecting a frame. The numbers are part of the format of events
/// and counters and are never used again for something else.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reject {
    /// Nothing is wrong with it.
    Nothing = 0,
    /// The frame or the IP packet ends before the message does.
    Truncated = 1,
    /// A fragment of an IP packet that carries VRRP.
    Fragment = 2,
    /// VRRP behind an IPv6 extension header, where RFC 9568 has none.
    ExtensionHeader = 3,
    /// The IP header is malformed: its length field is below the minimum.
    IpHeader = 4,
    /// TTL or hop limit of a multicast advert is not 255 (RFC 9568 section 7.1).
    HopLimit = 5,
    /// Neither version 2 nor 3, or version 2 over IPv6.
    Version = 6,
    /// Not an advertisement (type 1), the only type there is.
    Type = 7,
    /// Virtual router identifier 0.
    Vrid = 8,
    /// No address listed.
    AddressCount = 9,
    /// None of the known ways to compute the checksum gives what the message says.
    Checksum = 10,
    /// An advertisement interval of zero.
    Interval = 11,
    /// The message is longer than an Ethernet frame can carry; its checksum is not computed.
    Oversized = 12,
    /// An ARP or neighbour discovery message that is truncated or for other hardware.
    Neighbour = 13,
    /// A neighbour discovery message whose hop limit is not 255 (RFC 4861 section 7.1).
    NeighbourHopLimit = 14,
}

impl Reject {
    /// Every reason but [`Self::Nothing`], in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Truncated,
        Self::Fragment,
        Self::ExtensionHeader,
        Self::IpHeader,
        Self::HopLimit,
        Self::Version,
        Self::Type,
        Self::Vrid,
        Self::AddressCount,
        Self::Checksum,
        Self::Interval,
        Self::Oversized,
        Self::Neighbour,
        Self::NeighbourHopLimit,
    ];

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reject| *reject as u8 == number)
    }

    /// The reason in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Nothing => "valid",
            Self::Truncated => "truncated",
            Self::Fragment => "fragmented",
            Self::ExtensionHeader => "behind an IPv6 extension header",
            Self::IpHeader => "malformed IP header",
            Self::HopLimit => "TTL or hop limit is not 255",
            Self::Version => "unknown VRRP version",
            Self::Type => "not an advertisement",
            Self::Vrid => "VRID 0",
            Self::AddressCount => "lists no address",
            Self::Checksum => "wrong checksum",
            Self::Interval => "interval 0",
            Self::Oversized => "oversized",
            Self::Neighbour => "malformed ARP or neighbour discovery",
            Self::NeighbourHopLimit => "neighbour discovery with a hop limit other than 255",
        }
    }
}
