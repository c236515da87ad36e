//! How a backup takes over before keepalived itself would notice.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a router takes over within milliseconds of the end of its master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FastPath {
    /// What is done.
    pub mode: Mode,
    /// Between two probes of the master: 250 µs to 1 s.
    pub interval: Duration,
    /// How many unanswered probes are a silence, 3 to 100; `None`: it follows the
    /// worst delay of an answer seen.
    pub multiplier: Option<u8>,
    /// Which routers share a session of probes.
    pub liveness: Sharing,
    /// Between two questions to the master's keepalived, where probes are not
    /// answered: 5 ms to 1 s.
    pub solicit_interval: Duration,
    /// Whether it takes over only if its gateway answers, where there is one.
    pub witness: bool,
    /// Between two questions to the gateways, 5 ms to 1 s, by primary and backups;
    /// `None`: they are not asked so often. Only of a managed router.
    pub gateway_interval: Option<Duration>,
    /// How many of these unanswered are a silence, 3 to 100.
    pub gateway_multiplier: u8,
}

impl FastPath {
    /// None; the rest is what it is by default.
    pub const OFF: Self = Self {
        mode: Mode::Off,
        interval: Duration::from_millis(1),
        multiplier: None,
        liveness: Sharing::Interface,
        solicit_interval: Duration::from_millis(10),
        witness: true,
        gateway_interval: None,
        gateway_multiplier: 3,
    };
}

/// What the fast path does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing.
    Off,
    /// It probes, decides and logs what it would do.
    Shadow,
    /// It takes over.
    Armed,
}

impl Mode {
    /// As it is declared.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Armed => "armed",
        }
    }
}

/// Which routers share a session of probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Those on one interface whose masters are at the same hardware address.
    Interface,
    /// All whose masters are the same host, as its answers name it; one of their
    /// interfaces is probed at full pace and speaks for the others.
    Host,
}
