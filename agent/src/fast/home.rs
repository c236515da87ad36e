//! What the thread has of a network namespace: sockets, opened once.

use anyhow::{Context as _, Result};
use nix::errno::Errno;

use crate::netns::Namespace;
use crate::network::lease::Leases;
use crate::network::raw::Frames;

/// A namespace with guarded routers in it.
pub(super) struct Home {
    pub(super) namespace: Namespace,
    pub(super) leases: Leases,
    /// Sends what the kernel programs know for ours.
    marked: Frames,
    /// Sends what they take for keepalived's.
    plain: Frames,
}

impl Home {
    pub(super) fn open(namespace: Namespace, mark: u32) -> Result<Self> {
        let leases = Leases::open(&namespace)?;
        let (marked, plain) = namespace.enter(|| {
            let marked = Frames::open()?;
            marked.mark(mark).context("mark a packet socket")?;
            Ok((marked, Frames::open()?))
        })?;
        Ok(Self {
            namespace,
            leases,
            marked,
            plain,
        })
    }

    /// Sends a probe or a solicitation. Where there is nobody to be asked, nobody
    /// answers; the kernel counts what left.
    pub(super) fn ask(&self, ifindex: u32, frame: &[u8]) -> Result<()> {
        tolerate(self.marked.send(ifindex, frame)).context("send a question")
    }

    /// Sends a frame of this host's.
    pub(super) fn send(&self, ifindex: u32, frame: &[u8]) -> Result<()> {
        tolerate(self.plain.send(ifindex, frame)).context("send a frame")
    }
}

/// A full queue, or an interface that is down or gone, is no error here.
fn tolerate(outcome: Result<(), Errno>) -> Result<(), Errno> {
    match outcome {
        Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENETDOWN | Errno::ENODEV | Errno::ENXIO) => {
            Ok(())
        }
        other => other,
    }
}
