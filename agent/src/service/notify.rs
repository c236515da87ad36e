//! What the service manager is told, by the protocol of sd_notify(3): datagrams of
//! `NAME=VALUE` lines to the socket that it named.

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tracing::warn;

use crate::engine::Nanos;

/// Names the socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// How long a message may wait for a manager whose queue is full.
const SEND_LIMIT: Duration = Duration::from_secs(1);

/// The service manager. Without one, nothing is said.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    /// What it was told last of how the service is.
    status: String,
}

impl Manager {
    /// The one that started this process, if it wants to be told. A socket that cannot
    /// be used is warned of, and not used.
    #[must_use]
    pub fn of_environment() -> Self {
        let Some(address) = std::env::var_os(SOCKET) else {
            return Self::default();
        };
        Self::at(&address).unwrap_or_else(|error| {
            warn!("the service manager is told nothing: {error:#}");
            Self::default()
        })
    }

    /// The one that listens at `address`: an absolute path, or `@` and an abstract name.
    ///
    /// # Errors
    ///
    /// It is no such address, or nobody listens there.
    pub fn at(address: &OsStr) -> Result<Self> {
        let address = parse(address)?;
        let connect = || {
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(&address)?;
            socket.set_write_timeout(Some(SEND_LIMIT))?;
            Ok(socket)
        };
        let socket: std::io::Result<UnixDatagram> = connect();
        Ok(Self {
            socket: Some(socket.with_context(|| format!("connect to {SOCKET} {address:?}"))?),
            status: String::new(),
        })
    }

    /// The service has started, or has read its configuration again.
    pub fn ready(&self) {
        self.send("READY=1\n");
    }

    /// The service reads its configuration again, from `now` on, nanoseconds of
    /// CLOCK_MONOTONIC.
    pub fn reloading(&self, now: Nanos) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}\n", now / 1_000));
    }

    /// The service ends.
    pub fn stopping(&self) {
        self.send("STOPPING=1\n");
    }

    /// All is well: the watchdog's time begins anew.
    pub fn alive(&self) {
        self.send("WATCHDOG=1\n");
    }

    /// How the service is, in one line; said only if it is news.
    pub fn status(&mut self, words: &str) {
        if self.status != words {
            words.clone_into(&mut self.status);
            self.send(&format!("STATUS={words}\n"));
        }
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(message.as_bytes())
        {
            warn!(
                "the service manager was not told {:?}: {error}",
                message.trim_end()
            );
        }
    }
}

fn parse(address: &OsStr) -> Result<SocketAddr> {
    match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(OsString::from(address)),
        _ => bail!("{SOCKET} is {address:?}: expected an absolute path or @ and a name"),
    }
    .with_context(|| format!("{SOCKET} is {address:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manager, and a service that speaks with it.
    fn pair(name: &str) -> (UnixDatagram, Manager) {
        let name = format!("keepfast-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        listener
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let manager = Manager::at(OsStr::new(&format!("@{name}"))).unwrap();
        (listener, manager)
    }

    fn heard(listener: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = listener.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_is_told_in_its_own_words() {
        let (listener, manager) = pair("words");
        manager.ready();
        manager.reloading(7_000_000_123);
        manager.alive();
        manager.stopping();
        for expected in [
            "READY=1\n",
            "RELOADING=1\nMONOTONIC_USEC=7000000\n",
            "WATCHDOG=1\n",
            "STOPPING=1\n",
        ] {
            assert_eq!(heard(&listener), expected);
        }
    }

    #[test]
    fn what_is_no_news_is_not_said_again() {
        let (listener, mut manager) = pair("news");
        for words in ["1 router", "1 router", "2 routers"] {
            manager.status(words);
        }
        manager.alive();
        for expected in ["STATUS=1 router\n", "STATUS=2 routers\n", "WATCHDOG=1\n"] {
            assert_eq!(heard(&listener), expected);
        }
    }

    #[test]
    fn a_socket_with_a_path_will_do() {
        let path = std::env::temp_dir().join(format!("keepfast-notify-{}", std::process::id()));
        let listener = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::at(path.as_os_str());
        std::fs::remove_file(&path).unwrap();
        manager.unwrap().ready();
        assert_eq!(heard(&listener), "READY=1\n");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for address in ["", "relative", "vsock:2:1234", "/no/such"] {
            let error = Manager::at(OsStr::new(address)).unwrap_err();
            assert!(error.to_string().contains(SOCKET), "{error:#}");
        }
    }
}
