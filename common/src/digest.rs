//! A frame's classification as one number, so that kernel and host can be
//! compared by the return value of a test run.

use crate::event::{halves, mac_number};
use crate::wire::{Address, Advert, Frame, Neighbour, Packet, Probe, Reject, Subject, classify};

/// In the manner of FNV-1a, over every field that [`classify`] finds in `frame`;
/// `packet` is where it may do so.
#[inline(always)]
pub fn digest<F: Frame + ?Sized>(frame: &F, packet: &mut Packet) -> u32 {
    classify(frame, packet);
    let mut digest = Digest(0xcbf2_9ce4_8422_2325);
    digest.number(packet.subject as u64);
    match packet.subject {
        Subject::Other => {}
        Subject::Advert => {
            digest.number(packet.reject as u64);
            digest.advert(&packet.advert);
        }
        Subject::Neighbour => {
            digest.number(packet.reject as u64);
            if packet.reject as u8 == Reject::Nothing as u8 {
                digest.neighbour(&packet.neighbour);
            }
        }
        Subject::Probe => digest.probe(&packet.probe),
    }
    (digest.0 ^ digest.0 >> 32) as u32
}

struct Digest(u64);

impl Digest {
    #[inline(always)]
    fn number(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 ^= self.0 >> 32;
    }

    #[inline(always)]
    fn address(&mut self, address: &Address) {
        let (high, low) = halves(address);
        self.number(high);
        self.number(low);
    }

    #[inline(always)]
    fn neighbour(&mut self, neighbour: &Neighbour) {
        self.number(u64::from(neighbour.family));
        self.address(&neighbour.holder);
        self.number(mac_number(&neighbour.mac));
        self.address(&neighbour.asked);
        self.number(u64::from(neighbour.unsolicited));
        self.number(u64::from(neighbour.vlan.outer) << 16 | u64::from(neighbour.vlan.inner));
    }

    #[inline(always)]
    fn probe(&mut self, probe: &Probe) {
        self.number(probe.nonce);
        self.number(probe.stamps.host);
        self.number(probe.stamps.token);
        self.number(
            u64::from(probe.stamps.advert_age_us) << 32 | u64::from(probe.stamps.agent_age_us),
        );
        self.number(u64::from_be_bytes([
            probe.stamps.role,
            probe.stamps.flags,
            probe.stamps.rank,
            probe.kind,
            probe.vrid,
            probe.family,
            probe.priority,
            probe.flags,
        ]));
        self.address(&probe.address);
        self.number(u64::from(probe.session) << 32 | u64::from(probe.sequence));
        self.number(mac_number(&probe.source));
        self.number(mac_number(&probe.destination));
        self.number(u64::from(probe.forwarded));
    }

    #[inline(always)]
    fn advert(&mut self, advert: &Advert) {
        self.address(&advert.source);
        self.number(mac_number(&advert.mac));
        self.number(u64::from(advert.vlan.outer) << 16 | u64::from(advert.vlan.inner));
        self.number(u64::from_be_bytes([
            advert.family,
            advert.vrid,
            advert.priority,
            advert.version,
            advert.addresses,
            advert.marks,
            0,
            0,
        ]));
        self.number(u64::from(advert.interval_cs));
        self.number(u64::from(advert.addresses_at) << 16 | u64::from(advert.checksum));
    }
}
