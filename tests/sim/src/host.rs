//! A host: what its kernel knows, its keepalived, its agent.

use keepfast::engine::Published;
use keepfast_common::event::Party;
use keepfast_common::heirs::Heirs;
use keepfast_common::session::{Judgement, Session};
use keepfast_common::track::VirtualRouter;
use keepfast_common::wire::{Address, Mac};

use crate::agent::Agent;
use crate::daemon::Daemon;
use crate::keepalived::Keepalived;
use crate::setup::Setup;

/// A host.
#[derive(Debug)]
pub struct Host {
    /// Whether it has power.
    pub alive: bool,
    /// Counts its boots: what was under way to an earlier one is void.
    pub boot: u32,
    /// Whether its interface carries frames.
    pub link_up: bool,
    /// Until when its kernel stands still.
    pub kernel_until: u64,
    /// Until when its keepalived does.
    pub keepalived_until: u64,
    /// Until when its agent does.
    pub agent_until: u64,
    /// keepalived.
    pub keepalived: Keepalived,
    /// What keepalived would be if there were no fast path on this host: it hears what
    /// comes over the segment, and its adverts go nowhere.
    pub twin: Keepalived,
    /// Until when the virtual addresses are there; `None`: they are not; `u64::MAX`:
    /// their time is not limited.
    pub address: Option<u64>,
    /// What is in the file that keepalived tracks.
    pub raise: u8,
    /// The kernel's view of the virtual router.
    pub tracked: VirtualRouter,
    /// The backups that probe this host.
    pub heirs: Heirs,
    /// The kernel's session with each other host.
    pub sessions: Vec<Option<(Judgement, Session)>>,
    /// When the gateway was heard last.
    pub witness_ns: u64,
    /// When the kernel's timer is to fire.
    pub kernel_due: u64,
    /// When keepalived's timer is, and its twin's.
    pub keepalived_due: [u64; 2],
    /// The agent, where one runs.
    pub agent: Option<Agent>,
    /// Counts the agents there were.
    pub lives: u32,
    /// What the agent's daemon knows, where one runs.
    pub daemon: Option<Daemon>,
    /// When the last of what the daemon is being told gets there.
    pub daemon_due: u64,
    /// What the router's state file says; an agent's end leaves it.
    pub state_file: Option<Published>,
    /// Until when keepalived cannot be started.
    pub down_until: u64,
}

impl Host {
    /// One without power.
    #[must_use]
    pub fn new(setup: &Setup, number: usize) -> Self {
        let keepalived = Keepalived::new(setup, number, address(number));
        Self {
            alive: false,
            boot: 0,
            link_up: true,
            kernel_until: 0,
            keepalived_until: 0,
            agent_until: 0,
            twin: keepalived.clone(),
            keepalived,
            address: None,
            raise: 0,
            tracked: VirtualRouter::UNKNOWN,
            heirs: Heirs::NONE,
            sessions: vec![None; setup.priorities.len()],
            witness_ns: 0,
            kernel_due: u64::MAX,
            keepalived_due: [u64::MAX; 2],
            agent: None,
            lives: 0,
            daemon: None,
            daemon_due: 0,
            state_file: None,
            down_until: 0,
        }
    }

    /// Whether the address is served from here.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.alive && self.link_up && self.keepalived.is_master() && self.address.is_some()
    }

    /// Whether its keepalived runs.
    #[must_use]
    pub fn keepalived_runs(&self) -> bool {
        self.keepalived.state != crate::keepalived::State::Stopped
    }

    /// Whether all of it runs and reaches the segment, at `now`.
    #[must_use]
    pub fn is_well(&self, now: u64) -> bool {
        self.alive && self.link_up && now >= self.kernel_until && now >= self.keepalived_until
    }
}

/// A host's own address.
#[must_use]
pub const fn address(number: usize) -> Address {
    let mut address = [0; 16];
    address[0] = 192;
    address[2] = 2;
    address[3] = number as u8 + 1;
    address
}

/// A host's hardware address.
#[must_use]
pub const fn mac(number: usize) -> Mac {
    [2, 0, 0, 0, 0, number as u8 + 1]
}

/// Which host has this hardware address.
#[must_use]
pub fn number_of(mac: &Mac) -> usize {
    usize::from(mac[5]).saturating_sub(1)
}

/// A host as the one that advertises.
#[must_use]
pub fn party(setup: &Setup, number: usize, priority: u8, now: u64) -> Party {
    Party {
        heard_ns: now,
        address: address(number),
        mac: mac(number),
        interval_cs: setup.interval_cs,
        priority,
        version: setup.version,
        ..Party::NOBODY
    }
}
