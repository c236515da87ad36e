use core::ffi::c_void;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_spin_lock, bpf_spin_unlock};
use keepfast_common::counter::Counter;
use keepfast_common::maps::{AddressKey, RouterKey};
use keepfast_common::neighbour::{Announcement, Holding, ROLE_VIRTUAL, Watched};
use keepfast_common::wire::{Address, Mac, Neighbour, Packet};

use crate::blackbox;
use crate::count::Place;
use crate::emit::{Subject, emit};
use crate::maps::{HOLDINGS, HoldingSlot, Scratch, VIRTUAL_ROUTERS, WATCHED, scratch};
use crate::{probes, timer};

/// A new element.
static FRESH: HoldingSlot =
    // SAFETY: all fields are integers or arrays of them.
    unsafe { core::mem::MaybeUninit::zeroed().assume_init() };

/// An ARP or neighbour discovery message was received or (`local`) sent.
#[inline(always)]
pub(crate) fn said(place: &Place, scratch: &mut Scratch, local: bool) {
    if scratch.packet.neighbour.vlan.outer != 0 {
        return;
    }
    announced(place, scratch, local);
    let neighbour = &scratch.packet.neighbour;
    if neighbour.unsolicited
        && let Some(router) = router_of_address(place, neighbour)
    {
        blackbox::announced(&router, place, neighbour, local);
    }
    if local {
        asked(place, &scratch.packet.neighbour);
    }
}

#[inline(never)]
fn announced(place: &Place, scratch: &mut Scratch, local: bool) {
    let Scratch {
        packet: Packet { neighbour, .. },
        changes,
        ..
    } = scratch;
    let key = key_of(place, neighbour.family, &neighbour.holder);
    // SAFETY: the agent replaces elements whole; a torn read is one missed message.
    let Some(watched) = (unsafe { WATCHED.get(key) }) else {
        return;
    };
    let Some(slot) = slot_of(&key) else {
        place.count(Counter::MapFull);
        return;
    };
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let said = Announcement {
        time_ns: now,
        address: neighbour.holder,
        family: neighbour.family,
        mac: neighbour.mac,
        local,
        unsolicited: neighbour.unsolicited,
        master: master_of(place, neighbour, watched),
    };
    step(
        slot,
        #[inline(always)]
        |holding| holding.announced(watched, &said, changes),
    );
    emit(&subject(&key, watched, now), changes);
}

#[inline(never)]
fn asked(place: &Place, neighbour: &Neighbour) {
    let key = key_of(place, neighbour.family, &neighbour.asked);
    // SAFETY: as in `announced`.
    let Some(watched) = (unsafe { WATCHED.get(key) }) else {
        return;
    };
    let watched = *watched;
    let Some(slot) = slot_of(&key) else {
        place.count(Counter::MapFull);
        return;
    };
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let deadline = step(
        slot,
        #[inline(always)]
        |holding| holding.asked(&watched, now),
    );
    if deadline != 0 {
        arm(place, slot, deadline);
    }
}

/// The timer of an address expired.
unsafe extern "C" fn expired(_map: *mut c_void, key: *mut c_void, _slot: *mut c_void) -> i32 {
    // SAFETY: the kernel passes the element's own key.
    let key = unsafe { *key.cast::<AddressKey>() };
    // Looked up again: before Linux 6.2 the verifier does not follow a lock in an
    // element that it has not seen looked up.
    let Some(slot) = HOLDINGS.get_ptr_mut(key) else {
        return 0;
    };
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let place = Place {
        netns: key.netns,
        ifindex: key.ifindex,
    };
    let Some(Scratch { changes, .. }) = scratch() else {
        return 0;
    };
    // SAFETY: the element lives as long as this program runs.
    unsafe { (*slot).armed_ns = 0 };
    let deadline = step(
        slot,
        #[inline(always)]
        |holding| holding.expire(&key.address, now, changes),
    );
    if deadline != 0 {
        arm(&place, slot, deadline);
    }
    let nothing = Watched {
        silence_ns: 0,
        roles: 0,
        vrid: 0,
        family: 0,
        reserved: 0,
        router_ifindex: 0,
    };
    emit(&subject(&key, &nothing, now), changes);
    0
}

/// As `routers::renew`, for an address.
#[inline(always)]
pub(crate) fn renew(key: &AddressKey) {
    let Some(slot) = HOLDINGS.get_ptr_mut(key) else {
        return;
    };
    // SAFETY: the element lives as long as this program runs.
    let due = unsafe { (*slot).armed_ns };
    if due != 0 {
        let place = Place {
            netns: key.netns,
            ifindex: key.ifindex,
        };
        arm(&place, slot, due);
    }
}

/// As `routers::step`, for an address.
#[inline(always)]
fn step(slot: *mut HoldingSlot, step: impl FnOnce(&mut Holding)) -> u64 {
    // SAFETY: as in `routers::step`.
    unsafe {
        bpf_spin_lock(&raw mut (*slot).lock);
        step(&mut (*slot).state);
        let deadline = (*slot).state.next_deadline();
        let armed = (*slot).armed_ns;
        let arm = deadline != 0 && (armed == 0 || deadline < armed);
        if arm {
            (*slot).armed_ns = deadline;
        }
        bpf_spin_unlock(&raw mut (*slot).lock);
        if arm { deadline } else { 0 }
    }
}

#[inline(always)]
fn arm(place: &Place, slot: *mut HoldingSlot, deadline_ns: u64) {
    // SAFETY: the element is one of this map and lives as long as the program runs.
    unsafe {
        let (timer, noted_ns) = (&raw mut (*slot).timer, &raw mut (*slot).armed_ns);
        timer::arm(place, &HOLDINGS, timer, noted_ns, deadline_ns, expired);
    }
}

/// Whether this host is to say nothing of an address: it was taken over from.
#[inline(always)]
pub(crate) fn is_fenced(place: &Place, neighbour: &Neighbour) -> bool {
    if neighbour.vlan.outer != 0 {
        return false;
    }
    let key = key_of(place, neighbour.family, &neighbour.holder);
    // SAFETY: as in `announced`.
    let Some(watched) = (unsafe { WATCHED.get(key) }) else {
        return false;
    };
    if watched.roles & ROLE_VIRTUAL == 0 || watched.router_ifindex == 0 {
        return false;
    }
    probes::is_fenced(&router_of(place, watched, 0))
}

/// The Ethernet address of the master of the virtual router that a virtual address
/// belongs to, where it says something of this interface.
#[inline(always)]
fn master_of(place: &Place, neighbour: &Neighbour, watched: &Watched) -> Mac {
    if watched.roles & ROLE_VIRTUAL == 0 {
        return [0; 6];
    }
    let key = router_of(place, watched, neighbour.family);
    match VIRTUAL_ROUTERS.get_ptr(key) {
        // SAFETY: the element lives as long as this program runs; the address
        // changes at a change of master alone, whose announcements follow it.
        Some(slot) => unsafe {
            if key.ifindex == place.ifindex {
                (*slot).state.master.mac
            } else if (*slot).state.own_active == 0 {
                // Another host's address on this interface is not known by its
                // adverts on that one: whoever speaks is believed.
                neighbour.mac
            } else {
                [0; 6]
            }
        },
        None => [0; 6],
    }
}

/// The virtual router that an announced address belongs to, if it is a virtual one.
#[inline(always)]
fn router_of_address(place: &Place, neighbour: &Neighbour) -> Option<RouterKey> {
    let key = key_of(place, neighbour.family, &neighbour.holder);
    // SAFETY: as in `announced`.
    let watched = unsafe { WATCHED.get(key) }?;
    (watched.roles & ROLE_VIRTUAL != 0).then(|| router_of(place, watched, neighbour.family))
}

/// The virtual router of a virtual address; on its own interface, and of `family`,
/// where nothing else is known.
#[inline(always)]
fn router_of(place: &Place, watched: &Watched, family: u8) -> RouterKey {
    let elsewhere = watched.router_ifindex != 0;
    RouterKey {
        netns: place.netns,
        ifindex: if elsewhere {
            watched.router_ifindex
        } else {
            place.ifindex
        },
        vlan: 0,
        inner_vlan: 0,
        family: if elsewhere { watched.family } else { family },
        vrid: watched.vrid,
        reserved: 0,
    }
}

#[inline(always)]
fn slot_of(key: &AddressKey) -> Option<*mut HoldingSlot> {
    if let Some(slot) = HOLDINGS.get_ptr_mut(key) {
        return Some(slot);
    }
    // Fails where another CPU was faster (its element serves) or the map is full.
    let _made = HOLDINGS.insert(key, &FRESH, u64::from(BPF_NOEXIST));
    HOLDINGS.get_ptr_mut(key)
}

#[inline(always)]
fn key_of(place: &Place, family: u8, address: &Address) -> AddressKey {
    AddressKey {
        netns: place.netns,
        ifindex: place.ifindex,
        family: u32::from(family),
        address: *address,
    }
}

#[inline(always)]
fn subject(key: &AddressKey, watched: &Watched, time_ns: u64) -> Subject {
    Subject {
        time_ns,
        place: Place {
            netns: key.netns,
            ifindex: key.ifindex,
        },
        vlan: 0,
        inner_vlan: 0,
        family: key.family as u8,
        vrid: watched.vrid,
        reason: 0,
        session: 0,
    }
}
