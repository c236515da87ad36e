//! A session with one peer on one interface, and what its routers want of it.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use keepfast_common::session::{Judgement, PHASE_SILENT, PHASE_SUSPECT, PHASE_UP, Session};
use keepfast_common::wire::Mac;

use crate::config::{RouterId, Sharing};
use crate::engine::Nanos;

use super::leaders::Voice;
use super::multiplier::Multiplier;
use super::probe::{ProbeFrame, Question};
use super::schedule::Turn;

const SECOND: Nanos = 1_000_000_000;

/// How often one is probed that another one speaks for.
const LED_NS: Nanos = SECOND;

/// How often one is probed that has not answered for [`PATIENCE_NS`].
const SLOW_NS: Nanos = SECOND / 10;

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

/// A router that probes a peer.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: RouterId,
    pub(super) question: Question,
    pub(super) wish: Wish,
}

/// A session.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) number: u32,
    pub(super) users: Vec<User>,
    next_user: usize,
    /// The routers that are asked about before their turn.
    urgent: VecDeque<RouterId>,
    pub(super) frame: ProbeFrame,
    pub(super) sequence: u32,
    /// Of all its users.
    pub(super) wish: Wish,
    /// As the budget allows.
    pub(super) interval_ns: Nanos,
    pub(super) multiplier: Multiplier,
    /// At full pace; else [`SLOW_NS`].
    pub(super) brisk: bool,
    pub(super) since_ns: Nanos,
    pub(super) judged: Option<Judgement>,
    /// The one that speaks for it.
    pub(super) leader: Option<PeerKey>,
    /// It speaks for others.
    pub(super) leads: bool,
    /// How often it is probed while that one does not answer.
    pub(super) alarm_ns: Option<Nanos>,
    /// How it was when last looked at, where it may share.
    pub(super) seen: Option<(u64, Voice)>,
}

impl Peer {
    /// One that nobody uses yet.
    pub(super) fn new(number: u32, key: &PeerKey, wish: &Wish, now: Nanos) -> Self {
        Self {
            number,
            users: Vec::new(),
            next_user: 0,
            urgent: VecDeque::new(),
            frame: ProbeFrame::new(key.mac, wish.mac, wish.own, number),
            sequence: 0,
            wish: wish.clone(),
            interval_ns: wish.interval_ns,
            multiplier: Multiplier::new(wish.multiplier, now),
            brisk: true,
            since_ns: now,
            judged: None,
            leader: None,
            leads: false,
            alarm_ns: None,
            seen: None,
        }
    }

    /// Between two probes, nanoseconds.
    pub(super) const fn interval_ns(&self) -> Nanos {
        self.interval_ns
    }

    pub(super) const fn multiplier(&self) -> u8 {
        self.multiplier.get()
    }

    /// Whether another one speaks for it.
    pub(super) const fn is_led(&self) -> bool {
        self.leader.is_some()
    }

    /// Whether only another one does: it is asked so seldom itself that its silence means
    /// nothing.
    pub(super) fn is_mute(&self) -> bool {
        self.is_led() && self.wish.sharing == Sharing::Host
    }

    /// When it is probed that others are due, too.
    pub(super) const fn turn(&self) -> Turn {
        if self.leads { Turn::First } else { Turn::Usual }
    }

    /// What is wanted between two probes, if it were not for the budget.
    pub(super) fn wanted_pace(&self) -> Nanos {
        self.pace_of(self.wish.interval_ns)
    }

    /// Between two of its probes as they are sent, nanoseconds.
    pub(super) fn pace(&self) -> Nanos {
        self.pace_of(self.interval_ns)
    }

    fn pace_of(&self, interval_ns: Nanos) -> Nanos {
        if !self.urgent.is_empty() {
            interval_ns
        } else if self.is_mute() {
            self.alarm_ns.unwrap_or(LED_NS)
        } else if self.brisk {
            interval_ns
        } else {
            SLOW_NS.max(interval_ns)
        }
    }

    /// The next probe, or one soon, asks about this router.
    pub(super) fn ask_first(&mut self, id: &RouterId) {
        if !self.urgent.contains(id) {
            self.urgent.push_back(id.clone());
        }
    }

    /// What the next probe asks.
    pub(super) fn next_question(&mut self) -> Option<&Question> {
        let urgent = self.urgent.pop_front();
        let urgent = urgent.and_then(|id| self.users.iter().position(|user| user.id == id));
        let next = urgent.unwrap_or_else(|| {
            self.next_user = (self.next_user + 1) % self.users.len().max(1);
            self.next_user
        });
        self.users.get(next).map(|user| &user.question)
    }

    /// Follows what its users wish; whether that is something else than before.
    pub(super) fn heed(&mut self, key: &PeerKey, now: Nanos) -> bool {
        let wishes = self.users.iter().map(|user| user.wish.clone());
        let Some(wish) = wishes.reduce(Wish::and) else {
            return false;
        };
        if wish == self.wish {
            return false;
        }
        self.frame = ProbeFrame::new(key.mac, wish.mac, wish.own, self.number);
        if wish.multiplier != self.wish.multiplier {
            self.multiplier = Multiplier::new(wish.multiplier, now);
        }
        self.wish = wish;
        true
    }

    /// Takes down how it is. `all_share`: with so many sessions even those that need not.
    pub(super) fn note(&mut self, session: &Session, all_share: bool) {
        let voice = match session.phase {
            PHASE_UP => Some(Voice::Up {
                answered_ns: session.answered_ns,
            }),
            PHASE_SUSPECT => Some(Voice::Suspect),
            PHASE_SILENT => Some(Voice::Silent {
                since_ns: session.since_ns,
            }),
            _ => None,
        };
        let host = session.stamps.host;
        let shares = (all_share || self.wish.sharing == Sharing::Host) && host != 0;
        self.seen = voice.filter(|_| shares).map(|voice| (host, voice));
    }
}

impl Wish {
    /// What suits both: the shorter time between two probes, and more patience.
    fn and(self, other: Self) -> Self {
        let multiplier = self.multiplier.zip(other.multiplier);
        let sharing = match (self.sharing, other.sharing) {
            (Sharing::Host, Sharing::Host) => Sharing::Host,
            _ => Sharing::Interface,
        };
        Self {
            interval_ns: self.interval_ns.min(other.interval_ns),
            multiplier: multiplier.map(|(one, other)| one.max(other)),
            sharing,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;
    const KEY: PeerKey = PeerKey {
        netns: 1,
        ifindex: 2,
        mac: [2, 0, 0, 0, 0, 1],
    };

    fn wish(interval_ns: Nanos, multiplier: Option<u8>, sharing: Sharing) -> Wish {
        Wish {
            interval_ns,
            multiplier,
            mac: [2, 0, 0, 0, 0, 2],
            own: Ipv4Addr::new(192, 0, 2, 1),
            sharing,
        }
    }

    fn of(wishes: &[Wish]) -> Peer {
        let mut peer = Peer::new(1, &KEY, &wishes[0], 0);
        peer.users = wishes
            .iter()
            .enumerate()
            .map(|(number, wish)| User {
                id: format!("r{number}").parse().unwrap(),
                question: Question {
                    vrid: 1,
                    family: 4,
                    address: [0; 16],
                    priority: 100,
                    flags: 0,
                    reason: 0,
                },
                wish: wish.clone(),
            })
            .collect();
        peer
    }

    #[test]
    fn all_users_are_heeded() {
        let mut peer = of(&[
            wish(2 * MS, Some(3), Sharing::Host),
            wish(MS, Some(5), Sharing::Interface),
        ]);
        assert!(peer.heed(&KEY, 0));
        assert_eq!(peer.wish, wish(MS, Some(5), Sharing::Interface));
        assert_eq!(peer.multiplier(), 5);
        assert!(!peer.heed(&KEY, 0), "there is nothing new");
        peer.users.pop();
        assert!(peer.heed(&KEY, 0));
        assert_eq!(peer.multiplier(), 3);
        peer.users.clear();
        assert!(!peer.heed(&KEY, 0), "nobody wishes anything");
    }

    #[test]
    fn one_that_wants_the_multiplier_to_follow_has_its_way() {
        let mut peer = of(&[
            wish(MS, Some(3), Sharing::Host),
            wish(MS, None, Sharing::Host),
        ]);
        assert!(peer.heed(&KEY, 0));
        assert_eq!(peer.wish, wish(MS, None, Sharing::Host));
        assert_eq!(peer.multiplier(), 10);
    }

    #[test]
    fn it_is_asked_seldom_where_that_is_enough() {
        let mut peer = of(&[wish(MS, None, Sharing::Host)]);
        peer.interval_ns = 3 * MS;
        assert_eq!((peer.wanted_pace(), peer.pace()), (MS, 3 * MS));
        peer.brisk = false;
        assert_eq!((peer.wanted_pace(), peer.pace()), (SLOW_NS, SLOW_NS));
        peer.brisk = true;
        peer.leader = Some(KEY);
        assert_eq!((peer.wanted_pace(), peer.pace()), (LED_NS, LED_NS));
        peer.alarm_ns = Some(5 * MS);
        assert_eq!(peer.pace(), 5 * MS, "its leader does not answer");
        peer.wish.sharing = Sharing::Interface;
        assert_eq!(peer.pace(), 3 * MS, "it speaks for itself, too");
    }

    #[test]
    fn what_is_urgent_is_asked_before_its_turn_and_once() {
        let mut peer = of(&[
            wish(MS, None, Sharing::Host),
            wish(MS, None, Sharing::Host),
            wish(MS, None, Sharing::Host),
        ]);
        for (vrid, user) in (1..).zip(&mut peer.users) {
            user.question.vrid = vrid;
        }
        let asked = |peer: &mut Peer| peer.next_question().unwrap().vrid;
        assert_eq!(asked(&mut peer), 2);
        peer.leader = Some(KEY);
        for id in ["r0", "r0", "gone"] {
            peer.ask_first(&id.parse().unwrap());
        }
        assert_eq!(peer.pace(), MS, "even where another one speaks for it");
        assert_eq!(asked(&mut peer), 1, "before its turn");
        assert_eq!(
            asked(&mut peer),
            3,
            "in turn: there is no such router any more"
        );
        assert_eq!(peer.pace(), LED_NS);
        assert_eq!(asked(&mut peer), 1, "in turn");
        peer.users.clear();
        assert_eq!(peer.next_question(), None);
    }

    #[test]
    fn only_what_its_host_says_is_taken_down() {
        let mut peer = of(&[wish(MS, None, Sharing::Host)]);
        let mut session = Session::UNKNOWN;
        session.phase = PHASE_UP;
        session.answered_ns = 7;
        peer.note(&session, true);
        assert_eq!(peer.seen, None, "a host without a name");
        session.stamps.host = 9;
        peer.note(&session, false);
        assert_eq!(peer.seen, Some((9, Voice::Up { answered_ns: 7 })));
        peer.wish.sharing = Sharing::Interface;
        peer.note(&session, false);
        assert_eq!(peer.seen, None);
        peer.note(&session, true);
        assert_eq!(peer.seen, Some((9, Voice::Up { answered_ns: 7 })));
    }
}
