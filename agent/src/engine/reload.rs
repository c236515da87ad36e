//! When keepalived is made to read its configuration again.
//!
//! Each reload costs the master two adverts and has made older keepaliveds flap.
//! So: never for a configuration that it has already, unless an interface is another one by
//! now; at most one in
//! [`Throttle::interval_ns`]; and in a burst of changes the last one wins.

use std::sync::Arc;

use super::upkeep::Nanos;

/// How long a configuration that keepalived refused is let be, unless another one
/// comes: what it stumbled over may have been the interfaces.
const REFUSED_NS: Nanos = 30_000_000_000;

/// The configuration of a keepalived.
#[derive(Debug, Clone)]
pub struct Throttle {
    interval_ns: Nanos,
    wanted: Arc<str>,
    loaded: Option<Arc<str>>,
    /// Until when none is due: after a reload, or a start.
    not_before: Nanos,
    under_way: Option<Arc<str>>,
    refused: Option<(Arc<str>, Nanos)>,
    /// What is loaded is to be loaded again.
    again: bool,
}

impl Throttle {
    /// Nothing loaded; `wanted` is what shall be. At most one reload in 1.5 times
    /// `advert_interval_ns`.
    #[must_use]
    pub const fn new(wanted: Arc<str>, advert_interval_ns: Nanos) -> Self {
        Self {
            interval_ns: throttle_ns(advert_interval_ns),
            wanted,
            loaded: None,
            not_before: 0,
            under_way: None,
            refused: None,
            again: false,
        }
    }

    /// What keepalived knows by its configuration is another thing now: it is to read it again.
    pub fn again(&mut self) {
        self.again = true;
    }

    /// Another configuration shall be loaded.
    pub fn want(&mut self, wanted: Arc<str>, advert_interval_ns: Nanos) {
        self.interval_ns = throttle_ns(advert_interval_ns);
        self.wanted = wanted;
    }

    /// A keepalived was found running with `configuration`.
    pub fn found(&mut self, configuration: Option<Arc<str>>, now: Nanos) {
        self.loaded = configuration;
        self.not_before = now + self.interval_ns;
    }

    /// The configuration to start a keepalived with; how that went is told as the
    /// outcome of a reload is.
    pub fn start(&mut self) -> Arc<str> {
        self.under_way = Some(Arc::clone(&self.wanted));
        self.again = false;
        Arc::clone(&self.wanted)
    }

    /// keepalived has ended, or did not start: what was refused of it is forgotten.
    pub fn ended(&mut self) {
        self.loaded = None;
        self.under_way = None;
        self.refused = None;
    }

    /// The configuration to load now, if one is due.
    pub fn next(&mut self, now: Nanos) -> Option<Arc<str>> {
        if self.deadline()? > now {
            return None;
        }
        self.under_way = Some(Arc::clone(&self.wanted));
        self.again = false;
        self.under_way.clone()
    }

    /// When [`Self::next`] has one to load; `None`: never, as things are.
    #[must_use]
    pub fn deadline(&self) -> Option<Nanos> {
        if self.under_way.is_some() || !self.is_pending() {
            return None;
        }
        match &self.refused {
            Some((refused, at)) if *refused == self.wanted => {
                Some(self.not_before.max(at + REFUSED_NS))
            }
            _ => Some(self.not_before),
        }
    }

    /// How the start or reload went that was under way: whether it was accepted.
    pub fn done(&mut self, accepted: bool, now: Nanos) {
        let Some(configuration) = self.under_way.take() else {
            return;
        };
        if accepted {
            self.not_before = now + self.interval_ns;
            self.loaded = Some(configuration);
            self.refused = None;
        } else {
            self.refused = Some((configuration, now));
        }
    }

    /// Whether what shall be loaded is not.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.again || self.loaded.as_ref() != Some(&self.wanted)
    }
}

const fn throttle_ns(advert_interval_ns: Nanos) -> Nanos {
    advert_interval_ns.saturating_mul(3) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn text(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    /// Loaded "a" at 0, with adverts every 2 s: the next reload is due at 3 s.
    fn loaded() -> Throttle {
        let mut throttle = Throttle::new(text("a"), 2 * SECOND);
        throttle.found(Some(text("a")), 0);
        throttle
    }

    #[test]
    fn what_is_loaded_is_not_loaded_again() {
        let mut throttle = loaded();
        throttle.want(text("a"), 2 * SECOND);
        assert_eq!(throttle.deadline(), None);
        assert_eq!(throttle.next(100 * SECOND), None);
        // There and back within a burst.
        throttle.want(text("b"), 2 * SECOND);
        throttle.want(text("a"), 2 * SECOND);
        assert_eq!(throttle.next(100 * SECOND), None);
    }

    #[test]
    fn of_a_burst_the_last_is_loaded_when_its_time_comes() {
        let mut throttle = loaded();
        for name in ["b", "c", "d"] {
            throttle.want(text(name), 2 * SECOND);
            assert_eq!(throttle.next(SECOND), None);
        }
        assert_eq!(throttle.deadline(), Some(3 * SECOND));
        assert_eq!(throttle.next(3 * SECOND), Some(text("d")));
        // One at a time, whatever comes meanwhile.
        throttle.want(text("e"), 2 * SECOND);
        assert_eq!(throttle.next(9 * SECOND), None);
        throttle.done(true, 10 * SECOND);
        assert_eq!(throttle.next(13 * SECOND - 1), None);
        assert_eq!(throttle.next(13 * SECOND), Some(text("e")));
    }

    #[test]
    fn the_first_change_after_a_quiet_time_is_loaded_at_once() {
        let mut throttle = loaded();
        throttle.want(text("b"), 2 * SECOND);
        assert_eq!(throttle.next(5 * SECOND), Some(text("b")));
    }

    #[test]
    fn a_refused_one_is_let_be_until_another_comes() {
        let mut throttle = loaded();
        throttle.want(text("bad"), 2 * SECOND);
        assert_eq!(throttle.next(5 * SECOND), Some(text("bad")));
        throttle.done(false, 5 * SECOND);
        assert!(throttle.is_pending());
        assert_eq!(throttle.next(34 * SECOND), None);
        assert_eq!(throttle.deadline(), Some(35 * SECOND));
        throttle.want(text("good"), 2 * SECOND);
        assert_eq!(throttle.next(34 * SECOND), Some(text("good")));
    }

    #[test]
    fn what_was_declared_during_a_start_is_loaded_after_it() {
        let mut throttle = Throttle::new(text("a"), 2 * SECOND);
        assert_eq!(throttle.start(), text("a"));
        throttle.want(text("b"), 2 * SECOND);
        assert_eq!(throttle.next(9 * SECOND), None);
        throttle.done(true, 9 * SECOND);
        assert_eq!(throttle.next(12 * SECOND - 1), None);
        assert_eq!(throttle.next(12 * SECOND), Some(text("b")));
    }

    #[test]
    fn what_is_to_be_read_again_is_read_once() {
        let mut throttle = loaded();
        throttle.again();
        assert_eq!(throttle.next(SECOND), None);
        assert_eq!(throttle.next(3 * SECOND), Some(text("a")));
        // Something is another one while it reads.
        throttle.again();
        throttle.done(true, 3 * SECOND);
        assert_eq!(throttle.next(6 * SECOND), Some(text("a")));
        throttle.done(true, 6 * SECOND);
        assert_eq!(throttle.deadline(), None);
        // A start reads it too.
        throttle.again();
        throttle.ended();
        assert_eq!(throttle.start(), text("a"));
        throttle.done(true, 20 * SECOND);
        assert_eq!(throttle.deadline(), None);
    }

    #[test]
    fn one_that_runs_with_an_unknown_configuration_is_reloaded() {
        let mut throttle = Throttle::new(text("a"), 2 * SECOND);
        throttle.found(None, 0);
        assert_eq!(throttle.next(3 * SECOND), Some(text("a")));
    }
}
