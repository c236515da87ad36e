//! The daemon that leads the monitor while it is there: registration at its control socket,
//! and what it says from then on.
//!
//! ```text
//! -> {"op":"register","id":"...", ...}
//! <- {"ok":true,...}
//! <- {"state":"backup"}
//! <- {"state":"primary"}      and so on, a line for each transition
//! ```
//!
//! Whoever closes the connection ends it.

use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket,
};

use crate::control::Request;
use crate::engine::{Nanos, Published};

use super::arguments::Arguments;

/// Between two attempts to register, doubled with each; and the longest.
const FIRST_PAUSE: Nanos = 100_000_000;
const LONGEST_PAUSE: Nanos = 5_000_000_000;

/// How long the daemon has to say what the state is: it may have a thousand routers to look
/// at first.
const ANSWER_LIMIT: Nanos = 30_000_000_000;

/// More than any line but a refusal has, of which the beginning is enough.
const LONGEST_LINE: usize = 256;

/// How the answer begins where all went well.
const REGISTERED: &[u8] = br#"{"ok":true"#;

/// The line by which a daemon says what the state of a registered router is.
#[must_use]
pub const fn line(state: Published) -> &'static str {
    match state {
        Published::Primary => "{\"state\":\"primary\"}\n",
        Published::Backup => "{\"state\":\"backup\"}\n",
    }
}

/// What has come of the daemon.
#[derive(Debug)]
pub(super) enum News {
    /// Nothing.
    Nothing,
    /// This is the state; `true`: it leads from now on.
    State(Published, bool),
    /// It does not lead any more, for this reason.
    Gone(anyhow::Error),
    /// It does not take the router, for this reason.
    Refused(anyhow::Error),
}

#[derive(Debug)]
enum Phase {
    /// Not connected; tried again at a time.
    Away(Nanos),
    /// Asked; until then it has to say what the state is.
    Asked(UnixStream, Nanos),
    Leads(UnixStream),
}

/// A daemon, there or not.
#[derive(Debug)]
pub(super) struct Leader {
    socket: PathBuf,
    request: String,
    phase: Phase,
    pause: Nanos,
    registered: bool,
    /// What was received of lines that are not taken yet.
    received: Vec<u8>,
}

impl Leader {
    pub(super) fn new(arguments: &Arguments) -> Result<Self> {
        let request = Request::Register {
            id: arguments.router.as_str().to_owned(),
            namespace: arguments.namespace.as_str().to_owned(),
            interface: arguments.interface.as_str().to_owned(),
            address: arguments.address.to_string(),
            conf_dir: arguments.conf_dir.clone(),
        };
        let mut request = serde_json::to_string(&request).context("write the registration")?;
        request.push('\n');
        Ok(Self {
            socket: arguments.keepfast_socket.clone(),
            request,
            phase: Phase::Away(0),
            pause: FIRST_PAUSE,
            registered: false,
            received: Vec::new(),
        })
    }

    /// Whether it says what the state is.
    pub(super) const fn leads(&self) -> bool {
        matches!(self.phase, Phase::Leads(_))
    }

    /// What to wait for, besides [`Self::deadline`].
    pub(super) fn lines(&self) -> Option<BorrowedFd<'_>> {
        match &self.phase {
            Phase::Away(_) => None,
            Phase::Asked(stream, _) | Phase::Leads(stream) => Some(stream.as_fd()),
        }
    }

    /// When [`Self::go_on`] is due without a line.
    pub(super) const fn deadline(&self) -> Option<Nanos> {
        match &self.phase {
            Phase::Away(at) | Phase::Asked(_, at) => Some(*at),
            Phase::Leads(_) => None,
        }
    }

    /// Takes one line, or tries to register. To be called until there is nothing more.
    pub(super) fn go_on(&mut self, now: Nanos) -> News {
        match &self.phase {
            Phase::Away(at) if now < *at => return News::Nothing,
            // That there is none is no news.
            Phase::Away(_) => match self.register() {
                Ok(stream) => self.phase = Phase::Asked(stream, now.saturating_add(ANSWER_LIMIT)),
                Err(_) => {
                    self.leave(now);
                    return News::Nothing;
                }
            },
            Phase::Asked(_, limit) if *limit <= now => {
                self.leave(now);
                return News::Refused(anyhow::anyhow!("it does not answer"));
            }
            Phase::Asked(..) | Phase::Leads(_) => {}
        }
        match self.take() {
            Ok(None) => News::Nothing,
            Ok(Some(state)) => {
                let phase = std::mem::replace(&mut self.phase, Phase::Away(now));
                let begins = matches!(phase, Phase::Asked(..));
                if let Phase::Asked(stream, _) | Phase::Leads(stream) = phase {
                    self.phase = Phase::Leads(stream);
                }
                self.pause = FIRST_PAUSE;
                News::State(state, begins)
            }
            Err(error) => {
                let led = self.leads();
                self.leave(now);
                if led {
                    News::Gone(error)
                } else {
                    News::Refused(error)
                }
            }
        }
    }

    fn leave(&mut self, now: Nanos) {
        self.received = Vec::new();
        self.registered = false;
        self.phase = Phase::Away(now.saturating_add(self.pause));
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
    }

    fn register(&self) -> Result<UnixStream> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(&self.socket)?)?;
        let sent = send(
            socket.as_raw_fd(),
            self.request.as_bytes(),
            MsgFlags::MSG_NOSIGNAL,
        )?;
        ensure!(sent == self.request.len(), "sent in part");
        Ok(socket.into())
    }

    /// The state that the next line says, if a whole one is there.
    fn take(&mut self) -> Result<Option<Published>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                if !std::mem::replace(&mut self.registered, true) {
                    ensure!(line.starts_with(REGISTERED), "it refused: its log says why");
                    continue;
                }
                return read(&line).map(Some);
            }
            // Not more of it: it comes from whoever listens there.
            ensure!(
                self.received.len() < LONGEST_LINE,
                "it refused: its log says why"
            );
            let (Phase::Asked(stream, _) | Phase::Leads(stream)) = &mut self.phase else {
                return Ok(None);
            };
            let mut buffer = [0; LONGEST_LINE];
            match stream.read(&mut buffer) {
                Ok(0) => bail!("it closed the connection"),
                Ok(count) => self.received.extend(buffer.iter().take(count)),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error).context("read from it"),
            }
        }
    }
}

fn read(found: &[u8]) -> Result<Published> {
    let states = [Published::Primary, Published::Backup];
    let state = states
        .into_iter()
        .find(|state| line(*state).as_bytes() == found);
    state.with_context(|| format!("it said {:?}", String::from_utf8_lossy(found)))
}
