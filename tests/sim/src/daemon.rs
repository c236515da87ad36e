//! The agent's daemon on a host: keepfast's own engine for one managed router, told what
//! the daemon would be told, a moment after it is so.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use keepfast::engine::{
    Action, Adverts, Engine, Input, Liveness, Place, Plan, Program, Published, State, Transition,
};
use keepfast_common::event::EventKind;
use keepfast_common::wire::vrrp::RESIGN;

use crate::faults::Fault;
use crate::world::{Occurs, World};
use crate::{MS, US};

/// What each router is declared as; the engine makes no difference between hosts.
const ROUTER: &str = r#"
namespace = "office"

[vrrp]
interface = "ha0"
vrid = 7

[[address]]
interface = "lan0"
address = "10.0.0.1/24"
"#;

#[expect(
    clippy::expect_used,
    reason = "a constant: a simulation with a wrong one cannot begin"
)]
static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let router = keepfast::config::file::parse(ROUTER, "the simulation", Some("simulated"))
        .expect("the simulated router is declared rightly");
    Plan {
        router: router.into(),
        configuration: Some("keepalived.conf".into()),
        radvd: None,
        conntrackd: None,
        addresses: vec![place()],
        instance: None,
        advert_interval_ns: crate::SECOND,
    }
});

#[expect(clippy::expect_used, reason = "as above")]
fn place() -> Place {
    Place {
        interface: "lan0".parse().expect("an interface"),
        address: "10.0.0.1/24".parse().expect("an address"),
    }
}

/// What is true of a host, as the daemon finds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Truth {
    address: bool,
    runs: bool,
    link_up: bool,
}

/// What the daemon lets the fast path know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The router is a backup at rest.
    pub backup: bool,
    /// Its keepalived runs, or is not known not to.
    pub keepalived_runs: bool,
    /// Its interfaces carry frames.
    pub link_up: bool,
}

/// What the daemon is told.
#[derive(Debug, Clone, Copy)]
pub enum Word {
    /// The address appeared or went.
    Address(bool),
    /// keepalived runs, or has ended.
    Keepalived(bool),
    /// The interface went up or down.
    Link(bool),
    /// This host's router was seen to send, or not to.
    Adverts(Adverts),
    /// Something is due.
    Tick,
    /// What the fast path is let know.
    Know(Known),
}

/// The daemon, for its one router.
#[derive(Debug)]
pub struct Daemon {
    engine: Engine,
    /// Of which agent.
    life: u32,
    /// As it has been, or is being, told.
    truth: Truth,
    known: Known,
    ticks: bool,
    /// keepalived is to be started, and was not yet.
    starts: bool,
    told: Option<Transition>,
    /// Since when nothing has happened that is to be told.
    calm_since: u64,
}

impl Daemon {
    /// Whether keepalived is to be started by it now.
    #[must_use]
    pub const fn starts(&self) -> bool {
        self.starts
    }

    /// What the fast path begins with.
    #[must_use]
    pub const fn known(&self) -> Known {
        self.known
    }

    fn what_is_known(&self) -> Known {
        Known {
            backup: self.engine.state() == State::Backup,
            keepalived_runs: self.engine.keepalived() != Liveness::Ended,
            link_up: self.engine.interfaces_up(),
        }
    }
}

impl World {
    fn truth(&self, host: usize) -> Truth {
        let it = &self.hosts[host];
        Truth {
            address: it.address.is_some(),
            runs: it.keepalived_runs(),
            link_up: it.link_up,
        }
    }

    /// An agent's daemon starts: it looks at what there is.
    pub(crate) fn start_daemon(&mut self, host: usize) {
        let now = self.now;
        let truth = self.truth(host);
        let known = Known {
            backup: false,
            keepalived_runs: false,
            link_up: false,
        };
        self.hosts[host].daemon = Some(Daemon {
            engine: Engine::new(PLAN.clone(), now),
            life: self.hosts[host].lives,
            truth,
            known,
            ticks: false,
            starts: false,
            told: None,
            calm_since: now,
        });
        self.step_daemon(host, interfaces(truth.link_up));
        if truth.runs {
            self.step_daemon(host, found());
        }
        self.step_daemon(host, address(truth.address));
        self.step_daemon(host, Input::Looked);
        if let Some(daemon) = &mut self.hosts[host].daemon {
            daemon.known = daemon.what_is_known();
        }
    }

    /// Finds out what the daemon is to be told.
    pub(crate) fn look_for_daemon(&mut self, host: usize) {
        let now = self.now;
        let is = self.truth(host);
        let it = &mut self.hosts[host];
        if it.agent.is_none() {
            it.daemon = None;
        }
        let Some(daemon) = &mut it.daemon else {
            return;
        };
        let was = std::mem::replace(&mut daemon.truth, is);
        let ticks = !daemon.ticks && daemon.engine.deadline().is_some_and(|due| due <= now);
        daemon.ticks |= ticks;
        if was != is {
            daemon.calm_since = now;
        }
        // By netlink, and by a pidfd.
        if was.link_up != is.link_up {
            self.tell_daemon(host, Word::Link(is.link_up), 300 * US);
        }
        if was.address != is.address {
            self.tell_daemon(host, Word::Address(is.address), 300 * US);
        }
        if was.runs != is.runs {
            self.tell_daemon(host, Word::Keepalived(is.runs), 5 * MS);
        }
        if ticks {
            self.tell_daemon(host, Word::Tick, 100 * US);
        }
    }

    fn tell_daemon(&mut self, host: usize, word: Word, longest_ns: u64) {
        let life = self.hosts[host].lives;
        let delay = self.dice.between(30 * US, longest_ns);
        // One source never overtakes itself.
        let due = &mut self.hosts[host].daemon_due;
        *due = (*due).max(self.now + delay);
        let at = *due;
        self.at(at, Occurs::Word { host, life, word });
    }

    /// The kernel tells the daemon of the virtual router.
    pub(crate) fn daemon_hears(&mut self, host: usize, kind: EventKind, local: bool) {
        let adverts = match kind {
            EventKind::LocalMaster | EventKind::LocalResumed => Adverts::Sent,
            EventKind::LocalResigned => Adverts::Resigned,
            EventKind::MasterDown => Adverts::Unseen,
            EventKind::MasterAppeared | EventKind::MasterChanged if !local => Adverts::Unseen,
            _ => return,
        };
        if self.hosts[host].daemon.is_some() {
            self.tell_daemon(host, Word::Adverts(adverts), 300 * US);
        }
    }

    pub(crate) fn word(&mut self, host: usize, life: u32, word: Word) {
        let Some(daemon) = &mut self.hosts[host].daemon else {
            return;
        };
        if daemon.life != life {
            return;
        }
        let input = match word {
            Word::Address(present) => address(present),
            Word::Keepalived(true) if daemon.starts => {
                daemon.starts = false;
                Input::Started(Program::Keepalived)
            }
            Word::Keepalived(true) => found(),
            Word::Keepalived(false) => Input::Ended(Program::Keepalived, "killed".to_owned()),
            Word::Link(up) => interfaces(up),
            Word::Adverts(adverts) => Input::Adverts(adverts),
            Word::Tick => {
                daemon.ticks = false;
                Input::Tick
            }
            Word::Know(known) => return self.let_know(host, known),
        };
        self.step_daemon(host, input);
    }

    fn step_daemon(&mut self, host: usize, input: Input) {
        let now = self.now;
        let Some(daemon) = &mut self.hosts[host].daemon else {
            return;
        };
        let before = daemon.engine.state();
        let mut actions = Vec::new();
        daemon.engine.step(now, input, &mut actions);
        let after = daemon.engine.state();
        let known = daemon.what_is_known();
        if std::mem::replace(&mut daemon.known, known) != known {
            self.tell_daemon(host, Word::Know(known), 60 * US);
        }
        if before != after {
            self.note(|| format!("{host} daemon: {before} -> {after}"));
        }
        for action in actions {
            self.act_for_daemon(host, action);
        }
    }

    fn act_for_daemon(&mut self, host: usize, action: Action) {
        match action {
            Action::WriteState(state) => self.hosts[host].state_file = Some(state),
            Action::Tell(transition) => self.told_hooks(host, transition),
            Action::StartKeepalived(_) => {
                let it = &mut self.hosts[host];
                if let Some(daemon) = &mut it.daemon {
                    daemon.starts = true;
                }
                let (boot, at) = (it.boot, it.down_until.max(self.now + 20 * MS));
                self.at(at, Occurs::Fault(Fault::KeepalivedStarts { host, boot }));
            }
            Action::Clear => self.remove_address(host),
            Action::Resign => self.advertise(host, RESIGN),
            // One router has neither radvd nor conntrackd here, and keeps its
            // configuration.
            _ => {}
        }
    }

    /// Whoever follows the notifications can rely on their order.
    fn told_hooks(&mut self, host: usize, transition: Transition) {
        let now = self.now;
        let Some(daemon) = &mut self.hosts[host].daemon else {
            return;
        };
        let (from, sequence) = daemon
            .told
            .as_ref()
            .map_or((None, 0), |it| (Some(it.to), it.sequence));
        let follows = transition.from == from && transition.sequence == sequence + 1;
        let is_news = from != Some(transition.to);
        daemon.told = Some(transition);
        if !follows || !is_news {
            let what = format!("{host} tells what does not follow from what it told");
            self.checks.breaks("told", now, what);
        }
    }

    /// Whether state files and notifications have come to what is true.
    pub(crate) fn is_told_truly(&mut self) {
        let now = self.now;
        for host in 0..self.hosts.len() {
            let it = &self.hosts[host];
            let Some(daemon) = it.daemon.as_ref().filter(|_| it.alive) else {
                continue;
            };
            let stood_still = it.agent_until.max(it.kernel_until);
            if now < daemon.calm_since.max(stood_still) + CALM_NS {
                continue;
            }
            self.checks.figures.checked += 1;
            let truth = if it.address.is_some() && it.keepalived_runs() {
                Published::Primary
            } else {
                Published::Backup
            };
            let told = daemon.told.as_ref().map(|it| it.to);
            if (it.state_file, told) == (Some(truth), Some(truth)) {
                continue;
            }
            let what = format!(
                "{host} is {truth:?}, its state file says {:?}, its hooks {told:?}",
                it.state_file
            );
            // Said once.
            if let Some(daemon) = &mut self.hosts[host].daemon {
                daemon.calm_since = now + crate::SECOND;
            }
            self.checks.breaks("truth", now, what);
        }
    }
}

/// How long the truth may take: the slowest of what tells it, and what that leads to.
const CALM_NS: u64 = 30 * MS;

fn found() -> Input {
    Input::Found(Program::Keepalived, PLAN.configuration.clone())
}

fn address(present: bool) -> Input {
    let place = PLAN.addresses.first().cloned();
    match place {
        Some(place) => Input::Address { place, present },
        None => Input::Tick,
    }
}

fn interfaces(up: bool) -> Input {
    let down = if up {
        Vec::new()
    } else {
        vec!["ha0".to_owned()]
    };
    Input::Interfaces {
        missing: Vec::new(),
        down,
        indexes: BTreeMap::new(),
    }
}
