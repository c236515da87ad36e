//! How a router's fast path is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Mode;

/// How a router's fast path is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FastPathStatus {
    /// What is declared.
    pub declared: Mode,
    /// What holds: less than what is declared where an operator, the router or the host
    /// allows no more.
    pub mode: Mode,
    /// Why it would take nothing over right now, in words; null: it would, or this host
    /// is the master.
    pub why_not: Option<String>,
    /// Whether an operator has put an armed one into shadow.
    pub shadowed: bool,
    /// What it does: `idle`, `suspecting`, `deciding`, `taking over`, `holding`; null: it
    /// does not run.
    pub doing: Option<String>,
    /// For how long it takes nothing over yet, after a takeover that was wrong or failed,
    /// milliseconds.
    pub backs_off_ms: u64,
    /// Of a master: backups that would take over from this host within milliseconds.
    pub heirs: u64,
    /// Of a backup: the session with the master's host; null: there is none.
    pub session: Option<SessionStatus>,
}

/// Probes of a master's host, and what is made of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionStatus {
    /// The hardware address of the master's host.
    pub peer: Option<String>,
    /// How it stands: `down`, `learning`, `up`, `suspect`, `silent`, `leaving`.
    pub phase: String,
    /// By what a dead master is noticed, in words.
    pub means: String,
    /// Between two probes, microseconds.
    pub interval_us: Option<u64>,
    /// How many unanswered ones are a silence.
    pub multiplier: Option<u64>,
    /// How many were sent.
    pub sent: u64,
    /// How many were answered.
    pub answered: u64,
    /// The slowest answer, microseconds.
    pub worst_answer_us: u64,
    /// How many better-ranked backups come first.
    pub rank: u64,
    /// What the master's host says of its keepalived: `running`, `ended`, `unknown`.
    pub peer_keepalived: Option<String>,
}
