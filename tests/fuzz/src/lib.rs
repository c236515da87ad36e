//! What keepfast reads from others, each a function of arbitrary bytes that panics where
//! what must hold does not.
//!
//! `cargo xtask fuzz` runs them with bytes of libFuzzer's; the test here runs
//! them with the inputs of `corpus/`, and with what the project has for examples.

#![expect(clippy::panic, reason = "this is how a target says what is wrong")]

mod capture;
mod frame;
mod keepalived;
mod postmortem;
mod record;
mod request;
mod router;

#[cfg(test)]
mod replay;

/// Something that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Frames: adverts, ARP, neighbour discovery, probes.
    Frame,
    /// Records of the kernel's ring, and the lines made of them.
    Record,
    /// Router files.
    Router,
    /// A keepalived.conf that somebody else wrote, and what it includes.
    Keepalived,
    /// Requests on the control socket.
    Request,
    /// Captures, and what is told of them.
    Capture,
    /// Black boxes and event logs, and the report made of them.
    Postmortem,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Frame,
        Self::Record,
        Self::Router,
        Self::Keepalived,
        Self::Request,
        Self::Capture,
        Self::Postmortem,
    ];

    /// Its name, and that of its folder in `corpus/`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Record => "record",
            Self::Router => "router",
            Self::Keepalived => "keepalived",
            Self::Request => "request",
            Self::Capture => "capture",
            Self::Postmortem => "postmortem",
        }
    }

    /// Reads `bytes`; panics where what must hold does not.
    pub fn run(self, bytes: &[u8]) {
        match self {
            Self::Frame => frame::run(bytes),
            Self::Record => record::run(bytes),
            Self::Router => router::run(bytes),
            Self::Keepalived => keepalived::run(bytes),
            Self::Request => request::run(bytes),
            Self::Capture => capture::run(bytes),
            Self::Postmortem => postmortem::run(bytes),
        }
    }
}

/// That a line which may reach a terminal steers none.
fn assert_harmless(text: &str) {
    let steers = |letter: char| letter.is_control() && letter != '\n';
    assert!(!text.contains(steers), "{text:?}");
}
