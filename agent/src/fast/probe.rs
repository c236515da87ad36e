//! Probes as frames.

use std::net::Ipv4Addr;

use keepfast_common::wire::checksum;
use keepfast_common::wire::probe::{
    FRAME, KIND_PROBE, KIND_TAKEN, LENGTH, MAGIC, PAYLOAD, PORT, STAMPS_AT, VERSION,
};
use keepfast_common::wire::{Address, Mac};

/// The time to live of what no router passed on (RFC 5082).
const TTL: u8 = 255;
/// UDP.
const UDP: u8 = 17;
/// Internetwork control, as adverts have.
const PRECEDENCE: u8 = 0xc0;

/// What a probe asks, and who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    /// The virtual router identifier.
    pub(super) vrid: u8,
    /// Its family, 4 or 6.
    pub(super) family: u8,
    /// The asking host's address there.
    pub(super) address: Address,
    /// Its priority.
    pub(super) priority: u8,
    /// A set of the `SENDER_` constants.
    pub(super) flags: u8,
    /// Why this host gave up its role lately: one of the `REASON_` constants of
    /// [`keepfast_common::blackbox`].
    pub(super) reason: u8,
}

/// A whole frame.
#[derive(Debug, Clone)]
pub(super) struct ProbeFrame([u8; FRAME]);

impl ProbeFrame {
    /// A probe of `session` from `own` (and to it: it comes back) by way of `peer`.
    pub(super) fn new(peer: Mac, mac: Mac, own: Ipv4Addr, session: u32) -> Self {
        let mut frame = Self([0; FRAME]);
        frame.put(0, &peer);
        frame.put(6, &mac);
        frame.put(12, &0x0800u16.to_be_bytes());
        let length = (FRAME - 14) as u16;
        let mut header = [0; 20];
        header[..2].copy_from_slice(&[0x45, PRECEDENCE]);
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[8] = TTL;
        header[9] = UDP;
        header[12..16].copy_from_slice(&own.octets());
        header[16..20].copy_from_slice(&own.octets());
        let words = checksum::words::<[u8]>(&header, 0, header.len()).unwrap_or(0);
        header[10..12].copy_from_slice(&(!checksum::fold(words)).to_be_bytes());
        frame.put(14, &header);
        frame.put(34, &PORT.to_be_bytes());
        frame.put(36, &PORT.to_be_bytes());
        // Without a checksum (RFC 768): who answers writes into it.
        frame.put(38, &((8 + LENGTH) as u16).to_be_bytes());
        frame.put(PAYLOAD, &MAGIC.to_be_bytes());
        frame.put(PAYLOAD + 4, &[VERSION, KIND_PROBE]);
        frame.put(PAYLOAD + 8, &session.to_be_bytes());
        frame
    }

    /// What is asked.
    pub(super) fn ask(&mut self, question: &Question) {
        self.put(PAYLOAD + 6, &[question.vrid, question.family]);
        self.put(PAYLOAD + 32, &question.address);
        let Question {
            priority,
            flags,
            reason,
            ..
        } = *question;
        self.put(PAYLOAD + 48, &[priority, flags, reason]);
    }

    /// Which probe it is.
    pub(super) fn number(&mut self, sequence: u32, nonce: u64) {
        self.put(PAYLOAD + 12, &sequence.to_be_bytes());
        self.put(PAYLOAD + 16, &nonce.to_be_bytes());
    }

    /// Makes it the word of an heir that has taken over, with the token that it was
    /// given.
    pub(super) fn taken(&mut self, token: u64) {
        self.put(PAYLOAD + 5, &[KIND_TAKEN]);
        self.put(PAYLOAD + STAMPS_AT + 20, &token.to_be_bytes());
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use keepfast_common::wire::{Packet, Subject, classify};

    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let own = Ipv4Addr::new(169, 254, 192, 7);
        let mut frame = ProbeFrame::new([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], own, 77);
        let question = Question {
            vrid: 51,
            family: 6,
            address: [9; 16],
            priority: 150,
            flags: 3,
            reason: 2,
        };
        frame.ask(&question);
        frame.number(4_000_000_001, 0x0123_4567_89ab_cdef);
        let mut packet = Packet::UNREAD;
        classify::<[u8]>(frame.bytes(), &mut packet);
        assert_eq!(packet.subject, Subject::Probe);
        let probe = packet.probe;
        assert_eq!((probe.kind, probe.forwarded), (KIND_PROBE, false));
        assert_eq!((probe.flags, probe.reason), (3, 2));
        assert_eq!((probe.session, probe.sequence), (77, 4_000_000_001));
        assert_eq!(probe.nonce, 0x0123_4567_89ab_cdef);
        assert_eq!((probe.vrid, probe.family), (51, 6));
        assert_eq!(
            (probe.address, probe.priority, probe.flags),
            ([9; 16], 150, 3)
        );
        assert_eq!(probe.destination, [2, 0, 0, 0, 0, 1]);
        assert_eq!(probe.source, [2, 0, 0, 0, 0, 2]);
        frame.taken(0xfedc_ba98_7654_3210);
        classify::<[u8]>(frame.bytes(), &mut packet);
        assert_eq!(packet.probe.kind, KIND_TAKEN);
        assert_eq!(packet.probe.stamps.token, 0xfedc_ba98_7654_3210);
    }
}
