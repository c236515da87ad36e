//! What a post-mortem says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Nanos;

/// The name and version of the JSON that a [`Report`] becomes. Fields may be added; one
/// that means something else makes another version.
pub const SCHEMA: &str = "keepfast.postmortem/1";

/// How a router changed hands, as one of the hosts knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The router.
    pub router: String,
    /// Which of the hosts this one is.
    pub side: Side,
    /// When it became primary, or was primary no longer, as the wall clock tells
    /// (RFC 3339).
    pub time: String,
    /// The same in nanoseconds of CLOCK_MONOTONIC.
    pub turned_ns: Nanos,
    /// Why.
    pub cause: Cause,
    /// Why, in words.
    pub words: String,
    /// From the last sign of the old primary until [`Self::outage_until`], nanoseconds;
    /// `None` where there was no old primary, or this host cannot know.
    pub outage_ns: Option<Nanos>,
    /// What ended it.
    pub outage_until: Option<Until>,
    /// How long keepalived alone would have taken from there to its first advert,
    /// nanoseconds; `None` where it would not have acted, or nobody can tell.
    pub stock_ns: Option<Nanos>,
    /// What [`Moment::after_ns`] counts from, nanoseconds of CLOCK_MONOTONIC.
    pub zero_ns: Nanos,
    /// The steps from the one to the other.
    pub steps: Steps,
    /// All that was seen, in the order of its time.
    pub timeline: Vec<Moment>,
}

/// Which host tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The one that became primary.
    NewPrimary,
    /// The one that was primary before.
    OldPrimary,
}

/// Why a router changed hands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The old primary's host answered nothing any more: it is dead, or cut off.
    PeerSilent,
    /// The old primary's keepalived has ended, or hung, and its host said so.
    PeerKeepalived,
    /// The old primary's keepalived fell silent, and its host did not.
    PeerKeepalivedSilent,
    /// An interface of the old primary is down, and its host said so.
    PeerInterface,
    /// The old primary resigned, and did not say why.
    PeerResigned,
    /// The old primary fell silent; whether its host did, nobody looked.
    AdvertsCeased,
    /// It was handed over on an operator's request.
    HandedOver,
    /// The old primary handed over, for its gateway was lost.
    GatewayLost,
    /// There was no primary before.
    FirstStart,
    /// This host outranks the old primary.
    Preempted,
    /// This host's keepalived has ended.
    OwnKeepalived,
    /// An interface of this host is down.
    OwnInterface,
    /// Another host took over, while this one served: that host did not hear this one.
    TakenOver,
    /// Another host that outranks this one came.
    Outranked,
    /// Nothing says.
    Unknown,
}

impl Cause {
    /// As in JSON, and as a label of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PeerSilent => "peer_silent",
            Self::PeerKeepalived => "peer_keepalived",
            Self::PeerKeepalivedSilent => "peer_keepalived_silent",
            Self::PeerInterface => "peer_interface",
            Self::PeerResigned => "peer_resigned",
            Self::AdvertsCeased => "adverts_ceased",
            Self::HandedOver => "handed_over",
            Self::GatewayLost => "gateway_lost",
            Self::FirstStart => "first_start",
            Self::Preempted => "preempted",
            Self::OwnKeepalived => "own_keepalived",
            Self::OwnInterface => "own_interface",
            Self::TakenOver => "taken_over",
            Self::Outranked => "outranked",
            Self::Unknown => "unknown",
        }
    }
}

/// What an outage is measured to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// The first packet that the new primary forwarded, or that came from a virtual
    /// address.
    FirstPacket,
    /// The new primary's first announcement of a virtual address: there was no traffic.
    Announcement,
}

/// When each step was, nanoseconds of CLOCK_MONOTONIC; `None`: it was not seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Steps {
    /// The old primary's last advert; of one that resigned, its first resignation.
    pub last_advert_ns: Option<Nanos>,
    /// Its host's last answer to a probe.
    pub last_answer_ns: Option<Nanos>,
    /// The first probe without an answer left.
    pub first_unanswered_ns: Option<Nanos>,
    /// The loss was noticed.
    pub detected_ns: Option<Nanos>,
    /// keepfast decided to take over.
    pub decided_ns: Option<Nanos>,
    /// The new primary's first advert left, or came in at the old one.
    pub took_over_ns: Option<Nanos>,
    /// The primary address was there, or gone from the old primary.
    pub address_ns: Option<Nanos>,
    /// The first announcement of a virtual address was on the wire.
    pub announced_ns: Option<Nanos>,
    /// The first packet left the new primary.
    pub first_packet_ns: Option<Nanos>,
}

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// When, nanoseconds of CLOCK_MONOTONIC.
    pub at_ns: Nanos,
    /// After the last sign of the old primary, or, where there was none, after the
    /// router changed hands; nanoseconds, below 0: before.
    pub after_ns: i64,
    /// A short name.
    pub event: String,
    /// In words.
    pub what: String,
    /// Whether the kernel programs saw it; else the agent says so.
    pub kernel: bool,
}
