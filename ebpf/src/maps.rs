use core::mem::offset_of;

use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, bpf_spin_lock, bpf_timer};
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray, PerCpuHashMap, RingBuf};
use aya_ebpf::macros::btf_map;
use keepfast_common::blackbox::{BlackBox, Exit};
use keepfast_common::counter::Counter;
use keepfast_common::event::{Changes, Event, Party};
use keepfast_common::heirs::Heirs;
use keepfast_common::maps::{self, AddressKey, Agent, Count, Guarded, Link, LinkKey, RouterKey};
use keepfast_common::neighbour::{Holding, Watched};
use keepfast_common::protect::{Policy, Tally};
use keepfast_common::session::{Judgement, Session};
use keepfast_common::share::Share;
use keepfast_common::track::VirtualRouter;
use keepfast_common::wire::Packet;
use keepfast_common::wire::probe::Stamps;

/// [`maps::RouterSlot`] with the kernel's own types: it finds its timer and its
/// lock by their names in the type information.
#[repr(C)]
pub(crate) struct RouterSlot {
    pub(crate) timer: bpf_timer,
    pub(crate) lock: bpf_spin_lock,
    pub(crate) reserved: u32,
    pub(crate) armed_ns: u64,
    pub(crate) state: VirtualRouter,
}

/// [`maps::HoldingSlot`] with the kernel's own types.
#[repr(C)]
pub(crate) struct HoldingSlot {
    pub(crate) timer: bpf_timer,
    pub(crate) lock: bpf_spin_lock,
    pub(crate) reserved: u32,
    pub(crate) armed_ns: u64,
    pub(crate) state: Holding,
}

/// [`maps::SessionSlot`] with the kernel's own types.
#[repr(C)]
pub(crate) struct SessionSlot {
    pub(crate) timer: bpf_timer,
    pub(crate) lock: bpf_spin_lock,
    pub(crate) reserved: u32,
    pub(crate) armed_ns: u64,
    pub(crate) state: Session,
}

/// [`maps::HeirsSlot`] with the kernel's own types.
#[repr(C)]
pub(crate) struct HeirsSlot {
    pub(crate) lock: bpf_spin_lock,
    pub(crate) reserved: u32,
    pub(crate) state: Heirs,
}

/// [`maps::BlackBoxSlot`] with the kernel's own types.
#[repr(C)]
pub(crate) struct BlackBoxSlot {
    pub(crate) lock: bpf_spin_lock,
    pub(crate) reserved: u32,
    pub(crate) state: BlackBox,
}

/// [`maps::CounterKey`] on the kernel's side: bpftool prints an enum by name.
#[repr(C)]
pub(crate) struct CounterKey {
    pub(crate) netns: u32,
    pub(crate) ifindex: u32,
    pub(crate) counter: Counter,
    pub(crate) reserved: [u8; 3],
}

const _: () = {
    assert!(offset_of!(RouterSlot, lock) == offset_of!(maps::RouterSlot, lock));
    assert!(offset_of!(RouterSlot, armed_ns) == offset_of!(maps::RouterSlot, armed_ns));
    assert!(offset_of!(HoldingSlot, lock) == offset_of!(maps::HoldingSlot, lock));
    assert!(offset_of!(HoldingSlot, armed_ns) == offset_of!(maps::HoldingSlot, armed_ns));
    assert!(size_of::<RouterSlot>() == size_of::<maps::RouterSlot>());
    assert!(size_of::<HoldingSlot>() == size_of::<maps::HoldingSlot>());
    assert!(offset_of!(SessionSlot, lock) == offset_of!(maps::SessionSlot, lock));
    assert!(size_of::<SessionSlot>() == size_of::<maps::SessionSlot>());
    assert!(size_of::<HeirsSlot>() == size_of::<maps::HeirsSlot>());
    assert!(size_of::<BlackBoxSlot>() == size_of::<maps::BlackBoxSlot>());
    assert!(size_of::<CounterKey>() == size_of::<maps::CounterKey>());
};

// Elements are made as they are needed: room for thousands must cost nothing on
// a host that has one router. The agent may set other sizes when it loads.

#[btf_map]
pub(crate) static VIRTUAL_ROUTERS: HashMap<
    RouterKey,
    RouterSlot,
    16384,
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

#[btf_map]
pub(crate) static WATCHED: HashMap<AddressKey, Watched, 16384, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static HOLDINGS: HashMap<
    AddressKey,
    HoldingSlot,
    16384,
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

#[btf_map]
pub(crate) static COUNTERS: PerCpuHashMap<
    CounterKey,
    Count,
    16384,
    { BPF_F_NO_PREALLOC as usize },
> = PerCpuHashMap::new();

#[btf_map]
pub(crate) static EVENTS: RingBuf<Event, { 1 << 20 }> = RingBuf::new();

/// Far more than one round of decisions needs; what it has no room for is found in
/// the maps.
#[btf_map]
pub(crate) static URGENT: RingBuf<Event, { 1 << 18 }> = RingBuf::new();

#[btf_map]
pub(crate) static JUDGEMENTS: HashMap<u32, Judgement, 4096, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static SESSIONS: HashMap<u32, SessionSlot, 4096, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static HEIRS: HashMap<RouterKey, HeirsSlot, 16384, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static GUARDED: HashMap<RouterKey, Guarded, 16384, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static LINKS: HashMap<LinkKey, Link, 16384, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static AGENT: Array<Agent, 1> = Array::new();

#[btf_map]
pub(crate) static BLACKBOX: HashMap<
    RouterKey,
    BlackBoxSlot,
    16384,
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

#[btf_map]
pub(crate) static EXITS: HashMap<LinkKey, Exit, 16384, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static AWAITED: Array<u64, 1> = Array::new();

#[btf_map]
pub(crate) static POLICIES: HashMap<RouterKey, Policy, 16384, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static TALLIES: PerCpuHashMap<RouterKey, Tally, 16384, { BPF_F_NO_PREALLOC as usize }> =
    PerCpuHashMap::new();

#[btf_map]
pub(crate) static SHARES: HashMap<LinkKey, Share, 16384, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
pub(crate) static SEQUENCE: PerCpuArray<u64, 3> = PerCpuArray::new();

/// What would not fit on the stack of 512 bytes.
///
/// One CPU runs one of our programs at a time: all of them, timers included, run
/// with bottom halves disabled, and none calls into another.
#[repr(C)]
pub(crate) struct Scratch {
    pub(crate) packet: Packet,
    pub(crate) speaker: Party,
    pub(crate) changes: Changes,
    pub(crate) stamps: Stamps,
}

#[btf_map]
pub(crate) static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// This CPU's scratch.
#[inline(always)]
pub(crate) fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: this CPU's own element, for which nobody else holds a reference:
    // each program asks for it once.
    SCRATCH
        .get_ptr_mut(0)
        .map(|scratch| unsafe { &mut *scratch })
}
