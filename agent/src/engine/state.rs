//! The HA state of a router: what the kernel's facts come to.
//!
//! Read from the top, the first line that fits counts; `*` fits all.
//!
//! | primary address | keepalived | interfaces | own adverts | state   | told as |
//! |-----------------|------------|------------|-------------|---------|---------|
//! | not known       | *          | *          | *           | unknown | nothing |
//! | *               | ended      | *          | *           | fault   | backup  |
//! | present         | *          | down       | *           | falling | primary |
//! | present         | *          | *          | resigned    | falling | primary |
//! | present         | *          | *          | *           | primary | primary |
//! | absent          | *          | down       | *           | fault   | backup  |
//! | absent          | *          | *          | sent        | rising  | backup  |
//! | absent          | *          | *          | *           | backup  | backup  |
//!
//! The primary address decides what is told, as it does for whoever sends packets
//! to the router; adverts tell a moment sooner what keepalived is about to do. An
//! address that a dead keepalived left behind serves nobody for long: it counts
//! for nothing, and is removed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known of a router at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether the primary address is there; `None`: not looked at yet.
    pub address: Option<bool>,
    /// Whether keepalived lives.
    pub keepalived: Liveness,
    /// Whether the interfaces that keepalived tracks carry frames.
    pub interfaces: Carrier,
    /// What this host's router was last seen to send.
    pub adverts: Adverts,
}

/// Whether a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Nobody says.
    Unknown,
    /// It runs.
    Running,
    /// It does not.
    Ended,
}

/// Whether interfaces carry frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// All are there and up.
    Up,
    /// One is missing or down.
    Down,
}

/// What this host's router was last seen to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adverts {
    /// None was seen, whether it sent any or the kernel does not tell.
    Unseen,
    /// Adverts.
    Sent,
    /// Priority 0.
    Resigned,
}

/// The HA state of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing was looked at yet.
    Unknown,
    /// Another router serves, or should.
    Backup,
    /// keepalived has taken over; the primary address is not there yet.
    Rising,
    /// This host serves.
    Primary,
    /// keepalived has given up; the primary address is still there.
    Falling,
    /// keepalived has ended, or an interface is down.
    Fault,
}

/// What others are told: the two words of a state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Published {
    /// This host serves.
    Primary,
    /// It does not.
    Backup,
}

impl Facts {
    /// Nothing.
    pub const NONE: Self = Self {
        address: None,
        keepalived: Liveness::Unknown,
        interfaces: Carrier::Up,
        adverts: Adverts::Unseen,
    };

    /// The table.
    #[must_use]
    pub fn state(&self) -> State {
        let Some(present) = self.address else {
            return State::Unknown;
        };
        match (present, self.keepalived, self.interfaces, self.adverts) {
            (_, Liveness::Ended, _, _) => State::Fault,
            (true, _, Carrier::Down, _) | (true, _, _, Adverts::Resigned) => State::Falling,
            (true, _, _, _) => State::Primary,
            (false, _, Carrier::Down, _) => State::Fault,
            (false, _, _, Adverts::Sent) => State::Rising,
            (false, _, _, _) => State::Backup,
        }
    }
}

impl State {
    /// Whether a host in this state has the addresses, or is about to.
    #[must_use]
    pub const fn serves(self) -> bool {
        matches!(self, Self::Primary | Self::Rising | Self::Falling)
    }

    /// What it is told as; `None`: not at all.
    #[must_use]
    pub const fn published(self) -> Option<Published> {
        match self {
            Self::Unknown => None,
            Self::Primary | Self::Falling => Some(Published::Primary),
            Self::Backup | Self::Rising | Self::Fault => Some(Published::Backup),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Backup => "backup",
            Self::Rising => "rising",
            Self::Primary => "primary",
            Self::Falling => "falling",
            Self::Fault => "fault",
        }
    }
}

impl Published {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        }
    }

    /// What a state file says; `None`: it says something else.
    #[must_use]
    pub fn from_file(content: &[u8]) -> Option<Self> {
        match content {
            b"primary" => Some(Self::Primary),
            b"backup" => Some(Self::Backup),
            _ => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADVERTS: [Adverts; 3] = [Adverts::Unseen, Adverts::Sent, Adverts::Resigned];
    const CARRIERS: [Carrier; 2] = [Carrier::Up, Carrier::Down];
    const LIVES: [Liveness; 3] = [Liveness::Unknown, Liveness::Running, Liveness::Ended];

    /// Every combination of facts.
    fn all() -> impl Iterator<Item = Facts> {
        [None, Some(false), Some(true)]
            .into_iter()
            .flat_map(|address| {
                LIVES.into_iter().flat_map(move |keepalived| {
                    CARRIERS.into_iter().flat_map(move |interfaces| {
                        ADVERTS.into_iter().map(move |adverts| Facts {
                            address,
                            keepalived,
                            interfaces,
                            adverts,
                        })
                    })
                })
            })
    }

    #[test]
    fn the_table_is_as_written() {
        let check = |address, keepalived, interfaces, adverts, state| {
            let facts = Facts {
                address,
                keepalived,
                interfaces,
                adverts,
            };
            assert_eq!(facts.state(), state, "{facts:?}");
        };
        use {Adverts::*, Carrier::*, Liveness::*};
        check(None, Running, Up, Sent, State::Unknown);
        check(Some(true), Ended, Up, Sent, State::Fault);
        check(Some(false), Ended, Up, Unseen, State::Fault);
        check(Some(true), Running, Down, Sent, State::Falling);
        check(Some(true), Running, Up, Resigned, State::Falling);
        check(Some(true), Running, Up, Sent, State::Primary);
        check(Some(true), Unknown, Up, Unseen, State::Primary);
        check(Some(false), Running, Down, Sent, State::Fault);
        check(Some(false), Running, Up, Sent, State::Rising);
        check(Some(false), Running, Up, Unseen, State::Backup);
        check(Some(false), Running, Up, Resigned, State::Backup);
    }

    #[test]
    fn primary_is_told_only_with_the_address_there_and_keepalived_not_ended() {
        for facts in all() {
            let told = facts.state().published();
            let serves = facts.address == Some(true) && facts.keepalived != Liveness::Ended;
            assert_eq!(told == Some(Published::Primary), serves, "{facts:?}");
            assert_eq!(told.is_none(), facts.address.is_none(), "{facts:?}");
        }
    }

    #[test]
    fn a_state_file_is_read_as_it_is_written() {
        for published in [Published::Primary, Published::Backup] {
            let content = published.as_str().as_bytes();
            assert_eq!(Published::from_file(content), Some(published));
        }
        for other in [&b"primary\n"[..], b"master", b"", b"Primary"] {
            assert_eq!(Published::from_file(other), None);
        }
    }
}
