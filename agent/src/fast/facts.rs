//! What is known of a router at a moment, as its takeover engine is told.

use anyhow::Result;
use keepfast_common::event::{Party, same_mac};
use keepfast_common::session;
use keepfast_common::track::VirtualRouter;
use keepfast_common::wire::probe::{SENDER_ARMED, SENDER_GATEWAY};
use keepfast_common::wire::vrrp::RESIGN;

use crate::engine::Nanos;
use crate::kernel::FastKernel;
use crate::takeover::{Answer, Phase, Role, Session, Snapshot};

use super::guarded::Guarded;
use super::sessions::Sessions;

/// The facts, read right now.
pub(super) fn read(
    kernel: &FastKernel,
    sessions: &Sessions,
    router: &mut Guarded,
    now: Nanos,
) -> Result<Snapshot> {
    let known = kernel
        .router(&router.guard.key)?
        .unwrap_or(VirtualRouter::UNKNOWN);
    let master = (known.master.heard_ns != 0).then_some(known.master);
    let rival = known.rival;
    let rival = (rival.heard_ns != 0 && rival.priority != RESIGN).then_some(rival);
    let role = if known.own_active != 0 {
        Role::Master
    } else if router.facts.backup {
        Role::Backup
    } else {
        Role::Other
    };
    let (session, answered_ns) = session(kernel, sessions, router, master.as_ref())?;
    let mut sign_of_life_ns = answered_ns;
    if let Some(master) = master.filter(|master| master.local == 0) {
        sign_of_life_ns = sign_of_life_ns.max(master.heard_ns);
    }
    Ok(Snapshot {
        role,
        keepalived_runs: router.facts.keepalived_runs,
        link_up: router.facts.link_up,
        master,
        rival,
        session,
        sign_of_life_ns,
        witness_ns: witness_ns(kernel, router)?,
        rank: router.stamps.rank.into(),
        heirs: heirs(kernel, router, now)?,
    })
}

/// How the session with the master is, by whichever means; and when that last answered.
fn session(
    kernel: &FastKernel,
    sessions: &Sessions,
    router: &mut Guarded,
    master: Option<&Party>,
) -> Result<(Session, Nanos)> {
    let mut found = Session {
        phase: Phase::Down,
        is_of_master: true,
        first_unanswered_ns: 0,
        own_unanswered_ns: None,
        answer: Answer::NONE,
    };
    let mut answered_ns = 0;
    let peers = router
        .peer
        .and_then(|key| Some((key, sessions.get(&key)?, sessions.speaker(&key)?)));
    if let Some((key, own, speaker)) = peers {
        found.is_of_master = master.is_some_and(|master| same_mac(&master.mac, &key.mac));
        let session = kernel.session(own.number)?;
        if let Some(session) = &session {
            answered_ns = session.answered_ns;
            if (session.vrid, session.family) == (router.guard.key.vrid, router.guard.key.family) {
                router.hear(session);
            }
        }
        found.answer = router.answer;
        let other = if speaker.number == own.number {
            None
        } else {
            kernel.session(speaker.number)?
        };
        let told = match (session, other) {
            (Some(session), Some(other)) if own.is_mute() || is_worse(&other, &session) => {
                found.own_unanswered_ns = Some(session.first_ns);
                answered_ns = answered_ns.max(other.answered_ns);
                Some(other)
            }
            (session, _) => session,
        };
        if let Some(told) = told {
            found.phase = Phase::of(told.phase);
            found.first_unanswered_ns = told.first_ns;
        }
    }
    // Where probes say nothing, the master's keepalived itself may.
    if matches!(found.phase, Phase::Down | Phase::Leaving)
        && let Some(questions) = &router.solicitation
        && questions.is_silent()
    {
        found = Session {
            phase: Phase::Silent,
            is_of_master: true,
            first_unanswered_ns: questions.first_ns(),
            own_unanswered_ns: None,
            answer: Answer::NONE,
        };
    }
    Ok((found, answered_ns))
}

/// Whether a session that speaks for another one tells of a silence that the other one has not
/// noticed itself yet.
fn is_worse(other: &session::Session, own: &session::Session) -> bool {
    let silent = |it: &session::Session| it.phase == session::PHASE_SILENT;
    let suspect = |it: &session::Session| it.phase == session::PHASE_SUSPECT;
    let up = own.phase == session::PHASE_UP;
    (silent(other) && (up || suspect(own))) || (suspect(other) && up)
}

/// How long the programs of a peer that said that they go may take to come back.
const AWAY_NS: Nanos = 3_000_000_000;

/// Whether probes say nothing of the master at all.
pub(super) fn is_unprobed(
    kernel: &FastKernel,
    sessions: &Sessions,
    router: &Guarded,
    now: Nanos,
) -> Result<bool> {
    let Some(peer) = router.peer.and_then(|key| sessions.get(&key)) else {
        return Ok(true);
    };
    let session = kernel.session(peer.number)?;
    Ok(session.is_none_or(|session| match session.phase {
        session::PHASE_DOWN => true,
        session::PHASE_LEAVING => now >= session.answered_ns.saturating_add(AWAY_NS),
        _ => false,
    }))
}

fn witness_ns(kernel: &FastKernel, router: &Guarded) -> Result<Nanos> {
    let mut heard_ns = 0;
    for gateway in &router.guard.gateways {
        if let Some(holding) = kernel.holding(&gateway.key)? {
            heard_ns = heard_ns.max(holding.heard_ns);
        }
    }
    Ok(heard_ns)
}

/// How many backups would take over from this host and have a gateway.
fn heirs(kernel: &FastKernel, router: &Guarded, now: Nanos) -> Result<u32> {
    let Some(heirs) = kernel.heirs(&router.guard.key)? else {
        return Ok(0);
    };
    let wanted = SENDER_ARMED | SENDER_GATEWAY;
    let able = heirs
        .heirs
        .iter()
        .filter(|heir| heir.is_fresh(now) && heir.flags & wanted == wanted);
    Ok(u32::try_from(able.count()).unwrap_or(u32::MAX))
}
