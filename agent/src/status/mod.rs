//! How the daemon and its routers are: what `keepfast status` prints, as text and as
//! JSON, and what `keepfast top` draws.
//!
//! The types here are the one place where that is said; the daemon fills them
//! (`run/status.rs`), [`text`] puts them into words, [`schema`] describes them. Within a
//! version of [`SCHEMA`] members are only ever added.
//!
//! Reading order: this file, [`router`], [`fast_path`], [`margin`], [`protect`], [`text`], [`schema`],
//! [`command`].

pub mod command;

pub mod fast_path;

pub mod margin;

pub mod protect;

pub mod router;

pub mod schema;

pub mod text;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use fast_path::{FastPathStatus, SessionStatus};
pub use margin::{Margin, MarginWord};
pub use protect::{OffenceStatus, ProtectStatus};
pub use router::{
    AdvertStatus, DetectedBy, DetectionStatus, FailoverStatus, GatewayStatus, GatewayWord,
    KeepalivedStatus, MasterPhase, MasterStatus, Owner, RouterStatus, TransitionStatus,
};

/// The version of the document.
pub const SCHEMA: &str = "keepfast.status/1";

/// How a keepfast daemon and its routers are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Which document this is, and its version: `keepfast.status/1`.
    pub schema: String,
    /// When this was said, RFC 3339, UTC.
    pub time: String,
    /// The daemon itself.
    pub daemon: DaemonStatus,
    /// The routers, in the order of their names.
    pub routers: Vec<RouterStatus>,
}

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DaemonStatus {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Since when it runs, RFC 3339, UTC.
    pub since: String,
    /// For how long it has run, milliseconds.
    pub up_ms: u64,
    /// The directory of its routers' files.
    pub directory: String,
    /// Whether the kernel programs are loaded; without them addresses tell alone.
    pub kernel_programs: bool,
    /// Whether the fast path's thread runs.
    pub fast_path: bool,
    /// Whether this host is drained: it takes nothing over.
    pub drained: bool,
    /// What it does in a lesser way than it would like to, each in words, as it was said
    /// in the log.
    pub fallbacks: Vec<String>,
    /// What is wrong with router files, each in words.
    pub problems: Vec<String>,
    /// Events of the kernel programs that were lost and made up for from the maps.
    pub events_lost: u64,
    /// Deadlines that the kernel gives no timer for at present; they are kept to 50 ms.
    pub timers_refused: u64,
    /// How late the fast path's thread wakes; null where it guards nothing.
    pub wake_ups: Option<WakeUps>,
}

/// How late the fast path's thread wakes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WakeUps {
    /// How often it woke for something that was due.
    pub count: u64,
    /// How often later than half a millisecond.
    pub late: u64,
    /// The latest, microseconds.
    pub worst_us: u64,
}
