//! A frame's classification as one number, so that kernel and host can be
//! compared by the return value of a test run.

use crate::wire::{Address, Frame, Mac, Packet, classify};

/// FNV-1a over the classification of `frame` and over every field of it.
#[inline(always)]
pub fn digest<F: Frame + ?Sized>(frame: &F) -> u32 {
    let mut digest = Digest(0x811c_9dc5);
    match classify(frame) {
        Packet::Other => digest.byte(0),
        Packet::Advert(advert) => {
            digest.byte(1);
            digest.advert(&advert);
        }
        Packet::BadAdvert(advert, reject) => {
            digest.byte(2);
            digest.byte(reject as u8);
            digest.advert(&advert);
        }
        Packet::Neighbour(neighbour) => {
            digest.byte(3);
            digest.byte(neighbour.family);
            digest.address(&neighbour.holder);
            digest.mac(&neighbour.mac);
            digest.address(&neighbour.asked);
            digest.byte(neighbour.unsolicited as u8);
            digest.word(neighbour.vlan.outer);
            digest.word(neighbour.vlan.inner);
        }
        Packet::BadNeighbour(reject) => {
            digest.byte(4);
            digest.byte(reject as u8);
        }
    }
    digest.0
}

struct Digest(u32);

impl Digest {
    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }

    #[inline(always)]
    fn word(&mut self, word: u16) {
        let [high, low] = word.to_be_bytes();
        self.byte(high);
        self.byte(low);
    }

    #[inline(always)]
    fn address(&mut self, address: &Address) {
        for byte in address {
            self.byte(*byte);
        }
    }

    #[inline(always)]
    fn mac(&mut self, mac: &Mac) {
        for byte in mac {
            self.byte(*byte);
        }
    }

    #[inline(always)]
    fn advert(&mut self, advert: &crate::wire::Advert) {
        self.address(&advert.source);
        self.mac(&advert.mac);
        self.word(advert.vlan.outer);
        self.word(advert.vlan.inner);
        self.byte(advert.family);
        self.byte(advert.vrid);
        self.byte(advert.priority);
        self.byte(advert.version);
        self.word(advert.interval_cs);
        self.byte(advert.addresses);
        self.byte(advert.marks);
        self.word(advert.addresses_at);
        self.word(advert.checksum);
    }
}
