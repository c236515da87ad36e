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
    Switch::new(interface)?.set(true)
}

/// Sets an interface of the calling thread's namespace down.
///
/// # Errors
/// When there is no such interface, or no permission.
pub fn lower(interface: &str) -> Result<()> {
    Switch::new(interface)?.set(false)
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

/// An interface ready to be set up or down: from any thread, by one system call, and so at
/// almost the same time as others elsewhere.
#[derive(Debug)]
pub struct Switch {
    /// Of the interface's namespace, whichever that of the caller is.
    socket: UdpSocket,
    interface: String,
    flags: i16,
}

impl Switch {
    /// For an interface of the calling thread's namespace.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn new(interface: &str) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let mut request = request(interface)?;
        // SAFETY: the call gets a live socket and an ifreq that outlives it; the kernel fills in
        // the flags, the only part of the union that is read.
        let (asked, flags) = unsafe {
            let asked = libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request);
            (asked, request.ifr_ifru.ifru_flags)
        };
        Errno::result(asked).with_context(|| format!("ask for the flags of {interface}"))?;
        Ok(Self {
            socket,
            interface: interface.to_owned(),
            flags,
        })
    }

    /// Sets it up or down; its other flags become what they were when this was made.
    ///
    /// # Errors
    /// When the interface is gone, or no permission.
    pub fn set(&self, up: bool) -> Result<()> {
        let mut request = request(&self.interface)?;
        let bit = libc::IFF_UP as i16;
        request.ifr_ifru.ifru_flags = if up {
            self.flags | bit
        } else {
            self.flags & !bit
        };
        // SAFETY: the call gets a live socket and an ifreq that outlives it.
        let done = unsafe {
            libc::ioctl(
                self.socket.as_raw_fd(),
                libc::SIOCSIFFLAGS,
                &raw const request,
            )
        };
        let word = if up { "up" } else { "down" };
        Errno::result(done).with_context(|| format!("set {} {word}", self.interface))?;
        Ok(())
    }
}

/// What the kernel is asked with about an interface.
fn request(interface: &str) -> Result<libc::ifreq> {
    // SAFETY: all zeroes is a valid ifreq: a name of no characters and a union of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    ensure!(interface.len() < request.ifr_name.len(), "name too long");
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    Ok(request)
}
