//! Whether a peer answers probes.
//!
//! One [`Session`] is one peer on one interface. It takes the probes as they leave
//! and the answers as they come, with the kernel's times, and the passing of time;
//! each step says what changed. The caller holds the lock and the clock.
//!
//! | phase            | what                                      | next     | reported |
//! |------------------|-------------------------------------------|----------|----------|
//! | down             | an answer                                 | learning | -        |
//! | learning         | an answer, the time to learn is over      | up       | up       |
//! | learning         | `multiplier` probes unanswered            | down     | -        |
//! | up               | more than `suspect_after` unanswered      | suspect  | suspect  |
//! | up, suspect      | `multiplier` unanswered for an interval   | silent   | silent   |
//! | suspect          | an answer, or the evidence is void        | up       | back     |
//! | silent           | an answer                                 | learning | back     |
//! | up, suspect, silent, learning | an answer that says "leaving" | leaving  | leaving  |
//! | leaving          | an answer that does not                   | learning | -        |
//!
//! Only probes that left in time are evidence: one that left more than an interval
//! and a half after the one before it voids all that counted before, and so does a
//! timer that looks late. A sender that is starved can delay a verdict but not cause
//! one.

use bytemuck::{Pod, Zeroable};

use crate::event::EventKind;
use crate::wire::probe::{PEER_LEAVING, Probe, Stamps};

/// Nothing was ever answered, or not for long.
pub const PHASE_DOWN: u8 = 0;
/// Answers come, but not for long enough to say how.
pub const PHASE_LEARNING: u8 = 1;
/// Answers come.
pub const PHASE_UP: u8 = 2;
/// The first probes in a row are not answered.
pub const PHASE_SUSPECT: u8 = 3;
/// As many as count for silence are not.
pub const PHASE_SILENT: u8 = 4;
/// The peer said that its programs are about to go.
pub const PHASE_LEAVING: u8 = 5;

/// How many probes are remembered: an answer that comes later does not count.
pub const SLOTS: usize = 64;

/// The time over which the worst answer delay is kept twice: some 69 s.
const WINDOW_SHIFT: u32 = 36;

/// How a session is judged; written by the agent alone.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Judgement {
    /// Between two probes, nanoseconds.
    pub interval_ns: u64,
    /// How long answers must come before silence means anything, nanoseconds.
    pub learn_ns: u64,
    /// Inode number of the network namespace; 0 where the kernel does not tell.
    pub netns: u32,
    /// Interface index in that namespace.
    pub ifindex: u32,
    /// How many probes in a row count for silence; at least 2.
    pub multiplier: u8,
    /// How many may be unanswered before the peer is suspect; below `multiplier`.
    pub suspect_after: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// A probe that left.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Slot {
    /// Its nonce.
    pub nonce: u64,
    /// When it left, CLOCK_MONOTONIC nanoseconds; 0: it was answered.
    pub sent_ns: u64,
    /// Its number.
    pub sequence: u32,
    /// Zero.
    pub reserved: u32,
}

/// What is known of a peer; written by the kernel alone.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Session {
    /// When the last probe left, CLOCK_MONOTONIC nanoseconds; 0: none did.
    pub sent_ns: u64,
    /// When the last answer came, same clock; 0: never.
    pub answered_ns: u64,
    /// When the first of the unanswered probes in a row left, same clock; 0: none.
    pub first_ns: u64,
    /// When there are enough of them for silence, same clock; 0: there are not. Those
    /// that leave later do not put it off.
    pub due_ns: u64,
    /// Since when the phase is what it is, same clock.
    pub since_ns: u64,
    /// Probes that left.
    pub sent: u64,
    /// Answers that counted.
    pub answered: u64,
    /// Probes that left late.
    pub late: u64,
    /// How often evidence was void.
    pub voided: u64,
    /// How often the peer was suspect.
    pub suspected: u64,
    /// The worst delay of an answer in the present window of time, nanoseconds.
    pub worst_ns: u64,
    /// In the one before.
    pub worst_before_ns: u64,
    /// What the last answer said.
    pub stamps: Stamps,
    /// The last probe's number.
    pub sequence: u32,
    /// The present window of time.
    pub window: u32,
    /// One of the `PHASE_` constants.
    pub phase: u8,
    /// Probes in a row that are not answered, the last of them at `sent_ns`.
    pub unanswered: u8,
    /// The virtual router that `stamps` are about.
    pub vrid: u8,
    /// Its family, 4 or 6.
    pub family: u8,
    /// Zero.
    pub reserved: [u8; 4],
    /// The peer's hardware address, to which the last probe was sent.
    pub peer: crate::wire::Mac,
    /// Zero.
    pub padding: [u8; 2],
    /// The last probes.
    pub slots: [Slot; SLOTS],
}

const _: () = {
    assert!(size_of::<Judgement>() == 32);
    assert!(size_of::<Slot>() == 24);
    assert!(size_of::<Session>() == 96 + 32 + 24 + 24 * SLOTS);
};

impl Session {
    /// Nothing known.
    pub const UNKNOWN: Self = Self {
        sent_ns: 0,
        answered_ns: 0,
        first_ns: 0,
        due_ns: 0,
        since_ns: 0,
        sent: 0,
        answered: 0,
        late: 0,
        voided: 0,
        suspected: 0,
        worst_ns: 0,
        worst_before_ns: 0,
        stamps: Stamps::NONE,
        sequence: 0,
        window: 0,
        phase: PHASE_DOWN,
        unanswered: 0,
        vrid: 0,
        family: 0,
        reserved: [0; 4],
        peer: [0; 6],
        padding: [0; 2],
        slots: [Slot {
            nonce: 0,
            sent_ns: 0,
            sequence: 0,
            reserved: 0,
        }; SLOTS],
    };

    /// A probe leaves at `now`; the kinds of event that this is, as a set of their
    /// bits.
    #[inline(always)]
    pub fn sent(&mut self, judgement: &Judgement, probe: &Probe, now: u64) -> u32 {
        let limit = judgement.interval_ns + judgement.interval_ns / 2;
        let in_time = self.sent_ns != 0 && now <= self.sent_ns + limit;
        let mut kinds = 0;
        if in_time {
            // Where the kernel refused a timer, the next probe finds the silence.
            kinds |= self.expire(judgement, now);
        } else {
            self.late += 1;
            kinds |= self.void(now);
        }
        // Never reaches beyond: there are 64.
        if let Some(slot) = self.slots.get_mut((probe.sequence & 63) as usize) {
            slot.nonce = probe.nonce;
            slot.sent_ns = now;
            slot.sequence = probe.sequence;
        }
        self.sequence = probe.sequence;
        self.peer = probe.destination;
        self.sent += 1;
        self.sent_ns = now;
        if self.unanswered == 0 {
            self.first_ns = now;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        if self.unanswered < judgement.multiplier {
            self.due_ns = 0;
        } else if self.due_ns == 0 {
            self.due_ns = now + judgement.interval_ns;
        }
        if self.phase == PHASE_UP && self.unanswered > judgement.suspect_after + 1 {
            self.enter(PHASE_SUSPECT, now);
            self.suspected += 1;
            kinds |= EventKind::PeerSuspect.bit();
        } else if self.phase == PHASE_LEARNING && self.unanswered > judgement.multiplier {
            self.enter(PHASE_DOWN, now);
        }
        kinds
    }

    /// An answer (or the probe itself, forwarded) came at `now`; the kinds of event
    /// that this is, or `None` where no probe of ours had asked for it.
    #[inline(always)]
    pub fn answered(&mut self, judgement: &Judgement, probe: &Probe, now: u64) -> Option<u32> {
        let slot = self.slots.get_mut((probe.sequence & 63) as usize)?;
        if slot.sent_ns == 0 || slot.sequence != probe.sequence || slot.nonce != probe.nonce {
            return None;
        }
        let delay = now.saturating_sub(slot.sent_ns);
        slot.sent_ns = 0;
        self.note_delay(delay, now);
        self.answered += 1;
        self.answered_ns = now;
        self.stamps = probe.stamps;
        self.vrid = probe.vrid;
        self.family = probe.family;
        // Those that left after it are still out.
        let younger = self.sequence.wrapping_sub(probe.sequence);
        if younger < u32::from(self.unanswered) {
            self.unanswered = younger as u8;
            self.first_ns = if younger == 0 { 0 } else { now };
            // A sign of life: however many are still out, they get an interval more.
            self.due_ns = if self.unanswered < judgement.multiplier {
                0
            } else {
                now + judgement.interval_ns
            };
        }
        if probe.stamps.flags & PEER_LEAVING != 0 {
            if self.phase == PHASE_LEAVING {
                return Some(0);
            }
            self.enter(PHASE_LEAVING, now);
            return Some(EventKind::PeerLeaving.bit());
        }
        Some(match self.phase {
            PHASE_LEARNING if now >= self.since_ns + judgement.learn_ns => {
                self.enter(PHASE_UP, now);
                EventKind::PeerUp.bit()
            }
            PHASE_SUSPECT => {
                self.enter(PHASE_UP, now);
                EventKind::PeerBack.bit()
            }
            PHASE_SILENT => {
                self.enter(PHASE_LEARNING, now);
                EventKind::PeerBack.bit()
            }
            PHASE_DOWN | PHASE_LEAVING => {
                self.enter(PHASE_LEARNING, now);
                0
            }
            _ => 0,
        })
    }

    /// Time has passed; the kinds of event that this is.
    #[inline(always)]
    pub fn expire(&mut self, judgement: &Judgement, now: u64) -> u32 {
        let due = self.next_deadline(judgement);
        if due == 0 || now < due {
            return 0;
        }
        // Answers that came meanwhile may wait behind whoever held this CPU.
        if now > due + judgement.interval_ns {
            return self.void(now);
        }
        self.enter(PHASE_SILENT, now);
        EventKind::PeerSilent.bit()
    }

    /// When [`Self::expire`] has something to do, CLOCK_MONOTONIC nanoseconds; 0 for
    /// never.
    #[inline(always)]
    pub fn next_deadline(&self, judgement: &Judgement) -> u64 {
        let judged = self.phase == PHASE_UP || self.phase == PHASE_SUSPECT;
        if judged && self.unanswered >= judgement.multiplier {
            self.due_ns
        } else {
            0
        }
    }

    /// What speaks against the peer counts no longer.
    #[inline(always)]
    fn void(&mut self, now: u64) -> u32 {
        if self.unanswered > 1 {
            self.voided += 1;
        }
        self.unanswered = 0;
        self.first_ns = 0;
        self.due_ns = 0;
        if self.phase == PHASE_SUSPECT {
            self.enter(PHASE_UP, now);
            return EventKind::PeerBack.bit();
        }
        0
    }

    #[inline(always)]
    fn enter(&mut self, phase: u8, now: u64) {
        self.phase = phase;
        self.since_ns = now;
    }

    #[inline(always)]
    fn note_delay(&mut self, delay: u64, now: u64) {
        let window = (now >> WINDOW_SHIFT) as u32;
        if window != self.window {
            self.worst_before_ns = if window == self.window.wrapping_add(1) {
                self.worst_ns
            } else {
                0
            };
            self.worst_ns = 0;
            self.window = window;
        }
        if delay > self.worst_ns {
            self.worst_ns = delay;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND_NS;

    const MS: u64 = 1_000_000;
    const RULES: Judgement = Judgement {
        interval_ns: MS,
        learn_ns: 20 * MS,
        netns: 1,
        ifindex: 2,
        multiplier: 3,
        suspect_after: 1,
        reserved: [0; 6],
    };
    const UP: u32 = EventKind::PeerUp.bit();
    const SUSPECT: u32 = EventKind::PeerSuspect.bit();
    const SILENT: u32 = EventKind::PeerSilent.bit();
    const BACK: u32 = EventKind::PeerBack.bit();
    const LEAVING: u32 = EventKind::PeerLeaving.bit();

    struct Story {
        session: Session,
        now: u64,
        sequence: u32,
    }

    impl Story {
        fn new() -> Self {
            Self {
                session: Session::UNKNOWN,
                now: 5 * SECOND_NS,
                sequence: 0,
            }
        }

        /// One that is up.
        fn up() -> Self {
            let mut story = Self::new();
            let mut seen = 0;
            for _ in 0..30 {
                seen |= story.exchange();
            }
            assert_eq!(seen, UP);
            assert_eq!(story.session.phase, PHASE_UP);
            story
        }

        fn probe(&self, sequence: u32) -> Probe {
            Probe {
                sequence,
                nonce: u64::from(sequence) * 7 + 1,
                ..Probe::UNREAD
            }
        }

        /// Sends the next probe `after` the last one.
        fn send(&mut self, after: u64) -> u32 {
            self.now += after;
            self.sequence = self.sequence.wrapping_add(1);
            let probe = self.probe(self.sequence);
            self.session.sent(&RULES, &probe, self.now)
        }

        fn answer(&mut self, sequence: u32) -> Option<u32> {
            let probe = self.probe(sequence);
            self.session.answered(&RULES, &probe, self.now + MS / 10)
        }

        fn exchange(&mut self) -> u32 {
            let kinds = self.send(MS);
            kinds | self.answer(self.sequence).unwrap()
        }

        fn expire(&mut self, after: u64) -> u32 {
            self.session.expire(&RULES, self.now + after)
        }
    }

    #[test]
    fn silence_is_three_probes_and_an_interval() {
        let mut story = Story::up();
        assert_eq!(story.send(MS), 0);
        assert_eq!(story.send(MS), 0);
        assert_eq!(story.session.next_deadline(&RULES), 0);
        assert_eq!(story.send(MS), SUSPECT);
        assert_eq!(story.session.next_deadline(&RULES), story.now + MS);
        assert_eq!(story.expire(MS - 1), 0);
        assert_eq!(story.expire(MS), SILENT);
        assert_eq!(story.session.next_deadline(&RULES), 0);
        assert_eq!(story.send(MS), 0);
        let last = story.sequence;
        assert_eq!(story.answer(last), Some(BACK));
        assert_eq!(story.session.phase, PHASE_LEARNING);
    }

    #[test]
    fn without_a_timer_the_next_probe_finds_it() {
        let mut story = Story::up();
        for _ in 0..3 {
            story.send(MS);
        }
        assert_eq!(story.send(MS), SILENT);
    }

    #[test]
    fn probes_that_leave_a_little_early_do_not_put_it_off() {
        let mut story = Story::up();
        story.send(MS);
        story.send(MS);
        assert_eq!(story.send(MS), SUSPECT);
        let due = story.now + MS;
        assert_eq!(story.send(MS - 1_000), 0);
        assert_eq!(story.session.next_deadline(&RULES), due);
        assert_eq!(story.send(MS - 1_000), SILENT);
    }

    #[test]
    fn numbers_begin_again_behind_the_last_one() {
        let mut story = Story::new();
        story.sequence = u32::MAX - 40;
        let mut seen = 0;
        for _ in 0..100 {
            seen |= story.exchange();
        }
        assert_eq!(seen, UP);
        story.sequence = u32::MAX - 1;
        story.exchange();
        for _ in 0..3 {
            story.send(MS);
        }
        assert_eq!(story.sequence, 2);
        assert_eq!(story.answer(0), Some(BACK));
        assert_eq!(story.session.unanswered, 2);
    }

    #[test]
    fn an_answer_that_a_whole_round_of_probes_has_overtaken_does_not_count() {
        let mut story = Story::up();
        let first = story.sequence + 1;
        for _ in 0..=SLOTS {
            story.send(MS);
        }
        assert_eq!(story.answer(first), None);
        assert_eq!(story.answer(first + 1), Some(BACK));
    }

    #[test]
    fn another_multiplier_counts_from_the_next_probe_on() {
        let mut story = Story::up();
        let patient = Judgement {
            multiplier: 6,
            ..RULES
        };
        for _ in 0..4 {
            story.now += MS;
            story.sequence += 1;
            let probe = story.probe(story.sequence);
            story.session.sent(&patient, &probe, story.now);
        }
        assert_eq!(story.session.next_deadline(&patient), 0);
        assert_eq!(story.send(MS), 0);
        assert_eq!(story.session.next_deadline(&RULES), story.now + MS);
        assert_eq!(story.session.next_deadline(&patient), 0);
        assert_eq!(story.expire(MS), SILENT);
    }

    #[test]
    fn a_sign_of_life_gives_those_still_out_an_interval() {
        let mut story = Story::up();
        let first = story.sequence + 1;
        for _ in 0..4 {
            story.now += MS * 9 / 10;
            story.sequence += 1;
            let probe = story.probe(story.sequence);
            story.session.sent(&RULES, &probe, story.now);
        }
        assert_eq!(story.answer(first), Some(BACK));
        let due = story.now + MS / 10 + MS;
        assert_eq!(story.session.next_deadline(&RULES), due);
    }

    #[test]
    fn a_starved_sender_causes_no_verdict() {
        let mut story = Story::up();
        for _ in 0..1_000 {
            assert_eq!(story.send(2 * MS) & (SUSPECT | SILENT), 0);
            assert_eq!(story.expire(9 * MS), 0);
        }
        assert!(story.session.late >= 1_000);
        // A burst after a pause is not in time either: the first is late, the others
        // have been out for no time.
        assert_eq!(story.send(50 * MS), 0);
        assert_eq!(story.send(1), 0);
        assert_eq!(story.send(1), SUSPECT);
        assert_eq!(story.expire(MS / 2), 0);
    }

    #[test]
    fn a_late_timer_voids() {
        let mut story = Story::up();
        for _ in 0..3 {
            story.send(MS);
        }
        assert_eq!(story.expire(2 * MS + 1), BACK);
        assert_eq!(story.session.phase, PHASE_UP);
        assert_eq!(story.session.unanswered, 0);
    }

    #[test]
    fn forged_and_replayed_answers_do_not_count() {
        let mut story = Story::up();
        story.send(MS);
        let last = story.sequence;
        let mut forged = story.probe(last);
        forged.nonce ^= 1;
        assert_eq!(story.session.answered(&RULES, &forged, story.now), None);
        assert_eq!(story.answer(last - 5), None);
        assert_eq!(story.answer(last), Some(0));
        assert_eq!(story.answer(last), None);
        assert_eq!(story.answer(last + 1), None);
    }

    #[test]
    fn a_late_answer_is_a_sign_of_life_and_its_delay_is_kept() {
        let mut story = Story::up();
        let first = story.sequence + 1;
        for _ in 0..3 {
            story.send(MS);
        }
        assert_eq!(story.answer(first), Some(BACK));
        assert_eq!(story.session.unanswered, 2);
        assert_eq!(story.session.worst_ns, 2 * MS + MS / 10);
        // The two that are still out are not enough, the next one makes three.
        assert_eq!(story.expire(MS), 0);
        story.send(MS);
        assert_eq!(story.expire(MS), SILENT);
    }

    #[test]
    fn the_silence_of_one_that_leaves_means_nothing() {
        let mut story = Story::up();
        story.send(MS);
        let mut answer = story.probe(story.sequence);
        answer.stamps.flags = PEER_LEAVING;
        let kinds = story.session.answered(&RULES, &answer, story.now);
        assert_eq!(kinds, Some(LEAVING));
        for _ in 0..20 {
            assert_eq!(story.send(MS), 0);
            assert_eq!(story.expire(MS), 0);
        }
        assert_eq!(story.exchange(), 0);
        assert_eq!(story.session.phase, PHASE_LEARNING);
    }

    #[test]
    fn what_is_not_learnt_is_not_missed() {
        let mut story = Story::new();
        for _ in 0..10 {
            story.exchange();
        }
        for _ in 0..10 {
            assert_eq!(story.send(MS), 0);
            assert_eq!(story.expire(MS), 0);
        }
        assert_eq!(story.session.phase, PHASE_DOWN);
    }
}
