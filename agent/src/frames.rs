//! Hand-made frames for the tests.

/// A VRRP advertisement over IPv4; name only what the case is about.
#[derive(Debug, Clone)]
pub(crate) struct Advert {
    /// Last byte of the sender's address, 192.0.2.`host`, and of its MAC address,
    /// 52:54:00:00:00:`host`.
    pub(crate) host: u8,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    /// 2 or 3.
    pub(crate) version: u8,
    pub(crate) interval_cs: u16,
    /// Last bytes of the virtual addresses, 192.0.2.`each`.
    pub(crate) addresses: &'static [u8],
    pub(crate) vlan: Option<u16>,
    pub(crate) ttl: u8,
}

impl Default for Advert {
    fn default() -> Self {
        Self {
            host: 1,
            vrid: 51,
            priority: 100,
            version: 3,
            interval_cs: 100,
            addresses: &[100],
            vlan: None,
            ttl: 255,
        }
    }
}

impl Advert {
    /// The frame, with a right checksum.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut message = vec![self.version << 4 | 1, self.vrid, self.priority];
        message.push(self.addresses.len() as u8);
        if self.version == 2 {
            message.extend([0, (self.interval_cs / 100) as u8]);
        } else {
            message.extend(self.interval_cs.to_be_bytes());
        }
        message.extend([0, 0]);
        for address in self.addresses {
            message.extend([192, 0, 2, *address]);
        }
        if self.version == 2 {
            message.extend([0; 8]);
        }
        // Over the message alone: right for version 2, and accepted for version 3.
        let sum = checksum(&message);
        message[6..8].copy_from_slice(&sum.to_be_bytes());

        let mut frame = vec![
            0x01, 0x00, 0x5e, 0x00, 0x00, 0x12, 0x52, 0x54, 0, 0, 0, self.host,
        ];
        if let Some(vlan) = self.vlan {
            frame.extend([0x81, 0x00]);
            frame.extend(vlan.to_be_bytes());
        }
        frame.extend([0x08, 0x00, 0x45, 0xc0]);
        frame.extend((20 + message.len() as u16).to_be_bytes());
        frame.extend([
            0, 1, 0, 0, self.ttl, 112, 0, 0, 192, 0, 2, self.host, 224, 0, 0, 18,
        ]);
        frame.extend(message);
        frame
    }
}

/// The Internet checksum (RFC 1071) of a message of even length.
fn checksum(message: &[u8]) -> u16 {
    let words = message
        .chunks_exact(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// An ARP message from 52:54:00:00:00:`mac`: the sender says that it has
/// 192.0.2.`sender` and speaks of 192.0.2.`target`.
pub(crate) fn arp(operation: u8, mac: u8, sender: u8, target: u8) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([0x52, 0x54, 0, 0, 0, mac, 0x08, 0x06]);
    frame.extend([0, 1, 0x08, 0x00, 6, 4, 0, operation]);
    frame.extend([0x52, 0x54, 0, 0, 0, mac, 192, 0, 2, sender]);
    frame.extend([0, 0, 0, 0, 0, 0, 192, 0, 2, target]);
    frame
}

/// [`arp`]'s operation of a question.
pub(crate) const REQUEST: u8 = 1;
/// [`arp`]'s operation of an answer.
pub(crate) const REPLY: u8 = 2;

/// A frame of the corpus of captured ones; `None` where it is not there.
pub(crate) fn corpus(name: &str) -> Option<Vec<u8>> {
    let path = format!("{}/../common/corpus/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).ok()
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// The next number, below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ (number >> 31)) % limit as u64) as usize
    }
}
