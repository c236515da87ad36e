//! The next generation format, pcapng (draft-ietf-opsawg-pcapng).
//!
//! A file is a row of sections; a section header says the byte order, interface
//! descriptions follow, and packets name their interface. Every block begins
//! with type and length and ends with the length again.

use std::io::Read;

use anyhow::Result;

use super::input::{Input, Order};
use super::link::Link;
use super::{Interfaces, MOST_INTERFACES, Record, bad};

/// The type of a section header block, the same in both byte orders.
pub(super) const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

const INTERFACE: u32 = 1;
/// Obsolete, but old files have it.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Says the byte order of a section.
const BYTE_ORDER: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];

/// Type and length before a block's body, bytes.
const HEADER: usize = 8;
/// The length behind it.
const TRAILER: usize = 4;
/// A section header's magic, versions and length of the section.
const SECTION_BODY: usize = 16;
/// A packet block's fields before the packet's bytes.
const PACKET_FIELDS: usize = 20;

/// The longest block that is read into memory, bytes; others are skipped.
const LONGEST: u32 = 1 << 20;

/// Options, by block.
const OPTION_END: u16 = 0;
const PACKET_FLAGS: u16 = 2;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_RESOLUTION: u16 = 9;
const INTERFACE_OFFSET: u16 = 14;

/// The section that is being read.
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Description>,
}

/// An interface of a section.
struct Description {
    /// Number of its link type.
    link: u32,
    /// Index in [`Interfaces`].
    interface: u32,
    /// `if_tsresol`: the unit of its times.
    resolution: u8,
    /// `if_tsoffset`: seconds to add to them.
    offset_s: i64,
}

impl Section {
    /// Reads the first section header, behind its type.
    pub(super) fn open<R: Read>(input: &mut Input<R>) -> Result<Self> {
        let mut section = Self {
            order: Order::Little,
            interfaces: Vec::new(),
        };
        input.block(4, 4)?;
        section.begin(input, 1)?;
        Ok(section)
    }

    /// The next packet, `number`; `None` at the end of the file.
    pub(super) fn next<R: Read>(
        &mut self,
        input: &mut Input<R>,
        interfaces: &mut Interfaces,
        number: u64,
    ) -> Result<Option<Record>> {
        loop {
            let header = input.block(0, HEADER as u64)?;
            if header.is_empty() {
                return Ok(None);
            }
            if header.len() < HEADER {
                return Err(cut_off(number, header.len(), HEADER as u32));
            }
            if header.starts_with(&SECTION) {
                self.begin(input, number)?;
                continue;
            }
            let kind = self.order.u32(header, 0);
            let length = self.order.u32(header, 4);
            match kind {
                INTERFACE => {
                    let body = self.body(input, length, number, 8)?;
                    self.describe(body, interfaces, number)?;
                }
                PACKET | ENHANCED_PACKET => {
                    let body = self.body(input, length, number, PACKET_FIELDS)?;
                    return self.packet(kind, body, number).map(Some);
                }
                SIMPLE_PACKET => {
                    return Err(bad(format!(
                        "packet {number} has no time (a simple packet block); \
                         expected enhanced packet blocks"
                    )));
                }
                _ => self.skip(input, length, number)?,
            }
        }
    }

    /// A section header, whose type and length were read.
    fn begin<R: Read>(&mut self, input: &mut Input<R>, number: u64) -> Result<()> {
        let block = input.block(HEADER, 4)?;
        self.order = match block.get(HEADER..) {
            Some(magic) if magic == BYTE_ORDER => Order::Big,
            Some([d, c, b, a]) if [*a, *b, *c, *d] == BYTE_ORDER => Order::Little,
            _ => {
                return Err(bad(format!(
                    "{}: a section header without byte order; expected 1a2b3c4d",
                    place(number)
                )));
            }
        };
        let length = self.order.u32(block, 4);
        self.check_length(length, number, SECTION_BODY)?;
        let block = input.block(HEADER + 4, u64::from(length) - HEADER as u64 - 4)?;
        self.check_end(block, length, number)?;
        let major = self.order.u16(block, HEADER + 4);
        if major != 1 {
            return Err(bad(format!(
                "{}: pcapng version {major}; expected 1",
                place(number)
            )));
        }
        self.interfaces.clear();
        Ok(())
    }

    /// The body of a block whose header was read; at least `fields` long.
    fn body<'a, R: Read>(
        &self,
        input: &'a mut Input<R>,
        length: u32,
        number: u64,
        fields: usize,
    ) -> Result<&'a [u8]> {
        self.check_length(length, number, fields)?;
        let block = input.block(HEADER, u64::from(length) - HEADER as u64)?;
        self.check_end(block, length, number)?;
        Ok(block.get(HEADER..block.len() - TRAILER).unwrap_or_default())
    }

    fn check_length(&self, length: u32, number: u64, fields: usize) -> Result<()> {
        let least = (HEADER + fields + TRAILER) as u32;
        if !(least..=LONGEST).contains(&length) || !length.is_multiple_of(4) {
            return Err(bad(format!(
                "{}: a block that claims {length} bytes; expected {least} to {LONGEST}, \
                 a multiple of 4",
                place(number)
            )));
        }
        Ok(())
    }

    /// The length at the end of a block is that at its beginning.
    fn check_end(&self, block: &[u8], length: u32, number: u64) -> Result<()> {
        if block.len() < length as usize {
            return Err(cut_off(number, block.len(), length));
        }
        self.check_trailer(block, length, number)
    }

    fn check_trailer(&self, block: &[u8], length: u32, number: u64) -> Result<()> {
        let found = self.order.u32(block, block.len() - TRAILER);
        if found != length {
            return Err(bad(format!(
                "{}: a block that ends with length {found}; expected {length}",
                place(number)
            )));
        }
        Ok(())
    }

    /// Skips a block that says nothing about packets, however long.
    fn skip<R: Read>(&self, input: &mut Input<R>, length: u32, number: u64) -> Result<()> {
        let least = (HEADER + TRAILER) as u32;
        if length < least || !length.is_multiple_of(4) {
            return Err(bad(format!(
                "{}: a block that claims {length} bytes; expected at least {least}, \
                 a multiple of 4",
                place(number)
            )));
        }
        let skipped = input.skip(u64::from(length - least))?;
        let trailer = input.block(0, TRAILER as u64)?;
        if trailer.len() < TRAILER {
            return Err(cut_off(
                number,
                HEADER + skipped as usize + trailer.len(),
                length,
            ));
        }
        self.check_trailer(trailer, length, number)
    }

    /// An interface description block.
    fn describe(&mut self, body: &[u8], names: &mut Interfaces, number: u64) -> Result<()> {
        let order = self.order;
        let id = self.interfaces.len();
        if id >= MOST_INTERFACES {
            return Err(bad(format!(
                "{}: more than {MOST_INTERFACES} interfaces; expected a capture of one host",
                place(number)
            )));
        }
        let mut name = format!("if{id}");
        // Microseconds, unless an option says otherwise.
        let mut resolution = 6;
        let mut offset_s = 0;
        for (code, value) in options(order, body.get(8..).unwrap_or_default()) {
            match (code, value) {
                (INTERFACE_NAME, [_, ..]) => {
                    name = String::from_utf8_lossy(value)
                        .trim_end_matches('\0')
                        .to_owned();
                }
                (INTERFACE_RESOLUTION, [value]) => resolution = *value,
                (INTERFACE_OFFSET, [_, _, _, _, _, _, _, _]) => {
                    let (first, second) = (order.u32(value, 0), order.u32(value, 4));
                    let (high, low) = if order == Order::Big {
                        (first, second)
                    } else {
                        (second, first)
                    };
                    offset_s = (u64::from(high) << 32 | u64::from(low)).cast_signed();
                }
                _ => {}
            }
        }
        let interface = names.index_of(&name)?;
        let link = u32::from(order.u16(body, 0));
        self.interfaces.push(Description {
            link,
            interface,
            resolution,
            offset_s,
        });
        Ok(())
    }

    /// An enhanced packet block, or the obsolete one that is laid out like it.
    fn packet(&self, kind: u32, body: &[u8], number: u64) -> Result<Record> {
        let order = self.order;
        let id = if kind == PACKET {
            u32::from(order.u16(body, 0))
        } else {
            order.u32(body, 0)
        };
        let ticks = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
        let captured = order.u32(body, 12) as usize;
        let whole = order.u32(body, 16);
        let Some(interface) = self.interfaces.get(id as usize) else {
            return Err(bad(format!(
                "packet {number} is of interface {id}; expected one of the {} described before",
                self.interfaces.len()
            )));
        };
        let room = body.len() - PACKET_FIELDS;
        if captured > room {
            return Err(bad(format!(
                "packet {number} claims {captured} bytes; expected at most {room}, which its block has"
            )));
        }
        let flags = options(
            order,
            body.get(PACKET_FIELDS + captured.next_multiple_of(4)..)
                .unwrap_or_default(),
        )
        .find(|(code, value)| *code == PACKET_FLAGS && value.len() == 4)
        .map_or(0, |(_, value)| order.u32(value, 0));
        let start = HEADER + PACKET_FIELDS;
        Ok(Record {
            time_ns: interface.time_ns(ticks),
            link: Link::of(interface.link)?,
            interface: interface.interface,
            // The two lowest bits: 1 inbound, 2 outbound.
            outbound: flags & 3 == 2,
            bytes: start..start + captured,
            whole,
        })
    }
}

impl Description {
    /// The time of a packet, nanoseconds since 1970.
    fn time_ns(&self, ticks: u64) -> i128 {
        let exponent = u32::from(self.resolution & 0x7f);
        let since = if self.resolution & 0x80 != 0 {
            // Negative powers of two.
            (i128::from(ticks) * 1_000_000_000) >> exponent
        } else if exponent <= 9 {
            i128::from(ticks) * 10_i128.pow(9 - exponent)
        } else {
            // 64 bits of units below 10^-28 s are less than a nanosecond.
            10_i128
                .checked_pow(exponent - 9)
                .map_or(0, |unit| i128::from(ticks) / unit)
        };
        since + i128::from(self.offset_s) * 1_000_000_000
    }
}

/// The options at the end of a block, as far as they are well-formed: none of
/// them is needed to find the packets.
fn options(order: Order, mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        if rest.len() < 4 {
            return None;
        }
        let code = order.u16(rest, 0);
        let length = usize::from(order.u16(rest, 2));
        let value = rest.get(4..4 + length)?;
        rest = rest
            .get(4 + length.next_multiple_of(4)..)
            .unwrap_or_default();
        (code != OPTION_END).then_some((code, value))
    })
}

fn cut_off(number: u64, got: usize, expected: u32) -> anyhow::Error {
    bad(format!(
        "{}: the file ends after {got} bytes of a block; expected {expected}",
        place(number)
    ))
}

/// Where in the file: blocks have no numbers, but the next packet has one.
fn place(number: u64) -> String {
    format!("at packet {number}")
}
