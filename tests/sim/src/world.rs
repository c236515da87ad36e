//! What happens when: the queue, and who takes what comes out of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use keepfast_common::event::Party;
use keepfast_common::wire::probe::Probe;

use crate::agent::News;
use crate::checks::Checks;
use crate::daemon::Word;
use crate::dice::Dice;
use crate::faults::{Fault, Script};
use crate::host::{Host, party};
use crate::keepalived::Effect;
use crate::network::Network;
use crate::setup::Setup;
use crate::{MS, SECOND, US};

/// What is on the segment.
#[derive(Debug, Clone, Copy)]
pub enum Frame {
    /// An advert.
    Advert(Party),
    /// Priority 0 to the master alone: does its keepalived live?
    Solicitation,
    /// A probe.
    Probe(Probe),
    /// One that comes back.
    Answer(Probe),
    /// A backup says that it has taken over.
    Taken(Probe),
    /// To the gateway.
    Question,
    /// From it.
    Reply,
}

/// Something that happens.
#[derive(Debug, Clone, Copy)]
pub enum Occurs {
    /// A frame arrives.
    Arrives {
        /// Sender.
        from: usize,
        /// Receiver.
        to: usize,
        /// Which.
        frame: Frame,
    },
    /// A kernel's timer fires.
    KernelTimer {
        /// On which host.
        host: usize,
        /// Of which of its boots.
        boot: u32,
        /// For when it was set.
        due: u64,
    },
    /// keepalived's does, or its twin's.
    KeepalivedTimer {
        /// On which host.
        host: usize,
        /// Of which of its boots.
        boot: u32,
        /// Whether it is the twin's.
        twin: bool,
        /// For when it was set.
        due: u64,
    },
    /// keepalived's socket has an advert; a forged one is not the twin's.
    Heard {
        /// On which host.
        host: usize,
        /// Of which of its boots.
        boot: u32,
        /// Which.
        advert: Party,
        /// Whether the agent made it.
        forged: bool,
    },
    /// The file that keepalived tracks was written.
    Written {
        /// On which host.
        host: usize,
        /// Of which of its boots.
        boot: u32,
    },
    /// The agent's time has come.
    AgentTimer {
        /// On which host.
        host: usize,
        /// To which of its agents.
        life: u32,
        /// For when it was set.
        due: u64,
    },
    /// The kernel or the daemon tells the agent.
    Told {
        /// On which host.
        host: usize,
        /// To which of its agents.
        life: u32,
        /// What.
        news: News,
    },
    /// The daemon is told something.
    Word {
        /// On which host.
        host: usize,
        /// To which of its agents.
        life: u32,
        /// What.
        word: Word,
    },
    /// A lease may be over.
    Lapse {
        /// On which host.
        host: usize,
        /// Of which of its boots.
        boot: u32,
    },
    /// What goes wrong next.
    Fault(Fault),
}

/// All there is.
pub struct World {
    /// Nanoseconds; the clock of all hosts.
    pub now: u64,
    /// How they are configured.
    pub setup: Setup,
    /// For all that is left to chance but faults.
    pub dice: Dice,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// What goes wrong.
    pub script: Script,
    /// The segment.
    pub network: Network,
    /// What must hold.
    pub checks: Checks,
    /// What happened that is worth a line, where that is wanted.
    pub trace: Option<Vec<String>>,
    /// By when they happen, when they would have but for a stall, and their number: what
    /// has waited together is not overtaken.
    queue: BinaryHeap<Reverse<(u64, u64, u64)>>,
    events: BTreeMap<u64, Occurs>,
    number: u64,
}

impl World {
    /// One in which all hosts have just been switched on.
    #[must_use]
    pub fn new(seed: u64, setup: Setup, trace: bool) -> Self {
        let count = setup.priorities.len();
        let mut world = Self {
            now: 100 * SECOND,
            dice: Dice::new(seed, 2),
            script: Script::new(seed),
            hosts: (0..count).map(|number| Host::new(&setup, number)).collect(),
            network: Network::new(count + 1),
            checks: Checks::new(count),
            trace: trace.then(Vec::new),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            number: 0,
            setup,
        };
        world.network.doubled = world.dice.between(0, 20);
        world.network.slow = world.dice.between(0, 20);
        for host in 0..count {
            world.boot(host);
        }
        world
    }

    /// The station that is the gateway.
    #[must_use]
    pub fn gateway(&self) -> usize {
        self.hosts.len()
    }

    /// Notes a line of what happens.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let text = line();
            let since = self.now - 100 * SECOND;
            trace.push(format!(
                "{:>4}.{:06} {text}",
                since / SECOND,
                since % SECOND / US
            ));
        }
    }

    /// It happens then.
    pub fn at(&mut self, time: u64, occurs: Occurs) {
        self.number += 1;
        self.events.insert(self.number, occurs);
        self.queue.push(Reverse((time, time, self.number)));
    }

    /// When the next thing happens.
    #[must_use]
    pub fn next_at(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse((time, ..))| *time)
    }

    /// The next thing happens; `false`: nothing is left to happen.
    pub fn step(&mut self) -> bool {
        let Some(Reverse((time, first, number))) = self.queue.pop() else {
            return false;
        };
        let Some(occurs) = self.events.remove(&number) else {
            return false;
        };
        self.checks.passes(self.now, time);
        self.now = time;
        let resumes = self.stands_still_until(&occurs);
        if resumes > self.now {
            self.events.insert(number, occurs);
            self.queue.push(Reverse((resumes, first, number)));
        } else {
            self.happen(occurs);
            self.arm_all();
        }
        self.check();
        true
    }

    /// Until when the one that this concerns stands still; 0: it does not.
    fn stands_still_until(&self, occurs: &Occurs) -> u64 {
        let host = |number: &usize| self.hosts.get(*number);
        let until = match occurs {
            Occurs::Arrives { to, .. } => host(to).map(|it| it.kernel_until),
            Occurs::KernelTimer { host: it, .. } | Occurs::Lapse { host: it, .. } => {
                host(it).map(|it| it.kernel_until)
            }
            Occurs::KeepalivedTimer { host: it, .. }
            | Occurs::Heard { host: it, .. }
            | Occurs::Written { host: it, .. } => host(it).map(|it| it.keepalived_until),
            Occurs::AgentTimer { host: it, .. }
            | Occurs::Told { host: it, .. }
            | Occurs::Word { host: it, .. } => host(it).map(|it| it.agent_until),
            Occurs::Fault(_) => None,
        };
        until.unwrap_or(0)
    }

    fn happen(&mut self, occurs: Occurs) {
        match occurs {
            Occurs::Arrives { from, to, frame } => self.arrives(from, to, frame),
            Occurs::KernelTimer { host, boot, due } => self.kernel_timer(host, boot, due),
            Occurs::KeepalivedTimer {
                host,
                boot,
                twin,
                due,
            } => {
                let it = &mut self.hosts[host];
                let armed = &mut it.keepalived_due[usize::from(twin)];
                if it.boot == boot && *armed == due {
                    *armed = u64::MAX;
                    self.of_keepalived(host, twin, |it, now, effects| it.tick(now, effects));
                }
            }
            Occurs::Heard {
                host,
                boot,
                advert,
                forged,
            } => {
                if self.hosts[host].boot == boot {
                    self.of_keepalived(host, false, |it, now, effects| {
                        it.receive(now, &advert, effects)
                    });
                    if !forged {
                        self.of_keepalived(host, true, |it, now, effects| {
                            it.receive(now, &advert, effects)
                        });
                    }
                }
            }
            Occurs::Written { host, boot } => {
                if self.hosts[host].boot == boot {
                    let raise = self.hosts[host].raise;
                    self.of_keepalived(host, false, |it, _, _| it.raised(raise));
                }
            }
            Occurs::AgentTimer { host, life, due } => self.agent_timer(host, life, due),
            Occurs::Told { host, life, news } => self.told(host, life, news),
            Occurs::Word { host, life, word } => self.word(host, life, word),
            Occurs::Lapse { host, boot } => self.lapse(host, boot),
            Occurs::Fault(fault) => self.fault(fault),
        }
    }

    /// Has a keepalived, or its twin, do something, and what follows from it.
    pub fn of_keepalived(
        &mut self,
        host: usize,
        twin: bool,
        does: impl FnOnce(&mut crate::keepalived::Keepalived, u64, &mut Vec<Effect>),
    ) {
        let mut effects = Vec::new();
        let it = &mut self.hosts[host];
        let keepalived = if twin {
            &mut it.twin
        } else {
            &mut it.keepalived
        };
        let before = keepalived.state;
        does(keepalived, self.now, &mut effects);
        let after = keepalived.state;
        if before != after {
            let name = if twin { "twin" } else { "keepalived" };
            self.note(|| format!("{host} {name}: {before:?} -> {after:?}"));
        }
        if twin {
            return;
        }
        for effect in effects {
            match effect {
                Effect::Advert(priority) => self.advertise(host, priority),
                Effect::Add => {
                    self.hosts[host].address.get_or_insert(u64::MAX);
                }
                Effect::Remove => self.hosts[host].address = None,
            }
        }
    }

    /// An advert of the host's own leaves.
    pub fn advertise(&mut self, host: usize, priority: u8) {
        let advert = party(&self.setup, host, priority, self.now);
        self.note(|| format!("{host} advertises {priority}"));
        self.sent_advert(host, &advert);
        for to in 0..self.hosts.len() {
            if to != host {
                self.send(host, to, Frame::Advert(advert));
            }
        }
    }

    /// A frame leaves.
    pub fn send(&mut self, from: usize, to: usize, frame: Frame) {
        let able = |host: Option<&Host>| host.is_none_or(|it| it.alive && it.link_up);
        if !able(self.hosts.get(from)) || !able(self.hosts.get(to)) {
            return;
        }
        let copies = self.network.travel(from, to, self.now, &mut self.dice);
        for travel in copies.into_iter().flatten() {
            self.at(self.now + travel, Occurs::Arrives { from, to, frame });
        }
    }

    /// A host gets power.
    pub fn boot(&mut self, host: usize) {
        let fresh = Host {
            boot: self.hosts[host].boot + 1,
            lives: self.hosts[host].lives,
            alive: true,
            ..Host::new(&self.setup, host)
        };
        self.hosts[host] = fresh;
        self.note(|| format!("{host} boots"));
        self.start_keepalived(host);
        if self.setup.agents {
            let delay = self.dice.between(50 * MS, 800 * MS);
            self.at(self.now + delay, Occurs::Fault(Fault::AgentStarts { host }));
        }
    }

    /// keepalived and its twin start.
    pub fn start_keepalived(&mut self, host: usize) {
        let (link_up, raise) = (self.hosts[host].link_up, self.hosts[host].raise);
        self.of_keepalived(host, false, |it, now, _| it.start(now, link_up, raise));
        self.of_keepalived(host, true, |it, now, _| it.start(now, link_up, 0));
    }

    fn lapse(&mut self, host: usize, boot: u32) {
        let it = &mut self.hosts[host];
        if it.boot == boot && it.address.is_some_and(|until| until <= self.now) {
            self.remove_address(host);
        }
    }

    /// Somebody else than keepalived removes the addresses.
    pub fn remove_address(&mut self, host: usize) {
        if self.hosts[host].address.take().is_some() {
            self.of_keepalived(host, false, |it, now, effects| it.robbed(now, effects));
        }
    }

    /// Sets the timers that are to fire otherwise than they are set.
    fn arm_all(&mut self) {
        for host in 0..self.hosts.len() {
            let boot = self.hosts[host].boot;
            for twin in [false, true] {
                let it = &mut self.hosts[host];
                let keepalived = if twin { &it.twin } else { &it.keepalived };
                let due = keepalived.deadline();
                if due < it.keepalived_due[usize::from(twin)] {
                    it.keepalived_due[usize::from(twin)] = due;
                    let at = due.max(self.now);
                    self.at(
                        at,
                        Occurs::KeepalivedTimer {
                            host,
                            boot,
                            twin,
                            due,
                        },
                    );
                }
            }
            self.look_for_daemon(host);
            self.arm_kernel(host);
            self.arm_agent(host);
        }
    }
}
