//! VRRP advertisements: version 2 (RFC 3768), version 3 (RFC 5798, RFC 9568).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |version| type 1|     VRID      |   priority    | address count |
//! +-------+-------+---------------+---------------+---------------+
//! | v2: authentication | interval, s| checksum                     |
//! | v3: 4 bits zero | interval, cs  |                              |
//! +-------------------------------+-------------------------------+
//! | addresses ...   (v2: then 8 bytes of authentication data)      |
//! ```
//!
//! Bytes behind that are tolerated and marked: keepalived 2.4 puts an HMAC
//! trailer there. Passwords and digests are not looked at: a tracker has no keys.

use super::checksum::{self, RIGHT};
use super::ethernet::{Link, Vlan};
use super::{Address, Frame, IPV4, Mac, Packet, Reject};

/// Priority 0: the master resigns.
pub const RESIGN: u8 = 0;

/// [`Advert::marks`]: wrapped in an authentication header.
pub const MARK_AH: u8 = 1 << 0;
/// [`Advert::marks`]: VRRPv2 with a password in clear.
pub const MARK_PASSWORD: u8 = 1 << 1;
/// [`Advert::marks`]: sent to one peer, not to the multicast group.
pub const MARK_UNICAST: u8 = 1 << 2;
/// [`Advert::marks`]: bytes follow the message (an HMAC trailer).
pub const MARK_TRAILER: u8 = 1 << 3;
/// [`Advert::marks`]: sent from the virtual router's MAC address (RFC 9568 section 7.3).
pub const MARK_VIRTUAL_MAC: u8 = 1 << 4;
/// [`Advert::marks`]: VRRPv3 over IPv4 whose checksum covers the message only, as
/// RFC 9568 has it; without the mark, the pseudo-header of RFC 5798 is in it.
pub const MARK_MESSAGE_SUM: u8 = 1 << 5;
/// [`Advert::marks`]: unicast, and yet summed with the group in the
/// pseudo-header, as old keepaliveds do.
pub const MARK_GROUP_SUM: u8 = 1 << 6;

const PROTOCOL: u8 = 112;
const HEADER: usize = 8;
/// VRRPv2 always carries the authentication field, used or not.
const AUTHENTICATION_DATA: usize = 8;
const ADVERTISEMENT: u8 = 1;
/// 224.0.0.18.
const GROUP_V4: Address = super::widen([224, 0, 0, 18]);

/// A VRRP advertisement.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advert {
    /// Who sent it.
    pub source: Address,
    /// From which Ethernet address.
    pub mac: Mac,
    /// The frame's VLAN tags.
    pub vlan: Vlan,
    /// [`IPV4`] or [`super::IPV6`].
    pub family: u8,
    /// Virtual router identifier, 1 to 255.
    pub vrid: u8,
    /// 0 resigns, 255 owns the address.
    pub priority: u8,
    /// 2 or 3.
    pub version: u8,
    /// Advertisement interval in centiseconds; version 2 has whole seconds.
    pub interval_cs: u16,
    /// How many virtual addresses are listed.
    pub addresses: u8,
    /// A set of the `MARK_` constants.
    pub marks: u8,
    /// Where in the frame the list of addresses begins.
    pub addresses_at: u16,
    /// The checksum field, host byte order: changes when the message does.
    pub checksum: u16,
}

impl Advert {
    /// Nothing read yet.
    pub const UNREAD: Self = Self {
        source: [0; 16],
        mac: [0; 6],
        vlan: Vlan { outer: 0, inner: 0 },
        family: 0,
        vrid: 0,
        priority: 0,
        version: 0,
        interval_cs: 0,
        addresses: 0,
        marks: 0,
        addresses_at: 0,
        checksum: 0,
    };

    /// Notes what is known before the IP header is read.
    #[inline(always)]
    pub(super) const fn begin(&mut self, family: u8, link: &Link) {
        *self = Self::UNREAD;
        self.mac = link.source;
        self.vlan = link.vlan;
        self.family = family;
    }
}

/// The virtual router's Ethernet address: 00-00-5E-00-01-{VRID} for IPv4,
/// 00-00-5E-00-02-{VRID} for IPv6 (RFC 9568 section 7.3).
#[inline(always)]
pub const fn virtual_mac(family: u8, vrid: u8) -> Mac {
    [
        0x00,
        0x00,
        0x5e,
        0x00,
        if family == IPV4 { 1 } else { 2 },
        vrid,
    ]
}

/// The IP packet around a message.
pub(super) struct Carrier {
    pub(super) destination: Address,
    pub(super) hop_limit: u8,
    /// Where in the frame the message begins.
    pub(super) at: usize,
    /// The message's length as the IP header has it.
    pub(super) length: usize,
}

/// Reads the message in `carrier`; `packet.advert` has what the layers below told.
#[inline(always)]
pub(super) fn classify<F: Frame + ?Sized>(frame: &F, carrier: &Carrier, packet: &mut Packet) {
    packet.reject = match read(frame, carrier, &mut packet.advert) {
        Ok(()) => Reject::Nothing,
        Err(reject) => reject,
    };
}

#[inline(always)]
fn read<F: Frame + ?Sized>(
    frame: &F,
    carrier: &Carrier,
    advert: &mut Advert,
) -> Result<(), Reject> {
    if carrier.length < HEADER {
        return Err(Reject::Truncated);
    }
    let [version_type, vrid, priority, count, a, b, sum_high, sum_low] =
        frame.read::<HEADER>(carrier.at).ok_or(Reject::Truncated)?;
    advert.version = version_type >> 4;
    advert.vrid = vrid;
    advert.priority = priority;
    advert.addresses = count;
    advert.addresses_at = (carrier.at + HEADER) as u16;
    advert.checksum = u16::from_be_bytes([sum_high, sum_low]);
    if !is_group(advert.family, &carrier.destination) {
        advert.marks |= MARK_UNICAST;
    } else if carrier.hop_limit != 255 {
        // keepalived leaves the check out for unicast peers, which may be
        // behind a router.
        return Err(Reject::HopLimit);
    }
    let v2 = advert.version == 2;
    if !(v2 && advert.family == IPV4 || advert.version == 3) {
        return Err(Reject::Version);
    }
    if version_type & 0x0f != ADVERTISEMENT {
        return Err(Reject::Type);
    }
    if vrid == 0 {
        return Err(Reject::Vrid);
    }
    if count == 0 {
        return Err(Reject::AddressCount);
    }
    if v2 {
        advert.interval_cs = u16::from(b) * 100;
        if a == 1 {
            advert.marks |= MARK_PASSWORD;
        }
    } else {
        advert.interval_cs = u16::from_be_bytes([a, b]) & 0x0fff;
    }
    if virtual_mac(advert.family, vrid) == advert.mac {
        advert.marks |= MARK_VIRTUAL_MAC;
    }
    check_sum(frame, carrier, advert, v2)?;
    if advert.interval_cs == 0 {
        return Err(Reject::Interval);
    }
    Ok(())
}

/// Checks length and checksum of the message.
///
/// The message may be shorter than the packet (a trailer); then keepalived sums
/// the message alone over IPv4 and the kernel sums all of it over IPv6. Messages
/// and keepalived's trailer are whole 32-bit words long; with other
/// trailers only the sum of the message counts.
#[inline(always)]
fn check_sum<F: Frame + ?Sized>(
    frame: &F,
    carrier: &Carrier,
    advert: &mut Advert,
    v2: bool,
) -> Result<(), Reject> {
    let address = if advert.family == IPV4 { 4 } else { 16 };
    let mut length = HEADER + usize::from(advert.addresses) * address;
    if v2 {
        length += AUTHENTICATION_DATA;
    }
    if carrier.length < length {
        return Err(Reject::Truncated);
    }
    if carrier.length > checksum::LONGEST {
        return Err(Reject::Oversized);
    }
    let sum = frame.words(carrier.at, length).ok_or(Reject::Truncated)?;
    let trailer = carrier.length - length;
    if trailer != 0 {
        advert.marks |= MARK_TRAILER;
    }
    if sum_fits(carrier, advert, v2, length, sum) {
        return Ok(());
    }
    if trailer != 0 && trailer.is_multiple_of(4) {
        let more = frame
            .words(carrier.at + length, trailer)
            .ok_or(Reject::Truncated)?;
        if sum_fits(carrier, advert, v2, carrier.length, sum + more) {
            return Ok(());
        }
    }
    Err(Reject::Checksum)
}

/// Whether `sum` over `length` bytes is right in one of the known ways.
#[inline(always)]
fn sum_fits(carrier: &Carrier, advert: &mut Advert, v2: bool, length: usize, sum: u64) -> bool {
    let alone = checksum::fold(sum) == RIGHT;
    if v2 {
        return alone;
    }
    let with = |destination: &Address| {
        let sum = checksum::add_pseudo_header(&advert.source, destination, PROTOCOL, length, sum);
        checksum::fold(sum) == RIGHT
    };
    if with(&carrier.destination) {
        return true;
    }
    if advert.family != IPV4 {
        return false;
    }
    if alone {
        advert.marks |= MARK_MESSAGE_SUM;
        return true;
    }
    if advert.marks & MARK_UNICAST != 0 && with(&GROUP_V4) {
        advert.marks |= MARK_GROUP_SUM;
        return true;
    }
    false
}

/// Whether `destination` is VRRP's group, 224.0.0.18 or ff02::12 (or any other
/// link-local group: keepalived lets the operator choose one).
#[inline(always)]
fn is_group(family: u8, destination: &Address) -> bool {
    let [first, ..] = *destination;
    if family == IPV4 {
        first & 0xf0 == 0xe0
    } else {
        first == 0xff
    }
}
