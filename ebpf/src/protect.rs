//! Whether received adverts may go on: `keepfast_common::protect` with the policies that
//! the agent has given.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use keepfast_common::maps::RouterKey;
use keepfast_common::protect::{MODE_ENFORCE, MODE_OFF, Offence, judge};
use keepfast_common::wire::{Address, Packet};

use crate::count::Place;
use crate::maps::{POLICIES, TALLIES};

/// Judges a received advert, valid or not; false: it is to be dropped.
#[inline(never)]
pub(crate) fn admits(place: &Place, packet: &Packet) -> bool {
    let advert = &packet.advert;
    let key = RouterKey::of_advert(place.netns, place.ifindex, advert);
    // SAFETY: the agent replaces elements whole.
    let Some(policy) = (unsafe { POLICIES.get(key) }) else {
        return true;
    };
    if policy.mode == MODE_OFF {
        return true;
    }
    let offence = judge(packet, policy);
    let enforced = policy.mode == MODE_ENFORCE;
    if let Some(tally) = TALLIES.get_ptr_mut(key) {
        // SAFETY: no preconditions.
        let now = unsafe { bpf_ktime_get_ns() };
        // SAFETY: this CPU's own value, and no other program of ours runs on it now.
        unsafe { (*tally).note(advert, offence, enforced, now) };
    }
    !enforced || offence as u8 == Offence::Nothing as u8
}

/// Whether the peers of the virtual router `key` are known, and `address` is none of them.
#[inline(always)]
pub(crate) fn is_stranger(key: &RouterKey, address: &Address) -> bool {
    // SAFETY: as above.
    unsafe { POLICIES.get(key) }
        .is_some_and(|policy| policy.mode != MODE_OFF && policy.is_stranger(address))
}
