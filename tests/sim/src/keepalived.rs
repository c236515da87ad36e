//! One virtual router of keepalived 2.2: RFC 9568's states with keepalived's timers.
//!
//! | state  | event                                  | next   | what happens                |
//! |--------|----------------------------------------|--------|-----------------------------|
//! | backup | advert of priority 0                   | backup | the timer is the skew       |
//! | backup | advert as good, or nopreempt           | backup | the timer begins anew       |
//! | backup | a lower one                            | backup | the timer goes on           |
//! | backup | the timer ends                         | master | advert, addresses           |
//! | backup | its priority changes                   | backup | the timer moves as much     |
//! | master | advert of priority 0, or a lower one   | master | advert at once              |
//! | master | a better one                           | backup | addresses go                |
//! | master | the interval ends                      | master | advert                      |
//! | any    | the interface goes down                | fault  | addresses go                |
//! | fault  | it comes up                            | backup | the timer begins anew       |

use keepfast_common::event::Party;
use keepfast_common::time::{interval_ns, skew_ns};

use crate::setup::Setup;

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does not run.
    Stopped,
    /// Its interface is down.
    Fault,
    /// It waits for the master to fail.
    Backup,
    /// It serves.
    Master,
}

/// What it does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// An advert of this priority.
    Advert(u8),
    /// It adds its addresses and announces them.
    Add,
    /// It removes them.
    Remove,
}

/// A keepalived.
#[derive(Debug, Clone)]
pub struct Keepalived {
    /// What it is.
    pub state: State,
    version: u8,
    nopreempt: bool,
    base: u8,
    raise: u8,
    address: [u8; 16],
    interval_cs: u16,
    /// Of the master, as adopted.
    master_cs: u16,
    /// How long the timer was set to.
    down_ns: u64,
    due: u64,
}

impl Keepalived {
    /// One that does not run yet.
    #[must_use]
    pub fn new(setup: &Setup, host: usize, address: [u8; 16]) -> Self {
        Self {
            state: State::Stopped,
            version: setup.version,
            nopreempt: setup.nopreempt,
            base: setup.priorities[host],
            raise: 0,
            address,
            interval_cs: setup.interval_cs,
            master_cs: setup.interval_cs,
            down_ns: 0,
            due: u64::MAX,
        }
    }

    /// When time alone has something to do; `u64::MAX` for never.
    #[must_use]
    pub const fn deadline(&self) -> u64 {
        self.due
    }

    /// Its priority as it advertises it.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.base.saturating_add(self.raise).min(254)
    }

    /// Whether it serves.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.state == State::Master
    }

    /// It starts; `raise` is what the tracked file says.
    pub fn start(&mut self, now: u64, link_up: bool, raise: u8) {
        self.raise = raise;
        if link_up {
            self.wait(now);
        } else {
            self.state = State::Fault;
        }
    }

    /// It is gone at once: addresses stay.
    pub fn kill(&mut self) {
        self.state = State::Stopped;
        self.due = u64::MAX;
    }

    /// It is told to end.
    pub fn stop(&mut self, effects: &mut Vec<Effect>) {
        if self.is_master() {
            effects.extend([Effect::Advert(0), Effect::Remove]);
        }
        self.kill();
    }

    /// Its interface went up or down.
    pub fn link(&mut self, now: u64, up: bool, effects: &mut Vec<Effect>) {
        match (self.state, up) {
            (State::Fault, true) => self.wait(now),
            (State::Backup | State::Master, false) => {
                if self.is_master() {
                    effects.push(Effect::Remove);
                }
                self.state = State::Fault;
                self.due = u64::MAX;
            }
            _ => {}
        }
    }

    /// Somebody else removed its addresses.
    pub fn robbed(&mut self, now: u64, effects: &mut Vec<Effect>) {
        if self.is_master() {
            effects.push(Effect::Advert(0));
            self.wait(now);
        }
    }

    /// The tracked file says so.
    pub fn raised(&mut self, value: u8) {
        if self.raise == value {
            return;
        }
        self.raise = value;
        if self.state == State::Backup {
            let down_ns = self.whole_ns();
            self.due = self
                .due
                .saturating_add(down_ns)
                .saturating_sub(self.down_ns);
            self.down_ns = down_ns;
        }
    }

    /// An advert came in, a true or a forged one.
    pub fn receive(&mut self, now: u64, advert: &Party, effects: &mut Vec<Effect>) {
        match self.state {
            State::Backup => self.receive_as_backup(now, advert),
            State::Master => self.receive_as_master(now, advert, effects),
            State::Stopped | State::Fault => {}
        }
    }

    /// The time has come that [`Self::deadline`] named.
    pub fn tick(&mut self, now: u64, effects: &mut Vec<Effect>) {
        if now < self.due {
            return;
        }
        if self.state == State::Backup {
            self.state = State::Master;
            self.master_cs = self.interval_cs;
            effects.extend([Effect::Advert(self.priority()), Effect::Add]);
        } else {
            effects.push(Effect::Advert(self.priority()));
        }
        self.due = now + interval_ns(self.interval_cs);
    }

    fn receive_as_backup(&mut self, now: u64, advert: &Party) {
        if advert.priority == 0 {
            self.down_ns = self.skew_ns();
        } else if self.nopreempt || advert.priority >= self.priority() {
            if self.version == 3 {
                self.master_cs = advert.interval_cs;
            }
            self.down_ns = self.whole_ns();
        } else {
            return;
        }
        self.due = now + self.down_ns;
    }

    fn receive_as_master(&mut self, now: u64, advert: &Party, effects: &mut Vec<Effect>) {
        let own = Party {
            priority: self.priority(),
            address: self.address,
            ..Party::NOBODY
        };
        if advert.priority != 0 && advert.outranks(&own) {
            effects.push(Effect::Remove);
            if self.version == 3 {
                self.master_cs = advert.interval_cs;
            }
            self.state = State::Backup;
            self.down_ns = self.whole_ns();
            self.due = now + self.down_ns;
        } else {
            effects.push(Effect::Advert(self.priority()));
            self.due = now + interval_ns(self.interval_cs);
        }
    }

    fn wait(&mut self, now: u64) {
        self.state = State::Backup;
        self.master_cs = self.interval_cs;
        self.down_ns = self.whole_ns();
        self.due = now + self.down_ns;
    }

    fn skew_ns(&self) -> u64 {
        skew_ns(self.version, self.master_cs, self.priority())
    }

    fn whole_ns(&self) -> u64 {
        3 * interval_ns(self.master_cs) + self.skew_ns()
    }
}
