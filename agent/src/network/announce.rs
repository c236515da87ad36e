//! Telling the neighbours where an address is: gratuitous ARP and unsolicited
//! neighbour advertisements.
//!
//! For IPv4 that is a request, as keepalived sends it, and no reply beside it: every
//! host evaluates requests, replies nobody asked for are ignored by some (RFC 5227
//! section 3).

use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::{Context as _, Result};
use nix::errno::Errno;

use super::frame::{advertisement, arp_request};
use super::raw::Frames;
use crate::netns::Namespace;

/// Bytes of stack of the thread that closes sockets.
const STACK: usize = 64 << 10;

/// An address, and what is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// The index of the interface that it is announced on.
    pub index: u32,
    /// That interface's hardware address.
    pub mac: [u8; 6],
    /// The address.
    pub address: IpAddr,
    /// Whether it is a router's (IPv6).
    pub router: bool,
}

impl Announcement {
    /// The gratuitous ARP or unsolicited neighbour advertisement.
    pub(crate) fn frame(&self) -> Vec<u8> {
        match self.address {
            IpAddr::V4(address) => arp_request(self.mac, address, address),
            IpAddr::V6(address) => advertisement(self.mac, address, self.router),
        }
    }
}

/// Sends one frame for each of `announcements`, which are of `namespace`, until the
/// queue of an interface is full, and returns how many are done. An interface that
/// is down or gone has nobody to be told: those are done, too.
///
/// # Errors
///
/// The namespace cannot be entered, a privilege is missing, or the kernel refuses.
pub fn announce(namespace: &Namespace, announcements: &[Announcement]) -> Result<usize> {
    let frames = namespace.enter(Frames::open)?;
    let done = send(&frames, announcements);
    close_elsewhere(frames);
    done
}

fn send(frames: &Frames, announcements: &[Announcement]) -> Result<usize> {
    for (done, announcement) in announcements.iter().enumerate() {
        match frames.send(announcement.index, &announcement.frame()) {
            Ok(()) | Err(Errno::ENETDOWN | Errno::ENODEV | Errno::ENXIO) => {}
            Err(Errno::EAGAIN | Errno::ENOBUFS) => return Ok(done),
            Err(errno) => {
                return Err(errno).with_context(|| format!("announce {}", announcement.address));
            }
        }
    }
    Ok(announcements.len())
}

/// Closes a packet socket on a thread for that, one for all: the kernel waits with it
/// until no processor can still use the socket, which takes milliseconds.
fn close_elsewhere(frames: Frames) {
    static CLOSER: LazyLock<Option<Sender<Frames>>> = LazyLock::new(|| {
        let (sender, sockets) = mpsc::channel();
        let closing = thread::Builder::new()
            .name("close".to_owned())
            .stack_size(STACK)
            .spawn(move || sockets.into_iter().for_each(drop));
        closing.ok().map(|_| sender)
    });
    if let Some(closer) = &*CLOSER {
        // Where the thread has ended the socket comes back, and is closed here.
        drop(closer.send(frames));
    }
}
