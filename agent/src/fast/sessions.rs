//! Whom the thread probes, and how often.
//!
//! A session is with one peer on one interface; the routers whose masters are there
//! share it, and each probe asks about the next of them.
//!
//! All sessions together have a budget. With more of them each is asked less often, and that
//! is told; but of all with one host (as its answers name it) one *leads*: it is probed at
//! full pace, before all others, and speaks for them, too. Where it does not answer, a router
//! of another one is taken over when that has asked in vain itself: a host that lives answers
//! it, and its routers stay.
//!
//! Where routers are declared to share by host, one leads in any case, and the others are asked
//! once a second whether they are still with that host, and as often as the budget allows as
//! soon as the leader does not answer. That a single one of their links is cut is left to
//! keepalived then.
//!
//! Here is what the kernel programs are told and asked; what follows from it is
//! decided by [`super::peer`], [`super::budget`] and [`super::leaders`].

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher as _;

use anyhow::Result;
use keepfast_common::session::{Judgement, PHASE_DOWN, PHASE_SILENT, PHASE_SUSPECT, Session};

use crate::config::RouterId;
use crate::engine::Nanos;
use crate::kernel::{FastKernel, Heritage};
use crate::report::clock::monotonic_ns;

use super::budget::Budget;
use super::home::Home;
use super::leaders::{Candidate, led, shows_life};
use super::peer::{Peer, PeerKey, User, Wish};
use super::probe::{ProbeFrame, Question};
use super::schedule::{Schedule, Turn};

const SECOND: Nanos = 1_000_000_000;

/// How long answers must come before silence means anything.
const LEARN_NS: Nanos = SECOND;

/// How long one is probed at full pace that does not answer.
const PATIENCE_NS: Nanos = SECOND;

/// One that is led is looked at each so many reviews.
const LED_REVIEWS: u32 = 10;

/// How long a takeover takes where hundreds follow each other, at most.
const TAKEOVER_NS: Nanos = 1_000_000;

/// A probe leaves early by up to this part of its interval where the thread is awake
/// anyway: far less than what makes it one that left out of time.
const EARLY: Nanos = 8;

/// A session whose peer does not answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) number: u32,
    /// For long enough.
    pub(super) silent: bool,
}

/// A session that another one leads, as it is when that one's peer is silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Led {
    key: PeerKey,
    answered_ns: Nanos,
    /// Its last probe, or several, have no answer.
    asks_in_vain: bool,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    peers: BTreeMap<PeerKey, Peer>,
    by_number: HashMap<u32, PeerKey>,
    due: Schedule<PeerKey>,
    budget: Budget,
    last_number: u32,
    reviews: u32,
    /// Keyed by the system's randomness: what it makes of a number nobody can guess.
    secret: RandomState,
    nonces: u64,
    /// Those of an agent before this one.
    before: BTreeMap<PeerKey, Session>,
    /// They are left to the agent after this one.
    stay: bool,
}

impl Sessions {
    /// After those of an agent before this one.
    pub(super) fn after(heritage: Heritage) -> Self {
        let before = heritage.sessions.into_iter().map(|(link, session)| {
            let key = PeerKey {
                netns: link.netns,
                ifindex: link.ifindex,
                mac: session.peer,
            };
            (key, session)
        });
        Self {
            last_number: heritage.last_number,
            before: before.collect(),
            ..Self::default()
        }
    }

    /// What is known of peers stays in the kernel's maps from now on.
    pub(super) const fn stay(&mut self) {
        self.stay = true;
    }

    /// When the next probe is to leave.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.due.deadline()
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

    /// How long a silence of the session with this number takes.
    pub(super) fn silence_ns(&self, number: u32) -> Nanos {
        let peer = self.by_number.get(&number);
        let peer = peer.and_then(|key| self.peers.get(key));
        peer.map_or(0, |peer| {
            // As many probes, and an interval for the last one's answer.
            let probes = Nanos::from(peer.multiplier()).saturating_add(1);
            peer.interval_ns().saturating_mul(probes)
        })
    }

    /// The routers that the session with this number speaks for.
    pub(super) fn users(&self, number: u32) -> Vec<RouterId> {
        self.spoken_for(number, |_| true)
    }

    /// Those of them that are told when it is suspect: its own, and those that it alone speaks
    /// for. To ask for hundreds of others takes so long that its next probe would leave late, and
    /// all that speaks against the peer would count no longer.
    pub(super) fn suspicious(&self, number: u32) -> Vec<RouterId> {
        self.spoken_for(number, Peer::is_mute)
    }

    /// Those of them that are told of its silence: all, unless its host has answered one of the
    /// `led` since. Then a part of the network is lost, not the host, and it speaks for its own
    /// alone.
    pub(super) fn silenced(
        &self,
        number: u32,
        led: &[Led],
        kernel: &FastKernel,
    ) -> Result<Vec<RouterId>> {
        let key = self.by_number.get(&number);
        let peer = key.and_then(|key| self.peers.get(key));
        let lives = match (peer, kernel.session(number)?) {
            (Some(peer), Some(session)) => {
                let way_ns = session.worst_ns.max(session.worst_before_ns);
                let way_ns = way_ns.max(peer.interval_ns);
                led.iter()
                    .any(|it| shows_life(it.answered_ns, session.first_ns, way_ns))
            }
            _ => false,
        };
        Ok(self.spoken_for(number, |_| !lives))
    }

    /// Those that the session with this number leads, and how they are.
    pub(super) fn look_at_led(&self, number: u32, kernel: &FastKernel) -> Result<Vec<Led>> {
        let Some(leader) = self.by_number.get(&number) else {
            return Ok(Vec::new());
        };
        let look = |(key, peer): (&PeerKey, &Peer)| {
            let session = kernel.session(peer.number)?.unwrap_or(Session::UNKNOWN);
            Ok(Led {
                key: *key,
                answered_ns: session.answered_ns,
                asks_in_vain: session.first_ns != 0,
            })
        };
        self.led_by(leader).map(look).collect()
    }

    /// Those of the `led` that have not asked in vain do so now; then none of them is probed
    /// while routers are taken over, unless one asks for it: with hundreds of them that took a
    /// third of the time.
    pub(super) fn rest(&mut self, led: &[Led], now: Nanos) {
        let until = now.saturating_add(TAKEOVER_NS.saturating_mul(led.len() as Nanos));
        for (place, it) in led.iter().enumerate() {
            let Some(peer) = self.peers.get_mut(&it.key) else {
                continue;
            };
            peer.brisk = false;
            let rested = until.saturating_add(Budget::alone(place));
            let due = if it.asks_in_vain { rested } else { now };
            self.due.set(it.key, due, peer.turn());
        }
    }

    fn spoken_for(&self, number: u32, counts: impl Fn(&Peer) -> bool) -> Vec<RouterId> {
        let Some(key) = self.by_number.get(&number) else {
            return Vec::new();
        };
        let own = self.peers.get(key).filter(|peer| !peer.is_mute());
        let led = self.led_by(key).map(|(_, peer)| peer);
        let all = own.into_iter().chain(led.filter(|peer| counts(peer)));
        let users = all.flat_map(|peer| &peer.users);
        users.map(|user| user.id.clone()).collect()
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
        let is_new = !self.peers.contains_key(&key);
        if is_new {
            self.last_number += 1;
            self.by_number.insert(self.last_number, key);
            self.due.set(key, now, Turn::Usual);
        }
        let number = self.last_number;
        let peer = self
            .peers
            .entry(key)
            .or_insert_with(|| Peer::new(number, &key, wish, now));
        match peer.users.iter_mut().find(|user| user.id == *id) {
            // Asked again and again, mostly about the same.
            Some(user) if user.question == question && user.wish == *wish => return,
            Some(user) => {
                user.question = question;
                user.wish = wish.clone();
            }
            None => peer.users.push(User {
                id: id.clone(),
                question,
                wish: wish.clone(),
            }),
        }
        if peer.heed(&key, now) || is_new {
            self.share_budget();
        }
    }

    /// A router probes a peer no longer; the last one ends the session, unless that
    /// speaks for others.
    pub(super) fn leave(
        &mut self,
        key: &PeerKey,
        id: &RouterId,
        now: Nanos,
        kernel: &mut FastKernel,
    ) -> Result<()> {
        let Some(peer) = self.peers.get_mut(key) else {
            return Ok(());
        };
        peer.users.retain(|user| user.id != *id);
        if !peer.users.is_empty() {
            if peer.heed(key, now) {
                self.share_budget();
            }
            return Ok(());
        }
        if self.leads(key) {
            // Until others are led by another one: a silence goes for all of them.
            return Ok(());
        }
        self.end(key, kernel)
    }

    fn leads(&self, key: &PeerKey) -> bool {
        self.led_by(key).next().is_some()
    }

    fn led_by(&self, leader: &PeerKey) -> impl Iterator<Item = (&PeerKey, &Peer)> {
        let leader = Some(*leader);
        self.peers.iter().filter(move |it| it.1.leader == leader)
    }

    fn end(&mut self, key: &PeerKey, kernel: &mut FastKernel) -> Result<()> {
        let Some(peer) = self.peers.remove(key) else {
            return Ok(());
        };
        self.due.remove(*key);
        self.by_number.remove(&peer.number);
        self.share_budget();
        if !self.stay {
            kernel.end_session(peer.number)?;
        }
        // It may have been the last that kept it.
        match peer.leader {
            Some(leader) if self.is_left(&leader) => self.end(&leader, kernel),
            _ => Ok(()),
        }
    }

    /// Whether it is there for no router, its own or another's.
    fn is_left(&self, key: &PeerKey) -> bool {
        let unused = |peer: &Peer| peer.users.is_empty();
        self.peers.get(key).is_some_and(unused) && !self.leads(key)
    }

    /// By how much those that lead nobody are asked less often than they should be; 1: not.
    pub(super) fn stretch(&self) -> f64 {
        self.budget.stretch()
    }

    fn share_budget(&mut self) {
        let peers = self.peers.values();
        self.budget = Budget::of(peers.map(|peer| (peer.wanted_pace(), peer.leads)));
        for peer in self.peers.values_mut() {
            peer.interval_ns = self.budget.interval(peer.wish.interval_ns, peer.leads);
        }
    }

    /// Sends the probes that are due by now, or soon. One that the system does not
    /// send is not missed: the kernel programs count what leaves.
    pub(super) fn send(
        &mut self,
        homes: &BTreeMap<u32, Home>,
        kernel: &mut FastKernel,
    ) -> Result<()> {
        let now = monotonic_ns()?;
        // What is due next can wait.
        if self.deadline().is_none_or(|due| due > now) {
            return Ok(());
        }
        // With hundreds of them this takes a while, in which those that lead are due again.
        for _ in 0..self.peers.len() {
            let now = monotonic_ns()?;
            let peers = &self.peers;
            let early = |key| {
                peers
                    .get(&key)
                    .map_or(0, |it: &Peer| it.interval_ns / EARLY)
            };
            let Some((due, key)) = self.due.next(now, early) else {
                break;
            };
            let Some(peer) = self.peers.get_mut(&key) else {
                self.due.remove(key);
                continue;
            };
            let pace = peer.pace();
            let next = due.saturating_add(pace);
            // Those that were missed are not made up for.
            let missed = next <= now;
            self.due.set(
                key,
                if missed {
                    now.saturating_add(pace)
                } else {
                    next
                },
                peer.turn(),
            );
            self.nonces += 1;
            let nonce = self.secret.hash_one(self.nonces);
            let multiplier = peer.multiplier.get();
            let judgement = Judgement {
                interval_ns: peer.interval_ns,
                learn_ns: LEARN_NS,
                netns: key.netns,
                ifindex: key.ifindex,
                multiplier,
                suspect_after: (multiplier / 3).saturating_sub(1),
                reserved: [0; 6],
            };
            if let Some(session) = self.before.remove(&key).filter(|_| peer.judged.is_none()) {
                kernel.resume(peer.number, session)?;
            }
            if peer.judged != Some(judgement) {
                kernel.judge(peer.number, &judgement)?;
                peer.judged = Some(judgement);
            }
            if let Some(question) = peer.next_question().copied() {
                peer.frame.ask(&question);
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
    /// multipliers follow, and leaders are chosen. Returns those that speak for
    /// themselves and do not answer.
    pub(super) fn review(&mut self, now: Nanos, kernel: &mut FastKernel) -> Result<Vec<Missed>> {
        self.reviews = self.reviews.wrapping_add(1);
        let all_share = self.budget.is_short();
        let mut missed = Vec::new();
        let mut changed = false;
        for (key, peer) in &mut self.peers {
            // One that is led is asked so seldom that there is nothing new.
            let rests = peer.number.wrapping_add(self.reviews) % LED_REVIEWS != 0;
            if peer.is_mute() && peer.alarm_ns.is_none() && rests {
                continue;
            }
            let Some(session) = kernel.session(peer.number)? else {
                continue;
            };
            let idle = session.phase == PHASE_DOWN || session.phase == PHASE_SILENT;
            let since = session.since_ns.max(peer.since_ns);
            let brisk = !idle || now < since.saturating_add(PATIENCE_NS);
            if brisk && !peer.brisk {
                // Not only when the slow one would have been.
                self.due.set(*key, now, peer.turn());
            }
            changed |= brisk != peer.brisk;
            peer.brisk = brisk;
            peer.note(&session, all_share);
            if peer.is_mute() {
                continue;
            }
            if peer.wish.multiplier.is_none() {
                let worst_ns = session.worst_ns.max(session.worst_before_ns);
                peer.multiplier.follow(worst_ns, peer.interval_ns, now);
            }
            let silent = session.phase == PHASE_SILENT;
            if silent || session.phase == PHASE_SUSPECT {
                let number = peer.number;
                missed.push(Missed { number, silent });
            }
        }
        changed |= self.lead(now);
        if changed {
            self.share_budget();
        }
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            if self.is_left(&key) {
                self.end(&key, kernel)?;
            }
        }
        Ok(missed)
    }

    /// Asks a peer about this router before others, and at once.
    pub(super) fn ask_first(&mut self, key: &PeerKey, id: &RouterId) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.ask_first(id);
            self.due.set(*key, 0, peer.turn());
        }
    }

    /// The session with this number does not answer: those that it alone speaks for are asked
    /// themselves.
    pub(super) fn alarm(&mut self, number: u32, now: Nanos) {
        let leader = self.by_number.get(&number).copied();
        let is_led = |peer: &Peer| leader.is_some() && peer.leader == leader && peer.is_mute();
        let led = self.peers.values().filter(|peer| is_led(peer)).count();
        for (key, peer) in self.peers.iter_mut().filter(|(_, peer)| is_led(peer)) {
            if peer.alarm_ns.is_none() {
                peer.alarm_ns = Some(peer.interval_ns.max(Budget::alone(led)));
                self.due.set(*key, now, peer.turn());
            }
        }
    }

    /// Chooses those that speak for others; whether these are others than before.
    fn lead(&mut self, now: Nanos) -> bool {
        let candidate = |(key, peer): (&PeerKey, &Peer)| {
            let (host, voice) = peer.seen?;
            Some(Candidate {
                key: *key,
                host,
                leads: peer.leads,
                used: !peer.users.is_empty(),
                voice,
            })
        };
        let candidates: Vec<Candidate<PeerKey>> = self.peers.iter().filter_map(candidate).collect();
        if candidates.is_empty() && !self.peers.values().any(|peer| peer.leads) {
            return false;
        }
        let led = led(&candidates);
        let leaders: BTreeSet<PeerKey> = led.values().copied().collect();
        let up = candidates.iter().filter(|it| it.is_up());
        let up: BTreeSet<PeerKey> = up.map(|it| it.key).collect();
        let mut changed = false;
        for (key, peer) in &mut self.peers {
            let leader = led.get(key).copied();
            if leader.is_none_or(|leader| up.contains(&leader)) {
                peer.alarm_ns = None;
            }
            let leads = leaders.contains(key);
            if peer.leader == leader && peer.leads == leads {
                continue;
            }
            changed = true;
            (peer.leader, peer.leads) = (leader, leads);
            if leader.is_none() {
                // At full pace at once.
                self.due.set(*key, now, peer.turn());
            }
        }
        changed
    }

    /// The word of an heir that has taken over, to `peer`.
    pub(super) fn taken(key: &PeerKey, wish: &Wish, question: &Question, token: u64) -> ProbeFrame {
        let mut frame = ProbeFrame::new(key.mac, wish.mac, wish.own, 0);
        frame.ask(question);
        frame.taken(token);
        frame
    }
}
