use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_log_ebpf::debug;
use keepfast_common::counter::Counter;
use keepfast_common::wire::probe::KIND_PROBE;
use keepfast_common::wire::vrrp::MARK_AH;
use keepfast_common::wire::{Packet, Reject, Subject, classify, mac_is};

use crate::count::Place;
use crate::frame::Sighting;
use crate::maps::Scratch;
use crate::probes::Fate;
use crate::{blackbox, holdings, probes, protect, routers};

/// Takes note of a received frame; `bouncer` as for [`probes::received`].
#[inline(always)]
pub(crate) fn received<S: Sighting>(sighting: &S, scratch: &mut Scratch, bouncer: u8) -> Fate {
    classify(sighting, &mut scratch.packet);
    let subject = scratch.packet.subject as u8;
    if subject == Subject::Other as u8 {
        return Fate::Pass;
    }
    let place = Place::of(sighting);
    if subject == Subject::Probe as u8 {
        return probes::received(&place, scratch, bouncer);
    }
    if subject == Subject::Advert as u8 {
        if is_ghost(&scratch.packet) {
            return Fate::Pass;
        }
        if !protect::admits(&place, &scratch.packet) {
            return Fate::Drop;
        }
    }
    observe(sighting, &place, scratch, false);
    Fate::Pass
}

/// Takes note of a received frame if it is a probe that somebody else sent.
#[inline(always)]
pub(crate) fn received_probe<S: Sighting>(
    sighting: &S,
    scratch: &mut Scratch,
    bouncer: u8,
) -> Fate {
    classify(sighting, &mut scratch.packet);
    if scratch.packet.subject as u8 != Subject::Probe as u8 {
        return Fate::Pass;
    }
    probes::received(&Place::of(sighting), scratch, bouncer)
}

/// Takes note of a frame that leaves, with its mark; with when it leaves,
/// CLOCK_MONOTONIC nanoseconds, if it is a probe of this host's, else 0.
#[inline(always)]
pub(crate) fn leaving<S: Sighting>(sighting: &S, scratch: &mut Scratch, mark: u32) -> (Fate, u64) {
    classify(sighting, &mut scratch.packet);
    let subject = scratch.packet.subject as u8;
    if subject == Subject::Other as u8 {
        return (Fate::Pass, 0);
    }
    let place = Place::of(sighting);
    let own = mark != 0 && probes::agent().is_some_and(|agent| agent.mark == mark);
    if subject == Subject::Probe as u8 {
        if own && scratch.packet.probe.kind == KIND_PROBE {
            // SAFETY: no preconditions.
            let now = unsafe { bpf_ktime_get_ns() };
            if probes::sent(&place, &mut scratch.packet, now) {
                return (Fate::Pass, now);
            }
        }
        return (Fate::Pass, 0);
    }
    if own && subject == Subject::Advert as u8 {
        // A solicitation says nothing of this host's router.
        return (Fate::Pass, 0);
    }
    if subject == Subject::Neighbour as u8
        && scratch.packet.reject as u8 == Reject::Nothing as u8
        && holdings::is_fenced(&place, &scratch.packet.neighbour)
    {
        place.count(Counter::NeighbourFenced);
        return (Fate::Drop, 0);
    }
    observe(sighting, &place, scratch, true);
    (Fate::Pass, 0)
}

/// Whether an advert is one that this host's agent injected: it tells keepalived
/// something, and us nothing.
#[inline(always)]
fn is_ghost(packet: &Packet) -> bool {
    probes::agent().is_some_and(|agent| agent.mark != 0 && mac_is(&agent.ghost, &packet.advert.mac))
}

/// Takes note of an advert, or of ARP or neighbour discovery, received or (`local`)
/// sent.
#[inline(always)]
fn observe<S: Sighting>(sighting: &S, place: &Place, scratch: &mut Scratch, local: bool) {
    let subject = scratch.packet.subject as u8;
    let valid = scratch.packet.reject as u8 == Reject::Nothing as u8;
    if subject == Subject::Advert as u8 {
        log_advert(sighting, place, &scratch.packet, local);
        if !valid {
            routers::rejected(place, scratch);
            return;
        }
        place.count(if local {
            Counter::AdvertSent
        } else {
            Counter::AdvertReceived
        });
        if scratch.packet.advert.marks & MARK_AH != 0 {
            place.count(Counter::AdvertAuthenticationHeader);
        }
        routers::heard(sighting, place, scratch, local);
        blackbox::advert(place, scratch);
    } else if valid {
        log_neighbour(sighting, place, local);
        place.count(if local {
            Counter::NeighbourSent
        } else {
            Counter::NeighbourReceived
        });
        holdings::said(place, scratch, local);
    } else if let Some(counter) = Counter::of_reject(scratch.packet.reject) {
        place.count(counter);
    }
}

// Debug lines: nothing is left of them at run time unless the agent asked for
// them when it loaded the programs. Out of line, for the sake of the stack.

#[inline(never)]
fn log_advert<S: Sighting>(sighting: &S, place: &Place, packet: &Packet, local: bool) {
    debug!(
        sighting.context(),
        "netns {} if {} advert: vrid {} priority {} every {} cs, sent here {}, reject {}",
        place.netns,
        place.ifindex,
        packet.advert.vrid,
        packet.advert.priority,
        packet.advert.interval_cs,
        local as u8,
        packet.reject as u8,
    );
}

#[inline(never)]
fn log_neighbour<S: Sighting>(sighting: &S, place: &Place, local: bool) {
    debug!(
        sighting.context(),
        "netns {} if {} ARP or neighbour discovery, sent here {}",
        place.netns,
        place.ifindex,
        local as u8,
    );
}
