//! What the event log says about takeovers.

use std::fmt;

use super::decision::{Cause, Reason};
use crate::engine::Nanos;
use crate::report::clock::duration;

/// A line of the event log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// An occasion passes, or passed while it was made use of.
    NotNow(Reason),
    /// A takeover waits.
    Waits(Reason),
    /// keepalived is being made to take over.
    TakesOver {
        /// What it is due to.
        cause: Cause,
        /// Since the first unanswered probe, or the master's last advert.
        since_loss_ns: Nanos,
    },
    /// keepalived did not react, and is told in another way.
    TriesAgain,
    /// keepalived took over.
    TookOver {
        /// What it was due to.
        cause: Cause,
        /// Since the first unanswered probe, or the master's last advert.
        since_loss_ns: Nanos,
        /// Since keepalived was made to.
        since_verdict_ns: Nanos,
    },
    /// keepalived did not become master in time.
    Failed {
        /// For how long nothing is tried now.
        back_off_ns: Nanos,
    },
    /// The old master lives.
    Wrong {
        /// How long after the takeover that was seen.
        after_ns: Nanos,
        /// For how long nothing is tried now.
        back_off_ns: Nanos,
    },
    /// The old master does not hear this host, or does not care.
    Yields {
        /// How long after the takeover.
        after_ns: Nanos,
    },
    /// This host is not master any longer.
    Lost {
        /// How long after the takeover.
        after_ns: Nanos,
    },
    /// The takeover is over and done.
    Settled {
        /// Although the old master lives: it has given way.
        wrong: bool,
    },
    /// An armed router would take over now.
    WouldTakeOver {
        /// What it would be due to.
        cause: Cause,
        /// Since the first unanswered probe, or the master's last advert.
        since_loss_ns: Nanos,
    },
    /// What a takeover would have been worth.
    WouldHaveMattered {
        /// How much earlier there would have been a master; `None`: there is none, or
        /// the old one is back.
        saved_ns: Option<Nanos>,
    },
    /// The old master lives.
    WouldHaveBeenWrong {
        /// How long after the verdict it was heard.
        after_ns: Nanos,
    },
    /// This host gives up its role so that another one serves.
    HandsOver {
        /// Because of its gateway, not because an operator wants it.
        gateway: bool,
    },
    /// An armed router would give up its role now.
    WouldHandOver {
        /// Because of its gateway, not because an operator wants it.
        gateway: bool,
    },
    /// Another host has taken over.
    HandedOver {
        /// How long it took.
        after_ns: Nanos,
    },
    /// No other host has.
    NotHandedOver,
    /// An operator's wish is not followed.
    Keeps(Reason),
    /// The gateway is lost, and nobody has a better one.
    Stays,
}

impl Note {
    /// Why nothing is done, where that is what it says.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::NotNow(reason) | Self::Waits(reason) | Self::Keeps(reason) => Some(*reason),
            _ => None,
        }
    }

    /// A short name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotNow(_) => "takeover_not_now",
            Self::Waits(_) => "takeover_waits",
            Self::TakesOver { .. } => "takeover_begins",
            Self::TriesAgain => "takeover_tries_again",
            Self::TookOver { .. } => "took_over",
            Self::Failed { .. } => "takeover_failed",
            Self::Wrong { .. } => "takeover_wrong",
            Self::Yields { .. } => "takeover_yields",
            Self::Lost { .. } => "takeover_lost",
            Self::Settled { .. } => "takeover_settled",
            Self::WouldTakeOver { .. } => "would_take_over",
            Self::WouldHaveMattered { .. } => "would_have_mattered",
            Self::WouldHaveBeenWrong { .. } => "would_have_been_wrong",
            Self::HandsOver { .. } => "hands_over",
            Self::WouldHandOver { .. } => "would_hand_over",
            Self::HandedOver { .. } => "handed_over",
            Self::NotHandedOver => "hand_over_failed",
            Self::Keeps(_) => "hand_over_refused",
            Self::Stays => "gateway_lost_everywhere",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotNow(reason) | Self::Waits(reason) | Self::Keeps(reason) => reason.fmt(f),
            Self::TakesOver {
                cause,
                since_loss_ns,
            }
            | Self::WouldTakeOver {
                cause,
                since_loss_ns,
            } => write!(f, "{} after {cause}", duration(since_loss_ns)),
            Self::TriesAgain => f.write_str("keepalived has not followed yet"),
            Self::TookOver {
                cause,
                since_loss_ns,
                since_verdict_ns,
            } => write!(
                f,
                "{} after {cause}, {} after the verdict",
                duration(since_loss_ns),
                duration(since_verdict_ns)
            ),
            Self::Failed { back_off_ns } => write!(
                f,
                "keepalived did not become master in time; no takeover for {}",
                duration(back_off_ns)
            ),
            Self::Wrong {
                after_ns,
                back_off_ns,
            } => write!(
                f,
                "the old master lives, as seen {} after the takeover; no takeover for {}",
                duration(after_ns),
                duration(back_off_ns)
            ),
            Self::Lost { after_ns } => write!(
                f,
                "no longer master, {} after the takeover",
                duration(after_ns)
            ),
            Self::Yields { after_ns } => write!(
                f,
                "the old master does not give way, so this host does, {} after the takeover",
                duration(after_ns)
            ),
            Self::Settled { wrong } => f.write_str(if wrong {
                "the old master has given way"
            } else {
                "the old master gave no sign"
            }),
            Self::WouldHaveMattered {
                saved_ns: Some(saved_ns),
            } => write!(f, "{} would have been saved", duration(saved_ns)),
            Self::WouldHaveMattered { saved_ns: None } => {
                f.write_str("nobody has followed the old master")
            }
            Self::WouldHaveBeenWrong { after_ns } => write!(
                f,
                "the old master lives, as heard {} after the verdict",
                duration(after_ns)
            ),
            Self::HandsOver { gateway } | Self::WouldHandOver { gateway } => {
                f.write_str(if gateway {
                    "the gateway is lost, and a backup has one"
                } else {
                    "an operator wants it"
                })
            }
            Self::HandedOver { after_ns } => {
                write!(f, "another router is master, {} later", duration(after_ns))
            }
            Self::NotHandedOver => f.write_str("no backup took over"),
            Self::Stays => f.write_str("the gateway is lost, but no backup has one: stays"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "the first unanswered probe",
            Self::Resignation => "the master's resignation",
        })
    }
}
