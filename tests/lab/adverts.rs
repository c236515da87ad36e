//! Who advertises on a segment, heard by a socket of the lab's own.

use crate::clock::monotonic_ns;
use crate::ear::IPV4;
use crate::netns::Namespace;
use crate::sender::of_protocol;
use anyhow::{Context, Result, anyhow};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(50);
/// So long an advert is remembered.
const KEPT_NS: u64 = 10_000_000_000;
/// The Ethernet header.
const ETHERNET: usize = 14;
const VRRP: u8 = 112;

/// An advert of a living master.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// When it came, in nanoseconds of CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Who sent it.
    pub source: Ipv4Addr,
    /// Of which virtual router.
    pub vrid: u8,
}

/// Listens until it is dropped; of adverts that resign it says nothing.
#[derive(Debug)]
pub struct Adverts {
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Adverts {
    /// Hears what an interface receives from now on.
    ///
    /// # Errors
    /// When there is no such interface, or no permission.
    pub fn listen(namespace: &Namespace, interface: &str) -> Result<Self> {
        let socket = namespace.run(|| {
            let protocol = Protocol::from(i32::from(IPV4.to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))
                .context("open a packet socket")?;
            socket.bind(&of_protocol(interface, IPV4)?)?;
            socket.set_read_timeout(Some(PAUSE))?;
            Ok(socket)
        })?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (of_thread, its_stop) = (Arc::clone(&heard), Arc::clone(&stop));
        let thread = thread::spawn(move || hear(socket, &of_thread, &its_stop));
        Ok(Self {
            heard,
            stop,
            thread: Some(thread),
        })
    }

    /// Who advertised a virtual router since `from_ns`, at most ten seconds ago.
    #[must_use]
    pub fn masters(&self, vrid: u8, from_ns: u64) -> BTreeSet<Ipv4Addr> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let those = heard
            .iter()
            .filter(|it| it.vrid == vrid && it.at_ns >= from_ns);
        those.map(|it| it.source).collect()
    }
}

impl Drop for Adverts {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        let ended = ended.map(|it| it.map_err(|_| anyhow!("it panicked")).flatten());
        if let Some(Err(error)) = ended {
            eprintln!("listen to adverts: {error:#}");
        }
    }
}

fn hear(mut socket: Socket, heard: &Mutex<Vec<Heard>>, stop: &AtomicBool) -> Result<()> {
    let mut frame = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        let length = match socket.read(&mut frame) {
            Ok(length) => length,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error).context("hear a frame"),
        };
        let at_ns = monotonic_ns()?;
        if let Some((source, vrid)) = frame.get(..length).and_then(read) {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.retain(|it| it.at_ns + KEPT_NS > at_ns);
            heard.push(Heard {
                at_ns,
                source,
                vrid,
            });
        }
    }
    Ok(())
}

/// Who advertises what; none if nobody does, or resigns.
fn read(frame: &[u8]) -> Option<(Ipv4Addr, u8)> {
    let packet = frame.get(ETHERNET..)?;
    if *packet.get(9)? != VRRP {
        return None;
    }
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let advert = packet.get(usize::from(packet.first()? & 0xf) * 4..)?;
    (*advert.get(2)? > 0).then_some((source.into(), *advert.get(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_read_and_one_that_resigns_is_not() {
        let mut frame = vec![0; ETHERNET];
        frame.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 255, VRRP, 0, 0]);
        frame.extend([169, 254, 193, 7, 224, 0, 0, 18]);
        frame.extend([0x31, 7, 100, 1]);
        assert_eq!(read(&frame), Some((Ipv4Addr::new(169, 254, 193, 7), 7)));
        frame[ETHERNET + 22] = 0;
        assert_eq!(read(&frame), None);
        assert_eq!(read(&frame[..30]), None);
    }
}
