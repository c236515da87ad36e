use core::ffi::c_void;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_spin_lock, bpf_spin_unlock};
use keepfast_common::counter::Counter;
use keepfast_common::event::{EventKind, Party};
use keepfast_common::maps::RouterKey;
use keepfast_common::time::SECOND_NS;
use keepfast_common::track::{KEPT_ADDRESSES, VirtualRouter};
use keepfast_common::wire::{Advert, Frame, IPV4, Packet, widen};

use crate::count::Place;
use crate::emit::{Subject, emit};
use crate::maps::{RouterSlot, Scratch, VIRTUAL_ROUTERS, scratch};
use crate::{share, timer};

/// A new element. In the object's read-only data: it has no room on the stack.
static FRESH: RouterSlot =
    // SAFETY: all fields are integers or arrays of them.
    unsafe { core::mem::MaybeUninit::zeroed().assume_init() };

/// A valid advert was received or (`local`) sent.
#[inline(never)]
pub(crate) fn heard<F: Frame>(frame: &F, place: &Place, scratch: &mut Scratch, local: bool) {
    let Scratch {
        packet: Packet { advert, .. },
        speaker,
        changes,
        ..
    } = scratch;
    let key = RouterKey::of_advert(place.netns, place.ifindex, advert);
    let Some(slot) = slot_of(place, &key) else {
        return;
    };
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    describe(speaker, advert, now, local);
    let deadline = step(
        slot,
        #[inline(always)]
        |router| router.heard(speaker, changes),
    );
    // SAFETY: the element lives as long as this program runs. A torn read here
    // can only lead to copying the addresses once too often.
    unsafe {
        let known = &(*slot).state;
        if known.address_count == 0 || known.addresses_checksum != advert.checksum {
            keep_addresses(frame, advert, slot);
        }
    }
    if deadline != 0 {
        // SAFETY: as above.
        arm(place, slot, deadline);
    }
    emit(&subject(&key, now, 0), changes);
}

/// An advert was seen that no router should act on.
#[inline(never)]
pub(crate) fn rejected(place: &Place, scratch: &mut Scratch) {
    let Scratch {
        packet: Packet { advert, reject, .. },
        speaker,
        changes,
        ..
    } = scratch;
    let Some(count) = Counter::of_reject(*reject).and_then(|counter| place.count(counter)) else {
        return;
    };
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    // SAFETY: the element lives as long as this program runs. Two CPUs may both
    // find the second over; then two events are sent.
    unsafe {
        if (*count).told_ns != 0 && now < (*count).told_ns + SECOND_NS {
            return;
        }
        (*count).told_ns = now;
    }
    let key = RouterKey::of_advert(place.netns, place.ifindex, advert);
    describe(speaker, advert, now, false);
    changes.begin(&Party::NOBODY, speaker);
    changes.kinds = EventKind::AdvertRejected.bit();
    emit(&subject(&key, now, *reject as u8), changes);
}

/// Does what the timer of a virtual router would have done, if the kernel has refused it
/// one; and tries for one again.
#[inline(always)]
pub(crate) fn rearm(key: &RouterKey) {
    let Some(slot) = VIRTUAL_ROUTERS.get_ptr_mut(key) else {
        return;
    };
    // SAFETY: the element lives as long as this program runs.
    if unsafe { (*slot).armed_ns } == 0 {
        pass_time(key, slot);
    }
}

/// Has the timer of a virtual router call this program from now on: until then it keeps the
/// one that armed it.
#[inline(always)]
pub(crate) fn renew(key: &RouterKey) {
    let Some(slot) = VIRTUAL_ROUTERS.get_ptr_mut(key) else {
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

/// The timer of a virtual router expired.
unsafe extern "C" fn expired(_map: *mut c_void, key: *mut c_void, _slot: *mut c_void) -> i32 {
    // SAFETY: the kernel passes the element's own key.
    let key = unsafe { *key.cast::<RouterKey>() };
    // Looked up again: before Linux 6.2 the verifier does not follow a lock in an
    // element that it has not seen looked up.
    let Some(slot) = VIRTUAL_ROUTERS.get_ptr_mut(key) else {
        return 0;
    };
    // SAFETY: the element lives as long as this program runs.
    unsafe { (*slot).armed_ns = 0 };
    pass_time(&key, slot);
    0
}

/// Handles the deadline, if it has passed, and arms the timer for the next one.
#[inline(always)]
fn pass_time(key: &RouterKey, slot: *mut RouterSlot) {
    let Some(Scratch { changes, .. }) = scratch() else {
        return;
    };
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let deadline = step(
        slot,
        #[inline(always)]
        |router| router.expire(now, changes),
    );
    if deadline != 0 {
        let place = Place {
            netns: key.netns,
            ifindex: key.ifindex,
        };
        arm(&place, slot, deadline);
    }
    emit(&subject(key, now, 0), changes);
}

/// Runs one step of the state machine under the element's lock; returns the
/// deadline for which the timer must be armed, 0 if it is armed early enough.
///
/// `step` must be inlined: Linux 6.1 refuses calls while a lock is held.
///
/// The timer is left alone where it fires before the deadline: its callback
/// finds nothing to do and arms it anew. So an advert costs no timer operation.
#[inline(always)]
fn step(slot: *mut RouterSlot, step: impl FnOnce(&mut VirtualRouter)) -> u64 {
    // SAFETY: the element lives as long as the program runs, and the lock makes
    // this the only reference to its state. Nothing in between calls a helper.
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
fn arm(place: &Place, slot: *mut RouterSlot, deadline_ns: u64) {
    // SAFETY: the element is one of this map and lives as long as the program runs.
    unsafe {
        let (timer, noted_ns) = (&raw mut (*slot).timer, &raw mut (*slot).armed_ns);
        timer::arm(
            place,
            &VIRTUAL_ROUTERS,
            timer,
            noted_ns,
            deadline_ns,
            expired,
        );
    }
}

#[inline(always)]
fn slot_of(place: &Place, key: &RouterKey) -> Option<*mut RouterSlot> {
    if let Some(slot) = VIRTUAL_ROUTERS.get_ptr_mut(key) {
        return Some(slot);
    }
    if !share::admits_router(key) {
        place.count(Counter::StrangerIgnored);
        return None;
    }
    // Fails where another CPU was faster (its element serves) or the map is full.
    let _made = VIRTUAL_ROUTERS.insert(key, &FRESH, u64::from(BPF_NOEXIST));
    let slot = VIRTUAL_ROUTERS.get_ptr_mut(key);
    if slot.is_none() {
        place.count(Counter::MapFull);
    }
    slot
}

/// Copies the first of the listed addresses into the element.
#[inline(always)]
unsafe fn keep_addresses<F: Frame>(frame: &F, advert: &Advert, slot: *mut RouterSlot) {
    // SAFETY: the caller's element; addresses are written by whoever hears the
    // master, and read by the agent alone.
    unsafe {
        (*slot).state.addresses_checksum = advert.checksum;
        (*slot).state.address_count = advert.addresses;
        let mut at = usize::from(advert.addresses_at);
        let mut index = 0;
        while index < KEPT_ADDRESSES {
            if index >= usize::from(advert.addresses) {
                break;
            }
            let address = if advert.family == IPV4 {
                let found = frame.read::<4>(at);
                at += 4;
                found.map(widen)
            } else {
                let found = frame.read::<16>(at);
                at += 16;
                found
            };
            if let Some(address) = address {
                (&raw mut (*slot).state.addresses)
                    .cast::<[u8; 16]>()
                    .add(index)
                    .write(address);
            }
            index += 1;
        }
    }
}

/// Who sent `advert`, field by field into the place where it is kept.
#[inline(always)]
fn describe(speaker: &mut Party, advert: &Advert, now: u64, local: bool) {
    speaker.heard_ns = now;
    speaker.address = advert.source;
    speaker.mac = advert.mac;
    speaker.interval_cs = advert.interval_cs;
    speaker.priority = advert.priority;
    speaker.version = advert.version;
    speaker.local = local as u8;
    speaker.marks = advert.marks;
    speaker.reserved = [0; 4];
}

#[inline(always)]
fn subject(key: &RouterKey, time_ns: u64, reason: u8) -> Subject {
    Subject {
        time_ns,
        place: Place {
            netns: key.netns,
            ifindex: key.ifindex,
        },
        vlan: key.vlan,
        inner_vlan: key.inner_vlan,
        family: key.family,
        vrid: key.vrid,
        reason,
        session: 0,
    }
}
