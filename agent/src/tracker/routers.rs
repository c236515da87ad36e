//! Adverts and the timer of a virtual router; the twin of the kernel's file of
//! this name.

use keepfast_common::counter::Counter;
use keepfast_common::event::{Changes, Event, EventKind, Party};
use keepfast_common::maps::RouterKey;
use keepfast_common::time::SECOND_NS;
use keepfast_common::track::{KEPT_ADDRESSES, VirtualRouter};
use keepfast_common::wire::{Address, Advert, Frame, IPV4, Reject, widen};

use super::{About, Place, Slot, Timer, Tracker, arm, has_room};

impl Tracker {
    /// A valid advert was received or (`local`) sent.
    pub(super) fn heard(
        &mut self,
        frame: &[u8],
        place: Place,
        advert: &Advert,
        local: bool,
        events: &mut Vec<Event>,
    ) {
        let key = RouterKey {
            netns: place.netns,
            ifindex: place.ifindex,
            vlan: advert.vlan.outer,
            inner_vlan: advert.vlan.inner,
            family: advert.family,
            vrid: advert.vrid,
            reserved: 0,
        };
        if !has_room(&self.routers, &key) {
            self.count(place, Counter::MapFull);
            return;
        }
        let fresh = Slot {
            armed_ns: 0,
            state: VirtualRouter::UNKNOWN,
        };
        let slot = self.routers.entry(key).or_insert(fresh);
        let mut changes = Changes::NONE;
        slot.state
            .heard(&speaker(advert, self.now_ns, local), &mut changes);
        let deadline = slot.state.next_deadline();
        arm(
            &mut self.timers,
            &mut slot.armed_ns,
            Timer::Router(key),
            deadline,
        );
        if slot.state.address_count == 0 || slot.state.addresses_checksum != advert.checksum {
            let before = listed(&slot.state);
            keep_addresses(frame, advert, &mut slot.state);
            let now = listed(&slot.state);
            self.learn(&key, &before, &now);
        }
        self.emit(&about_router(&key), &changes, events);
    }

    /// An advert was seen that no router should act on.
    pub(super) fn rejected(
        &mut self,
        place: Place,
        advert: &Advert,
        reject: Reject,
        events: &mut Vec<Event>,
    ) {
        let now = self.now_ns;
        let Some(count) = Counter::of_reject(reject).and_then(|counter| self.count(place, counter))
        else {
            return;
        };
        if count.told_ns != 0 && now < count.told_ns + SECOND_NS {
            return;
        }
        count.told_ns = now;
        let mut changes = Changes::NONE;
        changes.begin(&Party::NOBODY, &speaker(advert, now, false));
        changes.kinds = EventKind::AdvertRejected.bit();
        let about = About {
            place,
            vlan: advert.vlan.outer,
            inner_vlan: advert.vlan.inner,
            family: advert.family,
            vrid: advert.vrid,
            reason: reject as u8,
        };
        self.emit(&about, &changes, events);
    }

    /// The timer of a virtual router expired.
    pub(super) fn router_expired(&mut self, key: RouterKey, events: &mut Vec<Event>) {
        let Some(slot) = self.routers.get_mut(&key) else {
            return;
        };
        let mut changes = Changes::NONE;
        slot.armed_ns = 0;
        slot.state.expire(self.now_ns, &mut changes);
        let deadline = slot.state.next_deadline();
        arm(
            &mut self.timers,
            &mut slot.armed_ns,
            Timer::Router(key),
            deadline,
        );
        self.emit(&about_router(&key), &changes, events);
    }
}

fn speaker(advert: &Advert, heard_ns: u64, local: bool) -> Party {
    Party {
        heard_ns,
        address: advert.source,
        mac: advert.mac,
        interval_cs: advert.interval_cs,
        priority: advert.priority,
        version: advert.version,
        local: u8::from(local),
        marks: advert.marks,
        reserved: [0; 4],
    }
}

/// The listed addresses that are kept.
fn listed(router: &VirtualRouter) -> Vec<Address> {
    router
        .addresses
        .iter()
        .take(usize::from(router.address_count))
        .copied()
        .collect()
}

/// Copies the first of the listed addresses into the virtual router.
fn keep_addresses(frame: &[u8], advert: &Advert, router: &mut VirtualRouter) {
    router.addresses_checksum = advert.checksum;
    router.address_count = advert.addresses;
    let width = if advert.family == IPV4 { 4 } else { 16 };
    for index in 0..usize::from(advert.addresses).min(KEPT_ADDRESSES) {
        let at = usize::from(advert.addresses_at) + index * width;
        let found = if width == 4 {
            frame.read::<4>(at).map(widen)
        } else {
            frame.read::<16>(at)
        };
        if let (Some(address), Some(kept)) = (found, router.addresses.get_mut(index)) {
            *kept = address;
        }
    }
}

fn about_router(key: &RouterKey) -> About {
    About {
        place: Place {
            netns: key.netns,
            ifindex: key.ifindex,
        },
        vlan: key.vlan,
        inner_vlan: key.inner_vlan,
        family: key.family,
        vrid: key.vrid,
        reason: 0,
    }
}
