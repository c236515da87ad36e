//! The families about what the kernel programs count, sums over all interfaces.

use std::fmt;

use keepfast_common::counter::Counter;

use super::writer::Writer;
use crate::metrics::scrape::Scrape;

/// Why frames are rejected.
const REJECTS: [(&str, Counter); 14] = [
    ("truncated", Counter::RejectTruncated),
    ("fragment", Counter::RejectFragment),
    ("extension_header", Counter::RejectExtensionHeader),
    ("ip_header", Counter::RejectIpHeader),
    ("hop_limit", Counter::RejectHopLimit),
    ("version", Counter::RejectVersion),
    ("type", Counter::RejectType),
    ("vrid", Counter::RejectVrid),
    ("address_count", Counter::RejectAddressCount),
    ("checksum", Counter::RejectChecksum),
    ("interval", Counter::RejectInterval),
    ("oversized", Counter::RejectOversized),
    ("neighbour", Counter::RejectNeighbour),
    ("neighbour_hop_limit", Counter::RejectNeighbourHopLimit),
];

pub(super) fn write(scrape: &Scrape, to: &mut Writer<'_>) -> fmt::Result {
    let count = |counter: Counter| {
        let counters = scrape.counters.iter().filter(|(it, _)| *it == counter);
        counters.map(|(_, count)| count).sum::<u64>()
    };
    to.counters(
        "keepfast_rejected_frames",
        "Adverts and neighbour messages that nobody should act on, by reason.",
        REJECTS.map(|(reason, counter)| ([("reason", reason)], count(counter))),
    )?;
    to.counters(
        "keepfast_adverts",
        "Valid adverts.",
        [
            ([("direction", "received")], count(Counter::AdvertReceived)),
            ([("direction", "sent")], count(Counter::AdvertSent)),
        ],
    )?;
    to.counters(
        "keepfast_neighbour_messages",
        "ARP and neighbour discovery messages.",
        [
            (
                [("direction", "received")],
                count(Counter::NeighbourReceived),
            ),
            ([("direction", "sent")], count(Counter::NeighbourSent)),
        ],
    )?;
    to.counters(
        "keepfast_events_lost",
        "Events of the kernel programs that found their ring buffer full.",
        [
            ([("ring", "events")], count(Counter::EventLost)),
            ([("ring", "urgent")], count(Counter::UrgentLost)),
        ],
    )?;
    for (name, help, counter) in [
        (
            "keepfast_adverts_with_authentication_header",
            "Adverts in an authentication header, whose digest is not checked.",
            Counter::AdvertAuthenticationHeader,
        ),
        (
            "keepfast_map_full",
            "Frames that could not be tracked because a map was full.",
            Counter::MapFull,
        ),
        (
            "keepfast_stranger_adverts_ignored",
            "Adverts of virtual routers that nobody has configured and that are too many to track.",
            Counter::StrangerIgnored,
        ),
        (
            "keepfast_events_held",
            "Events that were not sent, for there were too many of their kind.",
            Counter::EventHeld,
        ),
        (
            "keepfast_stranger_heirs_ignored",
            "Probes of backups that are none of the declared peers.",
            Counter::HeirIgnored,
        ),
        (
            "keepfast_timers_refused",
            "Timers that the kernel refused to start.",
            Counter::TimerFailed,
        ),
        (
            "keepfast_probes_returned",
            "Probes of other hosts that were sent back.",
            Counter::ProbeAnswered,
        ),
        (
            "keepfast_probe_answers_ignored",
            "Answers that no probe had asked for: forged, replayed or far too late.",
            Counter::AnswerIgnored,
        ),
        (
            "keepfast_takeover_claims_ignored",
            "Words of a backup that it has taken over, without the token to prove it.",
            Counter::TakenIgnored,
        ),
        (
            "keepfast_neighbour_messages_fenced",
            "ARP and neighbour messages kept back, for their address has been taken over.",
            Counter::NeighbourFenced,
        ),
    ] {
        to.counter(name, help, count(counter))?;
    }
    Ok(())
}
