//! ARP, neighbour discovery and the timer of an address; the twin of the kernel's
//! file of this name. And what the agent does for the kernel: it says which
//! virtual addresses to watch.

use keepfast_common::counter::Counter;
use keepfast_common::event::{Changes, Event};
use keepfast_common::maps::{AddressKey, RouterKey};
use keepfast_common::neighbour::{Announcement, Holding, ROLE_VIRTUAL, Watched};
use keepfast_common::wire::{Address, Mac, Neighbour};

use super::{About, Place, Slot, Timer, Tracker, arm, has_room};

impl Tracker {
    /// An ARP or neighbour discovery message was received or (`local`) sent.
    pub(super) fn said(
        &mut self,
        place: Place,
        neighbour: &Neighbour,
        local: bool,
        events: &mut Vec<Event>,
    ) {
        if neighbour.vlan.outer != 0 {
            return;
        }
        let key = address_key(place, neighbour.family, neighbour.holder);
        if let Some(watched) = self.watched.get(&key).copied() {
            let said = Announcement {
                time_ns: self.now_ns,
                address: neighbour.holder,
                family: neighbour.family,
                mac: neighbour.mac,
                local,
                unsolicited: neighbour.unsolicited,
                master: self.master_of(&key, &watched),
            };
            let mut changes = Changes::NONE;
            self.step_holding(key, |holding| {
                holding.announced(&watched, &said, &mut changes)
            });
            self.emit(&about_address(&key, watched.vrid), &changes, events);
        }
        let key = address_key(place, neighbour.family, neighbour.asked);
        if local && let Some(watched) = self.watched.get(&key).copied() {
            let now = self.now_ns;
            self.step_holding(key, |holding| holding.asked(&watched, now));
        }
    }

    fn step_holding(&mut self, key: AddressKey, step: impl FnOnce(&mut Holding)) {
        if !has_room(&self.holdings, &key) {
            self.count(
                Place {
                    netns: key.netns,
                    ifindex: key.ifindex,
                },
                Counter::MapFull,
            );
            return;
        }
        let fresh = Slot {
            armed_ns: 0,
            state: Holding::UNKNOWN,
        };
        let slot = self.holdings.entry(key).or_insert(fresh);
        step(&mut slot.state);
        let deadline = slot.state.next_deadline();
        arm(
            &mut self.timers,
            &mut slot.armed_ns,
            Timer::Address(key),
            deadline,
        );
    }

    /// The timer of an address expired.
    pub(super) fn address_expired(&mut self, key: AddressKey, events: &mut Vec<Event>) {
        let Some(slot) = self.holdings.get_mut(&key) else {
            return;
        };
        let mut changes = Changes::NONE;
        slot.armed_ns = 0;
        slot.state.expire(&key.address, self.now_ns, &mut changes);
        let deadline = slot.state.next_deadline();
        arm(
            &mut self.timers,
            &mut slot.armed_ns,
            Timer::Address(key),
            deadline,
        );
        self.emit(&about_address(&key, 0), &changes, events);
    }

    /// Watches the addresses that a virtual router's adverts list `now`, and no
    /// longer those that they listed `before`.
    pub(super) fn learn(&mut self, router: &RouterKey, before: &[Address], now: &[Address]) {
        if router.vlan != 0 {
            // Announcements with a VLAN tag are not tracked.
            return;
        }
        let place = Place {
            netns: router.netns,
            ifindex: router.ifindex,
        };
        for address in before {
            let key = address_key(place, router.family, *address);
            let watched = self.reasons(&key);
            if now.contains(address) || watched.vrid != router.vrid {
                continue;
            }
            let roles = watched.roles & !ROLE_VIRTUAL;
            if roles == 0 {
                self.unwatch(&key);
            } else {
                self.watch(
                    key,
                    Watched {
                        roles,
                        vrid: 0,
                        ..watched
                    },
                );
            }
        }
        for address in now {
            let key = address_key(place, router.family, *address);
            let watched = self.reasons(&key);
            let roles = watched.roles | ROLE_VIRTUAL;
            if !self.watch(
                key,
                Watched {
                    roles,
                    vrid: router.vrid,
                    ..watched
                },
            ) {
                self.count(place, Counter::MapFull);
            }
        }
    }

    fn unwatch(&mut self, key: &AddressKey) {
        self.watched.remove(key);
        if let Some(slot) = self.holdings.remove(key) {
            self.timers.remove(&(slot.armed_ns, Timer::Address(*key)));
        }
    }

    /// Why an address is watched so far.
    pub(super) fn reasons(&self, key: &AddressKey) -> Watched {
        const NONE: Watched = Watched {
            silence_ns: 0,
            roles: 0,
            vrid: 0,
            family: 0,
            reserved: 0,
            router_ifindex: 0,
        };
        self.watched.get(key).copied().unwrap_or(NONE)
    }

    /// Who is master of the virtual router that a virtual address belongs to.
    fn master_of(&self, key: &AddressKey, watched: &Watched) -> Mac {
        if watched.roles & ROLE_VIRTUAL == 0 {
            return [0; 6];
        }
        let router = RouterKey {
            netns: key.netns,
            ifindex: key.ifindex,
            vlan: 0,
            inner_vlan: 0,
            family: key.family as u8,
            vrid: watched.vrid,
            reserved: 0,
        };
        self.routers
            .get(&router)
            .map_or([0; 6], |slot| slot.state.master.mac)
    }
}

fn address_key(place: Place, family: u8, address: Address) -> AddressKey {
    AddressKey {
        netns: place.netns,
        ifindex: place.ifindex,
        family: u32::from(family),
        address,
    }
}

fn about_address(key: &AddressKey, vrid: u8) -> About {
    About {
        place: Place {
            netns: key.netns,
            ifindex: key.ifindex,
        },
        vlan: 0,
        inner_vlan: 0,
        family: key.family as u8,
        vrid,
        reason: 0,
    }
}
