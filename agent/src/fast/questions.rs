//! Asking somebody again and again, at the pace of tens of milliseconds, and noticing
//! that the answers stay out: a gateway by ARP, a master's keepalived by solicitation.
//!
//! As for probes, only questions that left in time are evidence, and silence means
//! something only of one that has answered for a while.

use crate::engine::Nanos;

/// How long answers must come before their absence means anything.
const LEARN_NS: Nanos = 1_000_000_000;

/// What a question showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing new.
    Nothing,
    /// Answers stay out.
    Silent,
    /// Answers come again.
    Back,
}

/// The questions to one, and how they were answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Questions {
    interval_ns: Nanos,
    multiplier: u32,
    /// When the last one was asked; 0: none was.
    asked_ns: Nanos,
    /// When the first of the unanswered ones in a row was.
    first_ns: Nanos,
    unanswered: u32,
    /// Since when answers come; 0: they do not.
    answered_since_ns: Nanos,
    /// Whether the last question that tells was answered.
    answered: bool,
    silent: bool,
}

impl Questions {
    pub(super) fn new(interval_ns: Nanos, multiplier: u8) -> Self {
        Self {
            interval_ns,
            multiplier: multiplier.into(),
            ..Self::default()
        }
    }

    /// When the next one is to be asked.
    pub(super) const fn due(&self) -> Nanos {
        self.asked_ns.saturating_add(self.interval_ns)
    }

    /// One is asked at `now`; the last answer came at `heard_ns`. What is found of
    /// those before.
    pub(super) fn ask(&mut self, now: Nanos, heard_ns: Nanos) -> Finding {
        let mut finding = Finding::Nothing;
        if self.asked_ns != 0 {
            finding = self.look_back(now, heard_ns);
        }
        self.asked_ns = now;
        finding
    }

    fn look_back(&mut self, now: Nanos, heard_ns: Nanos) -> Finding {
        if heard_ns >= self.asked_ns {
            self.unanswered = 0;
            self.answered = true;
            if self.answered_since_ns == 0 {
                self.answered_since_ns = now;
            }
            if self.silent {
                self.silent = false;
                return Finding::Back;
            }
            return Finding::Nothing;
        }
        let limit = self.interval_ns + self.interval_ns / 2;
        if now > self.asked_ns.saturating_add(limit) {
            self.unanswered = 0;
            return Finding::Nothing;
        }
        if self.unanswered == 0 {
            self.first_ns = self.asked_ns;
        }
        self.unanswered += 1;
        self.answered = false;
        if self.silent || self.unanswered < self.multiplier {
            return Finding::Nothing;
        }
        let learnt = self.has_learnt(now);
        self.answered_since_ns = 0;
        self.silent = learnt;
        if learnt {
            Finding::Silent
        } else {
            Finding::Nothing
        }
    }

    fn has_learnt(&self, now: Nanos) -> bool {
        self.answered_since_ns != 0 && now >= self.answered_since_ns.saturating_add(LEARN_NS)
    }

    /// Whether answers stay out.
    pub(super) const fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether the last question was answered: one that is being lost is in doubt before
    /// it is silent.
    pub(super) const fn answers(&self) -> bool {
        self.answered && !self.silent
    }

    /// Whether answers come and have for a while.
    pub(super) fn is_up(&self, now: Nanos) -> bool {
        !self.silent && self.has_learnt(now)
    }

    /// When the first of the unanswered ones in a row was asked.
    pub(super) const fn first_ns(&self) -> Nanos {
        self.first_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Nanos = 10_000_000;

    fn up() -> (Questions, Nanos) {
        let mut questions = Questions::new(STEP, 3);
        let mut now = STEP;
        for _ in 0..120 {
            assert_eq!(questions.ask(now, now - STEP / 2), Finding::Nothing);
            now += STEP;
        }
        assert!(questions.is_up(now));
        (questions, now)
    }

    #[test]
    fn three_unanswered_ones_are_a_silence() {
        let (mut questions, now) = up();
        let heard = now - STEP / 2;
        assert_eq!(questions.ask(now, heard), Finding::Nothing);
        assert!(questions.answers());
        assert_eq!(questions.ask(now + STEP, heard), Finding::Nothing);
        assert!(!questions.answers());
        assert_eq!(questions.ask(now + 2 * STEP, heard), Finding::Nothing);
        assert_eq!(questions.ask(now + 3 * STEP, heard), Finding::Silent);
        assert_eq!(questions.first_ns(), now);
        assert_eq!(questions.ask(now + 4 * STEP, heard), Finding::Nothing);
        let back = now + 5 * STEP;
        assert_eq!(questions.ask(back, back - 1), Finding::Back);
        assert!(questions.answers());
    }

    #[test]
    fn late_ones_are_no_evidence() {
        let (mut questions, now) = up();
        let heard = now - STEP / 2;
        for step in 0..50 {
            assert_eq!(
                questions.ask(now + 2 * step * STEP, heard),
                Finding::Nothing
            );
            assert!(questions.answers());
        }
    }

    #[test]
    fn one_that_has_not_answered_for_long_is_not_missed() {
        let mut questions = Questions::new(STEP, 3);
        assert!(!questions.answers());
        for step in 1..20 {
            questions.ask(step * STEP, step * STEP - 1);
        }
        for step in 20..30 {
            assert_eq!(questions.ask(step * STEP, 19 * STEP), Finding::Nothing);
        }
    }
}
