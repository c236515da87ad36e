//! Whether a backup takes over now.
//!
//! Read from the top, the first line that fits counts. "The loss" is the time of
//! the first unanswered probe, or that of the advert by which the master resigned;
//! "own time" is when keepalived takes over by itself.
//!
//! | for         | what                                              | verdict             |
//! |-------------|---------------------------------------------------|---------------------|
//! |             | takeovers are off                                 | not now             |
//! |             | the host is drained                               | not now             |
//! |             | this host is not backup                           | not now             |
//! |             | keepalived does not run                           | not now             |
//! |             | the own link is down                              | not now             |
//! |             | no master is known                                | not now             |
//! |             | another router is master than at the loss, or     | not now             |
//! |             | advertises since the master did                   |                     |
//! |             | the session is with somebody else                 | not now             |
//! | silence     | the session is down                               | not now             |
//! | silence     | the session has not learnt enough                 | not now             |
//! | silence     | the session is being ended by the peer            | not now             |
//! | silence     | probes are answered again                         | not now             |
//! |             | an advert was heard since the loss                | not now             |
//! | resignation | this host itself gave up for want of a gateway    | not now             |
//! | resignation | asked since, the master's host says that it is    | not now             |
//! |             | master: the advert was forged                     |                     |
//! |             | own time has come                                 | not now             |
//! | silence     | a sign of life since the loss, and since then not | wait for as long a  |
//! |             | as long a silence as the verdict took             | silence             |
//! | silence     | another session with the host told it, and an own | wait for that       |
//! |             | probe is not unanswered for a third as long       |                     |
//! | silence     | a witness is needed, none was heard since the loss| wait for it         |
//! | resignation | the session is up, but has not been asked since   | wait for the answer |
//! |             | a back-off runs                                   | wait for its end    |
//! |             | better-ranked backups come first                  | wait 5 ms for each  |
//! |             | else                                              | take over           |
//!
//! A host that resigns lives: neither signs of life nor a witness say anything then.
//! Who can send a frame can send a resignation in the master's name, so the master's
//! host is asked, where it answers probes: its kernel has seen what left there. Where
//! it does not, the resignation is taken at its word, as keepalived takes it. A stray sign of life only prolongs the silence that is needed, as
//! it may have been on its way when the peer died; an advert ends the matter, for
//! it is keepalived itself that speaks.

use std::fmt;

use keepfast_common::event::Party;

use super::io::{Mode, Moment, Phase, Role};
use crate::engine::Nanos;

/// How long each better-ranked backup may take.
pub const STAGGER_NS: Nanos = 5_000_000;

/// How soon a router is looked at again whose master's host is being asked whether it
/// has resigned: far less than a takeover takes.
const ANSWER_NS: Nanos = 250_000;

/// For how long an own probe must be unanswered at most, where another session has told a silence:
/// of hundreds of routers the last is told much later than the first.
const ASKED_NS: Nanos = 10_000_000;

/// How soon one whose own probe is about to leave.
const LEAVES_NS: Nanos = 1_000_000;

/// What a takeover would be due to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The master's host does not answer.
    Silence,
    /// The master gave up its role.
    Resignation,
}

/// Something that may make a backup take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occasion {
    /// Which kind.
    pub cause: Cause,
    /// The loss: the first unanswered probe, or the advert of priority 0.
    pub loss_ns: Nanos,
    /// When it was told.
    pub told_ns: Nanos,
    /// Who was master.
    pub master: Option<Party>,
}

impl Occasion {
    /// The master's silence, as told at this moment.
    #[must_use]
    pub const fn silence(moment: &Moment<'_>) -> Self {
        Self {
            cause: Cause::Silence,
            loss_ns: moment.snapshot.session.first_unanswered_ns,
            told_ns: moment.now,
            master: moment.snapshot.master,
        }
    }

    /// The master's resignation at `at_ns`, as told at this moment.
    #[must_use]
    pub const fn resignation(moment: &Moment<'_>, at_ns: Nanos) -> Self {
        Self {
            cause: Cause::Resignation,
            loss_ns: at_ns,
            told_ns: moment.now,
            master: moment.snapshot.master,
        }
    }
}

/// What keeps this router back, beside the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restraint {
    /// Until when no takeover is tried.
    pub back_off_until: Nanos,
    /// This host handed over because its gateway was lost, and it still is.
    pub gateway_lost: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Take over.
    TakeOver,
    /// Decide again at this time, which is to come, or before.
    Wait(Nanos, Reason),
    /// Let the occasion pass.
    NotNow(Reason),
}

/// Why not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Takeovers are off.
    Off,
    /// The host is drained.
    Drained,
    /// This host's keepalived is not backup.
    NotBackup,
    /// This host's keepalived is not master.
    NotMaster,
    /// This host's keepalived does not run.
    KeepalivedEnded,
    /// This host's link is down.
    LinkDown,
    /// No master was heard yet.
    NoMaster,
    /// Another router is master by now.
    AnotherMaster,
    /// The session is with somebody else.
    OtherSession,
    /// There is no session.
    NoSession,
    /// The session has not learnt enough.
    NotLearnt,
    /// The peer ends the session.
    Leaving,
    /// Probes are answered again.
    Answers,
    /// The master advertised.
    AdvertHeard,
    /// This host's gateway is lost, for which it handed over.
    GatewayLost,
    /// The master's host says that it has not resigned.
    StillMaster,
    /// The master's host has not said yet whether it has resigned.
    NotConfirmed,
    /// keepalived takes over by itself.
    OwnTime,
    /// The peer was seen.
    SignOfLife,
    /// Another session tells of the silence, and the own one has not asked for long enough.
    NotAsked,
    /// No witness was heard.
    NoWitness,
    /// A takeover was wrong or failed a short while ago.
    BackOff,
    /// So many backups are better ranked.
    Ranked(u32),
}

/// The table.
#[must_use]
pub fn decide(moment: &Moment<'_>, occasion: &Occasion, restraint: &Restraint) -> Verdict {
    let &Moment {
        now,
        policy,
        snapshot,
    } = moment;
    if let Some(reason) = incapable(moment) {
        return Verdict::NotNow(reason);
    }
    let (Some(master), Some(lost)) = (snapshot.master, occasion.master) else {
        return Verdict::NotNow(Reason::NoMaster);
    };
    if master.local != 0 || !master.is(&lost) || snapshot.is_taken() {
        return Verdict::NotNow(Reason::AnotherMaster);
    }
    if !snapshot.session.is_of_master {
        return Verdict::NotNow(Reason::OtherSession);
    }
    if occasion.cause == Cause::Silence
        && let Some(reason) = unfounded(moment)
    {
        return Verdict::NotNow(reason);
    }
    if master.heard_ns > occasion.loss_ns {
        return Verdict::NotNow(Reason::AdvertHeard);
    }
    if occasion.cause == Cause::Resignation && restraint.gateway_lost {
        return Verdict::NotNow(Reason::GatewayLost);
    }
    let confirmed = match occasion.cause {
        Cause::Silence => true,
        Cause::Resignation => match confirmation(moment, occasion.loss_ns) {
            Confirmation::Denied => return Verdict::NotNow(Reason::StillMaster),
            Confirmation::Outstanding => false,
            Confirmation::Given => true,
        },
    };
    let own_time = match occasion.cause {
        Cause::Silence => master.heard_ns.saturating_add(policy.down_ns),
        Cause::Resignation => occasion.loss_ns.saturating_add(policy.skew_ns()),
    };
    if now >= own_time {
        return Verdict::NotNow(Reason::OwnTime);
    }
    if occasion.cause == Cause::Silence {
        let seen = snapshot.sign_of_life_ns;
        let silence = occasion.told_ns.saturating_sub(occasion.loss_ns);
        let long_enough = seen.saturating_add(silence);
        if seen > occasion.loss_ns && now < long_enough {
            return Verdict::Wait(long_enough, Reason::SignOfLife);
        }
        let in_vain = (silence / 3).min(ASKED_NS);
        match snapshot.session.own_unanswered_ns {
            Some(0) => return Verdict::Wait(now.saturating_add(LEAVES_NS), Reason::NotAsked),
            Some(asked) if now < asked.saturating_add(in_vain) => {
                return Verdict::Wait(asked.saturating_add(in_vain), Reason::NotAsked);
            }
            _ => {}
        }
        if policy.witness && snapshot.witness_ns < occasion.loss_ns {
            return Verdict::Wait(own_time, Reason::NoWitness);
        }
    }
    if !confirmed {
        return Verdict::Wait(now.saturating_add(ANSWER_NS), Reason::NotConfirmed);
    }
    if now < restraint.back_off_until {
        return Verdict::Wait(restraint.back_off_until, Reason::BackOff);
    }
    let turn = STAGGER_NS
        .saturating_mul(u64::from(snapshot.rank))
        .saturating_add(occasion.told_ns);
    if now < turn {
        return Verdict::Wait(turn, Reason::Ranked(snapshot.rank));
    }
    Verdict::TakeOver
}

/// Why this host cannot take anything over, if so.
#[must_use]
pub const fn incapable(moment: &Moment<'_>) -> Option<Reason> {
    if matches!(moment.policy.mode, Mode::Off) {
        Some(Reason::Off)
    } else if moment.policy.drained {
        Some(Reason::Drained)
    } else if !matches!(moment.snapshot.role, Role::Backup) {
        Some(Reason::NotBackup)
    } else if !moment.snapshot.keepalived_runs {
        Some(Reason::KeepalivedEnded)
    } else if !moment.snapshot.link_up {
        Some(Reason::LinkDown)
    } else {
        None
    }
}

/// What the master's host says of a resignation.
enum Confirmation {
    /// It has resigned, or cannot be asked.
    Given,
    /// It has not.
    Denied,
    /// It has not answered since.
    Outstanding,
}

const fn confirmation(moment: &Moment<'_>, loss_ns: Nanos) -> Confirmation {
    let session = &moment.snapshot.session;
    if !session.phase.answers() {
        Confirmation::Given
    } else if session.answer.asked_ns <= loss_ns {
        Confirmation::Outstanding
    } else if session.answer.is_master {
        Confirmation::Denied
    } else {
        Confirmation::Given
    }
}

/// Why the session says nothing about the master, if so.
const fn unfounded(moment: &Moment<'_>) -> Option<Reason> {
    match moment.snapshot.session.phase {
        Phase::Down => Some(Reason::NoSession),
        Phase::Learning => Some(Reason::NotLearnt),
        Phase::Leaving => Some(Reason::Leaving),
        Phase::Up | Phase::Suspect => Some(Reason::Answers),
        Phase::Silent => None,
    }
}

impl Reason {
    /// A short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Drained => "drained",
            Self::NotBackup => "not_backup",
            Self::NotMaster => "not_master",
            Self::KeepalivedEnded => "keepalived_ended",
            Self::LinkDown => "link_down",
            Self::NoMaster => "no_master",
            Self::AnotherMaster => "another_master",
            Self::OtherSession => "other_session",
            Self::NoSession => "no_session",
            Self::NotLearnt => "not_learnt",
            Self::Leaving => "leaving",
            Self::Answers => "answers",
            Self::AdvertHeard => "advert_heard",
            Self::GatewayLost => "gateway_lost",
            Self::StillMaster => "still_master",
            Self::NotConfirmed => "not_confirmed",
            Self::OwnTime => "own_time",
            Self::SignOfLife => "sign_of_life",
            Self::NotAsked => "not_asked",
            Self::NoWitness => "no_witness",
            Self::BackOff => "back_off",
            Self::Ranked(_) => "ranked",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "takeovers are off",
            Self::Drained => "this host is drained",
            Self::NotBackup => "this host's keepalived is not backup",
            Self::NotMaster => "this host's keepalived is not master",
            Self::KeepalivedEnded => "this host's keepalived does not run",
            Self::LinkDown => "this host's link is down",
            Self::NoMaster => "no master was heard yet",
            Self::AnotherMaster => "another router is master by now",
            Self::OtherSession => "the probes go to another host than the master's",
            Self::NoSession => "there is no session with the master's host",
            Self::NotLearnt => "the session is too young to mean anything",
            Self::Leaving => "the master's host ends the session",
            Self::Answers => "the master's host answers again",
            Self::AdvertHeard => "the master has advertised since",
            Self::GatewayLost => "this host handed over for want of a gateway and still has none",
            Self::StillMaster => {
                "the master's host says that it is master still: the resignation was forged"
            }
            Self::NotConfirmed => "the master's host is asked whether it has resigned",
            Self::OwnTime => "keepalived's own time has come",
            Self::SignOfLife => "the master's host was seen since",
            Self::NotAsked => {
                "the master's host does not answer on another interface, and is asked on this one"
            }
            Self::NoWitness => "no witness was heard: this host may be the one that is cut off",
            Self::BackOff => "a takeover was wrong or failed a short while ago",
            Self::Ranked(1) => "a better-ranked backup comes first",
            Self::Ranked(rank) => return write!(f, "{rank} better-ranked backups come first"),
        })
    }
}

#[cfg(test)]
mod tests;
