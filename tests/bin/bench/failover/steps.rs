//! What the agent's events say of a takeover.

use serde_json::Value;

/// The agent has keepalived take over.
const BEGINS: &str = "takeover_begins";
/// keepalived advertised as master.
const MASTER: &str = "local_master";
/// The agent saw that, after it had keepalived take over.
const TOOK_OVER: &str = "took_over";

/// When things happened, milliseconds after the loss; none where the agent does not tell.
pub(crate) struct Steps {
    pub(crate) decided_ms: Option<f64>,
    pub(crate) master_ms: Option<f64>,
}

impl Steps {
    /// Of the events of who took over, none of them before the loss.
    pub(crate) fn of(events: &[Value], lost_ns: u64) -> Self {
        let first = |name| {
            let event = events.iter().find(|event| event["event"] == name)?;
            let after_ns = event["monotonic_ns"].as_u64()?.checked_sub(lost_ns)?;
            Some(after_ns as f64 / 1e6)
        };
        Self {
            decided_ms: first(BEGINS),
            master_ms: first(MASTER),
        }
    }
}

/// The takeovers by the fast path among events.
pub(crate) fn takeovers(events: &[Value]) -> impl Iterator<Item = &Value> {
    events.iter().filter(|event| event["event"] == TOOK_OVER)
}

/// As [`takeovers`], with those that came to nothing.
pub(crate) fn attempts(events: &[Value]) -> impl Iterator<Item = &Value> {
    events.iter().filter(|event| event["event"] == BEGINS)
}
