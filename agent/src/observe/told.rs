//! What was told so far, so that lost events can be made up for.

use std::collections::BTreeMap;

use bytemuck::Zeroable as _;
use keepfast_common::event::{Event, EventKind, Party};
use keepfast_common::maps::RouterKey;
use keepfast_common::track::{PHASE_ACTIVE, PHASE_DOWN, PHASE_LATE, PHASE_RESIGNED, VirtualRouter};

use super::router_of;

/// What was told of each virtual router.
#[derive(Default)]
pub(super) struct Told(BTreeMap<RouterKey, Last>);

/// What was told last.
#[derive(Clone, Copy)]
struct Last {
    phase: u8,
    master: Party,
}

impl Told {
    /// Takes note of an event that is being told.
    pub(super) fn note(&mut self, event: &Event) {
        let last = match EventKind::from_number(event.kind) {
            Some(
                EventKind::MasterAppeared
                | EventKind::MasterChanged
                | EventKind::LocalMaster
                | EventKind::PriorityChanged,
            ) => Last {
                phase: PHASE_ACTIVE,
                master: event.new,
            },
            Some(EventKind::MasterResigned | EventKind::LocalResigned) => Last {
                phase: PHASE_RESIGNED,
                master: event.old,
            },
            Some(EventKind::MasterDown) => Last {
                phase: PHASE_DOWN,
                master: event.old,
            },
            _ => return,
        };
        self.0.insert(router_of(event), last);
    }

    /// Nothing is known of a virtual router any longer.
    pub(super) fn forget(&mut self, key: &RouterKey) {
        self.0.remove(key);
    }

    /// The event that would have told what `router` is now, if that was not told.
    ///
    /// Its sequence is 0: it is none of the kernel's.
    pub(super) fn missing(&self, key: &RouterKey, router: &VirtualRouter) -> Option<Event> {
        let last = self.0.get(key).copied();
        let reigned = last.is_some_and(|last| last.phase == PHASE_ACTIVE);
        let old = last.map_or(Party::NOBODY, |last| last.master);
        let local = router.master.local != 0;
        let kind = match router.phase {
            PHASE_ACTIVE | PHASE_LATE if reigned && old.is(&router.master) => {
                if old.priority == router.master.priority {
                    return None;
                }
                EventKind::PriorityChanged
            }
            PHASE_ACTIVE | PHASE_LATE if local => EventKind::LocalMaster,
            PHASE_ACTIVE | PHASE_LATE if reigned => EventKind::MasterChanged,
            PHASE_ACTIVE | PHASE_LATE => EventKind::MasterAppeared,
            PHASE_RESIGNED if reigned && local => EventKind::LocalResigned,
            PHASE_RESIGNED if reigned => EventKind::MasterResigned,
            PHASE_DOWN if last.is_some_and(|last| last.phase != PHASE_DOWN) => {
                EventKind::MasterDown
            }
            _ => return None,
        };
        let mut event = Event::zeroed();
        event.time_ns = router.since_ns;
        event.old = old;
        event.new = router.master;
        event.netns = key.netns;
        event.ifindex = key.ifindex;
        event.vlan = key.vlan;
        event.inner_vlan = key.inner_vlan;
        event.family = key.family;
        event.vrid = key.vrid;
        event.kind = kind as u8;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RouterKey {
        RouterKey {
            vrid: 7,
            family: 4,
            ..RouterKey::zeroed()
        }
    }

    fn party(last_byte: u8, priority: u8) -> Party {
        let mut address = [0; 16];
        address[3] = last_byte;
        Party {
            address,
            priority,
            ..Party::NOBODY
        }
    }

    fn check(
        told: &[(EventKind, Party, Party)],
        phase: u8,
        master: Party,
        missing: Option<EventKind>,
    ) {
        let mut log = Told::default();
        for (kind, old, new) in told {
            let mut event = Event::zeroed();
            (event.vrid, event.family, event.kind) = (7, 4, *kind as u8);
            (event.old, event.new) = (*old, *new);
            log.note(&event);
        }
        let router = VirtualRouter {
            phase,
            master,
            ..VirtualRouter::UNKNOWN
        };
        let found = log.missing(&key(), &router);
        assert_eq!(
            found.and_then(|event| EventKind::from_number(event.kind)),
            missing
        );
        // Told once, it is missing no more.
        if let Some(event) = found {
            log.note(&event);
            assert_eq!(log.missing(&key(), &router), None);
        }
    }

    #[test]
    fn the_maps_make_up_for_lost_events() {
        use EventKind::{
            LocalMaster, MasterAppeared, MasterChanged, MasterDown, MasterResigned, PriorityChanged,
        };
        let (a, b) = (party(1, 100), party(2, 100));
        let appeared = (MasterAppeared, Party::NOBODY, a);
        check(&[], PHASE_ACTIVE, a, Some(MasterAppeared));
        check(
            &[],
            PHASE_ACTIVE,
            Party { local: 1, ..a },
            Some(LocalMaster),
        );
        check(&[appeared], PHASE_ACTIVE, a, None);
        check(&[appeared], PHASE_LATE, a, None);
        check(
            &[appeared],
            PHASE_ACTIVE,
            party(1, 90),
            Some(PriorityChanged),
        );
        check(&[appeared], PHASE_LATE, b, Some(MasterChanged));
        check(&[appeared], PHASE_DOWN, a, Some(MasterDown));
        check(&[appeared], PHASE_RESIGNED, a, Some(MasterResigned));
        let down = (MasterDown, a, Party::NOBODY);
        check(&[appeared, down], PHASE_DOWN, a, None);
        check(&[appeared, down], PHASE_ACTIVE, b, Some(MasterAppeared));
    }
}
