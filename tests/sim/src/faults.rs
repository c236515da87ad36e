//! What goes wrong: which, whom, and for how long follow from the seed.

use crate::daemon::Daemon;
use crate::dice::Dice;
use crate::world::{Occurs, World};
use crate::{MS, SECOND};

/// Something that goes wrong, or is right again.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The next one is drawn.
    Next,
    /// A host gets power again.
    PowerOn {
        /// On which host.
        host: usize,
    },
    /// A host's interface carries frames again.
    LinkUp {
        /// On which host.
        host: usize,
    },
    /// keepalived is started.
    KeepalivedStarts {
        /// On which host.
        host: usize,
        /// Of which of its boots.
        boot: u32,
    },
    /// An agent is started.
    AgentStarts {
        /// On which host.
        host: usize,
    },
    /// A path loses no frames any more.
    LossEnds {
        /// Sender.
        from: usize,
        /// Receiver.
        to: usize,
    },
    /// A path is cut until then.
    Cut {
        /// Sender.
        from: usize,
        /// Receiver.
        to: usize,
        /// Until when.
        until: u64,
    },
}

/// The faults of a run, drawn apart from all else: they are the same ones, at the same
/// times, without agents.
#[derive(Debug)]
pub struct Script {
    dice: Dice,
}

impl Script {
    /// That of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed, 3),
        }
    }

    fn duration(&mut self) -> u64 {
        let (low, high) =
            self.dice
                .of(&[(2, 15), (10, 60), (50, 500), (500, 3_000), (3_000, 9_000)]);
        self.dice.between(low, high) * MS
    }
}

impl World {
    pub(crate) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Next => self.next_fault(),
            Fault::PowerOn { host } => {
                if !self.hosts[host].alive {
                    self.boot(host);
                }
            }
            Fault::LinkUp { host } => self.set_link(host, true),
            Fault::KeepalivedStarts { host, boot } => {
                let it = &self.hosts[host];
                // By the daemon, where there is one.
                let may = it.daemon.as_ref().is_none_or(Daemon::starts);
                if it.alive && it.boot == boot && may && !it.keepalived_runs() {
                    self.hosts[host].address = None;
                    self.start_keepalived(host);
                }
            }
            Fault::AgentStarts { host } => {
                if self.hosts[host].alive && self.hosts[host].agent.is_none() {
                    self.start_agent(host);
                }
            }
            Fault::LossEnds { from, to } => self.network.path(from, to).loss = 0,
            Fault::Cut { from, to, until } => {
                let path = self.network.path(from, to);
                path.cut_until = path.cut_until.max(until);
            }
        }
    }

    fn set_link(&mut self, host: usize, up: bool) {
        if self.hosts[host].alive && self.hosts[host].link_up != up {
            self.note(|| format!("{host} link up: {up}"));
            self.hosts[host].link_up = up;
            for twin in [false, true] {
                self.of_keepalived(host, twin, |it, now, effects| it.link(now, up, effects));
            }
        }
    }

    fn next_fault(&mut self) {
        let pause = match self.script.dice.below(4) {
            0 => self.script.dice.between(5, 200),
            1 => self.script.dice.between(200, 2_000),
            _ => self.script.dice.between(1_500, 9_000),
        };
        self.at(self.now + pause * MS, Occurs::Fault(Fault::Next));
        // Mostly the one that serves; else anybody.
        let count = self.hosts.len();
        let anybody = self.script.dice.below(count);
        let primary = (0..count).find(|it| self.hosts[*it].serves());
        let host = if self.script.dice.per_mille(600) {
            primary.unwrap_or(anybody)
        } else {
            anybody
        };
        let other = (host + 1 + self.script.dice.below(count - 1)) % count;
        let lasts = self.script.duration();
        let until = self.now + lasts;
        let kind = self.script.dice.below(15);
        self.note(|| format!("fault {kind} of {host} (and {other}) for {} ms", lasts / MS));
        let boot = self.hosts[host].boot;
        match kind {
            0 => self.power_off(host, until),
            1 => {
                self.set_link(host, false);
                self.at(until, Occurs::Fault(Fault::LinkUp { host }));
            }
            2 => self.cut(&[(host, other)], until),
            3 => self.cut(&[(host, other), (other, host)], until),
            4 => self.part(host, count, until),
            5 => self.part(host, count + 1, until),
            6..=9 => {
                // One that stands still already is not made to go on by another fault.
                let it = &mut self.hosts[host];
                let stall = |until_ns: &mut u64| *until_ns = (*until_ns).max(until);
                if kind != 7 {
                    stall(&mut it.agent_until);
                }
                if kind != 6 {
                    stall(&mut it.keepalived_until);
                }
                if kind == 9 {
                    stall(&mut it.kernel_until);
                }
            }
            10 | 11 => {
                let it = &mut self.hosts[host];
                if kind == 10 {
                    it.keepalived.kill();
                    it.twin.kill();
                } else {
                    self.of_keepalived(host, false, |it, _, effects| it.stop(effects));
                    self.of_keepalived(host, true, |it, _, effects| it.stop(effects));
                }
                self.hosts[host].down_until = until;
                self.at(until, Occurs::Fault(Fault::KeepalivedStarts { host, boot }));
            }
            12 => {
                self.hosts[host].agent = None;
                self.checks.agent_ends(host, self.now);
                if self.setup.agents {
                    let until = until + self.script.dice.of(&[0, 0, 0, 20 * SECOND]);
                    self.at(until, Occurs::Fault(Fault::AgentStarts { host }));
                }
            }
            13 => {
                let loss = self.script.dice.between(10, 300);
                for to in (0..=count).filter(|to| *to != host) {
                    self.network.path(host, to).loss = loss;
                    self.network.path(to, host).loss = loss;
                    self.at(until, Occurs::Fault(Fault::LossEnds { from: host, to }));
                    self.at(until, Occurs::Fault(Fault::LossEnds { from: to, to: host }));
                }
            }
            _ => self.flap(host, other),
        }
    }

    fn power_off(&mut self, host: usize, until: u64) {
        let it = &mut self.hosts[host];
        it.alive = false;
        it.boot += 1;
        it.agent = None;
        it.keepalived.kill();
        it.twin.kill();
        it.address = None;
        self.checks.agent_ends(host, self.now);
        self.at(until + SECOND / 2, Occurs::Fault(Fault::PowerOn { host }));
    }

    fn cut(&mut self, paths: &[(usize, usize)], until: u64) {
        for &(from, to) in paths {
            self.fault(Fault::Cut { from, to, until });
        }
    }

    /// A host is apart from all below `stations`, one way or both.
    fn part(&mut self, host: usize, stations: usize, until: u64) {
        let which = self.script.dice.below(3);
        for other in (0..stations).filter(|it| *it != host) {
            if which != 0 {
                self.fault(Fault::Cut {
                    from: host,
                    to: other,
                    until,
                });
            }
            if which != 1 {
                self.fault(Fault::Cut {
                    from: other,
                    to: host,
                    until,
                });
            }
        }
    }

    /// A path comes back bit by bit.
    fn flap(&mut self, host: usize, other: usize) {
        let mut at = self.now;
        for _ in 0..self.script.dice.between(3, 8) {
            let until = at + self.script.dice.between(100, 1_500) * MS;
            for (from, to) in [(host, other), (other, host)] {
                self.at(at, Occurs::Fault(Fault::Cut { from, to, until }));
            }
            at = until + self.script.dice.between(20, 400) * MS;
        }
    }
}
