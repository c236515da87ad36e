//! The question who has an address, as a frame.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, bail};

use super::frame::{arp_request, link_local, solicitation};

/// Asks for `address` from the hardware address `mac`, as `source`; without one, from
/// nobody (RFC 5227 section 2.1.1), or the link-local address that belongs to `mac`.
///
/// # Errors
///
/// The addresses are of different families.
pub fn frame(mac: [u8; 6], source: Option<IpAddr>, address: IpAddr) -> Result<Vec<u8>> {
    Ok(match (address, source) {
        (IpAddr::V4(target), None) => arp_request(mac, Ipv4Addr::UNSPECIFIED, target),
        (IpAddr::V4(target), Some(IpAddr::V4(source))) => arp_request(mac, source, target),
        (IpAddr::V6(target), None) => solicitation(mac, link_local(mac), target),
        (IpAddr::V6(target), Some(IpAddr::V6(source))) => solicitation(mac, source, target),
        (_, Some(source)) => bail!("ask for {address} as {source}: expected one of its family"),
    })
}
