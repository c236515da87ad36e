//! What waits to be told to one hook. Pure: time is passed in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{HookStatus, Published, Transition};

/// How many transitions wait for a hook that is busy.
pub(super) const MOST_WAITING: usize = 64;

/// How often a program that said no is asked again.
pub(super) const RETRIES: u32 = 3;

/// Between the first failure and the next attempt; doubled with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How many characters of an error are kept.
const MOST_WORDS: usize = 300;

/// What to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Deliver this; then say how that ended.
    Deliver(Arc<Transition>),
    /// Wait for the next transition, or for this instant if it comes first.
    Wait(Option<Instant>),
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The hook was not reached, or gave no answer: it may be back at any time.
    Unreached(anyhow::Error),
    /// The hook was reached and said no: it is likely to say so again.
    Refused(anyhow::Error),
}

impl Failure {
    /// Why, in words, but not more of them than a log line should have: programs say
    /// what they like.
    pub(super) fn words(&self) -> String {
        let (Self::Unreached(error) | Self::Refused(error)) = self;
        format!("{error:#}").chars().take(MOST_WORDS).collect()
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Unreached(error)
    }
}

/// What becomes of the transition that an attempt failed for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The newest one is tried after a pause.
    Again,
    /// Nothing is told before the next transition.
    GivenUp,
}

/// What waits to be told to one hook.
#[derive(Debug)]
pub(super) struct Mailbox {
    settle: Duration,
    longest_pause: Duration,
    /// In their order. While attempts fail, one at most.
    waiting: VecDeque<Arc<Transition>>,
    in_flight: Option<Arc<Transition>>,
    /// A `primary` that has yet to last, and until when.
    held: Option<(Arc<Transition>, Instant)>,
    last_delivered: Option<Published>,
    /// Failed attempts since the last success.
    failures: u32,
    /// Of those, the ones with a no for the transition that is tried now.
    refusals: u32,
    retry_at: Option<Instant>,
    status: HookStatus,
}

impl Mailbox {
    /// For the hook `name`, with a pause of at most `longest_pause` between attempts.
    pub(super) fn new(name: &str, settle: Duration, longest_pause: Duration) -> Self {
        Self {
            settle,
            longest_pause,
            waiting: VecDeque::new(),
            in_flight: None,
            held: None,
            last_delivered: None,
            failures: 0,
            refusals: 0,
            retry_at: None,
            status: HookStatus {
                name: name.to_owned(),
                delivered: 0,
                failed: 0,
                skipped: 0,
                pending: 0,
                last_error: None,
                last_delivered_ns: None,
            },
        }
    }

    /// Takes a transition in.
    pub(super) fn put(&mut self, transition: Arc<Transition>, now: Instant) {
        let held = self.held.take();
        if held.is_some() {
            self.status.skipped += 1;
        }
        if transition.state == Published::Primary && !self.settle.is_zero() {
            let due = now.checked_add(self.settle).unwrap_or(now);
            self.held = Some((transition, held.map_or(due, |(_, due)| due)));
        } else if held.is_some() && self.last_meant() == Some(transition.state) {
            // The primary that is dropped was never told: nothing has changed.
            self.status.skipped += 1;
        } else {
            self.push(transition);
        }
    }

    /// What to do next.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if let Some((transition, _)) = self.held.take_if(|(_, due)| *due <= now) {
            self.push(transition);
        }
        let retry_at = self.retry_at.filter(|at| *at > now);
        if retry_at.is_none()
            && let Some(transition) = self.waiting.pop_front()
        {
            self.in_flight = Some(Arc::clone(&transition));
            return Next::Deliver(transition);
        }
        let due = self.held.as_ref().map(|(_, due)| *due);
        let retry_at = retry_at.filter(|_| !self.waiting.is_empty());
        Next::Wait([due, retry_at].into_iter().flatten().min())
    }

    /// The attempt has succeeded; says how many had failed before.
    pub(super) fn delivered(&mut self, monotonic_ns: Option<u64>) -> u32 {
        self.last_delivered = self.in_flight.take().map(|transition| transition.state);
        self.status.delivered += 1;
        self.status.last_delivered_ns = monotonic_ns;
        self.retry_at = None;
        self.refusals = 0;
        std::mem::take(&mut self.failures)
    }

    /// The attempt has failed.
    pub(super) fn failed(&mut self, failure: &Failure, now: Instant) -> Verdict {
        let refused = matches!(failure, Failure::Refused(_));
        self.status.failed += 1;
        self.status.last_error = Some(failure.words());
        let tried = self.in_flight.take();
        if let Some(newest) = self.waiting.pop_back() {
            self.skip_waiting();
            self.status.skipped += 1;
            self.refusals = 0;
            self.waiting.push_back(newest);
        } else if refused && self.refusals == RETRIES {
            self.status.skipped += 1;
            self.refusals = 0;
            self.failures = 0;
            self.retry_at = None;
            return Verdict::GivenUp;
        } else {
            self.refusals += u32::from(refused);
            self.waiting.extend(tried);
        }
        let doubled = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.checked_add(doubled.min(self.longest_pause));
        Verdict::Again
    }

    /// Failed attempts since the last success.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// How the hook fares.
    pub(super) fn status(&self) -> HookStatus {
        let held = usize::from(self.held.is_some());
        HookStatus {
            pending: self.waiting.len() + usize::from(self.in_flight.is_some()) + held,
            ..self.status.clone()
        }
    }

    /// The state that the hook will believe in when all is delivered that is to be
    /// told already.
    fn last_meant(&self) -> Option<Published> {
        let newest = self.waiting.back().or(self.in_flight.as_ref());
        newest
            .map(|transition| transition.state)
            .or(self.last_delivered)
    }

    fn push(&mut self, transition: Arc<Transition>) {
        if self.failures != 0 {
            self.skip_waiting();
            self.refusals = 0;
        } else if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
            self.status.skipped += 1;
        }
        self.waiting.push_back(transition);
    }

    fn skip_waiting(&mut self) {
        self.status.skipped += self.waiting.len() as u64;
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests;
