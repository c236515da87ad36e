//! Whether an address is on an interface of this process's network namespace, by routing
//! netlink (rtnetlink(7)), with a fixed buffer.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_indextoname;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::config::{Cidr, InterfaceName};
use crate::network::requests;

/// Messages of addresses have about a hundred bytes; listings come in parts of this size.
const BUFFER: usize = 8192;

/// How long the kernel has for a part of a listing.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A listing during which the addresses changed is taken again, so many times.
const LISTINGS: usize = 16;

const HEADER: usize = 16;
/// `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;

/// The address that is looked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) interface: InterfaceName,
    pub(super) address: Cidr,
}

/// What a message says of the wanted address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is there.
    There,
    /// It has gone.
    Gone,
}

/// What was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// Nothing more for now.
    Nothing,
    /// Nothing of the wanted address.
    Other,
    /// It has come or gone.
    Change(Seen),
    /// Messages were lost.
    Overrun,
}

/// A subscription to changes of addresses.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    wanted: Wanted,
    sequence: u32,
    /// On which interface the wanted address was seen: one that is being removed has lost its
    /// name by the time its addresses go.
    index: u32,
}

/// One message of those received together.
struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl Netlink {
    /// Subscribes to the changes of addresses of this process's namespace.
    pub(super) fn open(wanted: Wanted) -> Result<Self> {
        let group = match wanted.address.address() {
            IpAddr::V4(_) => libc::RTMGRP_IPV4_IFADDR,
            IpAddr::V6(_) => libc::RTMGRP_IPV6_IFADDR,
        };
        let group = u32::try_from(group).context("a group of routing netlink")?;
        Ok(Self {
            socket: requests::open(group).context("subscribe to changes of addresses")?,
            wanted,
            sequence: 0,
            index: 0,
        })
    }

    /// Whether the wanted address is there. What changes meanwhile is taken into account.
    pub(super) fn list(&mut self) -> Result<bool> {
        for _ in 0..LISTINGS {
            self.ask()?;
            if let Some(there) = self.answer()? {
                return Ok(there);
            }
        }
        bail!("the addresses changed while they were listed, {LISTINGS} times")
    }

    /// Takes what was received. To be called until there is nothing more.
    pub(super) fn receive(&mut self) -> Result<Received> {
        let mut buffer = [0; BUFFER];
        let count = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
            Err(Errno::ENOBUFS) => return Ok(Received::Overrun),
            Err(errno) => return Err(errno).context("receive changes of addresses"),
        };
        // A change comes alone.
        let mut change = Received::Other;
        for message in messages(buffer.get(..count).unwrap_or_default()) {
            if let Some(seen) = self.seen(&message) {
                change = Received::Change(seen);
            }
        }
        Ok(change)
    }

    fn ask(&mut self) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let family = match self.wanted.address.address() {
            IpAddr::V4(_) => libc::AF_INET,
            IpAddr::V6(_) => libc::AF_INET6,
        };
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        let mut request = [0; HEADER + ADDRESS_HEADER];
        let fields = [
            (0, &((HEADER + ADDRESS_HEADER) as u32).to_ne_bytes()[..]),
            (4, &libc::RTM_GETADDR.to_ne_bytes()),
            (6, &(flags as u16).to_ne_bytes()),
            (8, &self.sequence.to_ne_bytes()),
            (HEADER, &(family as u8).to_ne_bytes()),
        ];
        for (at, bytes) in fields {
            if let Some(place) = request.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty()).context("list addresses")?;
        Ok(())
    }

    /// What the listing says; `None`: something has changed, list again.
    fn answer(&mut self) -> Result<Option<bool>> {
        let (mut there, mut changed) = (false, false);
        loop {
            self.wait()?;
            let mut buffer = [0; BUFFER];
            let count = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(count) => count,
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(Errno::ENOBUFS) => return Ok(None),
                Err(errno) => return Err(errno).context("list addresses"),
            };
            for message in messages(buffer.get(..count).unwrap_or_default()) {
                if message.sequence != self.sequence {
                    changed |= self.seen(&message).is_some();
                    continue;
                }
                changed |= message.flags & libc::NLM_F_DUMP_INTR as u16 != 0;
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return Ok((!changed).then_some(there)),
                    libc::NLMSG_ERROR => bail!("the kernel refuses to list addresses"),
                    _ => there |= self.seen(&message) == Some(Seen::There),
                }
            }
        }
    }

    fn wait(&self) -> Result<()> {
        let mut waiting = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(ANSWER_LIMIT).unwrap_or(PollTimeout::MAX);
        match poll(&mut waiting, limit) {
            Ok(0) => bail!("the kernel lists no addresses within {ANSWER_LIMIT:?}"),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno).context("wait for the list of addresses"),
        }
    }

    /// What a message says of the wanted address.
    fn seen(&mut self, message: &Message<'_>) -> Option<Seen> {
        let seen = match message.kind {
            libc::RTM_NEWADDR => Seen::There,
            libc::RTM_DELADDR => Seen::Gone,
            _ => return None,
        };
        let (index, address) = address(message.body)?;
        if address != self.wanted.address {
            return None;
        }
        let named = if_indextoname(index)
            .is_ok_and(|name| name.as_bytes() == self.wanted.interface.as_str().as_bytes());
        if seen == Seen::Gone {
            return (index == self.index || (self.index == 0 && named)).then_some(seen);
        }
        if named {
            self.index = index;
        }
        named.then_some(seen)
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let message = bytes.get(..length).filter(|it| it.len() >= HEADER)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16_at(message, 4)?,
            flags: u16_at(message, 6)?,
            sequence: u32_at(message, 8)?,
            body: message.get(HEADER..)?,
        })
    })
}

/// The interface's index and the address of a `struct ifaddrmsg` with its attributes.
fn address(body: &[u8]) -> Option<(u32, Cidr)> {
    let (prefix, index) = (*body.get(1)?, u32_at(body, 4)?);
    let mut rest = body.get(ADDRESS_HEADER..)?;
    let (mut local, mut any) = (None, None);
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        let value = rest.get(4..length)?;
        // Of a point-to-point address, IFA_ADDRESS is that of the other end.
        match kind {
            libc::IFA_LOCAL => local = ip(value),
            libc::IFA_ADDRESS => any = ip(value),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((index, Cidr::new(local.or(any)?, prefix).ok()?))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*two))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ip address add 169.254.0.5/24 dev ...` as the kernel tells it, index 7.
    fn told(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![2, 24, 0x80, 0, 7, 0, 0, 0];
        for (kind, value) in attributes {
            body.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = u32::try_from(body.len() + HEADER)
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message
    }

    #[test]
    fn addresses_are_read_and_the_local_one_counts() {
        let (other, own) = ([169, 254, 0, 6], [169, 254, 0, 5]);
        let label = b"ha-1\0".as_slice();
        let both = [
            (libc::IFA_ADDRESS, &other[..]),
            (libc::IFA_LOCAL, &own),
            (3, label),
        ];
        let mut bytes = told(libc::RTM_NEWADDR, &both);
        bytes.extend(told(libc::RTM_DELADDR, &both[..1]));
        let read: Vec<_> = messages(&bytes)
            .map(|it| (it.kind, address(it.body)))
            .collect();
        let expected = |text: &str| Some((7, text.parse().unwrap()));
        assert_eq!(
            read,
            [
                (libc::RTM_NEWADDR, expected("169.254.0.5/24")),
                (libc::RTM_DELADDR, expected("169.254.0.6/24")),
            ]
        );
    }

    #[test]
    fn what_is_cut_short_or_contradicts_itself_is_nothing() {
        let whole = told(libc::RTM_NEWADDR, &[(libc::IFA_LOCAL, &[169, 254, 0, 5])]);
        for end in 0..whole.len() {
            assert_eq!(messages(&whole[..end]).count(), 0, "{end}");
        }
        // A length that is too small for the header, and one of nothing for an attribute.
        for (at, value) in [(0, 3), (HEADER + ADDRESS_HEADER, 0)] {
            let mut wrong = whole.clone();
            wrong[at] = value;
            let found = messages(&wrong).filter_map(|it| address(it.body)).count();
            assert_eq!(found, 0, "{at}");
        }
    }
}
