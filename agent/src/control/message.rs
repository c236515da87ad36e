//! What is said on the control socket.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit;

/// The most bytes that a request may have, with its end of line.
pub const MOST_REQUEST: usize = 1024 * 1024;

/// What the daemon is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Declare a router, or declare it anew.
    Apply {
        /// Its file.
        text: String,
        /// What messages call the file.
        origin: String,
        /// Whether its interfaces may be missing yet.
        wait_for_interfaces: bool,
    },
    /// Remove a router.
    Delete {
        /// Its name.
        id: String,
    },
    /// Say how all routers are.
    List,
    /// Say how the daemon is, and one router or all: a [`crate::status::Status`].
    Status {
        /// The router's name; all without it.
        id: Option<String>,
    },
    /// Say how one router is.
    Show {
        /// Its name.
        id: String,
    },
    /// Have another host serve a router; answered when it does, or does not.
    Failover {
        /// Its name.
        id: String,
    },
    /// Look after a router of Neutron's while this connection is open, and tell its
    /// monitor when keepalived has ended ([`crate::neutron`]).
    Register {
        /// Its name.
        id: String,
        /// The name of its network namespace.
        namespace: String,
        /// The interface of its primary address.
        interface: String,
        /// Its primary address, with a prefix length.
        address: String,
        /// Where its keepalived.conf is.
        conf_dir: PathBuf,
    },
    /// Look after a registered router no more.
    Unregister {
        /// Its name.
        id: String,
    },
    /// Move all routers away and take none over; answered when each has gone or stays.
    DrainHost,
    /// End that.
    Undrain,
    /// Put an armed router into shadow, or take that back.
    Shadow {
        /// Its name.
        id: String,
        /// Whether it is to be in shadow.
        on: bool,
    },
    /// Remove all routers, and end.
    Teardown,
    /// Say what applying a file would change.
    Diff {
        /// The file.
        text: String,
        /// What messages call it.
        origin: String,
    },
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Whether all went well.
    pub ok: bool,
    /// What did not.
    pub error: Option<ErrorReply>,
    /// What was asked for; null where something went wrong.
    pub result: Value,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// In words: what was found and what was expected.
    pub message: String,
    /// Whose fault it is.
    pub kind: ErrorKind,
}

/// Whose fault it is that something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request or the file in it is wrong.
    BadInput,
    /// There is no such router.
    NotFound,
    /// Whoever asks is not allowed to.
    Denied,
    /// The daemon could not do it.
    Failure,
}

impl Reply {
    /// All went well.
    #[must_use]
    pub const fn done(result: Value) -> Self {
        Self {
            ok: true,
            error: None,
            result,
        }
    }

    /// Something went wrong.
    #[must_use]
    pub const fn refused(kind: ErrorKind, message: String) -> Self {
        Self {
            ok: false,
            error: Some(ErrorReply { message, kind }),
            result: Value::Null,
        }
    }
}

impl Reply {
    /// How it went, in a word.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match &self.error {
            None => "done",
            Some(error) => match error.kind {
                ErrorKind::BadInput => "bad_input",
                ErrorKind::NotFound => "not_found",
                ErrorKind::Denied => "denied",
                ErrorKind::Failure => "failure",
            },
        }
    }
}

impl From<&anyhow::Error> for Reply {
    fn from(error: &anyhow::Error) -> Self {
        let kind = if exit::code(error) == exit::USAGE {
            ErrorKind::BadInput
        } else {
            ErrorKind::Failure
        };
        Self::refused(kind, format!("{error:#}"))
    }
}

impl Request {
    /// How long the daemon may take to do it.
    pub(super) const fn limit(&self) -> Duration {
        match self {
            // A thousand routers, a few at a time, each for seconds.
            Self::DrainHost => Duration::from_secs(900),
            _ => Duration::from_secs(60),
        }
    }

    /// What it would change, in words; `None` where it only asks.
    #[must_use]
    pub fn action(&self) -> Option<String> {
        match self {
            Self::Apply { origin, .. } => Some(format!("apply {origin:?}")),
            Self::Delete { id } => Some(format!("delete {id:?}")),
            Self::Register { id, .. } => Some(format!("register {id:?}")),
            Self::Unregister { id } => Some(format!("let go of {id:?}")),
            Self::Failover { id } => Some(format!("fail over {id:?}")),
            Self::DrainHost => Some("drain this host".to_owned()),
            Self::Undrain => Some("undrain this host".to_owned()),
            Self::Shadow { id, on } => Some(format!("put {id:?} into shadow: {on}")),
            Self::Teardown => Some("tear down all routers".to_owned()),
            Self::List | Self::Status { .. } | Self::Show { .. } | Self::Diff { .. } => None,
        }
    }
}
