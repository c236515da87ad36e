//! What an interface receives of one kind, frame by frame, behind XDP and tc.

use crate::netns::Namespace;
use crate::sender::of_protocol;
use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

/// IPv4.
pub const IPV4: u16 = 0x0800;
/// ARP.
pub const ARP: u16 = 0x0806;
/// IPv6.
pub const IPV6: u16 = 0x86dd;

/// How long it sleeps at a time.
const PAUSE: Duration = Duration::from_millis(50);

/// Hears what an interface receives, for whomever it is; not what that sends.
#[derive(Debug)]
pub struct Ear(Socket);

impl Ear {
    /// Hears frames of one `EtherType` from now on.
    ///
    /// # Errors
    /// When there is no such interface, or no permission.
    pub fn new(namespace: &Namespace, interface: &str, kind: u16) -> Result<Self> {
        namespace.run(|| {
            let protocol = Protocol::from(i32::from(kind.to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))
                .context("open a packet socket")?;
            socket.bind(&of_protocol(interface, kind)?)?;
            socket.set_read_timeout(Some(PAUSE))?;
            Ok(Self(socket))
        })
    }

    /// The frames up to the first one that is `last`, that one not among them.
    ///
    /// # Errors
    /// When it did not come within `limit`: says what did.
    pub fn until(&mut self, limit: Duration, last: impl Fn(&[u8]) -> bool) -> Result<Vec<Vec<u8>>> {
        let end = Instant::now() + limit;
        let mut heard = Vec::new();
        let mut buffer = [0; 2_048];
        while Instant::now() < end {
            match self.0.read(&mut buffer) {
                Ok(length) if last(&buffer[..length]) => return Ok(heard),
                Ok(length) => heard.push(buffer[..length].to_vec()),
                Err(error) if is_over(error.kind()) => {}
                Err(error) => return Err(error).context("hear a frame"),
            }
        }
        bail!("waited {limit:?} for a frame, heard {heard:02x?}")
    }
}

fn is_over(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
