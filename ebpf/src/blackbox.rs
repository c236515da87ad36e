use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_spin_lock, bpf_spin_unlock};
use keepfast_common::blackbox::{ANNOUNCED, BlackBox, Exit, FIRST_PACKET, PEER_SAYS, TURN_NS};
use keepfast_common::event::{Changes, EventKind};
use keepfast_common::maps::{AddressKey, LinkKey, RouterKey};
use keepfast_common::neighbour::ROLE_VIRTUAL;
use keepfast_common::wire::probe::Probe;
use keepfast_common::wire::{Address, Frame, IPV4, IPV6, Neighbour, Packet, widen};

use crate::count::Place;
use crate::emit::Subject;
use crate::frame::TcFrame;
use crate::maps::{
    AWAITED, BLACKBOX, BlackBoxSlot, EXITS, Scratch, SessionSlot, VIRTUAL_ROUTERS, WATCHED,
};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
// Where an untagged frame has the source address; how far the packet may go, and beside
// that, the protocol; and what it carries, without options.
const IPV4_SOURCE: usize = 14 + 12;
const IPV4_HOPS: usize = 14 + 8;
const IPV4_PAYLOAD: usize = 14 + 20;
const IPV6_SOURCE: usize = 14 + 8;
const IPV6_NEXT: usize = 14 + 6;
const IPV6_PAYLOAD: usize = 14 + 40;

const ICMP: u8 = 1;
const ECHO_REPLY: u8 = 0;
const ICMPV6: u8 = 58;
const ECHO_REPLY_V6: u8 = 129;

/// A valid advert was received or sent, and `scratch` says by whom.
#[inline(never)]
pub(crate) fn advert(place: &Place, scratch: &Scratch) {
    let Scratch {
        packet: Packet { advert, .. },
        speaker,
        ..
    } = scratch;
    let key = RouterKey::of_advert(place.netns, place.ifindex, advert);
    with(
        &key,
        #[inline(always)]
        |kept| kept.advert(speaker, key.ifindex),
    );
}

/// An event of the virtual router `key`; those about addresses are no events of its.
#[inline(never)]
pub(crate) fn event(key: &RouterKey, subject: &Subject, changes: &Changes, kind: u8) {
    if kind >= EventKind::AdvertRejected as u8 && kind <= EventKind::AddressConflict as u8 {
        return;
    }
    with(
        key,
        #[inline(always)]
        |kept| kept.event(kind, changes, subject.time_ns, key.ifindex),
    );
}

/// An event of a peer, as `session` knows it.
#[inline(never)]
pub(crate) fn peer(subject: &Subject, session: *const SessionSlot, kind: u8) {
    let key = RouterKey::of_link(subject.place.netns, subject.place.ifindex);
    // SAFETY: the element lives as long as this program runs; read without its lock, for
    // each field tells by itself.
    let known = unsafe { &(*session).state };
    with(
        &key,
        #[inline(always)]
        |kept| {
            if let Some(record) = kept.next(kind, subject.time_ns, subject.place.ifindex) {
                record.heard_ns = known.answered_ns;
                record.due_ns = known.first_ns;
                record.mac = known.peer;
                record.session = subject.session;
            }
        },
    );
}

/// A probe, or the answer to one, gives a reason.
#[inline(never)]
pub(crate) fn says(place: &Place, probe: &Probe, reason: u8) {
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let key = RouterKey {
        family: probe.family,
        vrid: probe.vrid,
        ..RouterKey::of_link(place.netns, place.ifindex)
    };
    with(
        &key,
        #[inline(always)]
        |kept| {
            if kept.says(reason, now)
                && let Some(record) = kept.next(PEER_SAYS, now, place.ifindex)
            {
                record.mac = probe.source;
                record.session = probe.session;
                record.detail = reason;
            }
        },
    );
}

/// A virtual address of the virtual router `key` was announced, unasked.
#[inline(never)]
pub(crate) fn announced(key: &RouterKey, place: &Place, neighbour: &Neighbour, local: bool) {
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(slot) = BLACKBOX.get_ptr_mut(key) else {
        return;
    };
    let Some(exit) = EXITS.get_ptr_mut(link_of(place)) else {
        return;
    };
    if !is_turning(key, local, now) {
        return;
    }
    // SAFETY: the elements live as long as this program runs. Without a lock: two CPUs
    // may both keep one, and nothing else comes of it.
    let (exit, turned_ns) = unsafe { (&mut *exit, (*slot).state.turned_ns) };
    if !Exit::announced(exit, key, local, turned_ns, now) {
        return;
    }
    let mut awaits = false;
    locked(
        slot,
        #[inline(always)]
        |kept| {
            if let Some(record) = kept.next(ANNOUNCED, now, place.ifindex) {
                record.address = neighbour.holder;
                record.mac = neighbour.mac;
                record.family = neighbour.family;
                record.local = local as u8;
            }
            awaits = local && kept.awaits(now);
        },
    );
    if awaits && let Some(until) = AWAITED.get_ptr_mut(0) {
        // SAFETY: the array's own element; the latest time is as good as another.
        unsafe { until.write_volatile(now + TURN_NS) };
    }
}

/// Whether the master of a virtual router changed lately, or is about to: else an
/// announcement is a master's repetition.
#[inline(always)]
fn is_turning(key: &RouterKey, local: bool, now: u64) -> bool {
    let Some(router) = VIRTUAL_ROUTERS.get_ptr(key) else {
        return true;
    };
    // SAFETY: the element lives as long as this program runs; read without its lock, for
    // each field tells by itself.
    let known = unsafe { &(*router).state };
    let own = known.own_active != 0;
    own != local || now < known.since_ns + TURN_NS
}

/// Whether a first packet is waited for anywhere: what any other packet costs.
#[inline(always)]
pub(crate) fn is_awaited() -> bool {
    // SAFETY: the array's own element.
    AWAITED
        .get_ptr(0)
        .is_some_and(|until| unsafe { until.read_volatile() } != 0)
}

/// A frame leaves that is neither advert nor probe nor neighbour discovery, while a
/// first packet is waited for.
#[inline(never)]
pub(crate) fn left(frame: &TcFrame<'_>) {
    let Some(until) = AWAITED.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: no preconditions; the array's own element.
    let now = unsafe {
        let now = bpf_ktime_get_ns();
        if now > until.read_volatile() {
            until.write_volatile(0);
            return;
        }
        now
    };
    let place = Place::of(frame);
    let Some(exit) = EXITS.get_ptr(link_of(&place)) else {
        return;
    };
    // SAFETY: the element lives as long as this program runs.
    let router = unsafe { (*exit).router };
    let Some(slot) = BLACKBOX.get_ptr_mut(router) else {
        return;
    };
    // SAFETY: as above; whether it is awaited still is asked under the lock.
    if unsafe { (*slot).state.awaited_ns } == 0 {
        return;
    }
    let forwarded = frame.is_forwarded();
    let mut source = [0; 16];
    let mut family = 0;
    if !forwarded {
        family = source_of(frame, &mut source);
        if family == 0 || !is_virtual(&place, family, &source) {
            return;
        }
    }
    locked(
        slot,
        #[inline(always)]
        |kept| {
            if kept.left()
                && let Some(record) = kept.next(FIRST_PACKET, now, place.ifindex)
            {
                record.address = source;
                record.family = family;
                record.detail = forwarded as u8;
                record.local = 1;
            }
        },
    );
}

/// Puts the source address of a packet of this host's where it is wanted, and returns
/// its family; 0 for what is no packet, or belongs to the link alone.
#[inline(always)]
fn source_of(frame: &TcFrame<'_>, source: &mut Address) -> u8 {
    match frame.protocol() {
        ETHERTYPE_IPV4 => match frame.read::<4>(IPV4_SOURCE) {
            Some(address) if serves_ipv4(frame) => {
                *source = widen(address);
                IPV4
            }
            _ => 0,
        },
        ETHERTYPE_IPV6 => match frame.read::<16>(IPV6_SOURCE) {
            Some(address) if serves_ipv6(frame) => {
                *source = address;
                IPV6
            }
            _ => 0,
        },
        _ => 0,
    }
}

/// Neither a report of groups, which goes no further, nor an error: that is said by who
/// cannot serve yet.
#[inline(always)]
fn serves_ipv4(frame: &TcFrame<'_>) -> bool {
    match frame.read::<2>(IPV4_HOPS) {
        Some([1, _]) | None => false,
        Some([_, ICMP]) => frame.read::<1>(IPV4_PAYLOAD) == Some([ECHO_REPLY]),
        Some(_) => true,
    }
}

/// Nor neighbour discovery.
#[inline(always)]
fn serves_ipv6(frame: &TcFrame<'_>) -> bool {
    match frame.read::<2>(IPV6_NEXT) {
        Some([_, 1 | 255]) | None => false,
        Some([ICMPV6, _]) => frame.read::<1>(IPV6_PAYLOAD) == Some([ECHO_REPLY_V6]),
        Some(_) => true,
    }
}

#[inline(always)]
fn is_virtual(place: &Place, family: u8, address: &Address) -> bool {
    let key = AddressKey {
        netns: place.netns,
        ifindex: place.ifindex,
        family: u32::from(family),
        address: *address,
    };
    // SAFETY: the agent replaces elements whole.
    unsafe { WATCHED.get(key) }.is_some_and(|watched| watched.roles & ROLE_VIRTUAL != 0)
}

#[inline(always)]
fn link_of(place: &Place) -> LinkKey {
    LinkKey {
        netns: place.netns,
        ifindex: place.ifindex,
    }
}

/// Writes into the box of a virtual router, or of a link, if one is kept.
#[inline(always)]
fn with(key: &RouterKey, write: impl FnOnce(&mut BlackBox)) {
    if let Some(slot) = BLACKBOX.get_ptr_mut(key) {
        locked(slot, write);
    }
}

#[inline(always)]
fn locked(slot: *mut BlackBoxSlot, write: impl FnOnce(&mut BlackBox)) {
    // SAFETY: as in `routers::step`.
    unsafe {
        bpf_spin_lock(&raw mut (*slot).lock);
        write(&mut (*slot).state);
        bpf_spin_unlock(&raw mut (*slot).lock);
    }
}
