use keepfast_common::counter::Counter;
use keepfast_common::wire::vrrp::MARK_AH;
use keepfast_common::wire::{Packet, classify};

use crate::frame::Sighting;
use crate::{count, holdings, routers};

/// Takes note of a frame, received or (`local`) sent.
#[inline(always)]
pub(crate) fn observe<S: Sighting>(sighting: &S, local: bool) {
    match classify(sighting) {
        Packet::Other => {}
        Packet::Advert(advert) => {
            let place = count::Place::of(sighting);
            let counter = if local { Counter::AdvertSent } else { Counter::AdvertReceived };
            place.count(counter);
            if advert.marks & MARK_AH != 0 {
                place.count(Counter::AdvertAuthenticationHeader);
            }
            routers::heard(sighting, &place, &advert, local);
        }
        Packet::BadAdvert(advert, reject) => {
            let place = count::Place::of(sighting);
            routers::rejected(&place, &advert, reject);
        }
        Packet::Neighbour(neighbour) => {
            let place = count::Place::of(sighting);
            let counter = if local { Counter::NeighbourSent } else { Counter::NeighbourReceived };
            place.count(counter);
            holdings::said(&place, &neighbour, local);
        }
        Packet::BadNeighbour(reject) => {
            count::Place::of(sighting).count(Counter::of_reject(reject));
        }
    }
}
