//! One JSON object per event.
//!
//! Schema 1. Every member is always there; `null` where it does not apply.
//! Members may be added within a schema; none changes its meaning.
//!
//! | member         | value |
//! |----------------|-------|
//! | `schema`       | 1 |
//! | `kind`         | see below; `unknown` where the programs are newer than the agent |
//! | `kind_number`  | the kind as the kernel numbers it |
//! | `time`         | wall clock, RFC 3339, UTC, nine decimals |
//! | `monotonic_ns` | the same in nanoseconds of CLOCK_MONOTONIC; in a replay, of the capture's clock since 1970 |
//! | `due_ns`       | the deadline that passed, same clock; `null` for what a frame told |
//! | `netns`        | name of the network namespace; `null` for the agent's own |
//! | `netns_inode`  | its inode number; 0 where it is not known |
//! | `interface`    | name of the interface |
//! | `ifindex`      | its index |
//! | `vlan`         | outer VLAN identifier |
//! | `inner_vlan`   | inner VLAN identifier |
//! | `family`       | 4 or 6 |
//! | `vrid`         | virtual router identifier |
//! | `old`          | who it was before: a party |
//! | `new`          | who it is now, or who did it: a party |
//! | `reason`       | why an advert was rejected, see below |
//! | `sequence`     | counts the events of `cpu` from 1 on; a gap is a loss |
//! | `cpu`          | the CPU that saw it |
//! | `message`      | what the line of words says; for people, may change at any time |
//!
//! A party:
//!
//! | member        | value |
//! |---------------|-------|
//! | `address`     | IPv4 or IPv6 address; `null` where it was not read |
//! | `mac`         | Ethernet address; `null` where it is not known |
//! | `heard_ns`    | when it was last heard, as `monotonic_ns`; `null` for never |
//! | `priority`    | 0 to 255; `null`, as the next two, for who is no router |
//! | `interval_ms` | advertisement interval in milliseconds |
//! | `version`     | VRRP version, 2 or 3 |
//! | `local`       | whether it is this host |
//!
//! Kinds: `master_appeared`, `master_changed`, `priority_changed`,
//! `master_resigned`, `advert_late`, `advert_resumed`, `master_down`,
//! `multiple_masters`, `single_master`, `local_master`, `local_resigned`,
//! `local_stalled`, `local_resumed`, `advert_rejected`, `gateway_seen`,
//! `gateway_mac_changed`, `gateway_silent`, `address_claimed`,
//! `address_conflict`.
//!
//! Reasons: `truncated`, `fragment`, `extension_header`, `ip_header`,
//! `hop_limit`, `version`, `type`, `vrid`, `address_count`, `checksum`,
//! `interval`, `oversized`, `neighbour`, `neighbour_hop_limit`, `unknown`.

use keepfast_common::event::{Event, EventKind, Party};
use keepfast_common::wire::Reject;
use serde::Serialize;

use super::words;
use super::{ClockMapping, Place};

/// Of the objects; another number where a member changed its meaning or went.
const SCHEMA: u8 = 1;

#[derive(Serialize)]
struct Object<'a> {
    schema: u8,
    kind: &'static str,
    kind_number: u8,
    time: String,
    monotonic_ns: u64,
    due_ns: Option<u64>,
    netns: Option<&'a str>,
    netns_inode: u32,
    interface: &'a str,
    ifindex: u32,
    vlan: Option<u16>,
    inner_vlan: Option<u16>,
    family: u8,
    vrid: Option<u8>,
    old: Option<PartyObject>,
    new: Option<PartyObject>,
    reason: Option<&'static str>,
    sequence: u64,
    cpu: u32,
    message: String,
}

#[derive(Serialize)]
struct PartyObject {
    address: Option<String>,
    mac: Option<String>,
    heard_ns: Option<u64>,
    priority: Option<u8>,
    interval_ms: Option<u32>,
    version: Option<u8>,
    local: bool,
}

/// The object for `event`, on one line.
pub(super) fn object(event: &Event, place: &Place<'_>, clock: &ClockMapping) -> String {
    let kind = EventKind::from_number(event.kind);
    let object = Object {
        schema: SCHEMA,
        kind: kind.map_or("unknown", kind_name),
        kind_number: event.kind,
        time: format!("{:.9}", clock.instant(event.time_ns)),
        monotonic_ns: event.time_ns,
        due_ns: (event.due_ns != 0).then_some(event.due_ns),
        netns: place.netns,
        netns_inode: event.netns,
        interface: place.interface,
        ifindex: event.ifindex,
        vlan: (event.vlan != 0).then_some(event.vlan),
        inner_vlan: (event.inner_vlan != 0).then_some(event.inner_vlan),
        family: event.family,
        vrid: (event.vrid != 0).then_some(event.vrid),
        old: party(event.family, &event.old),
        new: party(event.family, &event.new),
        reason: (kind == Some(EventKind::AdvertRejected))
            .then(|| Reject::from_number(event.reason).map_or("unknown", reject_name)),
        sequence: event.sequence,
        cpu: event.cpu,
        message: words::sentence(event),
    };
    // Only a map with keys that are no strings, or a failing writer, could fail.
    serde_json::to_string(&object).unwrap_or_default()
}

fn party(family: u8, party: &Party) -> Option<PartyObject> {
    if *party == Party::NOBODY {
        return None;
    }
    let router = party.version != 0;
    Some(PartyObject {
        address: (party.address != [0; 16]).then(|| words::address(family, &party.address)),
        mac: (party.mac != [0; 6]).then(|| words::mac(&party.mac)),
        heard_ns: (party.heard_ns != 0).then_some(party.heard_ns),
        priority: router.then_some(party.priority),
        interval_ms: router.then(|| u32::from(party.interval_cs) * 10),
        version: router.then_some(party.version),
        local: party.local != 0,
    })
}

/// The name of a kind of events.
pub(crate) const fn kind_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::MasterAppeared => "master_appeared",
        EventKind::MasterChanged => "master_changed",
        EventKind::PriorityChanged => "priority_changed",
        EventKind::MasterResigned => "master_resigned",
        EventKind::AdvertLate => "advert_late",
        EventKind::AdvertResumed => "advert_resumed",
        EventKind::MasterDown => "master_down",
        EventKind::MultipleMasters => "multiple_masters",
        EventKind::SingleMaster => "single_master",
        EventKind::LocalMaster => "local_master",
        EventKind::LocalResigned => "local_resigned",
        EventKind::LocalStalled => "local_stalled",
        EventKind::LocalResumed => "local_resumed",
        EventKind::AdvertRejected => "advert_rejected",
        EventKind::GatewaySeen => "gateway_seen",
        EventKind::GatewayMacChanged => "gateway_mac_changed",
        EventKind::GatewaySilent => "gateway_silent",
        EventKind::AddressClaimed => "address_claimed",
        EventKind::AddressConflict => "address_conflict",
        EventKind::PeerUp => "peer_up",
        EventKind::PeerSuspect => "peer_suspect",
        EventKind::PeerSilent => "peer_silent",
        EventKind::PeerBack => "peer_back",
        EventKind::PeerLeaving => "peer_leaving",
        EventKind::TakenOver => "taken_over",
    }
}

const fn reject_name(reject: Reject) -> &'static str {
    match reject {
        Reject::Nothing => "nothing",
        Reject::Truncated => "truncated",
        Reject::Fragment => "fragment",
        Reject::ExtensionHeader => "extension_header",
        Reject::IpHeader => "ip_header",
        Reject::HopLimit => "hop_limit",
        Reject::Version => "version",
        Reject::Type => "type",
        Reject::Vrid => "vrid",
        Reject::AddressCount => "address_count",
        Reject::Checksum => "checksum",
        Reject::Interval => "interval",
        Reject::Oversized => "oversized",
        Reject::Neighbour => "neighbour",
        Reject::NeighbourHopLimit => "neighbour_hop_limit",
    }
}
