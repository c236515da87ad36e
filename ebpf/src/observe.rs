use keepfast_common::counter::Counter;
use keepfast_common::wire::vrrp::MARK_AH;
use keepfast_common::wire::{Reject, Subject, classify};

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
