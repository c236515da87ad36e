//! Names, keys and values of the BPF maps, and what is set when the programs are
//! loaded.

use bytemuck::{Pod, Zeroable};

use crate::blackbox::BlackBox;
use crate::heirs::Heirs;
use crate::neighbour::Holding;
use crate::session::Session;
use crate::track::VirtualRouter;
use crate::wire::Address;
use crate::wire::vrrp::Advert;

/// Name of the map of [`RouterKey`] to [`RouterSlot`].
pub const ROUTERS: &str = "VIRTUAL_ROUTERS";
/// Name of the map of [`AddressKey`] to [`crate::neighbour::Watched`].
pub const WATCHED: &str = "WATCHED";
/// Name of the map of [`AddressKey`] to [`HoldingSlot`].
pub const HOLDINGS: &str = "HOLDINGS";
/// Name of the map of [`CounterKey`] to [`Count`].
pub const COUNTERS: &str = "COUNTERS";
/// Name of the ring buffer of [`crate::event::Event`].
pub const EVENTS: &str = "EVENTS";
/// Name of the per-CPU array that numbers the events: how many were sent ([`SENT`]), and how
/// far agents have come with them ([`READ`], [`TOLD_LOST`]).
pub const SEQUENCE: &str = "SEQUENCE";

/// Element of [`SEQUENCE`]: the number of this CPU's last event; written by the programs.
pub const SENT: u32 = 0;
/// Element of [`SEQUENCE`]: the number of the last event of this CPU that an agent has read
/// and acted upon; written by the agent alone, for the one after it.
pub const READ: u32 = 1;
/// Element of [`SEQUENCE`]: how many lost events were told, in the first CPU's place; written
/// by the agent alone, for the one after it.
pub const TOLD_LOST: u32 = 2;

/// Name of the ring buffer of [`crate::event::Event`] for the fast path: what concerns
/// peers and [`GUARDED`] routers.
pub const URGENT: &str = "URGENT";
/// Name of the map of session numbers (`u32`) to [`crate::session::Judgement`].
pub const JUDGEMENTS: &str = "JUDGEMENTS";
/// Name of the map of session numbers (`u32`) to [`SessionSlot`].
pub const SESSIONS: &str = "SESSIONS";
/// Name of the map of [`RouterKey`] to [`HeirsSlot`].
pub const HEIRS: &str = "HEIRS";
/// Name of the map of [`RouterKey`] to [`Guarded`].
pub const GUARDED: &str = "GUARDED";
/// Name of the map of [`LinkKey`] to [`Link`].
pub const LINKS: &str = "LINKS";
/// Name of the array of one [`Agent`].
pub const AGENT: &str = "AGENT";
/// Name of the map of [`RouterKey`] to [`BlackBoxSlot`]. The key of an interface's box is
/// [`RouterKey::of_link`].
pub const BLACKBOX: &str = "BLACKBOX";
/// Name of the map of [`LinkKey`] to [`crate::blackbox::Exit`].
pub const EXITS: &str = "EXITS";
/// Name of the array of one time (`u64`, CLOCK_MONOTONIC nanoseconds) until which a first
/// packet is waited for anywhere; 0: nowhere.
pub const AWAITED: &str = "AWAITED";
/// Name of the map of [`RouterKey`] to [`crate::protect::Policy`].
pub const POLICIES: &str = "POLICIES";
/// Name of the per-CPU map of [`RouterKey`] to [`crate::protect::Tally`]. What has none is
/// a router that nobody has configured.
pub const TALLIES: &str = "TALLIES";
/// Name of the map of [`LinkKey`] to [`crate::share::Share`]; the key [`LinkKey::ALL`] is
/// that of all interfaces together.
pub const SHARES: &str = "SHARES";

/// The maps that are pinned: those that mean something to an operator.
pub const PINNED: [&str; 19] = [
    ROUTERS, WATCHED, HOLDINGS, COUNTERS, EVENTS, SEQUENCE, URGENT, JUDGEMENTS, SESSIONS, HEIRS,
    GUARDED, LINKS, AGENT, BLACKBOX, EXITS, AWAITED, POLICIES, TALLIES, SHARES,
];

/// Name of the XDP program that watches what an interface receives.
pub const XDP_INGRESS: &str = "xdp_ingress";
/// Name of the tc program that does so where XDP cannot be attached.
pub const TC_INGRESS: &str = "tc_ingress";
/// Name of the tc program that watches what an interface sends.
pub const TC_EGRESS: &str = "tc_egress";
/// Name of the tc program that sends probes of others back where XDP does not.
pub const TC_BOUNCE: &str = "tc_bounce";
/// Name of the tc program that turns a frame round into the receive path of the
/// interface that it is run for; run by the agent, never attached.
pub const TC_INJECT: &str = "tc_inject";
/// Name of the XDP program that the agent runs with a [`Rearm`] for a frame, in place of a
/// timer that the kernel refused, or for one that calls an older program; never attached.
pub const XDP_REARM: &str = "xdp_rearm";
/// Name of the XDP program that does nothing; the benchmark's yardstick.
pub const XDP_EMPTY: &str = "xdp_empty";
/// Name of the XDP program that returns a frame's [`crate::digest::digest`]; never attached.
pub const XDP_DIGEST: &str = "xdp_digest";
/// Name of the tc program that does so; never attached.
pub const TC_DIGEST: &str = "tc_digest";

/// Name of the global that holds [`NetnsOffsets`].
pub const NETNS_OFFSETS: &str = "NETNS_OFFSETS";
/// Name of the global that holds [`crate::share::Limits`].
pub const LIMITS: &str = "LIMITS";

/// Which virtual router, and where.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
pub struct RouterKey {
    /// Inode number of the network namespace; 0 where the kernel does not tell.
    pub netns: u32,
    /// Interface index in that namespace.
    pub ifindex: u32,
    /// Outer VLAN identifier, 0 for none.
    pub vlan: u16,
    /// Inner VLAN identifier, 0 for none.
    pub inner_vlan: u16,
    /// 4 or 6.
    pub family: u8,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Zero.
    pub reserved: u16,
}

impl RouterKey {
    /// The key of the black box of what is heard of peers on an interface.
    #[inline(always)]
    pub const fn of_link(netns: u32, ifindex: u32) -> Self {
        Self {
            netns,
            ifindex,
            vlan: 0,
            inner_vlan: 0,
            family: 0,
            vrid: 0,
            reserved: 0,
        }
    }

    /// The virtual router of an advert that passes an interface.
    #[inline(always)]
    pub const fn of_advert(netns: u32, ifindex: u32, advert: &Advert) -> Self {
        Self {
            netns,
            ifindex,
            vlan: advert.vlan.outer,
            inner_vlan: advert.vlan.inner,
            family: advert.family,
            vrid: advert.vrid,
            reserved: 0,
        }
    }
}

/// Which address, and where. Frames without a VLAN tag only.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
pub struct AddressKey {
    /// Inode number of the network namespace; 0 where the kernel does not tell.
    pub netns: u32,
    /// Interface index in that namespace.
    pub ifindex: u32,
    /// 4 or 6.
    pub family: u32,
    /// The address, network byte order; IPv4 in the first four bytes.
    pub address: Address,
}

/// [`Rearm::what`]: a virtual router without a timer is looked at now.
pub const REARM_REFUSED: u32 = 0;
/// [`Rearm::what`]: the timer of a virtual router calls the program that this belongs to.
pub const REARM_ROUTER: u32 = 1;
/// [`Rearm::what`]: the timer of an address does.
pub const REARM_HOLDING: u32 = 2;

/// What [`XDP_REARM`] is to do.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Rearm {
    /// The virtual router.
    pub router: RouterKey,
    /// The address.
    pub address: AddressKey,
    /// One of the `REARM_` constants.
    pub what: u32,
}

/// What is counted, and where.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct CounterKey {
    /// Inode number of the network namespace; 0 where the kernel does not tell.
    pub netns: u32,
    /// Interface index in that namespace; 0 for what concerns no interface.
    pub ifindex: u32,
    /// A [`crate::counter::Counter`].
    pub counter: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// How often something was counted.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Count {
    /// How many frames (or events, or failures).
    pub count: u64,
    /// When the last event about it was sent, CLOCK_MONOTONIC nanoseconds.
    pub told_ns: u64,
}

/// Value of [`ROUTERS`].
///
/// The timer and the lock are the kernel's, which shows them as zero; before Linux
/// 6.3 it finds them only right here, not in a structure within.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct RouterSlot {
    /// A `bpf_timer`.
    pub timer: [u64; 2],
    /// A `bpf_spin_lock`.
    pub lock: u32,
    /// Zero.
    pub reserved: u32,
    /// For when the timer is armed, CLOCK_MONOTONIC nanoseconds; 0: not armed.
    pub armed_ns: u64,
    /// What is known.
    pub state: VirtualRouter,
}

/// Value of [`HOLDINGS`]; see [`RouterSlot`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct HoldingSlot {
    /// A `bpf_timer`.
    pub timer: [u64; 2],
    /// A `bpf_spin_lock`.
    pub lock: u32,
    /// Zero.
    pub reserved: u32,
    /// For when the timer is armed, CLOCK_MONOTONIC nanoseconds; 0: not armed.
    pub armed_ns: u64,
    /// What is known.
    pub state: Holding,
}

/// Value of [`SESSIONS`]; see [`RouterSlot`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct SessionSlot {
    /// A `bpf_timer`.
    pub timer: [u64; 2],
    /// A `bpf_spin_lock`.
    pub lock: u32,
    /// Zero.
    pub reserved: u32,
    /// For when the timer is armed, CLOCK_MONOTONIC nanoseconds; 0: not armed.
    pub armed_ns: u64,
    /// What is known.
    pub state: Session,
}

/// Value of [`HEIRS`]; the lock is the kernel's, which shows it as zero.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct HeirsSlot {
    /// A `bpf_spin_lock`.
    pub lock: u32,
    /// Zero.
    pub reserved: u32,
    /// What is known.
    pub state: Heirs,
}

/// Value of [`BLACKBOX`]; the lock is the kernel's, which shows it as zero.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct BlackBoxSlot {
    /// A `bpf_spin_lock`.
    pub lock: u32,
    /// Zero.
    pub reserved: u32,
    /// What happened.
    pub state: BlackBox,
}

/// Which interface.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
pub struct LinkKey {
    /// Inode number of the network namespace; 0 where the kernel does not tell.
    pub netns: u32,
    /// Interface index in that namespace.
    pub ifindex: u32,
}

impl LinkKey {
    /// All interfaces together.
    pub const ALL: Self = Self {
        netns: 0,
        ifindex: 0,
    };
}

/// [`Link::bounce`]: XDP sends probes back.
pub const BOUNCE_XDP: u8 = 1;
/// [`Link::bounce`]: tc does.
pub const BOUNCE_TC: u8 = 2;

/// An interface on which probes are answered; written by the agent alone.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Link {
    /// Its hardware address: what is for others is not answered.
    pub mac: crate::wire::Mac,
    /// Who sends probes back: one of the `BOUNCE_` constants.
    pub bounce: u8,
    /// Zero.
    pub reserved: u8,
}

/// [`Guarded::keepalived`]: nothing is known.
pub const KEEPALIVED_UNKNOWN: u8 = 0;
/// [`Guarded::keepalived`]: it runs.
pub const KEEPALIVED_RUNS: u8 = 1;
/// [`Guarded::keepalived`]: it has ended or been stopped.
pub const KEEPALIVED_ENDED: u8 = 2;

/// A virtual router of which the fast path is to know at once; written by the agent
/// alone.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Guarded {
    /// One of the `KEEPALIVED_` constants.
    pub keepalived: u8,
    /// Why this host gives up its role, or gave it up last: one of the `REASON_`
    /// constants of [`crate::blackbox`].
    pub reason: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// What the programs need to know of the agent; written by it alone.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Agent {
    /// Its last sign of life, CLOCK_MONOTONIC nanoseconds; 0: there is none.
    pub alive_ns: u64,
    /// A number that it drew, by which peers tell hosts apart.
    pub host: u64,
    /// The mark (SO_MARK) of its own probes and solicitations; 0: none.
    pub mark: u32,
    /// 1: the programs are about to go.
    pub leaving: u8,
    /// Zero.
    pub reserved: u8,
    /// The hardware address that injected frames come from, which are no news.
    pub ghost: crate::wire::Mac,
    /// Zero.
    pub padding: [u8; 4],
}

/// Where the kernel keeps a device's network namespace, in bytes; read from the
/// kernel's BTF by the agent and set when the programs are loaded.
///
/// XDP programs are not told the namespace, and interface indices repeat across
/// namespaces. With these offsets one loaded program tells all of them apart.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct NetnsOffsets {
    /// 1 when the offsets are known.
    pub known: u32,
    /// Of `rxq` in `struct xdp_buff`.
    pub xdp_buff_rxq: u32,
    /// Of `dev` in `struct xdp_rxq_info`.
    pub xdp_rxq_info_dev: u32,
    /// Of `dev` in `struct sk_buff`.
    pub sk_buff_dev: u32,
    /// Of `nd_net` in `struct net_device`.
    pub net_device_net: u32,
    /// Of `ns.inum` in `struct net`.
    pub net_inum: u32,
}

const _: () = {
    assert!(size_of::<RouterKey>() == 16);
    assert!(size_of::<AddressKey>() == 28);
    assert!(size_of::<CounterKey>() == 12);
    assert!(size_of::<Count>() == 16);
    assert!(size_of::<RouterSlot>() == 344);
    assert!(size_of::<HoldingSlot>() == 72);
    assert!(size_of::<NetnsOffsets>() == 24);
    assert!(size_of::<LinkKey>() == 8);
    assert!(size_of::<Link>() == 8);
    assert!(size_of::<Agent>() == 28 + 4);
};
