use aya_ebpf::helpers::bpf_get_smp_processor_id;
use keepfast_common::counter::Counter;
use keepfast_common::event::{Changes, Event, EventKind, Party};
use keepfast_common::maps::{RouterKey, SENT};

use crate::count::Place;
use crate::maps::{EVENTS, GUARDED, SEQUENCE, URGENT};
use crate::{blackbox, share};

/// What an event is about, beside what changed.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) time_ns: u64,
    pub(crate) place: Place,
    pub(crate) vlan: u16,
    pub(crate) inner_vlan: u16,
    pub(crate) family: u8,
    pub(crate) vrid: u8,
    pub(crate) reason: u8,
    pub(crate) session: u32,
}

/// Sends one event for each kind of change; for the fast path, too, if it guards the
/// virtual router.
#[inline(always)]
pub(crate) fn emit(subject: &Subject, changes: &Changes) {
    if changes.kinds == 0 {
        return;
    }
    let key = router_of(subject);
    if !share::admits_events(&key, changes.kinds) {
        subject.place.count(Counter::EventHeld);
        return;
    }
    let urgent = GUARDED.get_ptr(key).is_some();
    let mut kind = EventKind::MasterAppeared as u8;
    while kind <= EventKind::TakenOver as u8 {
        if changes.kinds & (1 << kind) != 0 {
            if urgent {
                tell(subject, changes, kind);
            }
            blackbox::event(&key, subject, changes, kind);
            emit_one(subject, changes, kind);
        }
        kind += 1;
    }
}

#[inline(always)]
fn router_of(subject: &Subject) -> RouterKey {
    RouterKey {
        netns: subject.place.netns,
        ifindex: subject.place.ifindex,
        vlan: subject.vlan,
        inner_vlan: subject.inner_vlan,
        family: subject.family,
        vrid: subject.vrid,
        reserved: 0,
    }
}

/// Sends an event to the fast path alone. It reads the maps where one is lost.
#[inline(never)]
pub(crate) fn tell(subject: &Subject, changes: &Changes, kind: u8) {
    let Some(mut entry) = URGENT.reserve(0) else {
        subject.place.count(Counter::UrgentLost);
        return;
    };
    // SAFETY: the entry is one of this type, and this program's own.
    unsafe { fill(entry.as_mut_ptr(), subject, changes, kind, 0) };
    entry.submit(0);
}

#[inline(never)]
fn emit_one(subject: &Subject, changes: &Changes, kind: u8) {
    // One CPU runs one of our programs at a time, all of them with bottom halves
    // disabled, so its count needs no atomic operation, and its records enter
    // the ring in the order of their numbers.
    let Some(count) = SEQUENCE.get_ptr_mut(SENT) else {
        return;
    };
    // SAFETY: this CPU's own element.
    let sequence = unsafe {
        *count += 1;
        *count
    };
    let Some(mut entry) = EVENTS.reserve(0) else {
        subject.place.count(Counter::EventLost);
        return;
    };
    // SAFETY: as above.
    unsafe { fill(entry.as_mut_ptr(), subject, changes, kind, sequence) };
    entry.submit(0);
}

/// Fills a record in place, field by field: built first, it would not fit on the stack.
#[inline(always)]
unsafe fn fill(record: *mut Event, subject: &Subject, changes: &Changes, kind: u8, sequence: u64) {
    // SAFETY: the caller's own record; every field is written.
    unsafe {
        (&raw mut (*record).sequence).write(sequence);
        (&raw mut (*record).time_ns).write(subject.time_ns);
        (&raw mut (*record).due_ns).write(changes.due_ns);
        copy(&changes.old, &raw mut (*record).old);
        copy(&changes.new, &raw mut (*record).new);
        (&raw mut (*record).netns).write(subject.place.netns);
        (&raw mut (*record).ifindex).write(subject.place.ifindex);
        (&raw mut (*record).vlan).write(subject.vlan);
        (&raw mut (*record).inner_vlan).write(subject.inner_vlan);
        (&raw mut (*record).family).write(subject.family);
        (&raw mut (*record).vrid).write(subject.vrid);
        (&raw mut (*record).kind).write(kind);
        (&raw mut (*record).reason).write(subject.reason);
        (&raw mut (*record).cpu).write(bpf_get_smp_processor_id());
        (&raw mut (*record).session).write(subject.session);
    }
}

/// Copies a party as five numbers.
#[inline(always)]
unsafe fn copy(from: &Party, to: *mut Party) {
    const WORDS: usize = size_of::<Party>() / 8;
    const { assert!(size_of::<Party>() == WORDS * 8 && align_of::<Party>() == 8) };
    let from = core::ptr::from_ref(from).cast::<u64>();
    let to = to.cast::<u64>();
    let mut word = 0;
    while word < WORDS {
        // SAFETY: both are parties, whole numbers of words, and aligned.
        unsafe { to.add(word).write(from.add(word).read()) };
        word += 1;
    }
}
