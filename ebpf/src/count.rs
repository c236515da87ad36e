use aya_ebpf::bindings::BPF_NOEXIST;
use keepfast_common::counter::Counter;
use keepfast_common::maps::Count;

use crate::frame::Sighting;
use crate::maps::{COUNTERS, CounterKey};

/// Where something was seen.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) netns: u32,
    pub(crate) ifindex: u32,
}

impl Place {
    #[inline(always)]
    pub(crate) fn of<S: Sighting>(sighting: &S) -> Self {
        Self {
            netns: sighting.netns(),
            ifindex: sighting.ifindex(),
        }
    }

    /// Counts one more; returns the element, `None` where there is no room for it.
    #[inline(always)]
    pub(crate) fn count(&self, counter: Counter) -> Option<*mut Count> {
        let key = CounterKey {
            netns: self.netns,
            ifindex: self.ifindex,
            counter,
            reserved: [0; 3],
        };
        let element = match COUNTERS.get_ptr_mut(&key) {
            Some(element) => element,
            None => {
                let fresh = Count {
                    count: 0,
                    told_ns: 0,
                };
                // Fails where another CPU was faster (its element serves) or the map is full.
                let _made = COUNTERS.insert(&key, fresh, u64::from(BPF_NOEXIST));
                COUNTERS.get_ptr_mut(&key)?
            }
        };
        // SAFETY: this CPU's own value, and no other program of ours runs on it now.
        unsafe { (*element).count += 1 };
        Some(element)
    }
}
