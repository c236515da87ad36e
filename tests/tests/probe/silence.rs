//! What the asker's programs make of answers, and of none.

use keepfast_common::counter::Counter;
use keepfast_common::event::EventKind;
use keepfast_common::maps::BOUNCE_TC;
use keepfast_common::session::{
    Judgement, PHASE_LEARNING, PHASE_SILENT, PHASE_SUSPECT, PHASE_UP, Session,
};
use lab::clock::monotonic_ns;
use lab::require::{Need, require};
use lab::wait;
use std::thread;
use std::time::{Duration, Instant};

use crate::frames::Frame;
use crate::pair::{By, LIMIT, Pair};

/// Long, for the machine has other things to do.
const INTERVAL: Duration = Duration::from_millis(20);
const MULTIPLIER: u8 = 3;
const NUMBER: u32 = 77;
/// How often something is tried that fails where the machine holds it up.
const TRIES: usize = 50;

/// One session of the asker's with its peer.
struct Asking {
    pair: Pair,
    sequence: u32,
    due: Instant,
}

impl Asking {
    fn new() -> Self {
        let mut pair = Pair::new(By::Tc);
        let judgement = Judgement {
            interval_ns: INTERVAL.as_nanos() as u64,
            learn_ns: 5 * INTERVAL.as_nanos() as u64,
            netns: pair.asker.inode,
            ifindex: pair.asker.index,
            multiplier: MULTIPLIER,
            suspect_after: 1,
            reserved: [0; 6],
        };
        pair.fast.judge(NUMBER, &judgement).unwrap();
        Self {
            pair,
            sequence: 0,
            due: Instant::now(),
        }
    }

    fn session(&self) -> Session {
        self.pair.fast.session(NUMBER).unwrap().unwrap()
    }

    fn frame(&self) -> Frame {
        Frame::probe(NUMBER, self.sequence, nonce(self.sequence))
    }

    /// Sends the next probe, `pause` after the last one.
    fn send(&mut self, pause: Duration) {
        self.due += pause;
        thread::sleep(self.due.saturating_duration_since(Instant::now()));
        if self.due.elapsed() > INTERVAL {
            self.due = Instant::now();
        }
        self.sequence += 1;
        self.pair.marked.send_frame(self.frame().bytes()).unwrap();
    }

    /// Probes until the peer is up.
    fn learn(&mut self) {
        let end = Instant::now() + LIMIT;
        while self.sequence == 0 || self.session().phase != PHASE_UP {
            assert!(Instant::now() < end, "{:?}", self.session());
            self.send(INTERVAL);
        }
        self.pair.wait_for(EventKind::PeerUp);
    }

    /// All urgent events that there are, all of them about the session.
    fn events(&mut self) -> Vec<EventKind> {
        let told = std::iter::from_fn(|| self.pair.event());
        told.map(|(kind, event)| {
            assert_eq!(event.session, NUMBER);
            kind
        })
        .collect()
    }
}

/// Nobody guesses it.
fn nonce(sequence: u32) -> u64 {
    u64::from(sequence).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[test]
fn silence_is_told_by_the_timer() {
    if !require(&[Need::Root]) {
        return;
    }
    let mut asking = Asking::new();
    for _ in 0..TRIES {
        asking.learn();
        asking.events();
        asking.pair.fall_silent();
        let before = asking.session();
        for _ in 0..MULTIPLIER {
            asking.send(INTERVAL);
        }
        // Nothing is sent any more: the timer alone can tell it.
        thread::sleep(4 * INTERVAL);
        let after = asking.session();
        assert_eq!(after.sent, before.sent + u64::from(MULTIPLIER));
        if after.phase == PHASE_SILENT {
            let told = asking.pair.wait_for(EventKind::PeerSilent);
            let due = after.sent_ns + INTERVAL.as_nanos() as u64;
            assert_eq!(after.due_ns, due);
            let late = told.time_ns.checked_sub(due).unwrap();
            println!("{MULTIPLIER} probes every {INTERVAL:?}: told {late} ns after the deadline");
            assert!(late < INTERVAL.as_nanos() as u64);
            assert_eq!(after.since_ns, told.time_ns);
            // A sign of life.
            asking.pair.answer_again(BOUNCE_TC);
            asking.send(INTERVAL);
            asking.pair.wait_for(EventKind::PeerBack);
            assert_eq!(asking.session().phase, PHASE_LEARNING);
            return;
        }
        println!("held up: {} late, {} void", after.late, after.voided);
        asking.pair.answer_again(BOUNCE_TC);
    }
    panic!("never in time");
}

#[test]
fn forged_and_repeated_answers_do_not_count() {
    if !require(&[Need::Root]) {
        return;
    }
    let mut asking = Asking::new();
    asking.learn();
    let here = asking.pair.asker.link();
    let ignored = asking.pair.counted(here, Counter::AnswerIgnored);
    let before = asking.session();
    // The last one was answered.
    let repeated = asking.frame().answered();
    // One that is on its way, and one that never was.
    asking.pair.fall_silent();
    asking.send(INTERVAL);
    let guessed = asking.frame().with(42 + 23, 0x5a).answered();
    let early = Frame::probe(NUMBER, asking.sequence + 1, nonce(asking.sequence + 1)).answered();
    for frame in [&repeated, &guessed, &early] {
        asking.pair.peer.sender.send_frame(frame.bytes()).unwrap();
    }
    wait::until("three counts", LIMIT, || {
        let now = asking.pair.counted(here, Counter::AnswerIgnored);
        (now == ignored + 3).then_some(()).ok_or(now.to_string())
    })
    .unwrap();
    let after = asking.session();
    assert_eq!(after.answered, before.answered);
    assert_eq!(after.answered_ns, before.answered_ns);
    // The true one does.
    let answer = asking.frame().answered();
    asking.pair.peer.sender.send_frame(answer.bytes()).unwrap();
    wait::until("the answer", LIMIT, || {
        let now = asking.session().answered;
        (now == before.answered + 1)
            .then_some(())
            .ok_or(now.to_string())
    })
    .unwrap();
    assert_eq!(
        asking.pair.counted(here, Counter::AnswerIgnored),
        ignored + 3
    );
}

#[test]
fn a_forwarded_probe_is_an_answer() {
    if !require(&[Need::Root]) {
        return;
    }
    let mut asking = Asking::new();
    asking.pair.fall_silent();
    asking.send(INTERVAL);
    let mut forwarded = asking
        .frame()
        .answered()
        .with(42 + 5, 1)
        .with_hop_limit(254);
    forwarded = forwarded.with(42 + 52, 2);
    asking
        .pair
        .peer
        .sender
        .send_frame(forwarded.bytes())
        .unwrap();
    let session = wait::until("the answer", LIMIT, || {
        let session = asking.session();
        (session.answered == 1)
            .then_some(session)
            .ok_or(format!("{session:?}"))
    })
    .unwrap();
    // Whatever it carries, nobody stamped it.
    assert_eq!((session.stamps.role, session.stamps.flags), (0, 0x80));
}

#[test]
fn a_starved_sender_tells_no_silence() {
    if !require(&[Need::Root]) {
        return;
    }
    let mut asking = Asking::new();
    asking.learn();
    asking.events();
    asking.pair.fall_silent();
    let before = asking.session();
    let count = 30;
    for _ in 0..count {
        // However late one leaves, the next one is later still.
        asking.send(3 * INTERVAL);
    }
    thread::sleep(4 * INTERVAL);
    let after = asking.session();
    assert_eq!(after.sent, before.sent + count);
    assert_eq!(after.phase, PHASE_UP);
    let told = asking.events();
    assert_eq!(told, []);
    println!(
        "{count} late probes: {} counted as late",
        after.late - before.late
    );
    assert_eq!(after.late, before.late + count);
}

#[test]
fn what_bears_no_mark_was_not_sent() {
    if !require(&[Need::Root]) {
        return;
    }
    let mut asking = Asking::new();
    asking.learn();
    asking.events();
    let before = asking.session();
    let start = monotonic_ns().unwrap();
    for sequence in 0..20 {
        let probe = Frame::probe(NUMBER, asking.sequence + 1 + sequence, 5);
        asking.pair.asker.sender.send_frame(probe.bytes()).unwrap();
    }
    let after = asking.session();
    assert_eq!((after.sent, after.sent_ns), (before.sent, before.sent_ns));
    assert!(after.answered_ns < start);
    assert_ne!(after.phase, PHASE_SUSPECT);
    // A mark does not make a probe of a session that there is not.
    let stray = Frame::probe(NUMBER + 1, 1, 5);
    asking.pair.marked.send_frame(stray.bytes()).unwrap();
    assert!(asking.pair.fast.session(NUMBER + 1).unwrap().is_none());
    assert_eq!(asking.events(), []);
}
