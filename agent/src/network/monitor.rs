//! The links and addresses of one namespace: what they are, when they change, and
//! changing them.
//!
//! A [`Monitor`] says nothing until it was asked for all that there is, and after
//! it lost a message says nothing until it is asked again. So what it says always
//! follows upon what is known, and nothing is missed between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::message::Request;
use super::requests::{self, Requests, Unread};
use crate::config::Cidr;
use crate::netns::Namespace;

/// How long the configuration may go on changing while it is looked at.
const REST_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of changes that may wait to be read: some thousand. The kernel takes
/// memory for them only while they wait.
const BACKLOG: usize = 4 << 20;

/// By whom keepalived's routes were brought: `RTPROT_KEEPALIVED`, or as its
/// configuration says (`protocol static`).
const ROUTE_PROTOCOLS: [u8; 2] = [18, libc::RTPROT_STATIC];

/// What happened in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A link is there, and like this.
    Link(Link),
    /// A link is gone.
    LinkGone {
        /// Its index.
        index: u32,
    },
    /// An address came or went. One that is still checked for duplicates is there.
    Address {
        /// The index of its link.
        index: u32,
        /// The address and its prefix length.
        address: Cidr,
        /// Whether it is there.
        present: bool,
    },
    /// Changes were lost. There will be no more until [`Monitor::dump`].
    Overrun,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address; `None` where it has none of six bytes.
    pub mac: Option<[u8; 6]>,
    /// Whether it is set up and can carry frames.
    pub up: bool,
    /// Whether its frames are Ethernet frames, and it is not the loopback interface.
    pub ethernet: bool,
    /// The XDP program that sits on it.
    pub xdp_program: Option<u32>,
    /// Whether it is made of software (veth, VLAN, bridge), not a device.
    pub software: bool,
}

/// All links and addresses of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The links by index.
    pub links: BTreeMap<u32, Link>,
    /// The addresses, by the index of their link.
    pub addresses: BTreeSet<(u32, Cidr)>,
}

impl View {
    /// Brings it up to date.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Link(link) => {
                self.links.insert(link.index, link.clone());
            }
            Change::LinkGone { index } => {
                self.links.remove(index);
                self.addresses.retain(|(holder, _)| holder != index);
            }
            Change::Address {
                index,
                address,
                present: true,
            } => {
                self.addresses.insert((*index, *address));
            }
            Change::Address { index, address, .. } => {
                self.addresses.remove(&(*index, *address));
            }
            Change::Overrun => {}
        }
    }
}

/// Follows one namespace. It keeps the namespace alive.
///
/// None of its calls waits for anything but the kernel's own work.
#[derive(Debug)]
pub struct Monitor {
    feed: Arc<Feed>,
    requests: Requests,
    task: JoinHandle<()>,
}

impl Monitor {
    /// Listens in `namespace`. From the first [`Self::dump`] on, what changes there
    /// goes to `changes`, as from `label`. To be called within a runtime.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or the sockets cannot be opened.
    pub fn open(
        namespace: &Namespace,
        label: usize,
        changes: mpsc::Sender<(usize, Change)>,
    ) -> Result<Self> {
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        let (socket, requests) =
            namespace.enter(|| Ok((requests::open(groups as u32)?, Requests::open()?)))?;
        setsockopt(&socket, sockopt::RcvBufForce, &BACKLOG)
            .context("enlarge the buffer of a routing netlink socket")?;
        // SAFETY: an `OwnedFd` owns its descriptor, one and the same for as long as it
        // lives, and it lives in what is returned.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }
            .context("wait for a routing netlink socket")?;
        let feed = Arc::new(Feed {
            socket,
            label,
            changes,
            paused: AtomicBool::new(true),
            resumed: Notify::new(),
        });
        let task = tokio::spawn(Arc::clone(&feed).follow());
        Ok(Self {
            feed,
            requests,
            task,
        })
    }

    /// All that is there. What is told from now on is news to it; what was told
    /// before and not read yet is not.
    ///
    /// # Errors
    ///
    /// The kernel refuses, or for ten seconds all goes on changing.
    pub fn dump(&self) -> Result<View> {
        let end = Instant::now() + REST_LIMIT;
        loop {
            ensure!(
                Instant::now() < end,
                "links and addresses went on changing for {} s",
                REST_LIMIT.as_secs()
            );
            let Some(mut view) = self.requests.view()? else {
                continue;
            };
            // Some of what waits to be told is in the list already, some is not; in
            // either case the last word on each thing is right. Unless a word was lost:
            // then the next list makes that good.
            if self.feed.take(end, |change| view.apply(&change))? {
                self.feed.resume();
                return Ok(view);
            }
        }
    }

    /// A link as it is at this moment, whatever was told of it; `None` where it is
    /// gone.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn link(&self, index: u32) -> Result<Option<Link>> {
        let end = Instant::now() + REST_LIMIT;
        while Instant::now() < end {
            if let Some(mut view) = self.requests.view()? {
                return Ok(view.links.remove(&index));
            }
        }
        bail!("links went on changing for {} s", REST_LIMIT.as_secs())
    }

    /// Adds an address, an IPv6 one without checking for duplicates; `false` where it
    /// was there.
    ///
    /// # Errors
    ///
    /// The kernel refuses: there is no such link, for instance.
    pub fn add_address(&self, index: u32, address: &Cidr, link_scope: bool) -> Result<bool> {
        let request = Request::add_address(index, address, link_scope);
        self.execute(&request, &[Errno::EEXIST])
            .with_context(|| format!("add {address} to the link with index {index}"))
    }

    /// Removes an address; `false` where it was not there.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn remove_address(&self, index: u32, address: &Cidr) -> Result<bool> {
        let request = Request::remove_address(index, address);
        self.execute(&request, &[Errno::EADDRNOTAVAIL, Errno::ENODEV])
            .with_context(|| format!("remove {address} from the link with index {index}"))
    }

    /// Removes a route that keepalived or a static configuration brought to the main
    /// table; `false` where there was none.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn remove_route(&self, to: &Cidr, via: Option<IpAddr>, index: Option<u32>) -> Result<bool> {
        let mut removed = false;
        for protocol in ROUTE_PROTOCOLS {
            let request = Request::remove_route(to, via, index, protocol);
            removed |= self
                .execute(&request, &[Errno::ESRCH, Errno::ENODEV])
                .with_context(|| format!("remove the route to {to}"))?;
        }
        Ok(removed)
    }

    /// Sets a link up.
    ///
    /// # Errors
    ///
    /// The kernel refuses: there is no such link, for instance.
    pub fn set_up(&self, index: u32) -> Result<()> {
        self.execute(&Request::set_up(index), &[])
            .map(|_| ())
            .with_context(|| format!("set the link with index {index} up"))
    }

    /// Has something done; `false` where it is refused for one of the reasons that
    /// mean that it is done already.
    fn execute(&self, request: &Request, done: &[Errno]) -> Result<bool> {
        match self.requests.execute(request)? {
            Ok(()) => Ok(true),
            Err(errno) if done.contains(&errno) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where changes come from and go to.
#[derive(Debug)]
struct Feed {
    socket: AsyncFd<OwnedFd>,
    label: usize,
    changes: mpsc::Sender<(usize, Change)>,
    /// Whether nothing is to be told until all has been listed.
    paused: AtomicBool,
    resumed: Notify,
}

impl Feed {
    /// Tells changes until nobody listens any more.
    async fn follow(self: Arc<Self>) {
        loop {
            while self.paused.load(Ordering::Relaxed) {
                self.resumed.notified().await;
            }
            let Ok(changes) = self.next().await else {
                return;
            };
            for change in changes {
                if self.changes.send((self.label, change)).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Waits for a datagram; fails when the runtime ends.
    async fn next(&self) -> std::io::Result<Vec<Change>> {
        loop {
            let mut ready = self.socket.readable().await?;
            let mut changes = Vec::new();
            match requests::receive(self.socket.get_ref(), |message| {
                changes.extend(message.change())
            }) {
                Ok(()) => return Ok(changes),
                Err(Unread::Empty) => ready.clear_ready(),
                // If the socket is broken, listing will say why.
                Err(Unread::Lost | Unread::Broken(_)) => {
                    self.paused.store(true, Ordering::Relaxed);
                    return Ok(vec![Change::Overrun]);
                }
            }
        }
    }

    /// Has `each` see all that waits to be read; `false` if something was lost.
    fn take(&self, end: Instant, mut each: impl FnMut(Change)) -> Result<bool> {
        let mut whole = true;
        while Instant::now() < end {
            let read = requests::receive(self.socket.get_ref(), |message| {
                if let Some(change) = message.change() {
                    each(change);
                }
            });
            match read {
                Ok(()) => {}
                Err(Unread::Empty) => break,
                Err(Unread::Lost) => whole = false,
                Err(Unread::Broken(errno)) => {
                    return Err(errno).context("read a routing netlink socket");
                }
            }
        }
        Ok(whole)
    }

    fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
        self.resumed.notify_one();
    }
}
