//! A backup whose master has just fallen silent.

use keepfast_common::event::Party;

use super::io::{Answer, Mode, Phase, Policy, Role, Session, Snapshot};
use crate::engine::Nanos;

pub(super) const MS: Nanos = 1_000_000;
pub(super) const SECOND: Nanos = 1_000 * MS;

/// The first unanswered probe.
pub(super) const LOSS: Nanos = 100 * SECOND;

/// When the silence is told.
pub(super) const TOLD: Nanos = LOSS + 3 * MS;

/// The other router, the master at first.
pub(super) fn other(number: u8, heard_ns: Nanos) -> Party {
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[192, 0, 2, number]);
    Party {
        heard_ns,
        address,
        priority: 100,
        version: 3,
        interval_cs: 100,
        ..Party::NOBODY
    }
}

/// A managed router, armed, without need for a witness.
pub(super) fn policy(version: u8) -> Policy {
    Policy {
        mode: Mode::Armed,
        drained: false,
        version,
        witness: false,
        raise: true,
        lease: true,
        solicit: true,
        advert_interval_ns: SECOND,
        down_ns: 3_600 * MS,
        solicit_interval_ns: 5 * MS,
    }
}

/// All that speaks for a takeover at [`TOLD`].
pub(super) fn silence() -> Snapshot {
    Snapshot {
        role: Role::Backup,
        keepalived_runs: true,
        link_up: true,
        master: Some(other(1, LOSS - 300 * MS)),
        rival: None,
        session: Session {
            phase: Phase::Silent,
            is_of_master: true,
            first_unanswered_ns: LOSS,
            own_unanswered_ns: None,
            answer: Answer::NONE,
        },
        sign_of_life_ns: LOSS - MS,
        witness_ns: 0,
        rank: 0,
        heirs: 0,
    }
}
