//! The classic format, pcap (draft-ietf-opsawg-pcap).
//!
//! ```text
//! file:   magic, major, minor, 2 x reserved, snap length, link type
//! packet: seconds, fraction, captured length, length on the wire, bytes
//! ```

use std::io::Read;

use anyhow::Result;

use super::input::{Input, Order};
use super::link::Link;
use super::{Interfaces, Record, bad};

/// Fractions of a second in microseconds; in the byte order of who wrote it.
const MICROSECONDS: u32 = 0xa1b2_c3d4;
/// Fractions of a second in nanoseconds.
const NANOSECONDS: u32 = 0xa1b2_3c4d;

const HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

/// The longest packet that tcpdump and Wireshark write, bytes.
const LONGEST: u32 = 262_144;

/// The bits of the link type field that are the link type.
const LINK_TYPE: u32 = 0x0fff_ffff;

/// What the file's header says.
pub(super) struct Classic {
    order: Order,
    /// Length of one unit of the fraction, nanoseconds.
    unit_ns: u32,
    link: Link,
}

impl Classic {
    /// Reads the rest of the header, behind its `magic`.
    pub(super) fn open<R: Read>(
        magic: [u8; 4],
        input: &mut Input<R>,
        interfaces: &mut Interfaces,
    ) -> Result<Self> {
        let (order, unit_ns) = match (u32::from_be_bytes(magic), u32::from_le_bytes(magic)) {
            (MICROSECONDS, _) => (Order::Big, 1_000),
            (NANOSECONDS, _) => (Order::Big, 1),
            (_, MICROSECONDS) => (Order::Little, 1_000),
            (_, NANOSECONDS) => (Order::Little, 1),
            (other, _) => {
                return Err(bad(format!(
                    "begins with {other:08x}, which is no capture; expected pcap or pcapng"
                )));
            }
        };
        let header = input.block(4, HEADER as u64 - 4)?;
        if header.len() < HEADER {
            return Err(bad(format!(
                "the file ends after {} bytes; expected a pcap header of {HEADER}",
                header.len()
            )));
        }
        let link = Link::of(order.u32(header, 20) & LINK_TYPE)?;
        interfaces.index_of("if0")?;
        Ok(Self {
            order,
            unit_ns,
            link,
        })
    }

    /// The next packet, `number`; `None` at the end of the file.
    pub(super) fn next<R: Read>(
        &self,
        input: &mut Input<R>,
        number: u64,
    ) -> Result<Option<Record>> {
        let header = input.block(0, PACKET_HEADER as u64)?;
        if header.is_empty() {
            return Ok(None);
        }
        if header.len() < PACKET_HEADER {
            return Err(bad(format!(
                "packet {number} is cut off: the file ends after {} bytes of its header; \
                 expected {PACKET_HEADER}",
                header.len()
            )));
        }
        let seconds = self.order.u32(header, 0);
        let fraction = self.order.u32(header, 4);
        let captured = self.order.u32(header, 8);
        let whole = self.order.u32(header, 12);
        let units = 1_000_000_000 / self.unit_ns;
        if fraction >= units {
            return Err(bad(format!(
                "packet {number} has {fraction} as fraction of a second; expected less than {units}"
            )));
        }
        if captured > LONGEST {
            return Err(bad(format!(
                "packet {number} claims {captured} bytes; expected at most {LONGEST}"
            )));
        }
        let got = input.block(0, u64::from(captured))?.len();
        if got < captured as usize {
            return Err(bad(format!(
                "packet {number} is cut off: the file ends after {got} bytes of it; \
                 expected {captured}"
            )));
        }
        Ok(Some(Record {
            time_ns: i128::from(seconds) * 1_000_000_000
                + i128::from(fraction) * i128::from(self.unit_ns),
            link: self.link,
            interface: 0,
            outbound: false,
            bytes: 0..got,
            whole,
        }))
    }
}
