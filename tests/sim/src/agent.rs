//! The agent's fast path on a host: what `keepfast::fast` does between the kernel and the
//! takeover engine, with the same facts at the same paces, for one router.

use keepfast::takeover::{
    Action, Answer, Cause, Event, Forgery, Input, Note, Phase, Role, Session, Snapshot, Takeover,
};
use keepfast_common::event::{EventKind, Party};
use keepfast_common::session::{self, Judgement};
use keepfast_common::wire::probe::{
    KIND_TAKEN, Probe, ROLE_MASTER, SENDER_ARMED, SENDER_GATEWAY, Stamps,
};
use keepfast_common::wire::vrrp::RESIGN;

use crate::daemon::Known;
use crate::host::{mac, number_of, party};
use crate::kernel::host_of;
use crate::setup::Guard;
use crate::world::{Frame, Occurs, World};
use crate::{MS, SECOND, US};

/// Between two looks without an event.
const REVIEW_NS: u64 = 100 * MS;

/// How often it is looked for adverts of the one whose place was taken.
const LOOK_NS: u64 = 2 * MS;

/// How often one is probed that has not answered for a second.
const SLOW_NS: u64 = 100 * MS;

/// How long leased addresses live.
pub(crate) const LEASE_NS: u64 = 5 * SECOND;

/// What an agent is told.
#[derive(Debug, Clone, Copy)]
pub enum News {
    /// By the tracker.
    Kernel {
        /// What.
        kind: EventKind,
        /// When.
        at_ns: u64,
        /// Whether by an advert of the host's own.
        local: bool,
    },
    /// By a session.
    Session {
        /// What.
        kind: EventKind,
        /// With whom.
        peer: usize,
    },
}

/// An agent.
#[derive(Debug)]
pub struct Agent {
    /// keepfast's own.
    pub takeover: Takeover,
    facts: Known,
    peer: Option<usize>,
    peer_since: u64,
    stamps: Stamps,
    answer: Answer,
    sequence: u32,
    probe_at: u64,
    review_at: u64,
    look_at: u64,
    deposed: Option<Party>,
    deposed_heard_ns: u64,
    followers: Vec<usize>,
    armed: u64,
}

impl Agent {
    fn deadline(&self) -> u64 {
        let probe = if self.peer.is_some() {
            self.probe_at
        } else {
            u64::MAX
        };
        let look = if self.looks() { self.look_at } else { u64::MAX };
        let takeover = self.takeover.deadline().unwrap_or(u64::MAX);
        probe.min(look).min(takeover).min(self.review_at)
    }

    fn looks(&self) -> bool {
        self.deposed.is_some() && matches!(self.takeover.as_str(), "taking over" | "holding")
    }
}

impl World {
    /// An agent starts.
    pub(crate) fn start_agent(&mut self, host: usize) {
        let mut actions = Vec::new();
        let takeover = Takeover::new(self.setup.policy(host), &mut actions);
        let it = &mut self.hosts[host];
        it.lives += 1;
        it.sessions.fill(None);
        it.agent = Some(Agent {
            takeover,
            facts: Known {
                backup: false,
                keepalived_runs: false,
                link_up: false,
            },
            peer: None,
            peer_since: 0,
            stamps: Stamps::NONE,
            answer: Answer::NONE,
            sequence: 0,
            probe_at: 0,
            review_at: self.now,
            look_at: 0,
            deposed: None,
            deposed_heard_ns: 0,
            followers: Vec::new(),
            armed: u64::MAX,
        });
        self.note(|| format!("{host} agent starts"));
        self.start_daemon(host);
        let it = &mut self.hosts[host];
        if let (Some(agent), Some(daemon)) = (&mut it.agent, &it.daemon) {
            agent.facts = daemon.known();
        }
        // What an earlier one has leased.
        let lapsing = it.address.is_some_and(|until| until != u64::MAX);
        let backup = it.agent.as_ref().is_some_and(|agent| agent.facts.backup);
        if lapsing && it.tracked.own_active == 0 && backup {
            it.address = None;
        } else if lapsing {
            it.address = Some(u64::MAX);
        }
        self.perform(host, actions);
    }

    pub(crate) fn arm_agent(&mut self, host: usize) {
        let life = self.hosts[host].lives;
        let late = self.dice.between(0, 40 * US);
        let Some(agent) = &mut self.hosts[host].agent else {
            return;
        };
        let due = agent.deadline();
        if due < agent.armed {
            agent.armed = due;
            let at = due.max(self.now) + late;
            self.at(at, Occurs::AgentTimer { host, life, due });
        }
    }

    fn is_of(&self, host: usize, life: u32) -> bool {
        self.hosts[host].lives == life && self.hosts[host].agent.is_some()
    }

    pub(crate) fn agent_timer(&mut self, host: usize, life: u32, due: u64) {
        if !self.is_of(host, life) {
            return;
        }
        let now = self.now;
        let Some(agent) = &mut self.hosts[host].agent else {
            return;
        };
        if agent.armed != due {
            return;
        }
        agent.armed = u64::MAX;
        self.probe(host);
        if self.hosts[host].agent.as_ref().is_some_and(Agent::looks) {
            self.look_for_deposed(host);
            self.look_for_followers(host);
        }
        let ticks = |agent: &Agent| agent.takeover.deadline().is_some_and(|due| due <= now);
        if self.hosts[host].agent.as_ref().is_some_and(ticks) {
            self.happened(host, Event::Tick);
        }
        let Some(agent) = &mut self.hosts[host].agent else {
            return;
        };
        if agent.review_at <= now {
            agent.review_at = now + REVIEW_NS;
            self.choose_peer(host);
            self.look_for_followers(host);
            self.make_up_for_loss(host);
        }
    }

    pub(crate) fn told(&mut self, host: usize, life: u32, news: News) {
        if !self.is_of(host, life) {
            return;
        }
        match news {
            News::Session { kind, peer } => {
                let is_peer = |agent: &Agent| agent.peer == Some(peer);
                if !self.hosts[host].agent.as_ref().is_some_and(is_peer) {
                    return;
                }
                match kind {
                    EventKind::PeerSuspect => self.happened(host, Event::Suspect),
                    EventKind::PeerSilent => self.happened(host, Event::Silent),
                    EventKind::PeerBack => self.happened(host, Event::Back),
                    _ => {}
                }
            }
            News::Kernel { kind, at_ns, local } => {
                let event = match kind {
                    EventKind::LocalMaster => Event::LocalMaster { at_ns },
                    EventKind::LocalResigned => Event::LocalResigned,
                    EventKind::MasterResigned => Event::Resigned { at_ns },
                    EventKind::MasterAppeared | EventKind::MasterChanged if !local => {
                        Event::MasterChanged
                    }
                    _ => return,
                };
                self.happened(host, event);
                self.choose_peer(host);
            }
        }
    }

    /// The facts, as `keepfast::fast` reads them.
    fn snapshot(&mut self, host: usize) -> Snapshot {
        let now = self.now;
        let it = &mut self.hosts[host];
        let known = it.tracked;
        let master = (known.master.heard_ns != 0).then_some(known.master);
        let rival = known.rival;
        let facts = it.agent.as_ref().map(|agent| agent.facts);
        let role = if known.own_active != 0 {
            Role::Master
        } else if facts.is_some_and(|facts| facts.backup) {
            Role::Backup
        } else {
            Role::Other
        };
        let mut found = Session {
            phase: Phase::Down,
            is_of_master: true,
            first_unanswered_ns: 0,
            own_unanswered_ns: None,
            answer: Answer::NONE,
        };
        let mut sign_of_life_ns = 0;
        let mut rank = 0;
        if let Some(agent) = &mut it.agent {
            if let Some(peer) = agent.peer {
                found.is_of_master = master.is_some_and(|master| number_of(&master.mac) == peer);
                if let Some((_, session)) = &it.sessions[peer] {
                    found.phase = Phase::of(session.phase);
                    found.first_unanswered_ns = session.first_ns;
                    sign_of_life_ns = session.answered_ns;
                    let Stamps { rank, token, .. } = agent.stamps;
                    agent.stamps = session.stamps;
                    agent.answer = Answer::of(session).unwrap_or(agent.answer);
                    found.answer = agent.answer;
                    if session.stamps.role != ROLE_MASTER {
                        agent.stamps.rank = rank;
                        agent.stamps.token = token;
                    }
                }
            }
            rank = agent.stamps.rank.into();
        }
        if let Some(master) = master.filter(|master| master.local == 0) {
            sign_of_life_ns = sign_of_life_ns.max(master.heard_ns);
        }
        let able = it
            .heirs
            .heirs
            .iter()
            .filter(|heir| heir.is_fresh(now))
            .count();
        Snapshot {
            role,
            keepalived_runs: facts.is_some_and(|facts| facts.keepalived_runs),
            link_up: facts.is_some_and(|facts| facts.link_up),
            master,
            rival: (rival.heard_ns != 0 && rival.priority != RESIGN).then_some(rival),
            session: found,
            sign_of_life_ns,
            witness_ns: it.witness_ns,
            rank,
            heirs: able as u32,
        }
    }

    /// The facts as the engine is told them: without those that a guard needs which is
    /// taken away.
    fn as_told(&self, mut snapshot: Snapshot) -> Snapshot {
        if self.setup.lacks(Guard::Stagger) {
            snapshot.rank = 0;
        }
        if self.setup.lacks(Guard::Veto) && snapshot.session.phase == Phase::Silent {
            let before = snapshot.session.first_unanswered_ns.saturating_sub(1);
            snapshot.sign_of_life_ns = 0;
            if let Some(master) = &mut snapshot.master {
                master.heard_ns = master.heard_ns.min(before);
            }
        }
        snapshot
    }

    /// The daemon lets the fast path know how the router is.
    pub(crate) fn let_know(&mut self, host: usize, known: Known) {
        if let Some(agent) = &mut self.hosts[host].agent {
            agent.facts = known;
            self.choose_peer(host);
        }
    }

    pub(crate) fn happened(&mut self, host: usize, event: Event) {
        let snapshot = self.snapshot(host);
        let snapshot = self.as_told(snapshot);
        let (now, policy) = (self.now, self.setup.policy(host));
        let forgets = self.setup.lacks(Guard::BackOff);
        let mut actions = Vec::new();
        let Some(agent) = &mut self.hosts[host].agent else {
            return;
        };
        agent
            .takeover
            .step(now, Input::Happened(event, snapshot), &mut actions);
        if forgets && agent.takeover.as_str() == "idle" && agent.takeover.backs_off_until() > now {
            agent.takeover = Takeover::new(policy, &mut Vec::new());
        }
        self.perform(host, actions);
    }

    fn perform(&mut self, host: usize, actions: Vec<Action>) {
        for action in actions {
            self.act(host, action);
        }
    }

    fn act(&mut self, host: usize, action: Action) {
        match action {
            Action::Solicit(master) => self.send(host, host_of(&master), Frame::Solicitation),
            Action::AskPeer => {
                if let Some(agent) = &mut self.hosts[host].agent {
                    agent.probe_at = self.now;
                }
            }
            Action::AskWitness => self.send(host, self.gateway(), Frame::Question),
            Action::Raise(value) => {
                let boot = self.hosts[host].boot;
                self.hosts[host].raise = value;
                // Mostly before what is injected then.
                let high = if self.dice.per_mille(50) { 400 } else { 30 };
                let delay = self.dice.between(5 * US, high * US);
                self.at(self.now + delay, Occurs::Written { host, boot });
            }
            Action::Lease => {
                let boot = self.hosts[host].boot;
                let until = self.now + LEASE_NS;
                self.hosts[host].address.get_or_insert(until);
                self.at(until, Occurs::Lapse { host, boot });
            }
            Action::KeepLease => {
                if let Some(until) = &mut self.hosts[host].address {
                    *until = u64::MAX;
                }
            }
            Action::Unlease => self.remove_address(host),
            Action::Inject(forgery, master) => self.inject(host, forgery, &master),
            Action::Yield(master) => {
                let advert = Party {
                    priority: 255,
                    ..self.forged(&master)
                };
                // It gives way for good: the twin is what it would be from then on.
                self.pass_to_keepalived(host, advert, false);
            }
            Action::Announce => {}
            Action::TellPeer(master) => self.tell_peer(host, &master),
            Action::Resign => self.advertise(host, RESIGN),
            Action::Note(note) => self.noted(host, note),
        }
    }

    fn forged(&self, master: &Party) -> Party {
        party(&self.setup, host_of(master), 0, self.now)
    }

    fn inject(&mut self, host: usize, forgery: Forgery, master: &Party) {
        if let Some(agent) = &mut self.hosts[host].agent {
            agent.deposed = Some(*master);
            agent.deposed_heard_ns = master.heard_ns;
        }
        let zero = self.forged(master);
        let own = |priority, interval_cs| Party {
            priority,
            interval_cs,
            ..zero
        };
        match forgery {
            Forgery::ZeroInterval => self.pass_to_keepalived(host, own(255, 0), true),
            Forgery::ShortThenZero => {
                self.pass_to_keepalived(host, own(255, 1), true);
                self.pass_to_keepalived(host, own(0, 1), true);
            }
            Forgery::PriorityZero => self.pass_to_keepalived(host, zero, true),
        }
        self.note(|| format!("{host} injects {forgery:?}"));
    }

    fn tell_peer(&mut self, host: usize, master: &Party) {
        let token = self.hosts[host]
            .agent
            .as_ref()
            .map_or(0, |agent| agent.stamps.token);
        if token != 0 {
            let peer = host_of(master);
            let mut probe = self.question(host, peer);
            probe.kind = KIND_TAKEN;
            probe.stamps.token = token;
            self.send(host, peer, Frame::Taken(probe));
        }
    }

    fn noted(&mut self, host: usize, note: Note) {
        self.note(|| format!("{host} {}: {note}", note.name()));
        match note {
            Note::TakesOver { cause, .. } => {
                let deposed = self.hosts[host].agent.as_ref().and_then(|it| it.deposed);
                if let Some(master) = deposed {
                    self.takes_over(host, host_of(&master), cause == Cause::Silence);
                }
            }
            Note::TookOver {
                cause: Cause::Silence,
                ..
            } => {
                self.checks.took_over(host, self.now);
            }
            Note::Wrong { .. } | Note::Failed { .. } => self.checks.errs(host, self.now),
            _ => {}
        }
    }

    fn question(&self, host: usize, peer: usize) -> Probe {
        let mut probe = Probe::UNREAD;
        probe.address = crate::host::address(host);
        probe.source = mac(host);
        probe.destination = mac(peer);
        probe.priority = self.setup.priorities[host];
        probe.flags = SENDER_ARMED | SENDER_GATEWAY;
        probe
    }

    fn probe(&mut self, host: usize) {
        let (now, interval_ns) = (self.now, self.setup.probe_ns);
        let nonce = self.dice.next();
        let it = &mut self.hosts[host];
        let Some(agent) = &mut it.agent else {
            return;
        };
        let Some(peer) = agent.peer.filter(|_| agent.probe_at <= now) else {
            return;
        };
        let phase = it.sessions[peer]
            .as_ref()
            .map(|(_, it)| (it.phase, it.since_ns));
        let idle = phase.is_none_or(|(phase, _)| {
            phase == session::PHASE_DOWN || phase == session::PHASE_SILENT
        });
        let since = phase.map_or(0, |(_, since)| since).max(agent.peer_since);
        let pace = if idle && now >= since + SECOND {
            SLOW_NS
        } else {
            interval_ns
        };
        let next = agent.probe_at + pace;
        agent.probe_at = if next <= now { now + pace } else { next };
        agent.sequence += 1;
        let sequence = agent.sequence;
        let mut probe = self.question(host, peer);
        probe.sequence = sequence;
        probe.nonce = nonce;
        self.send_probe(host, peer, probe);
    }

    fn choose_peer(&mut self, host: usize) {
        let snapshot = self.snapshot(host);
        let master = snapshot
            .other_master()
            .filter(|_| snapshot.role == Role::Backup);
        let wanted = master.map(|master| host_of(&master));
        let judgement = Judgement {
            interval_ns: self.setup.probe_ns,
            learn_ns: self.setup.learn_ns(),
            netns: 1,
            ifindex: 2,
            multiplier: self.setup.judged_multiplier(),
            suspect_after: (self.setup.judged_multiplier() / 3).saturating_sub(1),
            reserved: [0; 6],
        };
        let now = self.now;
        let it = &mut self.hosts[host];
        let Some(agent) = &mut it.agent else {
            return;
        };
        if agent.peer == wanted {
            return;
        }
        it.sessions.fill(None);
        agent.peer = wanted;
        agent.stamps = Stamps::NONE;
        agent.answer = Answer::NONE;
        if let Some(peer) = wanted {
            it.sessions[peer] = Some((judgement, session::Session::UNKNOWN));
            agent.peer_since = now;
            agent.probe_at = now;
        }
        self.checks.probes_anew(host);
    }

    fn make_up_for_loss(&mut self, host: usize) {
        let it = &self.hosts[host];
        let Some(agent) = it
            .agent
            .as_ref()
            .filter(|it| it.takeover.as_str() == "idle")
        else {
            return;
        };
        let session = agent.peer.and_then(|peer| it.sessions[peer].as_ref());
        match session.map(|(_, session)| session.phase) {
            Some(session::PHASE_SUSPECT) => self.happened(host, Event::Suspect),
            Some(session::PHASE_SILENT) => self.happened(host, Event::Silent),
            _ => {}
        }
    }

    fn look_for_deposed(&mut self, host: usize) {
        let now = self.now;
        let it = &mut self.hosts[host];
        let known = it.tracked;
        let Some(agent) = it.agent.as_mut().filter(|agent| agent.looks()) else {
            return;
        };
        let Some(deposed) = agent.deposed.filter(|_| agent.look_at <= now) else {
            return;
        };
        agent.look_at = now + LOOK_NS;
        let last_heard = |is_deposed: bool| {
            let heard = [known.master, known.rival].into_iter();
            let heard = heard.filter(|party| party.local == 0 && party.priority != RESIGN);
            let heard = heard.filter(|party| party.is(&deposed) == is_deposed);
            heard.map(|party| party.heard_ns).max().unwrap_or(0)
        };
        let (heard_ns, another_ns) = (last_heard(true), last_heard(false));
        if heard_ns > agent.deposed_heard_ns {
            agent.deposed_heard_ns = heard_ns;
            self.happened(host, Event::OldMasterHeard { heard_ns });
        } else if another_ns > deposed.heard_ns {
            let heard_ns = another_ns;
            self.happened(host, Event::AnotherHeard { heard_ns });
        }
    }

    fn look_for_followers(&mut self, host: usize) {
        let now = self.now;
        let it = &mut self.hosts[host];
        let fresh = it.heirs.heirs.iter().filter(|heir| heir.is_fresh(now));
        let fresh: Vec<usize> = fresh.map(|heir| number_of(&heir.mac)).collect();
        let Some(agent) = &mut it.agent else {
            return;
        };
        let before = std::mem::replace(&mut agent.followers, fresh);
        let new = agent.followers.iter().filter(|it| !before.contains(it));
        let new: Vec<usize> = new.copied().collect();
        if !new.is_empty() {
            let old = agent.deposed.as_ref().map(host_of);
            let by_old_master = old.is_some_and(|old| new.contains(&old));
            self.happened(host, Event::Followed { by_old_master });
        }
    }
}
