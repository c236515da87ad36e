//! Captures: pcap in both byte orders with micro- and nanoseconds, and pcapng.
//!
//! A [`Capture`] is read as a stream: memory is bounded whatever the file says,
//! and whatever it says is an error, not a panic. Each error names the packet
//! and what was expected in its place; the caller adds the file's name.
//!
//! The format is read here and not by a crate: all that is needed of it is the
//! framing and six fields, and the messages are to name them.

mod classic;

mod ng;

mod link;

mod input;

#[cfg(test)]
pub(crate) mod tests;

use std::io::Read;

use anyhow::Result;

use crate::exit::BadInput;
use crate::tracker::LATEST_NS;
use input::Input;
use link::Link;

/// How much older than the packet before a packet may be, nanoseconds.
///
/// Packets of several queues or interfaces reach a capture a little out of
/// order; more than this means that captures were put together unsorted.
const DISORDER_NS: u64 = 1_000_000_000;

/// How many interfaces a capture may have.
const MOST_INTERFACES: usize = 4_096;

/// A frame of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Counts the packets of the file from 1 on.
    pub number: u64,
    /// When it was captured, nanoseconds since 1970. May be up to one second
    /// less than that of the frame before.
    pub time_ns: u64,
    /// The interface, from 1 on; see [`Capture::interface`].
    pub ifindex: u32,
    /// Whether the capture says that it was sent by the host that captured.
    pub local: bool,
    /// Whether the capture has only the first bytes of it.
    pub cut: bool,
    /// From the destination MAC address on.
    pub bytes: &'a [u8],
}

/// What one packet record says; `bytes` are in the input's block.
struct Record {
    /// Since 1970, nanoseconds; as wide as what files can say.
    time_ns: i128,
    link: Link,
    /// Index in [`Interfaces`].
    interface: u32,
    outbound: bool,
    bytes: std::ops::Range<usize>,
    /// Length of the packet on the wire, bytes.
    whole: u32,
}

enum Format {
    Classic(classic::Classic),
    Ng(ng::Section),
}

/// A capture that is being read.
pub struct Capture<R> {
    input: Input<R>,
    format: Format,
    interfaces: Interfaces,
    /// Packets so far.
    number: u64,
    /// Time of the youngest packet so far.
    latest_ns: u64,
    /// An Ethernet frame made of one that has another link layer.
    made: Vec<u8>,
}

impl<R: Read> Capture<R> {
    /// Reads what comes before the first packet.
    ///
    /// # Errors
    ///
    /// The input cannot be read, or is no capture of a known kind.
    pub fn open(reader: R) -> Result<Self> {
        let mut input = Input::new(reader);
        let mut interfaces = Interfaces { names: Vec::new() };
        let got = input.block(0, 4)?;
        let Ok(magic) = <[u8; 4]>::try_from(got) else {
            return Err(bad(format!(
                "{} bytes are no capture; expected pcap or pcapng",
                got.len()
            )));
        };
        let format = if magic == ng::SECTION {
            Format::Ng(ng::Section::open(&mut input)?)
        } else {
            Format::Classic(classic::Classic::open(magic, &mut input, &mut interfaces)?)
        };
        Ok(Self {
            input,
            format,
            interfaces,
            number: 0,
            latest_ns: 0,
            made: Vec::new(),
        })
    }

    /// The next frame; `None` at the end of the capture.
    ///
    /// # Errors
    ///
    /// The input cannot be read, or is damaged or cut off here.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>> {
        let number = self.number + 1;
        let record = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.input, number)?,
            Format::Ng(section) => section.next(&mut self.input, &mut self.interfaces, number)?,
        };
        let Some(record) = record else {
            return Ok(None);
        };
        self.number = number;
        let time_ns = self.in_order(record.time_ns)?;
        let captured = self.input.get(record.bytes);
        let cut = u32::try_from(captured.len()).is_ok_and(|length| length < record.whole);
        let seen = record.link.ethernet(captured, &mut self.made);
        let interface = match seen.interface {
            Some(name) => self.interfaces.index_of(&name)?,
            None => record.interface,
        };
        Ok(Some(Frame {
            number,
            time_ns,
            ifindex: interface + 1,
            local: record.outbound || seen.outbound,
            cut,
            bytes: seen.bytes,
        }))
    }

    /// The name of the interface with this index, `if0` and so on where the
    /// capture does not name it.
    pub fn interface(&self, ifindex: u32) -> &str {
        let index = usize::try_from(ifindex).unwrap_or(0).wrapping_sub(1);
        self.interfaces.names.get(index).map_or("?", String::as_str)
    }

    /// The packet's time, if it can be one.
    fn in_order(&mut self, time_ns: i128) -> Result<u64> {
        let number = self.number;
        let Some(time_ns) = u64::try_from(time_ns)
            .ok()
            .filter(|time_ns| *time_ns <= LATEST_NS)
        else {
            return Err(bad(format!(
                "packet {number} is of {} s after 1970; expected a time from 1970 to 2262",
                time_ns / 1_000_000_000
            )));
        };
        let behind_ns = self.latest_ns.saturating_sub(time_ns);
        if behind_ns > DISORDER_NS {
            return Err(bad(format!(
                "packet {number} is {} s older than one before it; expected packets in order of \
                 time (reordercap sorts a capture)",
                behind_ns / 1_000_000_000
            )));
        }
        self.latest_ns = self.latest_ns.max(time_ns);
        Ok(time_ns)
    }
}

/// The names of the interfaces; equal names are one interface.
struct Interfaces {
    names: Vec<String>,
}

impl Interfaces {
    /// The index of the interface of this name, a new one if there is none.
    fn index_of(&mut self, name: &str) -> Result<u32> {
        // Names are printed: nothing in them may steer a terminal.
        let name: String = name
            .chars()
            .take(64)
            .map(|c| {
                if c.is_control() || c.is_whitespace() {
                    '_'
                } else {
                    c
                }
            })
            .collect();
        let known = self.names.iter().position(|known| *known == name);
        let index = known.unwrap_or(self.names.len());
        if index >= MOST_INTERFACES {
            return Err(bad(format!(
                "more than {MOST_INTERFACES} interfaces; expected a capture of one host"
            )));
        }
        if known.is_none() {
            self.names.push(name);
        }
        Ok(u32::try_from(index)?)
    }
}

fn bad(what: String) -> anyhow::Error {
    BadInput(what).into()
}
