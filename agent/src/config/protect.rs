//! Which received adverts are taken for illegitimate.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of adverts that cannot be legitimate for a router, and what is known of
/// those that can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protect {
    /// What becomes of the others.
    pub mode: Protection,
    /// The addresses that the router's other hosts advertise from, at most
    /// [`Protect::MOST_PEERS`]; none: any address can be one of them.
    pub peers: Vec<IpAddr>,
    /// Where the owner of the addresses advertises from, if not from one of them.
    pub owner: Option<IpAddr>,
}

impl Protect {
    /// Nothing is judged.
    pub const OFF: Self = Self {
        mode: Protection::Off,
        peers: Vec::new(),
        owner: None,
    };

    /// How many peers there can be.
    pub const MOST_PEERS: usize = keepfast_common::protect::KEPT;
}

/// What becomes of adverts that cannot be legitimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// They are not looked for.
    Off,
    /// They are counted.
    Observe,
    /// They are counted and dropped.
    Enforce,
}

impl Protection {
    /// As it is declared.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}
