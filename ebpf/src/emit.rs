use aya_ebpf::helpers::bpf_get_smp_processor_id;
use keepfast_common::counter::Counter;
use keepfast_common::event::{Changes, Event, EventKind};

use crate::count::Place;
use crate::maps::{EVENTS, SEQUENCE};

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
}

/// Sends one event for each kind of change.
#[inline(always)]
pub(crate) fn emit(subject: &Subject, changes: &Changes) {
    if changes.kinds == 0 {
        return;
    }
    let mut kind = EventKind::MasterAppeared as u8;
    while kind <= EventKind::AddressConflict as u8 {
        if changes.kinds & (1 << kind) != 0 {
            emit_one(subject, changes, kind);
        }
        kind += 1;
    }
}

#[inline(never)]
fn emit_one(subject: &Subject, changes: &Changes, kind: u8) {
    // One CPU runs one of our programs at a time, all of them with bottom halves
    // disabled, so its count needs no atomic operation, and its records enter
    // the ring in the order of their numbers.
    let Some(count) = SEQUENCE.get_ptr_mut(0) else {
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
    entry.write(Event {
        sequence,
        time_ns: subject.time_ns,
        due_ns: changes.due_ns,
        old: changes.old,
        new: changes.new,
        netns: subject.place.netns,
        ifindex: subject.place.ifindex,
        vlan: subject.vlan,
        inner_vlan: subject.inner_vlan,
        family: subject.family,
        vrid: subject.vrid,
        kind,
        reason: subject.reason,
        // SAFETY: the helper has no preconditions.
        cpu: unsafe { bpf_get_smp_processor_id() },
        reserved: 0,
    });
    entry.submit(0);
}
