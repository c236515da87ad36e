//! What goes into a router's takeover engine and what comes out of it.
//!
//! All times are nanoseconds of CLOCK_MONOTONIC; 0 means never.

use keepfast_common::event::Party;
use keepfast_common::session;
use keepfast_common::wire::probe::ROLE_MASTER;

use super::note::Note;
use crate::engine::Nanos;

/// The priority's increase while this router takes over: the highest that VRRP
/// leaves to a router that does not own the address.
pub const RAISED: u8 = 254;

/// What may be done for a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Off,
    /// Decide, ask, and note; change nothing.
    Shadow,
    /// Take over.
    Armed,
}

/// What is declared about a router's takeovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What may be done.
    pub mode: Mode,
    /// Whether the host is drained: it takes nothing over, and where the priority can be
    /// raised it is lowered instead, below all others.
    pub drained: bool,
    /// VRRP version, 2 or 3.
    pub version: u8,
    /// Whether a witness must be heard, a gateway or another host, before a silent
    /// master counts as dead: else it may be this host that is cut off.
    pub witness: bool,
    /// Whether keepalived's priority can be raised.
    pub raise: bool,
    /// Whether addresses may be added before keepalived does; done where keepalived
    /// needs a while (version 2) or the old master serves still (it resigned), and
    /// only if the priority can be raised.
    pub lease: bool,
    /// Whether a living master can be made to advertise: not where adverts are
    /// authenticated by a header that cannot be forged.
    pub solicit: bool,
    /// Between two adverts.
    pub advert_interval_ns: Nanos,
    /// After how long a silence keepalived takes over by itself: three intervals
    /// and the skew of its own priority.
    pub down_ns: Nanos,
    /// Between two solicitations.
    pub solicit_interval_ns: Nanos,
}

impl Policy {
    /// After how long keepalived follows a master that resigned.
    #[must_use]
    pub const fn skew_ns(&self) -> Nanos {
        self.down_ns
            .saturating_sub(self.advert_interval_ns.saturating_mul(3))
    }
}

/// What this host's keepalived is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It waits for the master to fail.
    Backup,
    /// It serves.
    Master,
    /// Neither, or not known.
    Other,
}

/// How a session of probes stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There is none.
    Down,
    /// It runs, but not for long enough to mean anything.
    Learning,
    /// Probes are answered.
    Up,
    /// The last ones were not.
    Suspect,
    /// As many as it takes were not.
    Silent,
    /// The peer ends it.
    Leaving,
}

impl Phase {
    /// What the kernel programs call one of the `PHASE_` numbers of
    /// [`keepfast_common::session`].
    #[must_use]
    pub const fn of(number: u8) -> Self {
        match number {
            session::PHASE_LEARNING => Self::Learning,
            session::PHASE_UP => Self::Up,
            session::PHASE_SUSPECT => Self::Suspect,
            session::PHASE_SILENT => Self::Silent,
            session::PHASE_LEAVING => Self::Leaving,
            _ => Self::Down,
        }
    }

    /// Whether the peer answers, and has for long enough to be believed.
    #[must_use]
    pub const fn answers(self) -> bool {
        matches!(self, Self::Up | Self::Suspect)
    }
}

/// The session of probes with the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// How it stands.
    pub phase: Phase,
    /// Whether its peer is the master of [`Snapshot::master`].
    pub is_of_master: bool,
    /// When the first probe was sent of those that are unanswered now.
    pub first_unanswered_ns: Nanos,
    /// Where that is what another session with the same host says: when the first was sent of
    /// the own probes that are unanswered now; 0: none is.
    pub own_unanswered_ns: Option<Nanos>,
    /// What the peer last said of this router.
    pub answer: Answer,
}

/// What a peer says of a router in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// When the probe left that it answers; 0: none was answered.
    pub asked_ns: Nanos,
    /// Whether the router's keepalived there is master.
    pub is_master: bool,
}

impl Answer {
    /// None yet.
    pub const NONE: Self = Self {
        asked_ns: 0,
        is_master: false,
    };

    /// What the last answer of a session says of the router that it is about; `None`: the last
    /// probe is not answered, so that it is not known which one was.
    #[must_use]
    pub fn of(session: &session::Session) -> Option<Self> {
        (session.unanswered == 0).then_some(Self {
            asked_ns: session.sent_ns,
            is_master: session.stamps.role == ROLE_MASTER,
        })
    }
}

/// What is known at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// What this host's keepalived is, by its own adverts.
    pub role: Role,
    /// Whether it runs.
    pub keepalived_runs: bool,
    /// Whether the interface that adverts are exchanged on carries frames.
    pub link_up: bool,
    /// The master, or the last one; `None`: none was heard yet.
    pub master: Option<Party>,
    /// Another host that advertises although the master, or the last one, outranks it;
    /// its priority is not 0. `None`: none was heard yet.
    pub rival: Option<Party>,
    /// The session with the master.
    pub session: Session,
    /// When anything of the session's peer was seen last: a probe, an answer, an
    /// advert.
    pub sign_of_life_ns: Nanos,
    /// When the witness was heard last.
    pub witness_ns: Nanos,
    /// How many better-ranked backups probe the same master.
    pub rank: u32,
    /// How many backups would take over from this host and have a gateway.
    pub heirs: u32,
}

impl Snapshot {
    /// The master, if it is not this host.
    #[must_use]
    pub fn other_master(&self) -> Option<Party> {
        self.master.filter(|master| master.local == 0)
    }

    /// Whether another host than the master has advertised since that did: it has taken
    /// the master's place already.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        let heard_ns = |party: Option<Party>| party.map_or(0, |party| party.heard_ns);
        self.rival.is_some_and(|rival| rival.local == 0)
            && heard_ns(self.rival) > heard_ns(self.master)
    }
}

/// What comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The router is declared anew.
    Declared(Policy),
    /// Something happened, and what was known right then.
    Happened(Event, Snapshot),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// The first probes of the session are unanswered.
    Suspect,
    /// As many as it takes are.
    Silent,
    /// Probes are answered again.
    Back,
    /// The master's advert of priority 0 came in at this time.
    Resigned {
        /// When.
        at_ns: Nanos,
    },
    /// This host's first advert as master left.
    LocalMaster {
        /// When.
        at_ns: Nanos,
    },
    /// This host's keepalived gave up its role.
    LocalResigned,
    /// The master of the snapshot is another one than before, or there was none.
    MasterChanged,
    /// While this host was master, or was becoming it, an advert came in from the one
    /// whose place it takes, of a priority that is not 0.
    OldMasterHeard {
        /// When.
        heard_ns: Nanos,
    },
    /// While this host was master by a takeover, or was becoming it, an advert came in
    /// from yet another one, of a priority that is not 0.
    AnotherHeard {
        /// When.
        heard_ns: Nanos,
    },
    /// A backup has begun to probe this host: it may have been master until now, and
    /// have been the last one to announce the addresses.
    Followed {
        /// Whether it is the one whose place was taken.
        by_old_master: bool,
    },
    /// An operator wants another host to serve.
    HandOver,
    /// This host's gateway is lost. Told again when the number of heirs changes.
    GatewaySilent,
    /// This host's gateway answers again.
    GatewayBack,
}

/// A forged advert of the master that keepalived receives; it is never on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgery {
    /// Version 3: priority 255, and an interval of 0.
    ZeroInterval,
    /// Version 3: the shortest interval, and then priority 0.
    ShortThenZero,
    /// Version 2: priority 0.
    PriorityZero,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Make this master advertise, if it lives.
    Solicit(Party),
    /// Have the session's next probe ask about this router, at once.
    AskPeer,
    /// Make the witness answer.
    AskWitness,
    /// Have keepalived add this to its priority: [`RAISED`], or 0 for what it has at rest,
    /// which of a drained host is below all others.
    Raise(u8),
    /// Add the addresses for a limited time, and announce them.
    Lease,
    /// The leased addresses are keepalived's now: their time is no longer limited.
    KeepLease,
    /// Remove the leased addresses that are there; those that keepalived removed are
    /// no error.
    Unlease,
    /// Have keepalived receive a forged advert of this master.
    Inject(Forgery, Party),
    /// Have keepalived receive a forged advert of this master that outranks it, so
    /// that it gives way.
    Yield(Party),
    /// Announce the addresses.
    Announce,
    /// Tell this old master's host that its place is taken.
    TellPeer(Party),
    /// Send an advert of priority 0 for this host's own keepalived.
    Resign,
    /// Write a line into the event log.
    Note(Note),
}

/// The moment at which something is decided.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Which.
    pub now: Nanos,
    /// What is declared.
    pub policy: &'a Policy,
    /// What is known.
    pub snapshot: &'a Snapshot,
}
