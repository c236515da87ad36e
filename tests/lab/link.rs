//! Interfaces: up and down by ioctl, because it is quick; the rest by `ip -batch`.

use crate::netns::Namespace;
use crate::process;
use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

/// Sets an interface of the calling thread's namespace up.
///
/// # Errors
/// When there is no such interface, or no permission.
pub fn raise(interface: &str) -> Result<()> {
    change_flags(interface, |flags| flags | libc::IFF_UP as i16)
        .with_context(|| format!("set {interface} up"))
}

/// Sets an interface of the calling thread's namespace down.
///
/// # Errors
/// When there is no such interface, or no permission.
pub fn lower(interface: &str) -> Result<()> {
    change_flags(interface, |flags| flags & !(libc::IFF_UP as i16))
        .with_context(|| format!("set {interface} down"))
}

/// Runs lines of `ip` commands in a namespace, as one process.
///
/// # Errors
/// When one of them fails; those before it have been done.
pub fn ip(namespace: &Namespace, lines: &str) -> Result<()> {
    let mut command = namespace.command("ip");
    process::output_with_input(command.args(["-batch", "-"]), lines)
        .with_context(|| format!("in {} run:\n{lines}", namespace.name()))?;
    Ok(())
}

fn change_flags(interface: &str, change: impl Fn(i16) -> i16) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: all zeroes is a valid ifreq: a name of no characters and a union of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    ensure!(interface.len() < request.ifr_name.len(), "name too long");
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: both calls get a live socket and an ifreq that outlives them; the kernel fills in
    // the flags, the only part of the union that is used.
    unsafe {
        Errno::result(libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCGIFFLAGS,
            &raw mut request,
        ))?;
        request.ifr_ifru.ifru_flags = change(request.ifr_ifru.ifru_flags);
        Errno::result(libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS,
            &raw const request,
        ))?;
    }
    Ok(())
}
