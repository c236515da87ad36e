//! How a guarded router is, for an operator.

use keepfast_common::session::Session;
use keepfast_common::wire::probe::{
    NO_AGE, PEER_FENCED, PEER_FORWARDED, PEER_KEEPALIVED_ENDED, PEER_KEEPALIVED_RUNS,
};
use serde_json::{Value, json};

use crate::engine::Nanos;
use crate::report::words;
use crate::takeover::{Phase, Role, Snapshot};

use super::guarded::Guarded;
use super::peer::{Peer, PeerKey};

/// In the words of the control socket.
pub(super) fn status(
    router: &Guarded,
    snapshot: &Snapshot,
    peer: Option<(PeerKey, &Peer)>,
    session: Option<&Session>,
    now: Nanos,
) -> Value {
    let mut status = json!({
        "mode": router.guard.fast_path.mode.as_str(),
        "doing": router.takeover.as_str(),
        "means": means(router, session, now),
        "session": phase(snapshot.session.phase),
        "heirs": snapshot.heirs,
        "gateway_lost": router.gateway_lost,
        "can_raise": router.guard.policy.raise,
        "backs_off_ms": router.takeover.backs_off_until().saturating_sub(now) / 1_000_000,
    });
    let Some(fields) = status.as_object_mut() else {
        return status;
    };
    if let Some((key, peer)) = peer {
        fields.insert("peer".to_owned(), json!(words::mac(&key.mac)));
        fields.insert("interval_us".to_owned(), json!(peer.interval_ns() / 1_000));
        fields.insert("multiplier".to_owned(), json!(peer.multiplier()));
        // Another session with the same host speaks for it, too, or for it alone.
        fields.insert("led".to_owned(), json!(peer.is_led()));
    }
    if let Some(session) = session {
        let worst = session.worst_ns.max(session.worst_before_ns);
        let stamps = &router.stamps;
        let has = |flag: u8| stamps.flags & flag != 0;
        let age = |age: u32| (age != NO_AGE).then_some(age / 1_000);
        let keepalived = if has(PEER_KEEPALIVED_RUNS) {
            "running"
        } else if has(PEER_KEEPALIVED_ENDED) {
            "ended"
        } else {
            "unknown"
        };
        fields.extend([
            ("probes_sent".to_owned(), json!(session.sent)),
            ("probes_answered".to_owned(), json!(session.answered)),
            ("probes_late".to_owned(), json!(session.late)),
            ("evidence_void".to_owned(), json!(session.voided)),
            ("suspected".to_owned(), json!(session.suspected)),
            ("worst_answer_us".to_owned(), json!(worst / 1_000)),
            ("rank".to_owned(), json!(stamps.rank)),
            ("peer_keepalived".to_owned(), json!(keepalived)),
            (
                "peer_advert_age_ms".to_owned(),
                json!(age(stamps.advert_age_us)),
            ),
            (
                "peer_agent_age_ms".to_owned(),
                json!(age(stamps.agent_age_us)),
            ),
            ("peer_fenced".to_owned(), json!(has(PEER_FENCED))),
        ]);
    }
    if let Role::Master = snapshot.role {
        fields.insert("session".to_owned(), json!("none, is primary"));
    }
    status
}

/// By what a dead master is noticed.
fn means(router: &Guarded, session: Option<&Session>, now: Nanos) -> &'static str {
    if session.is_some_and(|session| session.answered_ns != 0) && router.solicitation.is_none() {
        return if router.stamps.flags & PEER_FORWARDED != 0 {
            "probes, forwarded"
        } else {
            "probes"
        };
    }
    match &router.solicitation {
        Some(questions) if questions.is_up(now) || questions.is_silent() => "solicitation",
        Some(_) => "adverts only, asking the master's keepalived",
        None => "adverts only",
    }
}

const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Down => "down",
        Phase::Learning => "learning",
        Phase::Up => "up",
        Phase::Suspect => "suspect",
        Phase::Silent => "silent",
        Phase::Leaving => "leaving",
    }
}
