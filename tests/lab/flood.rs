//! An attacker on a segment: frames of chosen kinds, made from a seed, sent as fast as one
//! thread can.

use crate::arp::arp;
use crate::netns::Namespace;
use crate::sender::{Advert, address_of};
use anyhow::{Context, Result, anyhow};
use nix::libc;
use socket2::{Domain, Socket, Type};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

/// Frames that are made before the first is sent, and then sent again and again.
const MADE: u64 = 4096;
/// Frames for each system call.
const BATCH: usize = 64;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Adverts of virtual routers that nobody has, from anywhere, half of them in VLANs.
    Strangers,
    /// Adverts of the router with a wrong checksum, type, version, hop limit or interval.
    Malformed,
    /// Good adverts of the router, from addresses that none of its hosts has.
    Foreign,
    /// The same that resign.
    Resign,
    /// The same of an owner.
    Owner,
    /// Probes, from hardware addresses that are new each time.
    Probes,
    /// Answers to probes that were never sent.
    Answers,
    /// ARP: the virtual address, and others, are at the attacker's.
    Neighbours,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Strangers,
        Self::Malformed,
        Self::Foreign,
        Self::Resign,
        Self::Owner,
        Self::Probes,
        Self::Answers,
        Self::Neighbours,
    ];

    /// One frame of it against the virtual router `vrid` of the host at `mac`.
    #[must_use]
    pub fn frame(self, dice: &mut Dice, vrid: u8, mac: [u8; 6]) -> Vec<u8> {
        let [b, c, d, ..] = dice.next().to_le_bytes();
        let advert = Advert {
            source: Ipv4Addr::new(169, 254, 64 | b & 0x3f, c),
            vrid,
            priority: 1 + d % 254,
            ..Advert::default()
        };
        match self {
            Self::Strangers => strange(dice, advert, vrid),
            Self::Malformed => malformed(dice, &advert),
            Self::Foreign => advert.frame(),
            Self::Resign => Advert {
                priority: 0,
                ..advert
            }
            .frame(),
            Self::Owner => Advert {
                priority: 255,
                ..advert
            }
            .frame(),
            Self::Probes => probe(dice, vrid, mac, 1),
            Self::Answers => probe(dice, vrid, mac, 2),
            Self::Neighbours => claim(dice),
        }
    }
}

/// Numbers from a seed (xorshift).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn strange(dice: &mut Dice, advert: Advert, vrid: u8) -> Vec<u8> {
    let [other, tagged, high, low, ..] = dice.next().to_le_bytes();
    let advert = Advert {
        vrid: if other == vrid {
            vrid ^ 1
        } else {
            other.max(1)
        },
        ..advert
    };
    let mut frame = advert.frame();
    if tagged & 1 == 1 {
        frame.splice(12..12, [0x81, 0, high & 0xf, low.max(1)]);
    }
    frame
}

/// Where the message begins behind Ethernet and IPv4.
const MESSAGE: usize = 34;
/// Where the time to live is.
const TTL: usize = 22;

fn malformed(dice: &mut Dice, advert: &Advert) -> Vec<u8> {
    let mut frame = advert.frame();
    match dice.next() % 4 {
        0 => frame[MESSAGE + 6] ^= 0x5a,
        1 => frame[MESSAGE] = 0x32,
        2 => frame[MESSAGE] = 0x91,
        _ => {
            // A bridge drops headers whose own sum is wrong.
            frame[TTL] = 1;
            frame[TTL + 2..TTL + 4].fill(0);
            let sum = crate::sender::checksum(&[&frame[14..34]]);
            frame[TTL + 2..TTL + 4].copy_from_slice(&sum);
        }
    }
    frame
}

/// A probe (kind 1) or an answer (kind 2): `common/src/wire/probe.rs` has the format.
fn probe(dice: &mut Dice, vrid: u8, mac: [u8; 6], kind: u8) -> Vec<u8> {
    let mut own = [0x02, 0x66, 0, 0, 0, 0];
    own[2..].copy_from_slice(&dice.next().to_le_bytes()[..4]);
    let address = [169, 254, 100, 9];
    let mut frame = [mac, own].concat();
    frame.extend([0x08, 0x00, 0x45, 0xc0]);
    let rest = keepfast_common::wire::probe::FRAME - 14;
    frame.extend((rest as u16).to_be_bytes());
    frame.extend([0, 0, 0, 0, 255, 17, 0, 0]);
    frame.extend([address, address].concat());
    let sum = crate::sender::checksum(&[&frame[14..34]]);
    frame[24..26].copy_from_slice(&sum);
    let port = keepfast_common::wire::probe::PORT.to_be_bytes();
    frame.extend([port, port].concat());
    frame.extend(((rest - 20) as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(keepfast_common::wire::probe::MAGIC.to_be_bytes());
    frame.extend([keepfast_common::wire::probe::VERSION, kind, vrid, 4]);
    // Sessions are numbered from 1.
    frame.extend((1 + (dice.next() % 4) as u32).to_be_bytes());
    frame.extend((dice.next() as u32).to_be_bytes());
    frame.extend(dice.next().to_be_bytes());
    frame.resize(keepfast_common::wire::probe::FRAME, 0);
    let at = keepfast_common::wire::probe::PAYLOAD + 32;
    frame[at..at + 4].copy_from_slice(&address);
    frame[at + 16] = 255;
    frame
}

/// A gratuitous ARP request.
fn claim(dice: &mut Dice) -> Vec<u8> {
    let [a, b, c, d, ..] = dice.next().to_le_bytes();
    let mac = [0x02, 0x66, a, b, c, d];
    let address = if a & 1 == 0 {
        [169, 254, 0, 7]
    } else {
        [169, 254, c, d]
    };
    arp(1, mac, address, address)
}

/// A flood, which ends when it is dropped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Flood {
    /// Begins to send frames of these kinds, in turn, from `interface` in `namespace`.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn start(
        namespace: &Namespace,
        interface: &str,
        kinds: &[Kind],
        seed: u64,
        (vrid, mac): (u8, [u8; 6]),
    ) -> Result<Self> {
        let mut dice = Dice::new(seed);
        let kinds = kinds.iter().cycle();
        let frames: Vec<Vec<u8>> = (0..MADE)
            .zip(kinds)
            .map(|(_, kind)| kind.frame(&mut dice, vrid, mac))
            .collect();
        let socket = namespace.run(|| {
            let socket = Socket::new(Domain::PACKET, Type::RAW, None).context("open a socket")?;
            socket.bind(&address_of(interface)?)?;
            Ok(socket)
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for batch in frames.chunks(BATCH) {
                    counted.fetch_add(send(&socket, batch)?, Ordering::Relaxed);
                }
            }
            Ok(())
        });
        Ok(Self {
            stop,
            sent,
            thread: Some(thread),
        })
    }

    /// How many frames were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it: how many frames were sent.
    ///
    /// # Errors
    /// When it could not send.
    pub fn stop(mut self) -> Result<u64> {
        self.end()?;
        Ok(self.sent())
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread.join().map_err(|_| anyhow!("the flood panicked"))?
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("flood: {error:#}");
        }
    }
}

/// Sends frames by one system call; how many left.
fn send(socket: &Socket, frames: &[Vec<u8>]) -> Result<u64> {
    let mut parts: Vec<libc::iovec> = frames
        .iter()
        .map(|frame| libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: all zeroes is a message without address or parts.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    // SAFETY: each message points at one part, and that at a frame; all of them live on.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            messages.len() as libc::c_uint,
            0,
        )
    };
    match u64::try_from(sent) {
        Ok(sent) => Ok(sent),
        Err(_) => match std::io::Error::last_os_error() {
            // The queue is full: that is as fast as it goes.
            error if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(0),
            error => Err(error).context("send a flood"),
        },
    }
}
