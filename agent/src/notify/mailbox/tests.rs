//! What is told, and in which order, whatever the hook does.

use anyhow::anyhow;

use super::*;
use crate::notify::Published::{Backup, Primary};

const SETTLE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);

/// A mailbox and its own time.
struct Bench {
    mailbox: Mailbox,
    now: Instant,
    told: u64,
}

impl Bench {
    fn new(settle: Duration) -> Self {
        Self {
            mailbox: Mailbox::new("hook", settle, LONGEST),
            now: Instant::now(),
            told: 0,
        }
    }

    fn put(&mut self, state: Published) {
        self.told += 1;
        let transition = Transition {
            router: "r".into(),
            state,
            sequence: self.told,
            at: jiff::Timestamp::UNIX_EPOCH,
            reason: String::new(),
            previous: None,
        };
        self.mailbox.put(Arc::new(transition), self.now);
    }

    /// The sequence number of what is to be delivered next.
    fn next(&mut self) -> Option<u64> {
        match self.mailbox.next(self.now) {
            Next::Deliver(transition) => Some(transition.sequence),
            Next::Wait(_) => None,
        }
    }

    /// How long there is nothing to do, unless something new comes.
    fn pause(&mut self) -> Option<Duration> {
        match self.mailbox.next(self.now) {
            Next::Deliver(transition) => panic!("{transition:?}"),
            Next::Wait(until) => until.map(|until| until - self.now),
        }
    }

    fn deliver(&mut self) -> u32 {
        self.mailbox.delivered(None)
    }

    fn miss(&mut self) -> Verdict {
        let failure = Failure::Unreached(anyhow!("refused").context("connect"));
        self.mailbox.failed(&failure, self.now)
    }

    fn refuse(&mut self) -> Verdict {
        let failure = Failure::Refused(anyhow!("exit status: 1"));
        self.mailbox.failed(&failure, self.now)
    }

    /// Lets the pause that it asks for go by.
    fn wait(&mut self) {
        let pause = self.pause().unwrap();
        self.now += pause;
    }

    /// Delivered, skipped, pending.
    fn counts(&self) -> (u64, u64, usize) {
        let status = self.mailbox.status();
        let (delivered, skipped, pending) = (status.delivered, status.skipped, status.pending);
        assert_eq!(
            delivered + skipped + pending as u64,
            self.told,
            "{status:?}"
        );
        (delivered, skipped, pending)
    }
}

#[test]
fn a_busy_hook_gets_everything_in_order() {
    let mut bench = Bench::new(Duration::ZERO);
    bench.put(Backup);
    assert_eq!(bench.next(), Some(1));
    bench.put(Primary);
    bench.put(Backup);
    assert_eq!(bench.counts(), (0, 0, 3));
    for sequence in 2..4 {
        assert_eq!(bench.deliver(), 0);
        assert_eq!(bench.next(), Some(sequence));
    }
    bench.deliver();
    assert_eq!(bench.pause(), None);
    assert_eq!(bench.counts(), (3, 0, 0));
}

#[test]
fn a_hook_that_stays_busy_misses_the_oldest() {
    let mut bench = Bench::new(Duration::ZERO);
    bench.put(Backup);
    assert_eq!(bench.next(), Some(1));
    for _ in 0..MOST_WAITING + 3 {
        bench.put(Primary);
    }
    assert_eq!(bench.counts(), (0, 3, MOST_WAITING + 1));
    bench.deliver();
    assert_eq!(bench.next(), Some(5));
}

#[test]
fn after_a_failure_only_the_newest_is_told() {
    let mut bench = Bench::new(Duration::ZERO);
    bench.put(Backup);
    assert_eq!(bench.next(), Some(1));
    bench.put(Primary);
    bench.put(Backup);
    assert_eq!(bench.miss(), Verdict::Again);
    assert_eq!(bench.counts(), (0, 2, 1));
    // So it is with those that come while it waits, and while it is tried again.
    bench.put(Primary);
    bench.wait();
    assert_eq!(bench.next(), Some(4));
    bench.put(Backup);
    bench.put(Primary);
    bench.miss();
    bench.wait();
    assert_eq!(bench.next(), Some(6));
    assert_eq!(bench.deliver(), 2);
    assert_eq!(bench.counts(), (1, 5, 0));
    let status = bench.mailbox.status();
    assert_eq!(status.failed, 2);
    assert_eq!(status.last_error.as_deref(), Some("connect: refused"));
}

#[test]
fn pauses_grow_up_to_the_longest_and_begin_anew_after_a_success() {
    let mut bench = Bench::new(Duration::ZERO);
    bench.put(Primary);
    for expected in [50, 100, 200, 400, 800, 1000, 1000] {
        assert_eq!(bench.next(), Some(1));
        bench.miss();
        assert_eq!(bench.pause(), Some(Duration::from_millis(expected)));
        bench.wait();
    }
    assert_eq!(bench.next(), Some(1));
    bench.deliver();
    bench.put(Backup);
    assert_eq!(bench.next(), Some(2));
    bench.miss();
    assert_eq!(bench.pause(), Some(FIRST_PAUSE));
}

#[test]
fn a_program_that_says_no_is_asked_three_times_more() {
    let mut bench = Bench::new(Duration::ZERO);
    bench.put(Primary);
    for _ in 0..RETRIES {
        assert_eq!(bench.next(), Some(1));
        assert_eq!(bench.refuse(), Verdict::Again);
        bench.wait();
    }
    assert_eq!(bench.next(), Some(1));
    assert_eq!(bench.refuse(), Verdict::GivenUp);
    assert_eq!(bench.pause(), None);
    assert_eq!(bench.counts(), (0, 1, 0));
    // The next one is told at once, and has as many attempts.
    bench.put(Backup);
    for _ in 0..RETRIES {
        assert_eq!(bench.next(), Some(2));
        assert_eq!(bench.refuse(), Verdict::Again);
        bench.wait();
    }
    assert_eq!(bench.next(), Some(2));
    assert_eq!(bench.refuse(), Verdict::GivenUp);
}

#[test]
fn a_newer_transition_has_attempts_of_its_own() {
    let mut bench = Bench::new(Duration::ZERO);
    bench.put(Primary);
    for _ in 0..RETRIES {
        assert_eq!(bench.next(), Some(1));
        bench.refuse();
        bench.wait();
    }
    assert_eq!(bench.next(), Some(1));
    bench.put(Backup);
    assert_eq!(bench.refuse(), Verdict::Again);
    bench.wait();
    assert_eq!(bench.next(), Some(2));
    assert_eq!(bench.refuse(), Verdict::Again);
}

#[test]
fn a_primary_that_lasts_is_told_when_it_has_settled() {
    let mut bench = Bench::new(SETTLE);
    bench.put(Primary);
    assert_eq!(bench.pause(), Some(SETTLE));
    assert_eq!(bench.counts(), (0, 0, 1));
    bench.wait();
    assert_eq!(bench.next(), Some(1));
    bench.deliver();
    // A backup needs no time.
    bench.put(Backup);
    assert_eq!(bench.next(), Some(2));
}

#[test]
fn a_primary_that_does_not_last_is_never_told() {
    let mut bench = Bench::new(SETTLE);
    bench.put(Backup);
    assert_eq!(bench.next(), Some(1));
    bench.deliver();
    bench.put(Primary);
    bench.put(Backup);
    assert_eq!(bench.pause(), None);
    assert_eq!(bench.counts(), (1, 2, 0));
}

#[test]
fn a_backup_is_told_unless_the_hook_believes_in_it() {
    // Nothing was told before.
    let mut bench = Bench::new(SETTLE);
    bench.put(Primary);
    bench.put(Backup);
    assert_eq!(bench.next(), Some(2));
    bench.deliver();
    bench.put(Primary);
    bench.wait();
    assert_eq!(bench.next(), Some(3));
    bench.deliver();
    // One that is being told will have been believed.
    bench.put(Backup);
    assert_eq!(bench.next(), Some(4));
    bench.put(Primary);
    bench.put(Backup);
    assert_eq!(bench.counts(), (2, 3, 1));
    bench.deliver();
    // And so will a primary that is being told.
    bench.put(Primary);
    bench.wait();
    assert_eq!(bench.next(), Some(7));
    bench.put(Primary);
    bench.put(Backup);
    bench.deliver();
    assert_eq!(bench.next(), Some(9));
    bench.deliver();
    assert_eq!(bench.pause(), None);
}

#[test]
fn a_primary_settles_while_attempts_fail() {
    let mut bench = Bench::new(SETTLE);
    bench.put(Backup);
    for _ in 0..4 {
        assert_eq!(bench.next(), Some(1));
        bench.miss();
        bench.wait();
    }
    assert_eq!(bench.next(), Some(1));
    bench.miss();
    bench.put(Primary);
    assert_eq!(bench.pause(), Some(SETTLE));
    bench.wait();
    bench.wait();
    assert_eq!(bench.next(), Some(2));
    assert_eq!(bench.counts(), (0, 1, 1));
}
