//! Who there is in a run, and how they are configured.

use keepfast::takeover::{Mode, Policy};
use keepfast_common::time::{down_after_ns, interval_ns};

use crate::dice::Dice;
use crate::{MS, SECOND};

/// A guard of the fast path that can be taken away, to see that it is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Guard {
    /// Several unanswered probes are a silence, not one.
    Confirmation,
    /// A sign of life since the loss speaks against a takeover.
    Veto,
    /// A session means something only after a second of answers.
    Learning,
    /// Backups wait for those in line before them.
    Stagger,
    /// Nothing is taken over for a while after a mistake.
    BackOff,
    /// The gateway must answer before a silent master counts as dead.
    Witness,
}

/// A run's configuration; all that is not of one host is the same on all.
#[derive(Debug, Clone)]
pub struct Setup {
    /// VRRP version.
    pub version: u8,
    /// Between two adverts, hundredths of a second.
    pub interval_cs: u16,
    /// Whether a better-ranked backup leaves a master in place.
    pub nopreempt: bool,
    /// Whether the fast path has its gateway asked.
    pub witness: bool,
    /// The priority of each host.
    pub priorities: Vec<u8>,
    /// Between two probes, nanoseconds.
    pub probe_ns: u64,
    /// How many unanswered ones are a silence.
    pub multiplier: u8,
    /// Whether agents run at all.
    pub agents: bool,
    /// The guard that is taken away.
    pub without: Option<Guard>,
}

impl Setup {
    /// That of a seed.
    #[must_use]
    pub fn of(seed: u64, agents: bool, without: Option<Guard>) -> Self {
        let mut dice = Dice::new(seed, 1);
        let hosts = dice.of(&[2, 2, 3, 3, 4, 5]);
        let equal = dice.per_mille(200);
        let priorities = (0..hosts)
            .map(|_| {
                if equal {
                    100
                } else {
                    dice.between(50, 200) as u8
                }
            })
            .collect();
        Self {
            version: dice.of(&[2, 3, 3]),
            interval_cs: 100,
            nopreempt: dice.per_mille(600),
            witness: dice.per_mille(500),
            priorities,
            probe_ns: dice.of(&[MS, MS, 2 * MS]),
            multiplier: dice.of(&[3, 3, 5, 10]),
            agents,
            without,
        }
    }

    /// Between two adverts, nanoseconds.
    #[must_use]
    pub const fn interval_ns(&self) -> u64 {
        interval_ns(self.interval_cs)
    }

    /// After how long a silence a host's keepalived takes over by itself.
    #[must_use]
    pub fn down_ns(&self, host: usize) -> u64 {
        down_after_ns(self.version, self.interval_cs, self.priorities[host])
    }

    /// What a host's takeover engine is told.
    #[must_use]
    pub fn policy(&self, host: usize) -> Policy {
        Policy {
            mode: Mode::Armed,
            drained: false,
            version: self.version,
            witness: self.witness && !self.lacks(Guard::Witness),
            raise: true,
            lease: true,
            solicit: true,
            advert_interval_ns: self.interval_ns(),
            down_ns: self.down_ns(host),
            solicit_interval_ns: 10 * MS,
        }
    }

    /// How long answers must come before silence means anything.
    #[must_use]
    pub fn learn_ns(&self) -> u64 {
        if self.lacks(Guard::Learning) {
            0
        } else {
            SECOND
        }
    }

    /// How many unanswered probes the session takes for a silence.
    #[must_use]
    pub fn judged_multiplier(&self) -> u8 {
        if self.lacks(Guard::Confirmation) {
            1
        } else {
            self.multiplier
        }
    }

    /// Whether this guard is taken away.
    #[must_use]
    pub fn lacks(&self, guard: Guard) -> bool {
        self.without == Some(guard)
    }
}
