//! Plain data across the border between kernel and agent.

use std::net::IpAddr;

use anyhow::Result;
use aya::Pod;
use keepfast_common::event::Event;
use keepfast_common::wire::{Address, IPV4, IPV6, widen};

/// The family (4 or 6) of an address, and the address as the programs know it.
#[must_use]
pub const fn address(address: IpAddr) -> (u8, Address) {
    match address {
        IpAddr::V4(address) => (IPV4, widen(address.octets())),
        IpAddr::V6(address) => (IPV6, address.octets()),
    }
}

/// The event in a record of a ring.
///
/// # Errors
///
/// The record has another size than this agent's.
pub fn event(record: &[u8]) -> Result<Event> {
    bytemuck::checked::try_pod_read_unaligned(record)
        .map_err(|_| anyhow::Error::msg("event record of an unexpected size"))
}

/// Makes the shared types of `keepfast_common` readable through aya's maps.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Wire<T>(pub T);

// SAFETY: bytemuck's `Pod` demands all that aya's does (no padding, no
// pointers, any bit pattern valid), and the wrapper is transparent.
unsafe impl<T: bytemuck::Pod> Pod for Wire<T> {}
