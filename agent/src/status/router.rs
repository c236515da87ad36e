//! How one router is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fast_path::FastPathStatus;
use super::margin::Margin;
use super::protect::ProtectStatus;
use crate::engine::{Published, State};
use crate::postmortem::Cause;

/// How a router is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouterStatus {
    /// Its name.
    pub id: String,
    /// The network namespace that it is in; null: the daemon's own.
    pub namespace: Option<String>,
    /// The state of this host's router.
    pub state: State,
    /// Since when, RFC 3339, UTC.
    pub since: String,
    /// For how long, milliseconds.
    pub state_age_ms: u64,
    /// What the state file says and the hooks were told; null: nothing yet.
    pub published: Option<Published>,
    /// What it waits for or what is wrong, in words; null: nothing.
    pub note: Option<String>,
    /// Whether this host is drained: it takes nothing over.
    pub drained: bool,
    /// The interface that adverts are exchanged on; null: not known yet.
    pub interface: Option<String>,
    /// The virtual router identifier; null: not known yet.
    pub vrid: Option<u8>,
    /// The priority that is configured on this host; null: not known yet.
    pub priority: Option<u8>,
    /// The address whose presence means "primary".
    pub primary_address: Option<String>,
    /// How many virtual addresses are declared.
    pub addresses_declared: u64,
    /// How many of them this host has.
    pub addresses_present: u64,
    /// Its keepalived.
    pub keepalived: KeepalivedStatus,
    /// Where received frames are seen, and so how soon the end of a master is.
    pub detection: DetectionStatus,
    /// The master, or the last one, by its adverts; null: none was heard yet, or nothing
    /// in the kernel listens.
    pub master: Option<MasterStatus>,
    /// The adverts of the master; null where `master` is.
    pub adverts: Option<AdvertStatus>,
    /// The gateways; only of a managed router.
    pub gateways: Vec<GatewayStatus>,
    /// The fast path.
    pub fast_path: FastPathStatus,
    /// What was found of received adverts; null: nothing is looked for.
    pub protect: Option<ProtectStatus>,
    /// The last change of the state; null: there was none since the daemon started.
    pub last_transition: Option<TransitionStatus>,
    /// The last time that the router changed hands, as `keepfast postmortem` tells it;
    /// null: it did not since the daemon started, or nothing of it was seen.
    pub last_failover: Option<FailoverStatus>,
    /// Events that could not be written into its log.
    pub events_not_logged: u64,
}

/// A router's keepalived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeepalivedStatus {
    /// Whose it is.
    pub owner: Owner,
    /// What it does: `stopped`, `starting`, `running`, `stopping`, `resting` (it ended
    /// too soon and is started again in a while); `unknown`: it is somebody else's, of
    /// whom no process id is known.
    pub phase: String,
    /// Its process id; null: it does not run, or that is not known.
    pub pid: Option<i32>,
}

/// Whose a keepalived is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// keepfast's: it configures, starts and stops it.
    Managed,
    /// Somebody else's: keepfast changes nothing about it.
    Attached,
}

/// Where received frames are seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DetectionStatus {
    /// Where.
    pub by: DetectedBy,
    /// In words, with where sent frames are seen.
    pub hooks: String,
    /// Why not by native XDP, each in words.
    pub fallbacks: Vec<String>,
}

/// Where received frames are seen, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DetectedBy {
    /// By XDP in the driver.
    NativeXdp,
    /// By XDP in the stack.
    GenericXdp,
    /// By a tc program.
    Tc,
    /// Nothing in the kernel listens: addresses tell alone.
    Netlink,
}

/// A master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MasterStatus {
    /// Whether it is this host.
    pub this_host: bool,
    /// The address that its adverts come from.
    pub address: String,
    /// Its hardware address.
    pub mac: String,
    /// The priority that it advertises.
    pub priority: u8,
    /// The version of VRRP, 2 or 3.
    pub version: u8,
    /// Whether it still is the master.
    pub phase: MasterPhase,
    /// Since when it is in that phase (`active` and `late` count as one), milliseconds.
    pub phase_age_ms: u64,
    /// Whether several masters advertise.
    pub contested: bool,
}

/// Whether a master still is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MasterPhase {
    /// Nothing was heard yet.
    Vacant,
    /// It advertises in time.
    Active,
    /// Its advert is overdue.
    Late,
    /// It resigned, and nobody has followed.
    Resigned,
    /// It is down, and nobody has followed.
    Down,
}

/// Adverts of a master.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdvertStatus {
    /// Between two adverts, as the master declares, milliseconds.
    pub interval_ms: u64,
    /// Since the last one, microseconds.
    pub age_us: u64,
    /// The longest time between two of one master, since the kernel programs were
    /// loaded, microseconds; 0: there were no two yet.
    pub worst_gap_us: u64,
    /// After how long a silence this host's keepalived takes over by itself (three
    /// intervals and the skew of its priority), microseconds.
    pub down_after_us: u64,
    /// How close the worst gap came to that; null: there was no gap yet.
    pub margin: Option<Margin>,
    /// How many came in.
    pub received: u64,
    /// How many this host sent.
    pub sent: u64,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayStatus {
    /// Its address.
    pub address: String,
    /// The interface that it is on.
    pub interface: String,
    /// Whether it answers.
    pub state: GatewayWord,
    /// Its hardware address; null: not known.
    pub mac: Option<String>,
    /// When it was last heard (by ARP or neighbour discovery), milliseconds ago; null:
    /// never.
    pub heard_ms_ago: Option<u64>,
}

/// Whether a gateway answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GatewayWord {
    /// It was heard, and no question is without an answer for too long.
    Answers,
    /// It has not answered since it was asked.
    Silent,
    /// Nothing of it was heard yet.
    Unheard,
    /// It is watched only where there is a fast path.
    Unwatched,
}

/// A change of hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailoverStatus {
    /// When, RFC 3339, UTC.
    pub time: String,
    /// Why.
    pub cause: Cause,
    /// Why, in words.
    pub words: String,
    /// How long nobody served, microseconds; null: this host cannot know.
    pub outage_us: Option<u64>,
    /// How long it would have been with keepalived alone, microseconds; null: nobody can
    /// tell.
    pub stock_us: Option<u64>,
}

/// A change of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransitionStatus {
    /// When, RFC 3339, UTC.
    pub time: String,
    /// From this.
    pub from: State,
    /// To this.
    pub to: State,
    /// Why, in words.
    pub reason: String,
}
