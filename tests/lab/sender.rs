//! VRRPv3 adverts over IPv4 made by hand, for stories that no real router would tell.

use crate::netns::Namespace;
use anyhow::{Context, Result, ensure};
use nix::libc;
use socket2::{Domain, SockAddr, Socket, Type};
use std::ffi::CString;
use std::net::Ipv4Addr;

const GROUP: [u8; 4] = [224, 0, 0, 18];
const PROTOCOL: u8 = 112;

/// One advert. Its hardware address is 02:4b:46:01 and the last two bytes of the source.
#[derive(Clone, Copy, Debug)]
pub struct Advert {
    /// The sender's address.
    pub source: Ipv4Addr,
    /// The virtual router id.
    pub vrid: u8,
    /// The priority; 0 resigns.
    pub priority: u8,
    /// The interval in hundredths of a second.
    pub interval_cs: u16,
    /// The virtual address.
    pub address: Ipv4Addr,
}

impl Default for Advert {
    fn default() -> Self {
        Self {
            source: Ipv4Addr::new(10, 99, 0, 1),
            vrid: 7,
            priority: 100,
            interval_cs: 100,
            address: Ipv4Addr::new(10, 99, 0, 100),
        }
    }
}

impl Advert {
    /// The hardware address that it is sent from.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        let [_, _, high, low] = self.source.octets();
        [0x02, 0x4b, 0x46, 0x01, high, low]
    }

    /// The whole Ethernet frame.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let message = self.message();
        let mut header = [0x45, 0xc0, 0, 32, 0, 0, 0x40, 0, 255, PROTOCOL, 0, 0].to_vec();
        header.extend(self.source.octets());
        header.extend(GROUP);
        let sum = checksum(&[&header]);
        header[10..12].copy_from_slice(&sum);
        let mut frame = vec![0x01, 0x00, 0x5e, 0x00, 0x00, 0x12];
        frame.extend(self.mac());
        frame.extend([0x08, 0x00]);
        frame.extend(header);
        frame.extend(message);
        frame
    }

    fn message(&self) -> [u8; 12] {
        let [high, low] = self.interval_cs.to_be_bytes();
        let mut message = [0; 12];
        message[..6].copy_from_slice(&[0x31, self.vrid, self.priority, 1, high, low]);
        message[8..].copy_from_slice(&self.address.octets());
        let pseudo = [0, PROTOCOL, 0, 12];
        let sum = checksum(&[&self.source.octets(), &GROUP, &pseudo, &message]);
        message[6..8].copy_from_slice(&sum);
        message
    }
}

/// The Internet checksum (RFC 1071) of parts of even length.
#[must_use]
pub fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Sends whole frames from one interface.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
    address: SockAddr,
}

impl Sender {
    /// Opens a socket in `namespace`.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn new(namespace: &Namespace, interface: &str) -> Result<Self> {
        namespace.run(|| {
            // Of protocol 0: it receives nothing.
            let socket = Socket::new(Domain::PACKET, Type::RAW, None).context("open a socket")?;
            let address = address_of(interface)?;
            Ok(Self { socket, address })
        })
    }

    /// Has all frames bear a mark (`SO_MARK`).
    ///
    /// # Errors
    /// Without the privilege.
    pub fn mark(&self, mark: u32) -> Result<()> {
        self.socket.set_mark(mark).context("mark a socket")
    }

    /// Sends one advert.
    ///
    /// # Errors
    /// When the interface is down or gone.
    pub fn send(&self, advert: &Advert) -> Result<()> {
        self.send_frame(&advert.frame())
            .with_context(|| format!("send {advert:?}"))
    }

    /// Sends a whole frame.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn send_frame(&self, frame: &[u8]) -> Result<()> {
        let sent = self.socket.send_to(frame, &self.address)?;
        ensure!(sent == frame.len(), "sent {sent} of {} bytes", frame.len());
        Ok(())
    }
}

/// The address of a packet socket on an interface of the calling thread's namespace; of
/// protocol 0.
pub(crate) fn address_of(interface: &str) -> Result<SockAddr> {
    of_protocol(interface, 0)
}

/// As [`address_of`], for frames of one `EtherType`.
pub(crate) fn of_protocol(interface: &str, protocol: u16) -> Result<SockAddr> {
    let name = CString::new(interface)?;
    // SAFETY: the name is a string that ends with zero.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    ensure!(index != 0, "no interface {interface}");
    // SAFETY: all zeroes is a valid sockaddr_ll, a structure of integers.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = i32::try_from(index)?;
    // SAFETY: the storage is as large as the largest address; family and length are set.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            storage.cast::<libc::sockaddr_ll>().write(address);
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }?;
    Ok(address)
}
