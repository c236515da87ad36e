//! Packet sockets (packet(7)): whole frames, sent and received.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike as _, bind, recv, sendto,
    socket,
};

use super::frame;

/// More than any frame of address resolution.
const FRAME: usize = 2048;

/// A packet socket, of the namespace that it was opened in. It never waits, except
/// where told to.
#[derive(Debug)]
pub(crate) struct Frames(OwnedFd);

impl Frames {
    /// One that only sends.
    pub(crate) fn open() -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socket(AddressFamily::Packet, SockType::Raw, flags, None)
            .map(Self)
            .context("open a packet socket")
    }

    /// One that hears ARP or, of IPv6, neighbour advertisements on one interface,
    /// also those to `mac` where that is not the interface's own.
    pub(super) fn listen(index: u32, kind: u16, mac: [u8; 6]) -> Result<Self> {
        let frames = Self::open()?;
        if kind == frame::IPV6 {
            frames.filter().context("filter a packet socket")?;
        }
        bind(frames.0.as_raw_fd(), &link(index, kind)?).context("bind a packet socket")?;
        let index = i32::try_from(index).context("use an interface index")?;
        join(&frames.0, index, libc::PACKET_MR_UNICAST, mac)
            .context("listen to a hardware address")?;
        Ok(frames)
    }

    /// Has all frames bear a mark (SO_MARK), which stays on this host.
    pub(crate) fn mark(&self, mark: u32) -> Result<(), Errno> {
        set(&self.0, libc::SOL_SOCKET, libc::SO_MARK, &mark)
    }

    /// Sends a frame on an interface.
    pub(crate) fn send(&self, index: u32, frame: &[u8]) -> Result<(), Errno> {
        let kind = frame.get(12..14).and_then(|kind| kind.try_into().ok());
        let to = link(index, kind.map_or(0, u16::from_be_bytes))?;
        sendto(self.0.as_raw_fd(), frame, &to, MsgFlags::empty()).map(|_| ())
    }

    /// Waits until `end` for a frame that is `wanted`; whether there was one.
    pub(super) fn wait(&self, end: Instant, wanted: impl Fn(&[u8]) -> bool) -> Result<bool> {
        let mut buffer = [0; FRAME];
        loop {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) if wanted(&buffer[..length]) => return Ok(true),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(errno).context("receive frames"),
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            // Rounded up: a part of a millisecond would be asked for again and again.
            let limit = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], limit) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).context("wait for frames"),
            }
        }
    }

    /// Has the kernel pass on neighbour advertisements only: all else of IPv6 would
    /// wake us for nothing.
    fn filter(&self) -> Result<(), Errno> {
        let load = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
        let unless = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        let mut steps = [
            // The next header is ICMPv6, and the message an advertisement.
            step(load, 0, 0, 20),
            step(unless, 0, 3, 58),
            step(load, 0, 0, 54),
            step(unless, 0, 1, 136),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, FRAME as u32),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        ];
        filter(&self.0, &mut steps)
    }
}

/// A step of a [`filter`].
pub(crate) const fn step(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

/// Has the kernel pass on only what `steps` let through (classic BPF).
pub(crate) fn filter(socket: &OwnedFd, steps: &mut [libc::sock_filter]) -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).map_err(|_| Errno::EINVAL)?,
        filter: steps.as_mut_ptr(),
    };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Has an interface let frames to a hardware address in, which may be a group's as
/// `kind` says, for as long as the socket is open.
pub(crate) fn join(socket: &OwnedFd, index: i32, kind: i32, mac: [u8; 6]) -> Result<(), Errno> {
    let [a, b, c, d, e, f] = mac;
    let membership = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: kind as u16,
        mr_alen: 6,
        mr_address: [a, b, c, d, e, f, 0, 0],
    };
    let option = libc::PACKET_ADD_MEMBERSHIP;
    set(socket, libc::SOL_PACKET, option, &membership)
}

/// Sets an option whose value is a structure of the kernel's interface.
fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> Result<(), Errno> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes at `value`, which are there, and
    // what they may point to is there until the call returns.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as u32,
        )
    };
    Errno::result(outcome).map(|_| ())
}

/// The address of frames of one type on one interface.
fn link(index: u32, kind: u16) -> Result<LinkAddr, Errno> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: kind.to_be(),
        sll_ifindex: i32::try_from(index).map_err(|_| Errno::ENODEV)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: it is a whole address of the family that it names, and is copied.
    unsafe {
        LinkAddr::from_raw(
            std::ptr::from_ref(&address).cast(),
            Some(size_of_val(&address) as u32),
        )
    }
    .ok_or(Errno::EINVAL)
}
