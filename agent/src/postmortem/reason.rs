//! Why a host gives up its role, as it says itself: to its event log, and to its peers in
//! probes and answers.

use keepfast_common::blackbox::{
    REASON_GATEWAY, REASON_INTERFACE, REASON_KEEPALIVED, REASON_OPERATOR,
};

/// The name of the event log's line about it.
pub const GIVES_UP: &str = "gives_up";

/// The name of the event log's line about a failover that is over.
pub const FAILOVER: &str = "failover";

/// Why a host gives up its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its keepalived has ended, hangs or was stopped.
    Keepalived,
    /// One of its interfaces is down or gone.
    Interface,
    /// An operator wants another host to serve.
    Operator,
    /// Its gateway is lost.
    Gateway,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::Keepalived,
        Self::Interface,
        Self::Operator,
        Self::Gateway,
    ];

    /// How it is told on the wire: one of the `REASON_` constants of
    /// [`keepfast_common::blackbox`].
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Keepalived => REASON_KEEPALIVED,
            Self::Interface => REASON_INTERFACE,
            Self::Operator => REASON_OPERATOR,
            Self::Gateway => REASON_GATEWAY,
        }
    }

    /// The reason with this number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.number() == number)
    }

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Keepalived => "its keepalived has ended or hangs",
            Self::Interface => "an interface of it is down",
            Self::Operator => "an operator wants another host to serve",
            Self::Gateway => "its gateway is lost",
        }
    }

    /// The reason that the event log's line says.
    #[must_use]
    pub fn of_words(words: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.words() == words)
    }
}
