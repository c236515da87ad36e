//! Virtual addresses that are added before keepalived adds them, for a while.
//!
//! The lifetime is a dead man's switch: where the agent dies before it keeps or
//! removes them, the kernel removes them by itself, and no host is left with addresses
//! that another one has by then.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail, ensure};
use nix::errno::Errno;

use super::message::Request;
use super::monitor::Change;
use super::requests::Requests;
use crate::config::Cidr;
use crate::netns::Namespace;

/// How often a list that changed meanwhile is asked for again.
const ATTEMPTS: usize = 100;

/// The longest lifetime, in seconds: one more means none.
const LONGEST: u64 = u32::MAX as u64 - 1;

/// An address on an interface, as keepalived has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseAddress {
    /// The index of the interface.
    pub index: u32,
    /// The address and its prefix length.
    pub address: Cidr,
    /// Whether it is valid on this link only (`scope link`).
    pub link_scope: bool,
}

/// Adds, keeps and removes addresses of one namespace. May be handed to another
/// thread, in whatever namespace that is.
///
/// Addresses are changed all by one call of the kernel, and nothing waits but for the
/// kernel's own work. That includes its lock on the network configuration, which
/// another process may hold for a moment.
#[derive(Debug)]
pub struct Leases {
    requests: Requests,
}

impl Leases {
    /// For the addresses of `namespace`.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or the socket cannot be opened.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let requests = namespace.enter(Requests::open)?;
        Ok(Self { requests })
    }

    /// Adds addresses that the kernel removes after `lifetime`, in whole seconds,
    /// rounded up; IPv6 ones without checking for duplicates. Returns those that are
    /// ours: who was there before is left as it was.
    ///
    /// # Errors
    ///
    /// The kernel refuses one; then none of them is left. Or its answer is lost; then
    /// those that were added lapse.
    pub fn add(&self, addresses: &[LeaseAddress], lifetime: Duration) -> Result<Vec<LeaseAddress>> {
        let seconds = lifetime.as_nanos().div_ceil(1_000_000_000);
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        ensure!(
            (1..=LONGEST).contains(&seconds),
            "a lifetime of {seconds} s: expected 1 to {LONGEST}"
        );
        let seconds = u32::try_from(seconds).context("tell the lifetime")?;
        let (added, refused) = self.each(addresses, &[Errno::EEXIST], |it| {
            Request::lease_address(it.index, &it.address, it.link_scope, seconds)
        })?;
        let Some(refused) = refused else {
            return Ok(added);
        };
        match self.remove(&added) {
            Ok(_) => Err(refused),
            Err(error) => Err(refused.context(format!("{error:#}"))),
        }
        .context("lease addresses")
    }

    /// Makes addresses permanent, of which it returns those that were not. To be called
    /// when keepalived has taken them for its own: it leaves their lifetime as it is,
    /// and becomes a backup for a moment when they lapse.
    ///
    /// One that is gone stays so, unless it goes between being listed and being kept:
    /// then the kernel adds it, and who sees keepalived leave must remove it.
    ///
    /// # Errors
    ///
    /// The kernel refuses one; the others are kept.
    pub fn keep(&self, addresses: &[LeaseAddress]) -> Result<Vec<LeaseAddress>> {
        let leased = self.lapsing(addresses)?;
        let (kept, refused) = self.each(&leased, &[Errno::ENODEV], |it| {
            Request::keep_address(it.index, &it.address, it.link_scope)
        })?;
        refused.map_or(
            Ok(kept),
            |error| Err(error.context("keep leased addresses")),
        )
    }

    /// Removes addresses, permanent or not, and returns those that were there.
    ///
    /// # Errors
    ///
    /// The kernel refuses one; the others are removed.
    pub fn remove(&self, addresses: &[LeaseAddress]) -> Result<Vec<LeaseAddress>> {
        let gone = [Errno::EADDRNOTAVAIL, Errno::ENODEV];
        let (removed, refused) = self.each(addresses, &gone, |it| {
            Request::remove_address(it.index, &it.address)
        })?;
        refused.map_or(Ok(removed), |error| Err(error.context("remove addresses")))
    }

    /// Those of `places` that are there and that the kernel will remove by itself: what
    /// an agent that died has left.
    ///
    /// # Errors
    ///
    /// The kernel refuses, or addresses go on changing while they are listed.
    pub fn lapsing(&self, places: &[LeaseAddress]) -> Result<Vec<LeaseAddress>> {
        for _ in 0..ATTEMPTS {
            let mut lapsing = BTreeSet::new();
            let consistent = self.requests.list_addresses(|message| {
                if message.lapses()
                    && let Some(Change::Address { index, address, .. }) = message.change()
                {
                    lapsing.insert((index, address));
                }
            })?;
            if consistent {
                let found = places
                    .iter()
                    .filter(|place| lapsing.contains(&(place.index, place.address)));
                return Ok(found.copied().collect());
            }
        }
        bail!("addresses changed {ATTEMPTS} times while they were listed")
    }

    /// Has something done with each, and returns those with which it was and the first
    /// refusal. With those that the kernel has nothing to do with, as `done` says, it is
    /// not done.
    fn each(
        &self,
        addresses: &[LeaseAddress],
        done: &[Errno],
        request: impl Fn(&LeaseAddress) -> Request,
    ) -> Result<(Vec<LeaseAddress>, Option<Error>)> {
        let requests: Vec<Request> = addresses.iter().map(request).collect();
        let outcomes = self.requests.execute_all(&requests)?;
        let mut changed = Vec::with_capacity(addresses.len());
        let mut refused = None;
        for (it, outcome) in addresses.iter().zip(outcomes) {
            match outcome {
                Ok(()) => changed.push(*it),
                Err(errno) if done.contains(&errno) => {}
                Err(errno) => {
                    let what = format!("{} of the link with index {}", it.address, it.index);
                    refused.get_or_insert(Error::from(errno).context(what));
                }
            }
        }
        Ok((changed, refused))
    }
}
