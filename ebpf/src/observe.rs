use aya_log_ebpf::debug;
use keepfast_common::counter::Counter;
use keepfast_common::wire::vrrp::MARK_AH;
use keepfast_common::wire::{Packet, Reject, Subject, classify};

use crate::count::Place;
use crate::frame::Sighting;
use crate::maps::scratch;
use crate::{holdings, routers};

/// Takes note of a frame, received or (`local`) sent.
#[inline(always)]
pub(crate) fn observe<S: Sighting>(sighting: &S, local: bool) {
    let Some(scratch) = scratch() else {
        return;
    };
    classify(sighting, &mut scratch.packet);
    let subject = scratch.packet.subject as u8;
    if subject == Subject::Other as u8 {
        return;
    }
    let place = Place::of(sighting);
    let valid = scratch.packet.reject as u8 == Reject::Nothing as u8;
    if subject == Subject::Advert as u8 {
        log_advert(sighting, &place, &scratch.packet, local);
        if !valid {
            routers::rejected(&place, scratch);
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
        routers::heard(sighting, &place, scratch, local);
    } else if valid {
        log_neighbour(sighting, &place, local);
        place.count(if local {
            Counter::NeighbourSent
        } else {
            Counter::NeighbourReceived
        });
        holdings::said(&place, scratch, local);
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
