//! Link layers of captures: Ethernet, and Linux's "cooked" ones, from which an
//! Ethernet frame is made again.
//!
//! <https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html>,
//! <https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html>

use anyhow::Result;

use super::bad;

/// The packet type of both cooked headers: sent by this host.
const OUTGOING: u8 = 4;

/// A link layer that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Ethernet,
    /// Of the device "any" before libpcap 1.10.
    Cooked,
    /// Of the device "any": names the interface.
    Cooked2,
}

/// A frame as Ethernet.
pub(super) struct Seen<'a> {
    pub(super) bytes: &'a [u8],
    /// Where the link layer says that this host sent it.
    pub(super) outbound: bool,
    /// Where the link layer says which interface it was.
    pub(super) interface: Option<String>,
}

impl Link {
    /// The link layer with this number in the list at tcpdump.org.
    pub(super) fn of(number: u32) -> Result<Self> {
        let name = match number {
            1 => return Ok(Self::Ethernet),
            113 => return Ok(Self::Cooked),
            276 => return Ok(Self::Cooked2),
            0 | 108 => "BSD loopback",
            12 | 14 | 101 | 228 | 229 => "IP without a link layer",
            105 | 119 | 127 => "IEEE 802.11",
            189 | 220 => "USB",
            239 => "NFLOG",
            _ => "not known here",
        };
        Err(bad(format!(
            "link type {number} ({name}); expected Ethernet (1) or Linux cooked (113, 276)"
        )))
    }

    /// The frame that was `captured`, as Ethernet, in `made` where it was not.
    ///
    /// A frame that ends within its cooked header becomes an empty one.
    pub(super) fn ethernet<'a>(self, captured: &'a [u8], made: &'a mut Vec<u8>) -> Seen<'a> {
        match self {
            Self::Ethernet => Seen {
                bytes: captured,
                outbound: false,
                interface: None,
            },
            Self::Cooked => {
                let Some((header, payload)) = captured.split_first_chunk::<16>() else {
                    return Seen {
                        bytes: &[],
                        outbound: false,
                        interface: None,
                    };
                };
                let [_, kind, _, _, _, _, a, b, c, d, e, f, _, _, high, low] = *header;
                make(made, [a, b, c, d, e, f], [high, low], payload);
                Seen {
                    bytes: made,
                    outbound: kind == OUTGOING,
                    interface: None,
                }
            }
            Self::Cooked2 => {
                let Some((header, payload)) = captured.split_first_chunk::<20>() else {
                    return Seen {
                        bytes: &[],
                        outbound: false,
                        interface: None,
                    };
                };
                let [
                    high,
                    low,
                    _,
                    _,
                    i,
                    j,
                    k,
                    l,
                    _,
                    _,
                    kind,
                    _,
                    a,
                    b,
                    c,
                    d,
                    e,
                    f,
                    _,
                    _,
                ] = *header;
                make(made, [a, b, c, d, e, f], [high, low], payload);
                let interface = Some(format!("if{}", u32::from_be_bytes([i, j, k, l])));
                Seen {
                    bytes: made,
                    outbound: kind == OUTGOING,
                    interface,
                }
            }
        }
    }
}

/// An Ethernet frame to nobody: cooked headers leave the destination out.
fn make(made: &mut Vec<u8>, source: [u8; 6], ethertype: [u8; 2], payload: &[u8]) {
    made.clear();
    made.extend([0; 6]);
    made.extend(source);
    made.extend(ethertype);
    made.extend(payload);
}
