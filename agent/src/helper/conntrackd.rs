//! The text of conntrackd.conf, and what conntrackd is asked when the state of its
//! router changes.
//!
//! Both are those of OpenStack Neutron, the text byte for byte.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::config::{Conntrackd, InterfaceName};
use crate::engine::Published;
use crate::exit::BadInput;
use crate::lines::Lines;

/// The longest path of a unix socket that conntrackd takes.
const LONGEST_SOCKET: usize = 107;
/// The longest path of any other file.
const LONGEST_FILE: usize = 255;

/// Files that conntrackd.conf names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConntrackdPaths {
    /// The lock file.
    pub lock: PathBuf,
    /// The control socket.
    pub control_socket: PathBuf,
}

/// The conntrackd.conf of a router that speaks with the others on `interface`,
/// where this host has the address `ha_address`.
///
/// # Errors
///
/// A path is longer than conntrackd takes.
pub fn config(
    conntrackd: &Conntrackd,
    paths: &ConntrackdPaths,
    interface: &InterfaceName,
    ha_address: Ipv4Addr,
) -> Result<String> {
    demand_short(&paths.lock, LONGEST_FILE)?;
    demand_short(&paths.control_socket, LONGEST_SOCKET)?;
    let mut lines = Lines::new("}");
    lines.gap();
    lines.block("General", |lines| {
        lines.line(format_args!("HashSize {}", conntrackd.hash_size));
        lines.line(format_args!("HashLimit {}", conntrackd.hash_limit));
        lines.line("Syslog on");
        lines.line(format_args!("LockFile {}", paths.lock.display()));
        lines.block("UNIX", |lines| {
            lines.line(format_args!("Path {}", paths.control_socket.display()));
            lines.line(format_args!("Backlog {}", conntrackd.unix_backlog));
        });
        lines.line(format_args!(
            "SocketBufferSize {}",
            conntrackd.socket_buffer_size
        ));
        lines.line(format_args!(
            "SocketBufferSizeMaxGrown {}",
            conntrackd.socket_buffer_size_max
        ));
        lines.block("Filter From Kernelspace", |lines| {
            let protocols = ["TCP", "SCTP", "DCCP", "UDP", "ICMP", "IPv6-ICMP"];
            lines.list("Protocol Accept", protocols);
            lines.block("Address Ignore", |lines| {
                lines.line("IPv4_address 127.0.0.1");
                lines.line("IPv6_address ::1");
                lines.line(format_args!("IPv4_address {ha_address}"));
            });
        });
    });
    lines.block("Sync", |lines| {
        lines.block("Mode FTFW", |_| ());
        lines.block("Multicast Default", |lines| {
            lines.line(format_args!(
                "IPv4_address {}",
                conntrackd.multicast_address
            ));
            lines.line(format_args!("IPv4_interface {ha_address}"));
            lines.line(format_args!("Group {}", conntrackd.port));
            lines.line(format_args!("Interface {interface}"));
            lines.line(format_args!("SndSocketBuffer {}", conntrackd.send_buffer));
            lines.line(format_args!(
                "RcvSocketBuffer {}",
                conntrackd.receive_buffer
            ));
            lines.line("Checksum on");
        });
    });
    let mut text = lines.into_text();
    // The last line has no end.
    text.pop();
    Ok(text)
}

fn demand_short(path: &Path, longest: usize) -> Result<()> {
    let length = path.as_os_str().len();
    if length > longest {
        let path = path.display();
        let message = format!("{path} is {length} bytes long: conntrackd takes at most {longest}");
        return Err(BadInput(message).into());
    }
    Ok(())
}

/// The options with which conntrackd is called, one call each, when its router has
/// become `state`; a failure of one is none of the next.
///
/// The primary takes over the connections that the other host told (`-c`), starts
/// afresh with those of the kernel (`-f`, `-R`) and tells them all (`-B`). A backup
/// lets those that it took over expire (`-t`) and asks for all (`-n`).
#[must_use]
pub const fn commands(state: Published) -> &'static [&'static str] {
    match state {
        Published::Primary => &["-c", "-f", "-R", "-B"],
        Published::Backup => &["-t", "-n"],
    }
}

/// The option with which conntrackd is called once it has started: it asks the
/// others for all of their connections.
pub const AFTER_START: &str = "-n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;

    const NEUTRON: Conntrackd = Conntrackd {
        hash_size: 32768,
        hash_limit: 131_072,
        unix_backlog: 20,
        socket_buffer_size: 262_142,
        socket_buffer_size_max: 655_355,
        multicast_address: Ipv4Addr::new(225, 0, 0, 50),
        port: 3785,
        send_buffer: 24_985_600,
        receive_buffer: 24_985_600,
    };

    fn render(
        conntrackd: &Conntrackd,
        directory: &str,
        interface: &str,
        address: [u8; 4],
    ) -> Result<String> {
        let paths = ConntrackdPaths {
            lock: Path::new(directory).join("conntrackd.lock"),
            control_socket: Path::new(directory).join("conntrackd.ctl"),
        };
        let interface = interface.parse().unwrap();
        config(conntrackd, &paths, &interface, address.into())
    }

    #[test]
    fn what_neutron_writes_is_written_byte_for_byte() {
        let directory = "/var/lib/neutron/ha_confs/R";
        let text = render(&NEUTRON, directory, "ha-0b7f3a52-8c", [169, 254, 192, 11]);
        assert_eq!(
            text.unwrap(),
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/golden/conntrackd/default.conf"
            ))
        );
        let other = Conntrackd {
            hash_size: 1024,
            hash_limit: 2048,
            unix_backlog: 7,
            socket_buffer_size: 1000,
            socket_buffer_size_max: 2000,
            multicast_address: Ipv4Addr::new(225, 0, 0, 51),
            port: 4000,
            send_buffer: 3000,
            receive_buffer: 4000,
        };
        assert_eq!(
            render(&other, "/run/r", "eth0", [10, 1, 1, 1]).unwrap(),
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/golden/conntrackd/other.conf"
            ))
        );
    }

    #[test]
    fn paths_that_conntrackd_would_refuse_are_bad_input() {
        // With "/conntrackd.ctl", 15 bytes, and "/conntrackd.lock", 16 bytes.
        let directory = |length: usize| format!("/{}", "x".repeat(length - 1));
        let render = |directory: &str| render(&NEUTRON, directory, "eth0", [10, 1, 1, 1]);
        render(&directory(92)).unwrap();
        let error = render(&directory(93)).unwrap_err();
        assert_eq!(exit::code(&error), exit::USAGE);
        assert!(error.to_string().contains("is 108 bytes long"), "{error}");
        let error = render(&directory(240)).unwrap_err();
        assert!(error.to_string().contains("at most 255"), "{error}");
    }
}
