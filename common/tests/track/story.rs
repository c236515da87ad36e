//! Stories: adverts at given times, and what was reported when.

use keepfast_common::event::{Changes, EventKind, Party};
use keepfast_common::track::VirtualRouter;

pub(crate) const MS: u64 = 1_000_000;
/// When a story begins, as a host's clock would have it.
pub(crate) const START: u64 = 1_000_000 * MS;

/// Equals of priority 100; B has the higher address.
pub(crate) const A: Party = router(1, 100);
pub(crate) const B: Party = router(2, 100);
pub(crate) const HIGH: Party = router(3, 150);
pub(crate) const LOW: Party = router(4, 50);

pub(crate) const fn router(host: u8, priority: u8) -> Party {
    Party {
        address: [192, 0, 2, host, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        mac: [2, 0, 0, 0, 0, host],
        interval_cs: 100,
        priority,
        version: 3,
        ..Party::NOBODY
    }
}

pub(crate) const fn with_priority(party: Party, priority: u8) -> Party {
    Party { priority, ..party }
}

pub(crate) const fn resigned(party: Party) -> Party {
    with_priority(party, 0)
}

/// Whose advert it is.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// Another router's, after so many nanoseconds.
    Hears(u64, Party),
    /// This host's own.
    Sends(u64, Party),
    /// Nobody's: time passes.
    Until(u64),
}
pub(crate) use Step::{Hears, Sends, Until};

/// When (nanoseconds after the start), what, and the last bytes of the addresses of the old and
/// new party.
pub(crate) type Told = (u64, EventKind, u8, u8);

pub(crate) struct Story {
    pub(crate) router: VirtualRouter,
    now: u64,
    pub(crate) told: Vec<Told>,
}

impl Story {
    fn tell(&mut self, changes: &Changes) {
        let host = |party: &Party| party.address[3];
        for kind in EventKind::ALL.into_iter().filter(|kind| changes.has(*kind)) {
            let at = self.now - START;
            self.told
                .push((at, kind, host(&changes.old), host(&changes.new)));
        }
    }

    fn pass(&mut self, until: u64) {
        let mut fired = 0;
        loop {
            let due = self.router.next_deadline();
            if due == 0 || due > until {
                break;
            }
            let mut changes = Changes::NONE;
            if due > self.now {
                let before = self.router;
                self.router.expire(due - 1, &mut changes);
                assert_eq!((self.router, changes.kinds), (before, 0), "too early");
            }
            self.now = self.now.max(due);
            self.router.expire(self.now, &mut changes);
            assert!(changes.due_ns != 0, "nothing was due at {due}");
            self.tell(&changes);
            fired += 1;
            assert!(fired < 10, "the timer fires on and on: {:?}", self.told);
        }
        self.now = until;
    }
}

pub(crate) fn run(steps: &[Step]) -> Story {
    let mut story = Story {
        router: VirtualRouter::UNKNOWN,
        now: START,
        told: Vec::new(),
    };
    for step in steps {
        let (at, advert, local) = match *step {
            Hears(at, party) => (at, Some(party), 0),
            Sends(at, party) => (at, Some(party), 1),
            Until(at) => (at, None, 0),
        };
        story.pass(START + at);
        if let Some(party) = advert {
            let speaker = Party {
                heard_ns: story.now,
                local,
                ..party
            };
            let mut changes = Changes::NONE;
            story.router.heard(&speaker, &mut changes);
            assert_eq!(changes.due_ns, 0);
            story.tell(&changes);
        }
    }
    story
}

#[track_caller]
pub(crate) fn check(steps: &[Step], expected: &[Told]) {
    assert_eq!(run(steps).told, expected);
}
