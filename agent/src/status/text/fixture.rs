//! A status that tests say something about.

use super::super::{
    AdvertStatus, DaemonStatus, DetectedBy, DetectionStatus, FastPathStatus, GatewayStatus,
    GatewayWord, KeepalivedStatus, Margin, MasterPhase, MasterStatus, Owner, RouterStatus, SCHEMA,
    SessionStatus, Status, TransitionStatus,
};
use crate::config::Mode;
use crate::engine::{Published, State};

/// A backup whose session is up.
pub(crate) fn router() -> RouterStatus {
    RouterStatus {
        id: "r1".into(),
        namespace: Some("qrouter-r1".into()),
        state: State::Backup,
        since: "2026-01-02T03:04:05Z".into(),
        state_age_ms: 125_000,
        published: Some(Published::Backup),
        note: None,
        drained: false,
        interface: Some("ha0".into()),
        vrid: Some(7),
        priority: Some(100),
        primary_address: Some("169.254.0.7/24".into()),
        addresses_declared: 5,
        addresses_present: 0,
        keepalived: KeepalivedStatus {
            owner: Owner::Managed,
            phase: "running".into(),
            pid: Some(42),
        },
        detection: DetectionStatus {
            by: DetectedBy::NativeXdp,
            hooks: "native XDP in, tc (TCX) out".into(),
            fallbacks: Vec::new(),
        },
        master: Some(MasterStatus {
            this_host: false,
            address: "169.254.192.1".into(),
            mac: "02:00:00:00:00:01".into(),
            priority: 101,
            version: 3,
            phase: MasterPhase::Active,
            phase_age_ms: 3_000,
            contested: false,
        }),
        adverts: Some(AdvertStatus {
            interval_ms: 1_000,
            age_us: 250_000,
            worst_gap_us: 2_004_000,
            down_after_us: 3_609_375,
            margin: Margin::of(2_004_000, 3_609_375),
            received: 12,
            sent: 0,
        }),
        gateways: vec![GatewayStatus {
            address: "198.51.100.1".into(),
            interface: "qg0".into(),
            state: GatewayWord::Answers,
            mac: Some("02:00:00:00:00:09".into()),
            heard_ms_ago: Some(20),
        }],
        fast_path: FastPathStatus {
            declared: Mode::Armed,
            mode: Mode::Armed,
            why_not: None,
            shadowed: false,
            doing: Some("idle".into()),
            backs_off_ms: 0,
            heirs: 0,
            session: Some(SessionStatus {
                peer: Some("02:00:00:00:00:01".into()),
                phase: "up".into(),
                means: "probes".into(),
                interval_us: Some(1_000),
                multiplier: Some(10),
                sent: 1_000,
                answered: 999,
                worst_answer_us: 180,
                rank: 0,
                peer_keepalived: Some("running".into()),
            }),
        },
        protect: None,
        last_failover: None,
        last_transition: Some(TransitionStatus {
            time: "2026-01-02T03:04:05Z".into(),
            from: State::Unknown,
            to: State::Backup,
            reason: "as found".into(),
        }),
        events_not_logged: 0,
    }
}

/// Of that router alone.
pub(crate) fn status() -> Status {
    Status {
        schema: SCHEMA.into(),
        time: "2026-01-02T03:06:10Z".into(),
        daemon: DaemonStatus {
            version: "0.1.0".into(),
            pid: 7,
            since: "2026-01-02T03:04:04Z".into(),
            up_ms: 126_000,
            directory: "/var/lib/keepfast".into(),
            kernel_programs: true,
            fast_path: true,
            drained: false,
            fallbacks: Vec::new(),
            problems: Vec::new(),
            events_lost: 0,
            timers_refused: 0,
            wake_ups: None,
        },
        routers: vec![router()],
    }
}
