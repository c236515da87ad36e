//! VRRPv3 adverts over IPv4, made by hand: any virtual router, priority, interval and VLAN.

use keepfast_common::wire::checksum;

/// The virtual router's address, which every advert lists.
const VIRTUAL: [u8; 4] = [10, 99, 0, 100];
const GROUP: [u8; 4] = [224, 0, 0, 18];
const PROTOCOL: u8 = 112;

/// What an advert says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Advert {
    /// 802.1Q tag; 0 for none.
    pub(crate) vlan: u16,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    pub(crate) interval_cs: u16,
}

impl Advert {
    /// Its sender: another one for each virtual router.
    pub(crate) const fn source(&self) -> [u8; 4] {
        [10, 99, 1, self.vrid]
    }

    /// The whole Ethernet frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut frame = vec![0x01, 0x00, 0x5e, 0x00, 0x00, 0x12];
        frame.extend([0x02, 0x4b, 0x46, 0x00, 0x00, self.vrid]);
        if self.vlan != 0 {
            frame.extend([0x81, 0x00]);
            frame.extend(self.vlan.to_be_bytes());
        }
        frame.extend([0x08, 0x00]);
        let message = self.message();
        frame.extend(self.ip_header(message.len() as u8));
        frame.extend(message);
        frame
    }

    /// Internet control, TTL 255, not to be fragmented.
    fn ip_header(&self, payload: u8) -> [u8; 20] {
        let mut header = [0; 20];
        header[..10].copy_from_slice(&[0x45, 0xc0, 0, 20 + payload, 0, 0, 0x40, 0, 255, PROTOCOL]);
        header[12..16].copy_from_slice(&self.source());
        header[16..].copy_from_slice(&GROUP);
        let sum = !checksum::fold(sum(&header));
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    /// One address, and the checksum with the pseudo-header, as keepalived has it.
    fn message(&self) -> [u8; 12] {
        let [high, low] = self.interval_cs.to_be_bytes();
        let mut message = [0; 12];
        message[..6].copy_from_slice(&[0x31, self.vrid, self.priority, 1, high, low]);
        message[8..].copy_from_slice(&VIRTUAL);
        let pseudo = sum(&self.source()) + sum(&GROUP) + u64::from(PROTOCOL) + 12;
        let sum = !checksum::fold(pseudo + sum(&message));
        message[6..8].copy_from_slice(&sum.to_be_bytes());
        message
    }
}

/// The 32-bit words of `bytes`, added.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(4);
    words
        .map(|word| word.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keepfast_common::wire::{Packet, Reject, Subject, classify};

    #[test]
    fn the_tracker_reads_what_the_advert_says() {
        for vlan in [0, 4] {
            let advert = Advert {
                vlan,
                vrid: 7,
                priority: 254,
                interval_cs: 1,
            };
            let mut packet = Packet::UNREAD;
            classify(advert.frame().as_slice(), &mut packet);
            assert_eq!(
                (packet.subject, packet.reject),
                (Subject::Advert, Reject::Nothing)
            );
            let read = packet.advert;
            let found = Advert {
                vlan: read.vlan.outer,
                vrid: read.vrid,
                priority: read.priority,
                interval_cs: read.interval_cs,
            };
            assert_eq!(found, advert);
            assert_eq!(read.marks, 0, "checksum with the pseudo-header");
            assert_eq!(read.source[..4], advert.source());
        }
    }
}
