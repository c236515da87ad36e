//! The kernel programs' twin on the host: the same state machines, maps and
//! events, fed with frames and a time that the caller chooses.
//!
//! What the kernel does with a lock, a timer and a ring buffer happens here in
//! one thread, in virtual time: timers fire at their deadline, in the order of
//! the deadlines, so the outcome depends on the frames alone. What the agent
//! does for the kernel, to watch the virtual addresses that the adverts list, is
//! done here at once.
//!
//! No I/O, no clock, and bounded memory: the maps hold as many elements as those
//! of the kernel, and what finds them full is counted.

mod routers;

mod holdings;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use keepfast_common::counter::Counter;
use keepfast_common::event::{Changes, Event, EventKind};
use keepfast_common::maps::{AddressKey, Count, RouterKey};
use keepfast_common::neighbour::{Holding, ROLE_GATEWAY, Watched};
use keepfast_common::time::SECOND_NS;
use keepfast_common::track::VirtualRouter;
use keepfast_common::wire::vrrp::MARK_AH;
use keepfast_common::wire::{Packet, Reject, Subject, classify};

/// How many elements each map holds, as in the kernel.
pub const CAPACITY: usize = 16_384;

/// The latest time that is told apart, nanoseconds: in the year 2262, if they
/// count from 1970. There is room for the longest deadline behind it.
pub const LATEST_NS: u64 = i64::MAX as u64;

/// How long a gateway may take to answer, nanoseconds. Linux asks again after
/// one second; a neighbour that is there answers within milliseconds.
pub const GATEWAY_SILENCE_NS: u64 = SECOND_NS;

/// A state machine and the time for which its timer is armed; 0: not armed.
#[derive(Debug)]
struct Slot<S> {
    armed_ns: u64,
    state: S,
}

/// Whose timer; the order breaks ties between deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Router(RouterKey),
    Address(AddressKey),
}

/// Where a frame was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    netns: u32,
    ifindex: u32,
}

/// What an event is about, beside what changed.
#[derive(Debug, Clone, Copy)]
struct About {
    place: Place,
    vlan: u16,
    inner_vlan: u16,
    family: u8,
    vrid: u8,
    reason: u8,
}

/// Everything that is tracked.
#[derive(Debug, Default)]
pub struct Tracker {
    now_ns: u64,
    sequence: u64,
    routers: BTreeMap<RouterKey, Slot<VirtualRouter>>,
    watched: BTreeMap<AddressKey, Watched>,
    holdings: BTreeMap<AddressKey, Slot<Holding>>,
    timers: BTreeSet<(u64, Timer)>,
    /// By namespace, interface and number of the [`Counter`].
    counters: BTreeMap<(Place, u8), Count>,
}

impl Tracker {
    /// Nothing is known and no time has passed.
    pub fn new() -> Self {
        Self::default()
    }

    /// A frame was received or (`local`) sent at `now_ns`; what that and the
    /// passing of time changed is added to `events`.
    ///
    /// Time does not run backwards: a frame that is older than the one before
    /// counts as simultaneous.
    pub fn frame(
        &mut self,
        now_ns: u64,
        netns: u32,
        ifindex: u32,
        frame: &[u8],
        local: bool,
        events: &mut Vec<Event>,
    ) {
        self.advance(now_ns, events);
        let place = Place { netns, ifindex };
        let mut packet = Packet::UNREAD;
        classify(frame, &mut packet);
        let valid = packet.reject == Reject::Nothing;
        match packet.subject {
            // Whom a probe is for is the running agent's business.
            Subject::Other | Subject::Probe => {}
            Subject::Advert if valid => {
                self.count(
                    place,
                    if local {
                        Counter::AdvertSent
                    } else {
                        Counter::AdvertReceived
                    },
                );
                if packet.advert.marks & MARK_AH != 0 {
                    self.count(place, Counter::AdvertAuthenticationHeader);
                }
                self.heard(frame, place, &packet.advert, local, events);
            }
            Subject::Advert => self.rejected(place, &packet.advert, packet.reject, events),
            Subject::Neighbour if valid => {
                let sent = if local {
                    Counter::NeighbourSent
                } else {
                    Counter::NeighbourReceived
                };
                self.count(place, sent);
                self.said(place, &packet.neighbour, local, events);
            }
            Subject::Neighbour => {
                if let Some(counter) = Counter::of_reject(packet.reject) {
                    self.count(place, counter);
                }
            }
        }
    }

    /// Time passes until `now_ns`: timers fire, those due at that very time too.
    pub fn advance(&mut self, now_ns: u64, events: &mut Vec<Event>) {
        // 0 means "never" in the state machines.
        let now_ns = now_ns.clamp(1, LATEST_NS).max(self.now_ns);
        while let Some(&(armed_ns, timer)) = self.timers.first()
            && armed_ns <= now_ns
        {
            self.timers.pop_first();
            // A deadline may be in the past when it is set, as a rival's that
            // has just become master.
            self.now_ns = self.now_ns.max(armed_ns);
            match timer {
                Timer::Router(key) => self.router_expired(key, events),
                Timer::Address(key) => self.address_expired(key, events),
            }
        }
        self.now_ns = now_ns;
    }

    /// Watches an address, or watches it for other reasons than before; false
    /// where there is no room.
    pub fn watch(&mut self, key: AddressKey, watched: Watched) -> bool {
        if !has_room(&self.watched, &key) {
            return false;
        }
        self.watched.insert(key, watched);
        true
    }

    /// Watches a gateway's address; false where there is no room.
    pub fn watch_gateway(&mut self, key: AddressKey) -> bool {
        let watched = self.reasons(&key);
        self.watch(
            key,
            Watched {
                silence_ns: GATEWAY_SILENCE_NS,
                roles: watched.roles | ROLE_GATEWAY,
                ..watched
            },
        )
    }

    /// Every virtual router that is tracked.
    pub fn routers(&self) -> impl Iterator<Item = (&RouterKey, &VirtualRouter)> {
        self.routers.iter().map(|(key, slot)| (key, &slot.state))
    }

    /// Why addresses are watched.
    pub fn watched(&self) -> impl Iterator<Item = (&AddressKey, &Watched)> {
        self.watched.iter()
    }

    /// Who holds a watched address, if it was ever heard of.
    pub fn holding(&self, key: &AddressKey) -> Option<&Holding> {
        self.holdings.get(key).map(|slot| &slot.state)
    }

    /// How often something was counted, over all interfaces.
    pub fn counted(&self, counter: Counter) -> u64 {
        let counts = self.counters.iter();
        counts
            .filter(|((_, number), _)| *number == counter as u8)
            .map(|(_, count)| count.count)
            .sum()
    }

    /// Counts one more; returns the element, `None` where there is no room for it.
    fn count(&mut self, place: Place, counter: Counter) -> Option<&mut Count> {
        let key = (place, counter as u8);
        if !has_room(&self.counters, &key) {
            return None;
        }
        let count = self.counters.entry(key).or_insert(Count {
            count: 0,
            told_ns: 0,
        });
        count.count += 1;
        Some(count)
    }

    /// Adds one event for each kind of change.
    fn emit(&mut self, about: &About, changes: &Changes, events: &mut Vec<Event>) {
        for kind in EventKind::ALL.into_iter().filter(|kind| changes.has(*kind)) {
            self.sequence += 1;
            events.push(Event {
                sequence: self.sequence,
                time_ns: self.now_ns,
                due_ns: changes.due_ns,
                old: changes.old,
                new: changes.new,
                netns: about.place.netns,
                ifindex: about.place.ifindex,
                vlan: about.vlan,
                inner_vlan: about.inner_vlan,
                family: about.family,
                vrid: about.vrid,
                kind: kind as u8,
                reason: about.reason,
                cpu: 0,
                session: 0,
            });
        }
    }
}

/// Arms a timer that is not armed early enough, as the kernel programs do: one
/// that fires before the deadline finds nothing to do and is armed anew.
fn arm(timers: &mut BTreeSet<(u64, Timer)>, armed_ns: &mut u64, timer: Timer, deadline_ns: u64) {
    if deadline_ns == 0 || (*armed_ns != 0 && *armed_ns <= deadline_ns) {
        return;
    }
    timers.remove(&(*armed_ns, timer));
    *armed_ns = deadline_ns;
    timers.insert((deadline_ns, timer));
}

fn has_room<K: Ord, V>(map: &BTreeMap<K, V>, key: &K) -> bool {
    map.len() < CAPACITY || map.contains_key(key)
}
