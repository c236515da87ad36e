//! Telling Neutron's agent: one connection and one request for a state.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket,
};

use crate::engine::{Nanos, Published};

/// How long the agent has to answer. It may be busy with all its routers.
const ANSWER_LIMIT: Nanos = 10_000_000_000;

/// Until a full backlog is tried again, doubled each time; and the longest.
const FULL: Nanos = 1_000_000;
const LONGEST_FULL: Nanos = 16_000_000;

/// How a status line begins that means success.
const SUCCESS: &[u8] = b"HTTP/1.1 200";

/// How a delivery goes.
#[derive(Debug)]
pub(super) enum Progress {
    /// The agent has yet to answer, or to take the connection.
    Under,
    /// It was told.
    Told(Published),
}

#[derive(Debug)]
enum Phase {
    Idle,
    /// The backlog was full: tried again at a time, having waited so long.
    Full(Published, Nanos, Nanos),
    Sent(Published, UnixStream, Nanos),
}

/// Tells the agent of one router's states, one at a time.
#[derive(Debug)]
pub(super) struct Courier {
    socket: PathBuf,
    router: String,
    phase: Phase,
}

impl Courier {
    pub(super) fn new(socket: &Path, router: &str) -> Self {
        Self {
            socket: socket.to_owned(),
            router: router.to_owned(),
            phase: Phase::Idle,
        }
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// What to wait for, besides [`Self::deadline`].
    pub(super) fn answers(&self) -> Option<BorrowedFd<'_>> {
        match &self.phase {
            Phase::Sent(_, stream, _) => Some(stream.as_fd()),
            Phase::Idle | Phase::Full(..) => None,
        }
    }

    /// When [`Self::go_on`] is due without an answer.
    pub(super) const fn deadline(&self) -> Option<Nanos> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Full(_, at, _) | Phase::Sent(_, _, at) => Some(*at),
        }
    }

    /// Begins to tell `state`. A full backlog is no failure: the agent is only busy.
    pub(super) fn begin(&mut self, now: Nanos, state: Published) -> Result<()> {
        self.attempt(now, state, FULL)
            .with_context(|| format!("tell {} at {}", state.as_str(), self.socket.display()))
    }

    /// Takes the answer, or tries again. After an error nothing is under way.
    pub(super) fn go_on(&mut self, now: Nanos) -> Result<Progress> {
        let outcome = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => return Ok(Progress::Under),
            Phase::Full(state, at, pause) if now < at => {
                self.phase = Phase::Full(state, at, pause);
                return Ok(Progress::Under);
            }
            Phase::Full(state, _, pause) => {
                let pause = pause.saturating_mul(2).min(LONGEST_FULL);
                self.attempt(now, state, pause).map(|()| Progress::Under)
            }
            Phase::Sent(state, stream, limit) => self.answer(now, state, stream, limit),
        };
        outcome.with_context(|| format!("tell {}", self.socket.display()))
    }

    fn attempt(&mut self, now: Nanos, state: Published, pause: Nanos) -> Result<()> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            socket(AddressFamily::Unix, SockType::Stream, flags, None).context("socket")?;
        let address = UnixAddr::new(&self.socket).context("its path")?;
        match connect(socket.as_raw_fd(), &address) {
            Ok(()) => {}
            Err(Errno::EAGAIN) => {
                self.phase = Phase::Full(state, now.saturating_add(pause), pause);
                return Ok(());
            }
            Err(errno) => return Err(errno).context("connect"),
        }
        // At once: the agent receives once, and has what is there by then.
        let request = request(&self.router, state);
        let sent = send(
            socket.as_raw_fd(),
            request.as_bytes(),
            MsgFlags::MSG_NOSIGNAL,
        );
        let sent = sent.context("send")?;
        ensure!(
            sent == request.len(),
            "sent {sent} of {} bytes",
            request.len()
        );
        self.phase = Phase::Sent(state, socket.into(), now.saturating_add(ANSWER_LIMIT));
        Ok(())
    }

    fn answer(
        &mut self,
        now: Nanos,
        state: Published,
        mut stream: UnixStream,
        limit: Nanos,
    ) -> Result<Progress> {
        let mut answer = [0; 64];
        // It comes in one piece; what of it is of interest is its beginning.
        let count = match stream.read(&mut answer) {
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                ensure!(
                    now < limit,
                    "no answer within {} s",
                    ANSWER_LIMIT / 1_000_000_000
                );
                self.phase = Phase::Sent(state, stream, limit);
                return Ok(Progress::Under);
            }
            Err(error) => return Err(error).context("read the answer"),
        };
        let answer = answer.get(..count).unwrap_or_default();
        if answer.starts_with(SUCCESS) {
            return Ok(Progress::Told(state));
        }
        let line = String::from_utf8_lossy(answer);
        let line = line.lines().next().unwrap_or("nothing");
        bail!("answered {line:?}: expected HTTP/1.1 200")
    }
}

/// As curl sends it for Neutron's own monitor.
fn request(router: &str, state: Published) -> String {
    let mut text = String::with_capacity(256);
    // Into a String, which does not fail.
    write!(
        text,
        "POST / HTTP/1.1\r\n\
         Host: 127.0.0.1\r\n\
         User-Agent: keepfast\r\n\
         Accept: */*\r\n\
         X-Neutron-Router-Id: {router}\r\n\
         X-Neutron-State: {}\r\n\
         Connection: close\r\n\
         \r\n",
        state.as_str()
    )
    .unwrap_or_default();
    text
}
