use core::ffi::c_void;

use aya_ebpf::bindings::bpf_timer;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_timer_init, bpf_timer_set_callback, bpf_timer_start};
use keepfast_common::counter::Counter;

use crate::count::Place;

/// The clock of the timers and of all times in the maps.
const CLOCK_MONOTONIC: u64 = 1;
const EBUSY: i64 = 16;
/// How often an initialisation is tried.
const TRIES: u32 = 4;

/// What the kernel runs when a timer expires: map, key, value.
pub(crate) type Callback = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void) -> i32;

/// Arms the timer of a map element for `deadline_ns`. Where the kernel refuses, that is
/// counted, and the deadline noted no longer: whoever comes next tries again.
///
/// Any CPU may arm at any time: the initialisation happens once and is busy for
/// all others. Whoever arms has noted the deadline in the element under its lock
/// before, so a CPU that was overtaken finds a nearer one there and arms again.
///
/// # Safety
///
/// `timer` and `noted_ns`, where the deadline is noted, must belong to an element
/// of `map` that lives while this program runs.
#[inline(always)]
pub(crate) unsafe fn arm<M>(
    place: &Place,
    map: &'static M,
    timer: *mut bpf_timer,
    noted_ns: *mut u64,
    deadline_ns: u64,
    callback: Callback,
) {
    let map = core::ptr::from_ref(map).cast_mut().cast::<c_void>();
    // SAFETY: as the caller promises.
    unsafe {
        if !try_arm(map, timer, noted_ns, deadline_ns, callback) {
            *noted_ns = 0;
            place.count(Counter::TimerFailed);
        }
    }
}

/// # Safety
///
/// As for [`arm`].
#[inline(always)]
unsafe fn try_arm(
    map: *mut c_void,
    timer: *mut bpf_timer,
    noted_ns: *const u64,
    deadline_ns: u64,
    callback: Callback,
) -> bool {
    // SAFETY: passed on to the helpers, which check them.
    unsafe {
        // The kernel must not wait for memory here, and may find none just now.
        let mut tries = 0;
        loop {
            let initialised = bpf_timer_init(timer, map, CLOCK_MONOTONIC);
            if initialised == 0 || initialised == -EBUSY {
                break;
            }
            tries += 1;
            if tries == TRIES {
                return false;
            }
        }
        if bpf_timer_set_callback(timer, callback as *mut c_void) != 0 {
            return false;
        }
        if !start(timer, deadline_ns) {
            return false;
        }
        let noted = core::ptr::read_volatile(noted_ns);
        if noted != 0 && noted < deadline_ns {
            start(timer, noted)
        } else {
            true
        }
    }
}

/// # Safety
///
/// As for [`arm`].
#[inline(always)]
unsafe fn start(timer: *mut bpf_timer, deadline_ns: u64) -> bool {
    // SAFETY: as the caller promises. Relative, for absolute times need Linux 6.4.
    unsafe {
        let now = bpf_ktime_get_ns();
        let wait = deadline_ns.saturating_sub(now);
        bpf_timer_start(timer, wait, 0) == 0
    }
}
