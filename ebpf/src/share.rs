//! What strangers may have: `keepfast_common::share` with the map of what they have.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use keepfast_common::event::EventKind;
use keepfast_common::maps::{LinkKey, RouterKey};
use keepfast_common::share::{Limits, Share, admit};

use crate::maps::{SHARES, TALLIES};

/// Set by the agent when it loads the programs.
#[unsafe(no_mangle)]
static LIMITS: Limits = Limits::NONE;

/// One of the limits: all of them at once would not fit on the stack.
macro_rules! limit {
    ($field:ident) => {
        // SAFETY: it is initialized, and never written while a program runs. Volatile, for
        // the agent has written another value than the compiler sees.
        unsafe { core::ptr::read_volatile(&raw const LIMITS.$field) }
    };
}

/// What nobody outside of this host can bring about, or not faster than a timer: it is
/// told whatever else happens to the router.
const UNFORGED: u32 = EventKind::LocalMaster.bit()
    | EventKind::LocalResigned.bit()
    | EventKind::LocalStalled.bit()
    | EventKind::LocalResumed.bit()
    | EventKind::MasterDown.bit()
    | EventKind::TakenOver.bit();

/// Whether one more virtual router may be tracked that is not yet.
#[inline(never)]
pub(crate) fn admits_router(key: &RouterKey) -> bool {
    if limit!(routers) == 0 || TALLIES.get_ptr(key).is_some() {
        return true;
    }
    let link = LinkKey {
        netns: key.netns,
        ifindex: key.ifindex,
    };
    let (Some(own), Some(all)) = (share_of(&link), share_of(&LinkKey::ALL)) else {
        return false;
    };
    let (each, together) = (limit!(routers), limit!(routers_of_all));
    // SAFETY: the elements live as long as this program runs. Where several CPUs do this
    // at once, one of them may be let in unseen: the agent counts again.
    unsafe {
        if (*own).routers >= each || (*all).routers >= together {
            return false;
        }
        (*own).routers += 1;
        (*all).routers += 1;
    }
    true
}

/// Whether events of these kinds may be sent about the virtual router `key`.
#[inline(never)]
pub(crate) fn admits_events(key: &RouterKey, kinds: u32) -> bool {
    if limit!(routers) == 0 {
        return true;
    }
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if let Some(tally) = TALLIES.get_ptr_mut(key) {
        if kinds & UNFORGED != 0 {
            return true;
        }
        // SAFETY: this CPU's own value, and no other program of ours runs on it now.
        let due = unsafe { &mut (*tally).events_ns };
        return admit(due, now, limit!(own_event_ns), limit!(own_burst_ns));
    }
    let link = LinkKey {
        netns: key.netns,
        ifindex: key.ifindex,
    };
    let Some(share) = share_of(&link) else {
        return false;
    };
    let (event_ns, burst_ns) = (limit!(event_ns), limit!(burst_ns));
    // SAFETY: the element lives as long as this program runs. Two CPUs may both find
    // room for the same one; then there is one more.
    unsafe {
        let mut due = (*share).events_ns;
        let admitted = admit(&mut due, now, event_ns, burst_ns);
        if admitted {
            (*share).events_ns = due;
        }
        admitted
    }
}

#[inline(always)]
fn share_of(link: &LinkKey) -> Option<*mut Share> {
    if let Some(share) = SHARES.get_ptr_mut(link) {
        return Some(share);
    }
    // Fails where another CPU was faster (its element serves) or the map is full.
    let _made = SHARES.insert(link, Share::NONE, u64::from(BPF_NOEXIST));
    SHARES.get_ptr_mut(link)
}
