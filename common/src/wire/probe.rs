//! Probes of a peer's liveness: BFD Echo packets (RFC 5880 section 6.4, RFC 5881
//! section 4) with a payload of keepfast's own.
//!
//! A probe is an IPv4 UDP datagram from and to the sender's own address, with the
//! peer's hardware address: a peer that runs keepfast bounces it where it comes in
//! and stamps in what its kernel knows; any other that forwards packets sends it back
//! as it is, with one hop less (unaffiliated BFD, RFC 9747).
//!
//! The payload, numbers in network byte order:
//!
//! | at | what                                  | written by       |
//! |----|---------------------------------------|------------------|
//! | 0  | [`MAGIC`]                             | sender           |
//! | 4  | [`VERSION`]                           | sender           |
//! | 5  | one of the `KIND_` constants          | sender, answerer |
//! | 6  | virtual router identifier asked about | sender           |
//! | 7  | its family, 4 or 6                    | sender           |
//! | 8  | session                               | sender           |
//! | 12 | sequence number                       | sender           |
//! | 16 | nonce                                 | sender           |
//! | 24 | time of sending, nanoseconds          | sender's kernel  |
//! | 32 | sender's address in that router       | sender           |
//! | 48 | its priority there                    | sender           |
//! | 49 | a set of the `SENDER_` constants      | sender           |
//! | 50 | why it gave up its role, lately       | sender           |
//! | 52 | one of the `ROLE_` constants          | answerer         |
//! | 53 | a set of the `PEER_` constants        | answerer         |
//! | 54 | how many other probers rank higher    | answerer         |
//! | 55 | why it gives up its role              | answerer         |
//! | 56 | age of its own last advert, us        | answerer         |
//! | 60 | age of its agent's last sign, us      | answerer         |
//! | 64 | the answering host                    | answerer         |
//! | 72 | token to speak up as an heir with     | answerer, heir   |

use super::ethernet::Link;
use super::{Address, Frame, Mac, Packet, Subject};

/// The UDP port of BFD Echo packets (RFC 5881 section 4).
pub const PORT: u16 = 3785;
/// The first bytes of a payload, "KFLB".
pub const MAGIC: u32 = 0x4b46_4c42;
/// The version of the payload.
pub const VERSION: u8 = 1;
/// A payload's length in bytes.
pub const LENGTH: usize = 80;
/// Where the payload begins: behind Ethernet, IPv4 without options, and UDP.
pub const PAYLOAD: usize = 42;
/// A whole frame's length in bytes.
pub const FRAME: usize = PAYLOAD + LENGTH;

/// Where in the payload the kind is.
pub const KIND_AT: usize = 5;
/// Where in the payload the time of sending is.
pub const SENT_AT: usize = 24;
/// Where in the payload the answerer's part begins.
pub const STAMPS_AT: usize = 52;
/// The length of the answerer's part.
pub const STAMPS: usize = LENGTH - STAMPS_AT;

/// A question.
pub const KIND_PROBE: u8 = 1;
/// The answer to one.
pub const KIND_ANSWER: u8 = 2;
/// A backup says that it has taken over.
pub const KIND_TAKEN: u8 = 3;

/// The sender's gateway answers.
pub const SENDER_GATEWAY: u8 = 1 << 0;
/// The sender would take over.
pub const SENDER_ARMED: u8 = 1 << 1;

/// The answerer has not seen a router of its own.
pub const ROLE_UNKNOWN: u8 = 0;
/// The answerer's router does not advertise.
pub const ROLE_BACKUP: u8 = 1;
/// The answerer's router is master.
pub const ROLE_MASTER: u8 = 2;

/// The answerer's programs are about to go; silence will mean nothing.
pub const PEER_LEAVING: u8 = 1 << 0;
/// The answerer's keepalived runs, says its agent.
pub const PEER_KEEPALIVED_RUNS: u8 = 1 << 1;
/// The answerer's keepalived has ended or been stopped, says its agent.
pub const PEER_KEEPALIVED_ENDED: u8 = 1 << 2;
/// The answerer answers for its virtual addresses no longer: it was taken over from.
pub const PEER_FENCED: u8 = 1 << 3;
/// The probe came back by plain forwarding: nobody stamped anything.
pub const PEER_FORWARDED: u8 = 1 << 7;

/// An age that is not known or beyond the field, microseconds.
pub const NO_AGE: u32 = u32::MAX;

/// What an answerer stamps in.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Stamps {
    /// The answering host: a number that its agent drew.
    pub host: u64,
    /// To be shown by a prober that has taken over.
    pub token: u64,
    /// Since its own router's last advert left, microseconds; [`NO_AGE`]: none has.
    pub advert_age_us: u32,
    /// Since its agent's last sign of life, microseconds.
    pub agent_age_us: u32,
    /// One of the `ROLE_` constants.
    pub role: u8,
    /// A set of the `PEER_` constants.
    pub flags: u8,
    /// How many others that probe it rank higher than the asking one.
    pub rank: u8,
    /// Why it gives up its role, or gave it up last: one of the `REASON_` constants of
    /// [`crate::blackbox`].
    pub reason: u8,
    /// Zero.
    pub reserved: [u8; 4],
}

const _: () = assert!(size_of::<Stamps>() == 32);

impl Stamps {
    /// Nothing.
    pub const NONE: Self = Self {
        host: 0,
        token: 0,
        advert_age_us: NO_AGE,
        agent_age_us: NO_AGE,
        role: ROLE_UNKNOWN,
        flags: 0,
        rank: 0,
        reason: 0,
        reserved: [0; 4],
    };

    /// As they lie in the payload from [`STAMPS_AT`] on.
    #[inline(always)]
    pub const fn to_bytes(&self) -> [u8; STAMPS] {
        let [a0, a1, a2, a3] = self.advert_age_us.to_be_bytes();
        let [g0, g1, g2, g3] = self.agent_age_us.to_be_bytes();
        let [h0, h1, h2, h3, h4, h5, h6, h7] = self.host.to_be_bytes();
        let [t0, t1, t2, t3, t4, t5, t6, t7] = self.token.to_be_bytes();
        [
            self.role,
            self.flags,
            self.rank,
            self.reason,
            a0,
            a1,
            a2,
            a3,
            g0,
            g1,
            g2,
            g3,
            h0,
            h1,
            h2,
            h3,
            h4,
            h5,
            h6,
            h7,
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            t6,
            t7,
        ]
    }
}

/// What was read of a probe, an answer, or the word of an heir.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The sender's nonce.
    pub nonce: u64,
    /// The answerer's part.
    pub stamps: Stamps,
    /// The sender's address in the virtual router.
    pub address: Address,
    /// The sender's number of the session.
    pub session: u32,
    /// The sender's number of the probe.
    pub sequence: u32,
    /// Ethernet source.
    pub source: Mac,
    /// Ethernet destination.
    pub destination: Mac,
    /// One of the `KIND_` constants.
    pub kind: u8,
    /// The virtual router identifier asked about.
    pub vrid: u8,
    /// Its family, 4 or 6.
    pub family: u8,
    /// The sender's priority there.
    pub priority: u8,
    /// A set of the `SENDER_` constants.
    pub flags: u8,
    /// Why the sender gave up its role lately: one of the `REASON_` constants of
    /// [`crate::blackbox`].
    pub reason: u8,
    /// It was forwarded once.
    pub forwarded: bool,
    /// Zero.
    pub reserved: [u8; 5],
}

impl Probe {
    /// Nothing read yet.
    pub const UNREAD: Self = Self {
        nonce: 0,
        stamps: Stamps::NONE,
        address: [0; 16],
        session: 0,
        sequence: 0,
        source: [0; 6],
        destination: [0; 6],
        kind: 0,
        vrid: 0,
        family: 0,
        priority: 0,
        flags: 0,
        reason: 0,
        forwarded: false,
        reserved: [0; 5],
    };
}

/// Whether the UDP datagram at `link.payload` is a probe, and what it says.
///
/// Whatever is not exactly one is nobody's business here: others use that port, too.
#[inline(never)]
pub(super) fn classify<F: Frame + ?Sized>(frame: &F, link: &Link, packet: &mut Packet) {
    if link.vlan.outer != 0 || link.payload != 14 {
        return;
    }
    let Some([0x45, _, 0, 108, _, _, fragment, offset, ttl, 17, ..]) = frame.read::<20>(14) else {
        return;
    };
    // Sent as it leaves (RFC 5082), or forwarded once.
    if (ttl != 255 && ttl != 254) || fragment & 0x3f != 0 || offset != 0 {
        return;
    }
    let Some([s0, s1, s2, s3, d0, d1, d2, d3]) = frame.read::<8>(26) else {
        return;
    };
    if [s0, s1, s2, s3] != [d0, d1, d2, d3] {
        return;
    }
    let Some([_, _, port_high, port_low, length_high, length_low, _, _]) = frame.read::<8>(34)
    else {
        return;
    };
    if u16::from_be_bytes([port_high, port_low]) != PORT
        || usize::from(u16::from_be_bytes([length_high, length_low])) != 8 + LENGTH
    {
        return;
    }
    let Some(
        [
            m0,
            m1,
            m2,
            m3,
            version,
            kind,
            vrid,
            family,
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
        ],
    ) = frame.read::<16>(PAYLOAD)
    else {
        return;
    };
    let known = kind == KIND_PROBE || kind == KIND_ANSWER || kind == KIND_TAKEN;
    let forwarded = ttl == 254;
    if u32::from_be_bytes([m0, m1, m2, m3]) != MAGIC
        || version != VERSION
        || !known
        || (forwarded && kind != KIND_PROBE)
    {
        return;
    }
    let probe = &mut packet.probe;
    probe.kind = kind;
    probe.vrid = vrid;
    probe.family = family;
    probe.forwarded = forwarded;
    probe.session = u32::from_be_bytes([a, b, c, d]);
    probe.sequence = u32::from_be_bytes([e, f, g, h]);
    let Some(nonce) = frame.read::<8>(PAYLOAD + 16) else {
        return;
    };
    probe.nonce = u64::from_be_bytes(nonce);
    let Some(address) = frame.read::<16>(PAYLOAD + 32) else {
        return;
    };
    probe.address = address;
    let Some([priority, flags, reason]) = frame.read::<3>(PAYLOAD + 48) else {
        return;
    };
    probe.priority = priority;
    probe.flags = flags;
    probe.reason = reason;
    if !read_stamps(frame, &mut probe.stamps) {
        return;
    }
    let Some(macs) = frame.read::<12>(0) else {
        return;
    };
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = macs;
    // What is sent back must be for one.
    if s0 & 1 != 0 {
        return;
    }
    probe.destination = [d0, d1, d2, d3, d4, d5];
    probe.source = [s0, s1, s2, s3, s4, s5];
    packet.subject = Subject::Probe;
}

#[inline(always)]
fn read_stamps<F: Frame + ?Sized>(frame: &F, stamps: &mut Stamps) -> bool {
    let Some([role, flags, rank, reason, a0, a1, a2, a3, g0, g1, g2, g3]) =
        frame.read::<12>(PAYLOAD + STAMPS_AT)
    else {
        return false;
    };
    stamps.role = role;
    stamps.flags = flags;
    stamps.rank = rank;
    stamps.reason = reason;
    stamps.advert_age_us = u32::from_be_bytes([a0, a1, a2, a3]);
    stamps.agent_age_us = u32::from_be_bytes([g0, g1, g2, g3]);
    stamps.reserved = [0; 4];
    let Some(host) = frame.read::<8>(PAYLOAD + 64) else {
        return false;
    };
    stamps.host = u64::from_be_bytes(host);
    let Some(token) = frame.read::<8>(PAYLOAD + 72) else {
        return false;
    };
    stamps.token = u64::from_be_bytes(token);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::classify as classify_frame;

    const STAMPED: Stamps = Stamps {
        host: 0x0102_0304_0506_0708,
        token: 0xf1f2_f3f4_f5f6_f7f8,
        advert_age_us: 0xa1a2_a3a4,
        agent_age_us: 0xb1b2_b3b4,
        role: ROLE_MASTER,
        flags: PEER_LEAVING | PEER_FENCED,
        rank: 3,
        reason: 2,
        reserved: [0; 4],
    };

    /// Each byte another one, but for those that decide.
    fn frame(kind: u8) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        for (at, byte) in frame.iter_mut().enumerate() {
            *byte = at as u8 | 0x80;
        }
        frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        frame[12..24].copy_from_slice(&[8, 0, 0x45, 0xc0, 0, 108, 7, 7, 0x40, 0, 255, 17]);
        frame[26..34].copy_from_slice(&[10, 0, 0, 9, 10, 0, 0, 9]);
        frame[36..40].copy_from_slice(&[0x0e, 0xc9, 0, 88]);
        frame[PAYLOAD..PAYLOAD + 6].copy_from_slice(b"KFLB\x01\x01");
        frame[PAYLOAD + KIND_AT] = kind;
        frame[PAYLOAD + STAMPS_AT..].copy_from_slice(&STAMPED.to_bytes());
        frame
    }

    fn read(frame: &[u8]) -> Option<Probe> {
        let mut packet = Packet::UNREAD;
        classify_frame::<[u8]>(frame, &mut packet);
        (packet.subject == Subject::Probe).then_some(packet.probe)
    }

    fn with(at: usize, value: u8) -> [u8; FRAME] {
        let mut frame = frame(KIND_PROBE);
        frame[at] = value;
        frame
    }

    #[test]
    fn every_field_is_where_it_is_said_to_be() {
        for kind in [KIND_PROBE, KIND_ANSWER, KIND_TAKEN] {
            let frame = frame(kind);
            let probe = read(&frame).unwrap();
            let at = |at: usize| &frame[PAYLOAD + at..];
            assert_eq!(probe.stamps, STAMPED);
            assert_eq!(probe.kind, kind);
            assert_eq!([probe.vrid, probe.family], at(6)[..2]);
            assert_eq!(probe.session.to_be_bytes(), at(8)[..4]);
            assert_eq!(probe.sequence.to_be_bytes(), at(12)[..4]);
            assert_eq!(probe.nonce.to_be_bytes(), at(16)[..8]);
            assert_eq!(probe.address, at(32)[..16]);
            assert_eq!([probe.priority, probe.flags, probe.reason], at(48)[..3]);
            assert_eq!([probe.priority, probe.flags], at(48)[..2]);
            assert_eq!(probe.destination, [2, 0, 0, 0, 0, 1]);
            assert_eq!(probe.source, [2, 0, 0, 0, 0, 2]);
            assert!(!probe.forwarded);
        }
    }

    #[test]
    fn what_is_cut_off_is_none() {
        let whole = frame(KIND_PROBE);
        for length in 0..FRAME {
            assert_eq!(read(&whole[..length]), None, "cut to {length}");
        }
        let padded = [&whole[..], &[0; 6]].concat();
        assert!(read(&padded).is_some());
    }

    #[test]
    fn whatever_is_not_exactly_one_is_none() {
        let header = [12, 13, 14, 16, 17, 21, 23];
        let ports_and_length = 36..40;
        let beginning = PAYLOAD..PAYLOAD + 5;
        for at in header.into_iter().chain(ports_and_length).chain(beginning) {
            for bit in 0..8 {
                let value = frame(KIND_PROBE)[at] ^ 1 << bit;
                assert_eq!(read(&with(at, value)), None, "byte {at} is {value}");
            }
        }
        for at in 26..34 {
            let value = frame(KIND_PROBE)[at] ^ 1;
            assert_eq!(read(&with(at, value)), None, "byte {at}: other addresses");
        }
        for kind in [0, 4, 0x81, 255] {
            assert_eq!(read(&with(PAYLOAD + KIND_AT, kind)), None, "kind {kind}");
        }
        for first in [0x20, 0x01, 0x1f] {
            assert_eq!(read(&with(20, first)), None, "fragment {first:#x}");
        }
        assert!(read(&with(20, 0)).is_some(), "may be fragmented");
        assert_eq!(read(&with(6, 0xff)), None, "from a group");
        assert_eq!(read(&with(6, 1)), None, "from a group");
    }

    #[test]
    fn one_hop_less_is_a_probe_that_came_back_and_nothing_else() {
        for ttl in 0..=253 {
            assert_eq!(read(&with(22, ttl)), None, "TTL {ttl}");
        }
        assert!(read(&with(22, 254)).unwrap().forwarded);
        for kind in [KIND_ANSWER, KIND_TAKEN] {
            let mut frame = frame(kind);
            frame[22] = 254;
            assert_eq!(read(&frame), None);
        }
    }

    #[test]
    fn not_in_a_vlan() {
        let whole = frame(KIND_PROBE);
        let tagged = [&whole[..12], &[0x81, 0, 0, 7], &whole[12..]].concat();
        assert_eq!(read(&tagged), None);
        // Priority tags are no VLAN.
        let tagged = [&whole[..12], &[0x81, 0, 0xe0, 0], &whole[12..]].concat();
        assert_eq!(read(&tagged), None);
    }
}
