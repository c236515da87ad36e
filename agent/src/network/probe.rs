//! Asking whether a neighbour lives, by ARP or neighbour discovery.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;

use super::frame::{ARP, IPV6, is_answer};
use super::monitor::Link;
use super::question;
use super::raw::Frames;

/// How often one is asked within the limit: a frame may be lost.
const TIMES: u32 = 3;

/// Names this boot of this host.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Asks for `address` on `link`, as `sender`, and waits for the answer; whether it
/// came within `limit`. Blocks the calling thread, and works in its namespace.
///
/// Without `sender` the question comes from nobody else than this host: from a
/// hardware address that no interface has, and from no IPv4 address, or the
/// link-local IPv6 address that belongs to it. So neither neighbours nor switches
/// come to think that what another host holds is here.
///
/// # Errors
///
/// The interface is no Ethernet, `sender` is of another family, or a privilege is
/// missing.
pub fn probe(
    link: &Link,
    address: IpAddr,
    sender: Option<IpAddr>,
    limit: Duration,
) -> Result<bool> {
    let begin = Instant::now();
    let own = link
        .mac
        .filter(|_| link.ethernet)
        .with_context(|| format!("{}: expected an Ethernet interface", link.name))?;
    let mac = match sender {
        Some(_) => own,
        None => private_mac(link.index)?,
    };
    let kind = if address.is_ipv4() { ARP } else { IPV6 };
    let question = question::frame(mac, sender, address)?;
    let frames = Frames::listen(link.index, kind, mac)?;
    for time in 1..=TIMES {
        match frames.send(link.index, &question) {
            Ok(()) | Err(Errno::EAGAIN | Errno::ENOBUFS) => {}
            Err(Errno::ENETDOWN | Errno::ENODEV | Errno::ENXIO) => return Ok(false),
            Err(errno) => return Err(errno).with_context(|| format!("ask on {}", link.name)),
        }
        if frames.wait(begin + limit * time / TIMES, |frame| {
            is_answer(frame, address)
        })? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A hardware address for an interface that is not its own: locally administered,
/// the same until the next boot, and no other host's.
fn private_mac(index: u32) -> Result<[u8; 6]> {
    let boot = fs::read_to_string(BOOT).with_context(|| format!("read {BOOT}"))?;
    let digits: String = boot
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(8)
        .collect();
    let number = u32::from_str_radix(&digits, 16)
        .with_context(|| format!("{BOOT}: expected a UUID, found {boot:?}"))?;
    let [a, b, c, d] = number.to_be_bytes();
    Ok([0x02, a, b, c, d, index.to_be_bytes()[3]])
}
