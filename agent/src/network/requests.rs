//! Questions and orders to the routing netlink of one namespace.

use std::cell::Cell;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::slice;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvmsg, send,
    socket,
};

use super::message::{Message, Request, messages};
use super::monitor::View;

/// As much as the kernel puts into one datagram of a list.
const DATAGRAM: usize = 32 << 10;

/// How many requests go together: that many answers fit into a socket's queue.
const BATCH: usize = 64;

/// A socket for them. The kernel does what is asked within the call that sends it:
/// the answer is there when that returns, and nothing here ever waits for one.
#[derive(Debug)]
pub(super) struct Requests {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

/// Why a datagram could not be read.
pub(super) enum Unread {
    /// There is none.
    Empty,
    /// At least one was lost.
    Lost,
    /// The socket is broken.
    Broken(Errno),
}

impl Requests {
    /// A socket in the namespace that the calling thread is in.
    pub(super) fn open() -> Result<Self> {
        Ok(Self {
            socket: open(0)?,
            sequence: Cell::new(0),
        })
    }

    /// All links and addresses; `None` when they changed meanwhile.
    pub(super) fn view(&self) -> Result<Option<View>> {
        let mut view = View::default();
        for request in [Request::list_links(), Request::list_addresses()] {
            let consistent = self.list(&request, |message| {
                if let Some(change) = message.change() {
                    view.apply(&change);
                }
            })?;
            if !consistent {
                return Ok(None);
            }
        }
        Ok(Some(view))
    }

    /// Has something done; the kernel's refusal is the inner error.
    pub(super) fn execute(&self, request: &Request) -> Result<Result<(), Errno>> {
        let outcomes = self.execute_all(slice::from_ref(request))?;
        outcomes.into_iter().next().context("ask for nothing")
    }

    /// Has several things done by one call of the kernel, as far as a datagram holds
    /// them, and returns the outcome of each. One that is refused does not keep those
    /// behind it from being done.
    pub(super) fn execute_all(&self, requests: &[Request]) -> Result<Vec<Result<(), Errno>>> {
        let mut outcomes = Vec::with_capacity(requests.len());
        for batch in requests.chunks(BATCH) {
            outcomes.extend(self.ask(batch, |_| {})?);
        }
        Ok(outcomes)
    }

    /// Has `each` see all addresses; whether the list is of one moment.
    pub(super) fn list_addresses(&self, each: impl FnMut(&Message<'_>)) -> Result<bool> {
        self.list(&Request::list_addresses(), each)
    }

    /// Asks for a list; whether it is of one moment.
    fn list(&self, request: &Request, mut each: impl FnMut(&Message<'_>)) -> Result<bool> {
        let mut consistent = true;
        let outcomes = self.ask(slice::from_ref(request), |message| {
            consistent &= i32::from(message.flags) & libc::NLM_F_DUMP_INTR == 0;
            each(message);
        })?;
        let listed: Result<(), Errno> = outcomes.into_iter().collect();
        listed.context("list links and addresses")?;
        Ok(consistent)
    }

    /// Sends `requests` in one datagram and has `each` see the answers, of which the
    /// last to each request has its outcome.
    fn ask(
        &self,
        requests: &[Request],
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<Vec<Result<(), Errno>>> {
        let first = self.sequence.get().wrapping_add(1);
        let mut sequence = first;
        let mut datagram = Vec::new();
        for request in requests {
            datagram.extend(request.bytes(sequence));
            sequence = sequence.wrapping_add(1);
        }
        self.sequence.set(sequence);
        send(self.socket.as_raw_fd(), &datagram, MsgFlags::empty())
            .context("ask the kernel by routing netlink")?;
        let mut outcomes = vec![None; requests.len()];
        while outcomes.contains(&None) {
            let read = receive(&self.socket, |message| {
                // What is left of an answer that was given up has another number.
                let place = usize::try_from(message.sequence.wrapping_sub(first)).ok();
                if let Some(outcome) = place.and_then(|place| outcomes.get_mut(place)) {
                    *outcome = outcome.or_else(|| message.outcome());
                    each(message);
                }
            });
            match read {
                Ok(()) => {}
                Err(Unread::Empty) => bail!("the kernel gave no answer by routing netlink"),
                Err(Unread::Lost) => bail!("the kernel's answer by routing netlink was lost"),
                Err(Unread::Broken(errno)) => {
                    return Err(errno).context("read the kernel's answer by routing netlink");
                }
            }
        }
        let outcome = |code| match code {
            0 => Ok(()),
            code => Err(Errno::from_raw(code)),
        };
        Ok(outcomes.into_iter().flatten().map(outcome).collect())
    }
}

/// A routing netlink socket that hears of `groups` (`RTMGRP_...`).
pub(crate) fn open(groups: u32) -> Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkRoute,
    )
    .context("open a routing netlink socket")?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))
        .context("bind a routing netlink socket")?;
    Ok(socket)
}

/// Reads one datagram, without waiting for it, and has `each` see its messages.
pub(super) fn receive(socket: &OwnedFd, mut each: impl FnMut(&Message<'_>)) -> Result<(), Unread> {
    // On the stack: a thousand sockets share it.
    let mut buffer = [0; DATAGRAM];
    let (length, truncated, sender) = {
        let mut parts = [std::io::IoSliceMut::new(&mut buffer)];
        match recvmsg::<NetlinkAddr>(socket.as_raw_fd(), &mut parts, None, MsgFlags::MSG_DONTWAIT) {
            Ok(read) => (
                read.bytes,
                read.flags.contains(MsgFlags::MSG_TRUNC),
                read.address.map(|address| address.pid()),
            ),
            Err(Errno::EAGAIN) => return Err(Unread::Empty),
            Err(Errno::ENOBUFS) => return Err(Unread::Lost),
            Err(errno) => return Err(Unread::Broken(errno)),
        }
    };
    if truncated {
        return Err(Unread::Lost);
    }
    // Only the kernel, whose port is 0, is believed.
    if sender == Some(0) {
        messages(&buffer[..length]).for_each(|message| each(&message));
    }
    Ok(())
}
