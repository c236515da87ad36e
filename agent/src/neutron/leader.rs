//! The daemon that looks after the router while it is there: registration at its control
//! socket, and what it says from then on.
//!
//! ```text
//! -> {"op":"register","id":"...", ...}
//! <- {"ok":true,...}
//! <- {"keepalived":"alive"}
//! <- {"keepalived":"ended"}     and so on, a line for each change
//! ```
//!
//! It does not say what the state is, for then a change of the address in the moment of
//! registering could be told by both: what netlink says the monitor reads itself, always.
//!
//! Whoever closes the connection ends it.

use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket,
};

use crate::control::Request;
use crate::engine::Nanos;

use super::arguments::Arguments;

/// Between two attempts to register, doubled with each; and the longest.
const FIRST_PAUSE: Nanos = 100_000_000;
const LONGEST_PAUSE: Nanos = 5_000_000_000;

/// How long the daemon has to answer: it may have a thousand routers to look at first.
const ANSWER_LIMIT: Nanos = 30_000_000_000;

/// More than any line but a refusal has, of which the beginning is enough.
const LONGEST_LINE: usize = 256;

const REFUSED: &str = "it refused: its log says why";

/// How the answer begins where all went well.
const REGISTERED: &[u8] = br#"{"ok":true"#;

/// The line by which a daemon says whether the keepalived of a registered router has ended.
#[must_use]
pub const fn line(ended: bool) -> &'static str {
    if ended {
        "{\"keepalived\":\"ended\"}\n"
    } else {
        "{\"keepalived\":\"alive\"}\n"
    }
}

/// What has come of the daemon.
#[derive(Debug)]
pub(super) enum News {
    /// Nothing.
    Nothing,
    /// It looks after the router from now on.
    Registered,
    /// Whether keepalived has ended.
    Ended(bool),
    /// It does not any more, for this reason.
    Gone(anyhow::Error),
    /// It does not take the router, for this reason.
    Refused(anyhow::Error),
}

#[derive(Debug)]
enum Phase {
    /// Not connected; tried again at a time.
    Away(Nanos),
    /// Asked; until then it has to answer.
    Asked(UnixStream, Nanos),
    Registered(UnixStream),
}

/// A daemon, there or not.
#[derive(Debug)]
pub(super) struct Leader {
    socket: PathBuf,
    request: String,
    phase: Phase,
    pause: Nanos,
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
            received: Vec::new(),
        })
    }

    /// What to wait for, besides [`Self::deadline`].
    pub(super) fn lines(&self) -> Option<BorrowedFd<'_>> {
        match &self.phase {
            Phase::Away(_) => None,
            Phase::Asked(stream, _) | Phase::Registered(stream) => Some(stream.as_fd()),
        }
    }

    /// When [`Self::go_on`] is due without a line.
    pub(super) const fn deadline(&self) -> Option<Nanos> {
        match &self.phase {
            Phase::Away(at) | Phase::Asked(_, at) => Some(*at),
            Phase::Registered(_) => None,
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
                return News::Refused(anyhow!("it does not answer"));
            }
            Phase::Asked(..) | Phase::Registered(_) => {}
        }
        match self.take() {
            Ok(None) => News::Nothing,
            Ok(Some(line)) => self.read(now, &line),
            Err(error) => self.lost(now, error),
        }
    }

    /// What a line says.
    fn read(&mut self, now: Nanos, found: &[u8]) -> News {
        match std::mem::replace(&mut self.phase, Phase::Away(now)) {
            Phase::Asked(stream, _) if found.starts_with(REGISTERED) => {
                self.phase = Phase::Registered(stream);
                self.pause = FIRST_PAUSE;
                News::Registered
            }
            Phase::Registered(stream) => {
                self.phase = Phase::Registered(stream);
                let said = [true, false]
                    .into_iter()
                    .find(|it| line(*it).as_bytes() == found);
                match said {
                    Some(ended) => News::Ended(ended),
                    None => {
                        let found = String::from_utf8_lossy(found);
                        self.lost(now, anyhow!("it said {found:?}"))
                    }
                }
            }
            Phase::Asked(..) | Phase::Away(_) => {
                self.leave(now);
                News::Refused(anyhow!(REFUSED))
            }
        }
    }

    fn lost(&mut self, now: Nanos, error: anyhow::Error) -> News {
        let registered = matches!(self.phase, Phase::Registered(_));
        self.leave(now);
        if registered {
            News::Gone(error)
        } else {
            News::Refused(error)
        }
    }

    fn leave(&mut self, now: Nanos) {
        self.received = Vec::new();
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

    /// The next line, if a whole one is there.
    fn take(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.received.drain(..=end).collect()));
            }
            // Not more of it: it comes from whoever listens there.
            ensure!(self.received.len() < LONGEST_LINE, REFUSED);
            let (Phase::Asked(stream, _) | Phase::Registered(stream)) = &mut self.phase else {
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
