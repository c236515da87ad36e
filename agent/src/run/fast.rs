//! What the fast path knows of the routers, and what it tells.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use anyhow::Result;
use keepfast_common::maps::{
    AddressKey, Agent, Guarded, KEEPALIVED_ENDED, KEEPALIVED_RUNS, KEEPALIVED_UNKNOWN, RouterKey,
};
use keepfast_common::neighbour::Watched;
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::config::{Mode, RouterId};
use crate::engine::{Liveness, State};
use crate::fast::standing::Standing;
use crate::fast::{Facts, FastPath, Order, Told};
use crate::report::clock::monotonic_ns;

use super::daemon::Daemon;
use super::member::Member;

/// The fast path, and what the kernel programs were told for it.
pub(super) struct Fast {
    pub(super) path: FastPath,
    agent: Agent,
    /// By router: what it is on the wire, and the addresses that are watched for it.
    guarded: BTreeMap<RouterId, (RouterKey, BTreeMap<AddressKey, Watched>)>,
    /// What the thread was told last.
    known: BTreeMap<RouterId, Facts>,
}

impl Fast {
    /// Starts it with the loaded programs of `observer`.
    pub(super) fn start(observer: &mut crate::observe::Observer, priority: u8) -> Result<Self> {
        let random = |number: u64| RandomState::new().hash_one(number);
        let [_, _, a, b, c, d, e, f] = random(1).to_be_bytes();
        // Peers, and what is on its way, know this host as the agent before this one said.
        let before = observer.kernel.maps().introduced()?;
        let agent = Agent {
            alive_ns: monotonic_ns()?,
            host: random(2),
            // Never 0, which is no mark.
            mark: random(3) as u32 | 1,
            leaving: 0,
            reserved: 0,
            // Locally administered, and no group's.
            ghost: [a & 0xfc | 2, b, c, d, e, f],
            padding: [0; 4],
        };
        let agent = if before.host == 0 {
            agent
        } else {
            Agent {
                host: before.host,
                mark: before.mark,
                ghost: before.ghost,
                ..agent
            }
        };
        let kernel = observer.kernel.take_fast()?;
        observer.kernel.maps().introduce(agent)?;
        Ok(Self {
            path: FastPath::start(kernel, agent.mark, agent.ghost, Standing { priority })?,
            agent,
            guarded: BTreeMap::new(),
            known: BTreeMap::new(),
        })
    }

    /// Whether a router is guarded.
    pub(super) fn guards(&self, id: &RouterId) -> bool {
        self.known.contains_key(id)
    }

    /// What is told to peers: that the agent lives, or that it is about to go.
    pub(super) fn sign(
        &mut self,
        observer: &mut crate::observe::Observer,
        leaving: bool,
    ) -> Result<()> {
        self.agent.alive_ns = monotonic_ns()?;
        self.agent.leaving = leaving.into();
        observer.kernel.maps().introduce(self.agent)
    }
}

/// What the fast path says next.
pub(super) async fn next_told(fast: Option<&mut Fast>) -> Option<Told> {
    match fast {
        Some(fast) => fast.path.next().await,
        None => std::future::pending().await,
    }
}

impl Daemon {
    /// Takes what the fast path tells.
    pub(super) fn take_told(&mut self, told: &Told) {
        let Told {
            id,
            at,
            name,
            detail,
            reason,
        } = told;
        info!(router = %id, "{name}: {detail}");
        self.metrics.told(id, name, *reason);
        self.note_told(told);
        self.note(id, *at, name, detail);
        self.moves.told(told);
    }

    /// Has the fast path guard a router as it is declared and as its interfaces are,
    /// or guard it no longer.
    pub(super) fn guard(&mut self, id: &RouterId) {
        self.box_router(id);
        self.protect_router(id);
        if self.fast.is_none() {
            return;
        }
        match self.guard_of(id) {
            Ok(Some((guard, watched))) => {
                let key = guard.key;
                if let Some(fast) = &mut self.fast {
                    fast.known.insert(id.clone(), guard.facts);
                    fast.path.order(Order::Guard(Box::new(guard)));
                }
                if let Err(error) = self.tell_programs(id, key, watched) {
                    self.trouble(id, &error);
                }
            }
            Ok(None) => self.unguard(id),
            Err(error) => {
                self.unguard(id);
                self.trouble(id, &error.context("guard it by the fast path"));
            }
        }
    }

    /// Guards a router no longer.
    pub(super) fn unguard(&mut self, id: &RouterId) {
        self.box_router(id);
        self.protect_router(id);
        let Some(fast) = &mut self.fast else {
            return;
        };
        let Some((key, watched)) = fast.guarded.remove(id) else {
            return;
        };
        fast.known.remove(id);
        fast.path.order(Order::Forget(id.clone()));
        let Some(observer) = &mut self.observer else {
            return;
        };
        let maps = observer.kernel.maps();
        let outcome = maps.unguard(key);
        let outcome = watched
            .keys()
            .fold(outcome, |outcome, key| outcome.and(maps.unwatch(*key)));
        if let Err(error) = outcome {
            self.trouble(id, &error);
        }
    }

    /// Tells the fast path how a router is, if that is news.
    pub(super) fn let_know(&mut self, id: &RouterId) {
        self.note_reason(id);
        let Some(member) = self.members.get(id) else {
            return;
        };
        let facts = facts(member);
        let Some(fast) = &mut self.fast else {
            return;
        };
        let Some(known) = fast.known.get_mut(id) else {
            return;
        };
        if *known == facts {
            return;
        }
        *known = facts;
        fast.path.order(Order::Know(id.clone(), facts));
        self.say_health(id);
    }

    /// Has peers told how a router's keepalived is.
    fn say_health(&mut self, id: &RouterId) {
        let (Some(fast), Some(observer), Some(member)) =
            (&self.fast, &mut self.observer, self.members.get(id))
        else {
            return;
        };
        if let Some((key, _)) = fast.guarded.get(id)
            && let Err(error) = observer.kernel.maps().guard(*key, health(member))
        {
            self.trouble(id, &error);
        }
    }

    /// How the fast path of a router is.
    pub(super) fn fast_status(&self, member: &Member) -> Value {
        let mode = member.plan().router.fast_path.mode;
        if mode == Mode::Off {
            return json!({ "mode": "off" });
        }
        let status = self
            .fast
            .as_ref()
            .and_then(|fast| fast.path.status(&member.id));
        let why = || {
            let obstacle = member
                .plan()
                .instance
                .as_ref()
                .and_then(|it| it.obstacle.clone());
            let general = if self.fast.is_none() {
                "the kernel programs are not loaded"
            } else {
                "its interfaces are not watched yet"
            };
            json!({ "mode": "off", "why": obstacle.unwrap_or_else(|| general.to_owned()) })
        };
        status.unwrap_or_else(why)
    }

    fn tell_programs(
        &mut self,
        id: &RouterId,
        key: RouterKey,
        watched: BTreeMap<AddressKey, Watched>,
    ) -> Result<()> {
        let (Some(fast), Some(observer), Some(member)) =
            (&mut self.fast, &mut self.observer, self.members.get(id))
        else {
            return Ok(());
        };
        let maps = observer.kernel.maps();
        let (old_key, old) = fast.guarded.remove(id).unwrap_or((key, BTreeMap::new()));
        if old_key != key {
            maps.unguard(old_key)?;
        }
        maps.guard(key, health(member))?;
        for address in old.keys().filter(|address| !watched.contains_key(address)) {
            maps.unwatch(*address)?;
        }
        for (address, why) in &watched {
            if old.get(address) != Some(why) {
                maps.watch(*address, *why)?;
            }
        }
        fast.guarded.insert(id.clone(), (key, watched));
        Ok(())
    }

    /// Says to peers that the programs are about to go, so that their silence means
    /// nothing, and waits until they have asked.
    pub(super) async fn take_leave(&mut self) {
        let (Some(fast), Some(observer)) = (&mut self.fast, &mut self.observer) else {
            return;
        };
        match fast.sign(observer, true) {
            Ok(()) => tokio::time::sleep(crate::kernel::LEAVE).await,
            Err(error) => warn!("peers are not told that this agent ends: {error:#}"),
        }
        // What was raised is taken back while the maps are there.
        self.fast = None;
    }

    /// Every second: peers are told that the agent lives.
    pub(super) fn sign(&mut self) {
        if let (Some(fast), Some(observer)) = (&mut self.fast, &mut self.observer)
            && let Err(error) = fast.sign(observer, false)
        {
            warn!("{error:#}");
        }
    }
}

pub(super) fn facts(member: &Member) -> Facts {
    let engine = &member.engine;
    Facts {
        backup: engine.state() == State::Backup,
        keepalived_runs: engine.keepalived() != Liveness::Ended,
        link_up: engine.interfaces_up(),
        reason: member.reason(),
    }
}

fn health(member: &Member) -> Guarded {
    Guarded {
        keepalived: match member.engine.keepalived() {
            Liveness::Unknown => KEEPALIVED_UNKNOWN,
            Liveness::Running => KEEPALIVED_RUNS,
            Liveness::Ended => KEEPALIVED_ENDED,
        },
        reason: member.reason(),
        reserved: [0; 6],
    }
}
