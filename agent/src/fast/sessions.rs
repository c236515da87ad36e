//! Whom the thread probes, and how often.
//!
//! A session is with one peer on one interface; the routers whose masters are there
//! share it, and each probe asks about the next of them. Where routers are declared to
//! share by host, of all sessions with one host (as its answers name it) one *leads*:
//! it is probed at full pace and speaks for the others, which are asked once a second
//! whether they are still with that host. That a single one of their links is cut is
//! left to keepalived then; a host that lives is told by its keepalived's answer on
//! each link, as always.
//!
//! All sessions together have a budget: with more of them, each is asked less often,
//! and that is told.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::net::Ipv4Addr;

use anyhow::Result;
use keepfast_common::session::{
    Judgement, PHASE_DOWN, PHASE_SILENT, PHASE_SUSPECT, PHASE_UP, Session,
};
use keepfast_common::wire::Mac;

use crate::config::{RouterId, Sharing};
use crate::engine::Nanos;
use crate::kernel::FastKernel;

use super::home::Home;
use super::probe::{ProbeFrame, Question};

const SECOND: Nanos = 1_000_000_000;

/// Probes of all sessions together, in a second.
pub(super) const BUDGET: u64 = 20_000;

/// How long answers must come before silence means anything.
const LEARN_NS: Nanos = SECOND;

/// How often one is probed that has not answered for [`PATIENCE_NS`].
const SLOW_NS: Nanos = SECOND / 10;

/// How often one is probed that another one speaks for.
const LED_NS: Nanos = SECOND;

/// How long one is probed at full pace that does not answer.
const PATIENCE_NS: Nanos = SECOND;

/// The multiplier to begin with, where it follows the peer: what virtual machines
/// need, which stop for milliseconds.
const FIRST_MULTIPLIER: u8 = 10;
const LEAST_MULTIPLIER: u8 = 3;
const MOST_MULTIPLIER: u8 = 40;

/// How long a multiplier that could be less stays; then it is less by one.
const RELAX_NS: Nanos = 60 * SECOND;

/// A peer on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PeerKey {
    pub(super) netns: u32,
    pub(super) ifindex: u32,
    pub(super) mac: Mac,
}

/// What a router wants of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) interval_ns: Nanos,
    /// `None`: it follows the peer.
    pub(super) multiplier: Option<u8>,
    /// This host's hardware address there.
    pub(super) mac: Mac,
    /// This host's address there.
    pub(super) own: Ipv4Addr,
    pub(super) sharing: Sharing,
}

/// A session.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) number: u32,
    users: Vec<(RouterId, Question)>,
    next_user: usize,
    frame: ProbeFrame,
    sequence: u32,
    wish: Wish,
    /// As the budget allows.
    interval_ns: Nanos,
    multiplier: u8,
    relaxed_ns: Nanos,
    due: Nanos,
    /// At full pace; else [`SLOW_NS`].
    brisk: bool,
    pub(super) since_ns: Nanos,
    judged: Option<Judgement>,
    /// The one that speaks for it.
    leader: Option<PeerKey>,
}

impl Peer {
    /// Between two probes, nanoseconds.
    pub(super) const fn interval_ns(&self) -> Nanos {
        self.interval_ns
    }

    pub(super) const fn multiplier(&self) -> u8 {
        self.multiplier
    }

    fn pace(&self) -> Nanos {
        if self.leader.is_some() {
            LED_NS
        } else if self.brisk {
            self.interval_ns
        } else {
            SLOW_NS.max(self.interval_ns)
        }
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    peers: BTreeMap<PeerKey, Peer>,
    by_number: HashMap<u32, PeerKey>,
    due: BTreeSet<(Nanos, PeerKey)>,
    last_number: u32,
    /// Keyed by the system's randomness: what it makes of a number nobody can guess.
    secret: RandomState,
    nonces: u64,
}

impl Sessions {
    /// When the next probe is to leave.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn get(&self, key: &PeerKey) -> Option<&Peer> {
        self.peers.get(key)
    }

    /// The session that speaks for the one with `key`: its leader, or itself.
    pub(super) fn speaker(&self, key: &PeerKey) -> Option<&Peer> {
        let peer = self.peers.get(key)?;
        match peer.leader {
            Some(leader) => self.peers.get(&leader),
            None => Some(peer),
        }
    }

    /// The routers that the session with this number speaks for.
    pub(super) fn users(&self, number: u32) -> Vec<RouterId> {
        let Some(key) = self.by_number.get(&number) else {
            return Vec::new();
        };
        let own = self.peers.get(key).filter(|peer| peer.leader.is_none());
        let led = self.peers.values().filter(|peer| peer.leader == Some(*key));
        let users = own.into_iter().chain(led).flat_map(|peer| &peer.users);
        users.map(|(id, _)| id.clone()).collect()
    }

    /// A router probes a peer from now on, or asks it something else than before.
    pub(super) fn join(
        &mut self,
        key: PeerKey,
        id: &RouterId,
        question: Question,
        wish: &Wish,
        now: Nanos,
    ) {
        let number = self.last_number + 1;
        let due = &mut self.due;
        let by_number = &mut self.by_number;
        let last_number = &mut self.last_number;
        let peer = self.peers.entry(key).or_insert_with(|| {
            *last_number = number;
            by_number.insert(number, key);
            due.insert((now, key));
            Peer {
                number,
                users: Vec::new(),
                next_user: 0,
                frame: ProbeFrame::new(key.mac, wish.mac, wish.own, number),
                sequence: 0,
                wish: wish.clone(),
                interval_ns: wish.interval_ns,
                multiplier: wish.multiplier.unwrap_or(FIRST_MULTIPLIER),
                relaxed_ns: now,
                due: now,
                brisk: true,
                since_ns: now,
                judged: None,
                leader: None,
            }
        });
        if peer.wish != *wish {
            peer.frame = ProbeFrame::new(key.mac, wish.mac, wish.own, peer.number);
            peer.multiplier = wish.multiplier.unwrap_or(peer.multiplier);
            peer.wish = wish.clone();
        }
        match peer.users.iter_mut().find(|(user, _)| user == id) {
            Some((_, asked)) => *asked = question,
            None => peer.users.push((id.clone(), question)),
        }
        self.share_budget();
    }

    /// A router probes a peer no longer; the last one ends the session.
    pub(super) fn leave(
        &mut self,
        key: &PeerKey,
        id: &RouterId,
        kernel: &mut FastKernel,
    ) -> Result<()> {
        let Some(peer) = self.peers.get_mut(key) else {
            return Ok(());
        };
        peer.users.retain(|(user, _)| user != id);
        if !peer.users.is_empty() {
            return Ok(());
        }
        let (due, number) = (peer.due, peer.number);
        for led in self.peers.values_mut() {
            if led.leader == Some(*key) {
                led.leader = None;
            }
        }
        self.due.remove(&(due, *key));
        self.by_number.remove(&number);
        self.peers.remove(key);
        self.share_budget();
        kernel.end_session(number)
    }

    /// By how much all are asked less often than they should be; 1: not.
    pub(super) fn stretch(&self) -> f64 {
        (self.wanted() as f64 / BUDGET as f64).max(1.0)
    }

    fn wanted(&self) -> u64 {
        let rate = |peer: &Peer| match peer.leader {
            Some(_) => SECOND / LED_NS,
            None => SECOND / peer.wish.interval_ns.max(1),
        };
        self.peers.values().map(rate).sum()
    }

    fn share_budget(&mut self) {
        let wanted = self.wanted();
        for peer in self.peers.values_mut() {
            let stretched = peer.wish.interval_ns.saturating_mul(wanted) / BUDGET;
            peer.interval_ns = peer.wish.interval_ns.max(stretched);
        }
    }

    /// Sends the probes that are due at `now`. One that the system does not send is
    /// not missed: the kernel programs count what leaves.
    pub(super) fn send(
        &mut self,
        now: Nanos,
        homes: &BTreeMap<u32, Home>,
        kernel: &mut FastKernel,
    ) -> Result<()> {
        while let Some((due, key)) = self.due.first().copied()
            && due <= now
        {
            self.due.remove(&(due, key));
            self.nonces += 1;
            let nonce = self.secret.hash_one(self.nonces);
            let Some(peer) = self.peers.get_mut(&key) else {
                continue;
            };
            let next = due.saturating_add(peer.pace());
            // Those that were missed are not made up for.
            peer.due = if next <= now {
                now.saturating_add(peer.pace())
            } else {
                next
            };
            self.due.insert((peer.due, key));
            let judgement = Judgement {
                interval_ns: peer.interval_ns,
                learn_ns: LEARN_NS,
                netns: key.netns,
                ifindex: key.ifindex,
                multiplier: peer.multiplier,
                suspect_after: (peer.multiplier / 3).saturating_sub(1),
                reserved: [0; 6],
            };
            if peer.judged != Some(judgement) {
                kernel.judge(peer.number, &judgement)?;
                peer.judged = Some(judgement);
            }
            peer.next_user = (peer.next_user + 1) % peer.users.len().max(1);
            if let Some((_, question)) = peer.users.get(peer.next_user) {
                peer.frame.ask(question);
            }
            peer.sequence = peer.sequence.wrapping_add(1);
            peer.frame.number(peer.sequence, nonce);
            if let Some(home) = homes.get(&key.netns) {
                home.ask(key.ifindex, peer.frame.bytes())?;
            }
        }
        Ok(())
    }

    /// Looks at how all sessions are: those that do not answer are probed at leisure,
    /// and multipliers follow.
    pub(super) fn review(&mut self, now: Nanos, kernel: &FastKernel) -> Result<()> {
        let mut leaders: BTreeMap<u64, PeerKey> = BTreeMap::new();
        let mut led: BTreeMap<PeerKey, PeerKey> = BTreeMap::new();
        for (key, peer) in &mut self.peers {
            let Some(session) = kernel.session(peer.number)? else {
                continue;
            };
            let idle = session.phase == PHASE_DOWN || session.phase == PHASE_SILENT;
            let since = session.since_ns.max(peer.since_ns);
            let brisk = !idle || now < since.saturating_add(PATIENCE_NS);
            if brisk && !peer.brisk {
                // Not only when the slow one would have been.
                self.due.remove(&(peer.due, *key));
                peer.due = now;
                self.due.insert((now, *key));
            }
            peer.brisk = brisk;
            if peer.wish.multiplier.is_none() && peer.leader.is_none() {
                follow(peer, &session, now);
            }
            // One that is silent goes on to speak for the others, which it was made for.
            let speaks =
                peer.leader.is_none() && matches!(session.phase, PHASE_SUSPECT | PHASE_SILENT);
            let shares = peer.wish.sharing == Sharing::Host && session.stamps.host != 0;
            if shares && (session.phase == PHASE_UP || speaks) {
                let leader = *leaders.entry(session.stamps.host).or_insert(*key);
                if leader != *key {
                    led.insert(*key, leader);
                }
            }
        }
        self.lead(&led, now);
        Ok(())
    }

    /// Has these led by those, and all others speak for themselves.
    fn lead(&mut self, led: &BTreeMap<PeerKey, PeerKey>, now: Nanos) {
        let mut changed = false;
        for (key, peer) in &mut self.peers {
            let leader = led.get(key).copied();
            if peer.leader == leader {
                continue;
            }
            changed = true;
            peer.leader = leader;
            if leader.is_none() {
                // At full pace at once.
                self.due.remove(&(peer.due, *key));
                peer.due = now;
                self.due.insert((now, *key));
            }
        }
        if changed {
            self.share_budget();
        }
    }

    /// The word of an heir that has taken over, to `peer`.
    pub(super) fn taken(key: &PeerKey, wish: &Wish, question: &Question, token: u64) -> ProbeFrame {
        let mut frame = ProbeFrame::new(key.mac, wish.mac, wish.own, 0);
        frame.ask(question);
        frame.taken(token);
        frame
    }
}

/// The multiplier follows the worst delay seen: up at once, down by one a minute.
fn follow(peer: &mut Peer, session: &Session, now: Nanos) {
    let worst = session.worst_ns.max(session.worst_before_ns);
    let needed = worst.div_ceil(peer.interval_ns.max(1)).saturating_add(2);
    let needed = u8::try_from(needed)
        .unwrap_or(MOST_MULTIPLIER)
        .clamp(LEAST_MULTIPLIER, MOST_MULTIPLIER);
    if needed >= peer.multiplier {
        peer.multiplier = needed;
        peer.relaxed_ns = now;
    } else if now >= peer.relaxed_ns.saturating_add(RELAX_NS) {
        peer.multiplier -= 1;
        peer.relaxed_ns = now;
    }
}
