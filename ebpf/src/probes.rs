//! Probes of liveness: this host's own as they leave and come back, and others',
//! which are sent back to where they came from.
//!
//! Nobody gains by having frames sent back: one for one, none longer than what came, to
//! the one station that it says it came from, and no answer is answered.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_spin_lock, bpf_spin_unlock};
use keepfast_common::counter::Counter;
use keepfast_common::event::{Changes, EventKind, Party};
use keepfast_common::heirs::{Heirs, KEPT_HEIRS};
use keepfast_common::maps::{Agent, KEEPALIVED_ENDED, KEEPALIVED_RUNS, Link, LinkKey, RouterKey};
use keepfast_common::session::{Judgement, Session};
use keepfast_common::wire::probe::{
    KIND_ANSWER, KIND_PROBE, NO_AGE, PEER_FENCED, PEER_FORWARDED, PEER_KEEPALIVED_ENDED,
    PEER_KEEPALIVED_RUNS, PEER_LEAVING, Probe, ROLE_BACKUP, ROLE_MASTER, ROLE_UNKNOWN, Stamps,
};
use keepfast_common::wire::{Packet, mac_is};

use crate::blackbox;
use crate::count::Place;
use crate::emit::{Subject, tell};
use crate::maps::{
    AGENT, GUARDED, HEIRS, HeirsSlot, JUDGEMENTS, LINKS, SESSIONS, Scratch, SessionSlot,
    VIRTUAL_ROUTERS,
};
use crate::{protect, timer};

/// A new element of [`SESSIONS`].
static FRESH: SessionSlot =
    // SAFETY: all fields are integers or arrays of them.
    unsafe { core::mem::MaybeUninit::zeroed().assume_init() };

/// A new element of [`HEIRS`].
static NO_HEIRS: HeirsSlot =
    // SAFETY: as above.
    unsafe { core::mem::MaybeUninit::zeroed().assume_init() };

/// What is to become of a received frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on.
    Pass,
    /// It was for us alone.
    Drop,
    /// It goes back, with what [`Scratch::stamps`] says.
    Bounce,
}

/// What the agent has said of itself.
#[inline(always)]
pub(crate) fn agent() -> Option<&'static Agent> {
    AGENT.get(0)
}

/// A probe (or what answers one) was received; `bouncer` is who reads it, a `BOUNCE_`
/// constant of [`keepfast_common::maps`].
#[inline(always)]
pub(crate) fn received(place: &Place, scratch: &mut Scratch, bouncer: u8) -> Fate {
    let probe = &scratch.packet.probe;
    if probe.kind == KIND_ANSWER || (probe.kind == KIND_PROBE && probe.forwarded) {
        return returned(place, scratch);
    }
    let Some(link) = link_of(place) else {
        return Fate::Pass;
    };
    if !mac_is(&link.mac, &probe.destination) {
        return Fate::Pass;
    }
    if probe.kind == KIND_PROBE {
        if link.bounce != bouncer {
            return Fate::Pass;
        }
        asked(place, scratch);
        if scratch.packet.probe.reason != 0 {
            blackbox::says(place, &scratch.packet.probe, scratch.packet.probe.reason);
        }
        place.count(Counter::ProbeAnswered);
        Fate::Bounce
    } else {
        taken(place, scratch);
        Fate::Drop
    }
}

/// A probe leaves that bears this agent's mark: whether it is one of a session.
#[inline(never)]
pub(crate) fn sent(place: &Place, packet: &mut Packet, now: u64) -> bool {
    let probe = &packet.probe;
    let session = probe.session;
    // SAFETY: the agent replaces elements whole; a torn read spoils one judgement.
    let Some(judgement) = (unsafe { JUDGEMENTS.get(session) }) else {
        return false;
    };
    let judgement = *judgement;
    if judgement.ifindex != place.ifindex || judgement.netns != place.netns {
        return false;
    }
    let slot = match SESSIONS.get_ptr_mut(session) {
        Some(slot) => slot,
        None => {
            let _made = SESSIONS.insert(session, &FRESH, u64::from(BPF_NOEXIST));
            match SESSIONS.get_ptr_mut(session) {
                Some(slot) => slot,
                None => {
                    place.count(Counter::MapFull);
                    return false;
                }
            }
        }
    };
    let (kinds, deadline) = step(
        slot,
        &judgement,
        #[inline(always)]
        |state| state.sent(&judgement, probe, now),
    );
    conclude(place, session, slot, kinds, deadline, now);
    true
}

/// An answer came, or a probe of ours that was forwarded.
#[inline(never)]
fn returned(place: &Place, scratch: &mut Scratch) -> Fate {
    let probe = &mut scratch.packet.probe;
    let session = probe.session;
    // SAFETY: as in `sent`.
    let Some(judgement) = (unsafe { JUDGEMENTS.get(session) }) else {
        return Fate::Pass;
    };
    let judgement = *judgement;
    if judgement.ifindex != place.ifindex || judgement.netns != place.netns {
        return Fate::Pass;
    }
    let Some(slot) = SESSIONS.get_ptr_mut(session) else {
        return Fate::Pass;
    };
    if probe.forwarded {
        probe.stamps = Stamps::NONE;
        probe.stamps.flags = PEER_FORWARDED;
    }
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let mut counted = false;
    let (kinds, deadline) = step(
        slot,
        &judgement,
        #[inline(always)]
        |state| match state.answered(&judgement, probe, now) {
            Some(kinds) => {
                counted = true;
                kinds
            }
            None => 0,
        },
    );
    if !counted {
        place.count(Counter::AnswerIgnored);
    } else if scratch.packet.probe.stamps.reason != 0 {
        blackbox::says(
            place,
            &scratch.packet.probe,
            scratch.packet.probe.stamps.reason,
        );
    }
    conclude(place, session, slot, kinds, deadline, now);
    Fate::Drop
}

/// Fills in what this host's kernel knows for the one that probes.
#[inline(never)]
fn asked(place: &Place, scratch: &mut Scratch) {
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let Scratch {
        packet: Packet { probe, .. },
        stamps,
        ..
    } = scratch;
    let key = router_of(place, probe);
    *stamps = Stamps::NONE;
    if let Some(agent) = agent() {
        stamps.host = agent.host;
        if agent.alive_ns != 0 {
            stamps.agent_age_us = age_us(now, agent.alive_ns);
        }
        if agent.leaving != 0 {
            stamps.flags |= PEER_LEAVING;
        }
    }
    // SAFETY: the agent replaces elements whole.
    let Some(guarded) = (unsafe { GUARDED.get(key) }) else {
        return;
    };
    stamps.reason = guarded.reason;
    if guarded.keepalived == KEEPALIVED_RUNS {
        stamps.flags |= PEER_KEEPALIVED_RUNS;
    } else if guarded.keepalived == KEEPALIVED_ENDED {
        stamps.flags |= PEER_KEEPALIVED_ENDED;
    }
    let Some(router) = VIRTUAL_ROUTERS.get_ptr(key) else {
        stamps.role = ROLE_UNKNOWN;
        return;
    };
    // SAFETY: the element lives as long as this program runs; read without its lock,
    // for each field tells by itself.
    let known = unsafe { &(*router).state };
    if known.own_active == 0 {
        stamps.role = ROLE_BACKUP;
        return;
    }
    stamps.role = ROLE_MASTER;
    if known.master.local != 0 {
        stamps.advert_age_us = age_us(now, known.master.heard_ns);
    }
    if protect::is_stranger(&key, &probe.address) {
        // None of them could show that it has taken over.
        stamps.rank = KEPT_HEIRS as u8;
        place.count(Counter::HeirIgnored);
        return;
    }
    let Some(slot) = heirs_of(&key) else {
        place.count(Counter::MapFull);
        return;
    };
    // SAFETY: no preconditions.
    let fresh =
        unsafe { u64::from(bpf_get_prandom_u32()) << 32 | u64::from(bpf_get_prandom_u32()) };
    let (rank, token) = with_heirs(
        slot,
        #[inline(always)]
        |heirs| heirs.heard(probe, fresh, now),
    );
    stamps.rank = rank;
    stamps.token = token;
    // SAFETY: as above.
    if unsafe { (*slot).state.keep_silent(known, now) } {
        stamps.flags |= PEER_FENCED;
    }
}

/// A backup says that it has taken over.
#[inline(never)]
fn taken(place: &Place, scratch: &mut Scratch) {
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let probe = &scratch.packet.probe;
    let key = router_of(place, probe);
    let Some(slot) = HEIRS.get_ptr_mut(key) else {
        place.count(Counter::TakenIgnored);
        return;
    };
    if !with_heirs(
        slot,
        #[inline(always)]
        |heirs| heirs.taken(probe, now),
    ) {
        place.count(Counter::TakenIgnored);
        return;
    }
    let Scratch {
        packet: Packet { probe, .. },
        changes,
        ..
    } = scratch;
    changes.begin(&Party::NOBODY, &Party::NOBODY);
    changes.new.heard_ns = now;
    changes.new.address = probe.address;
    changes.new.mac = probe.source;
    changes.new.priority = probe.priority;
    changes.kinds = EventKind::TakenOver.bit();
    let subject = Subject {
        time_ns: now,
        place: *place,
        vlan: 0,
        inner_vlan: 0,
        family: probe.family,
        vrid: probe.vrid,
        reason: 0,
        session: 0,
    };
    crate::emit::emit(&subject, changes);
}

/// Whether the virtual router `key` keeps silent about its addresses: it was taken
/// over from, and its keepalived has not given way yet.
#[inline(always)]
pub(crate) fn is_fenced(key: &RouterKey) -> bool {
    let Some(slot) = HEIRS.get_ptr(key) else {
        return false;
    };
    // SAFETY: the element lives as long as this program runs; one field.
    if unsafe { (*slot).state.fenced_ns } == 0 {
        return false;
    }
    let Some(router) = VIRTUAL_ROUTERS.get_ptr(key) else {
        return false;
    };
    // SAFETY: as above, and without locks, for a torn read is one message more or less;
    // the helper has no preconditions.
    unsafe {
        let now = bpf_ktime_get_ns();
        (*slot).state.keep_silent(&(*router).state, now)
    }
}

/// The timer of a session expired.
unsafe extern "C" fn expired(_map: *mut c_void, key: *mut c_void, _slot: *mut c_void) -> i32 {
    // SAFETY: the kernel passes the element's own key.
    let session = unsafe { *key.cast::<u32>() };
    // Looked up again: see `routers::expired`.
    let Some(slot) = SESSIONS.get_ptr_mut(session) else {
        return 0;
    };
    // SAFETY: the element lives as long as this program runs.
    unsafe { (*slot).armed_ns = 0 };
    // SAFETY: as in `sent`.
    let Some(judgement) = (unsafe { JUDGEMENTS.get(session) }) else {
        return 0;
    };
    let judgement = *judgement;
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let (kinds, deadline) = step(
        slot,
        &judgement,
        #[inline(always)]
        |state| state.expire(&judgement, now),
    );
    let place = Place {
        netns: judgement.netns,
        ifindex: judgement.ifindex,
    };
    conclude(&place, session, slot, kinds, deadline, now);
    0
}

/// Runs one step under the element's lock: the kinds of event that it is, and the
/// deadline for which the timer must be armed, 0 if it need not.
#[inline(always)]
fn step(
    slot: *mut SessionSlot,
    judgement: &Judgement,
    step: impl FnOnce(&mut Session) -> u32,
) -> (u32, u64) {
    // SAFETY: as in `routers::step`.
    unsafe {
        bpf_spin_lock(&raw mut (*slot).lock);
        let kinds = step(&mut (*slot).state);
        let deadline = (*slot).state.next_deadline(judgement);
        let armed = (*slot).armed_ns;
        let arm = deadline != 0 && (armed == 0 || deadline < armed);
        if arm {
            (*slot).armed_ns = deadline;
        }
        bpf_spin_unlock(&raw mut (*slot).lock);
        (kinds, if arm { deadline } else { 0 })
    }
}

/// Arms the timer and tells what happened.
#[inline(always)]
fn conclude(
    place: &Place,
    session: u32,
    slot: *mut SessionSlot,
    kinds: u32,
    deadline: u64,
    now: u64,
) {
    if deadline != 0 {
        arm(place, slot, deadline);
    }
    if kinds != 0 {
        report(place, session, slot, kinds, now);
    }
}

#[inline(never)]
fn report(place: &Place, session: u32, slot: *const SessionSlot, kinds: u32, now: u64) {
    let subject = Subject {
        time_ns: now,
        place: *place,
        vlan: 0,
        inner_vlan: 0,
        family: 0,
        vrid: 0,
        reason: 0,
        session,
    };
    let mut kind = EventKind::PeerUp as u8;
    while kind <= EventKind::PeerLeaving as u8 {
        if kinds & (1 << kind) != 0 {
            tell(&subject, &Changes::NONE, kind);
            blackbox::peer(&subject, slot, kind);
        }
        kind += 1;
    }
}

#[inline(always)]
fn arm(place: &Place, slot: *mut SessionSlot, deadline_ns: u64) {
    // SAFETY: the element is one of this map and lives as long as the program runs.
    unsafe {
        let (timer, noted_ns) = (&raw mut (*slot).timer, &raw mut (*slot).armed_ns);
        timer::arm(place, &SESSIONS, timer, noted_ns, deadline_ns, expired);
    }
}

#[inline(always)]
fn link_of(place: &Place) -> Option<Link> {
    let key = LinkKey {
        netns: place.netns,
        ifindex: place.ifindex,
    };
    // SAFETY: the agent replaces elements whole.
    unsafe { LINKS.get(key) }.copied()
}

#[inline(always)]
fn router_of(place: &Place, probe: &Probe) -> RouterKey {
    RouterKey {
        netns: place.netns,
        ifindex: place.ifindex,
        vlan: 0,
        inner_vlan: 0,
        family: probe.family,
        vrid: probe.vrid,
        reserved: 0,
    }
}

#[inline(always)]
fn heirs_of(key: &RouterKey) -> Option<*mut HeirsSlot> {
    if let Some(slot) = HEIRS.get_ptr_mut(key) {
        return Some(slot);
    }
    let _made = HEIRS.insert(key, &NO_HEIRS, u64::from(BPF_NOEXIST));
    HEIRS.get_ptr_mut(key)
}

#[inline(always)]
fn with_heirs<T>(slot: *mut HeirsSlot, step: impl FnOnce(&mut Heirs) -> T) -> T {
    // SAFETY: as in `routers::step`.
    unsafe {
        bpf_spin_lock(&raw mut (*slot).lock);
        let outcome = step(&mut (*slot).state);
        bpf_spin_unlock(&raw mut (*slot).lock);
        outcome
    }
}

#[inline(always)]
fn age_us(now: u64, then: u64) -> u32 {
    let age = now.saturating_sub(then) / 1_000;
    if age < u64::from(NO_AGE) {
        age as u32
    } else {
        NO_AGE
    }
}
