//! Arbitrary bytes as a frame, whole and with a tag that the device took out of it.

use keepfast_common::digest::digest;
use keepfast_common::wire::probe::{FRAME, KIND_PROBE};
use keepfast_common::wire::{Frame, IPV4, Packet, Reject, Subject};

struct Received<'a> {
    frame: &'a [u8],
    tag: Option<u16>,
}

impl Frame for Received<'_> {
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.frame.read(offset)
    }

    fn stripped_tag(&self) -> Option<u16> {
        self.tag
    }
}

pub(crate) fn run(frame: &[u8]) {
    check(&Received { frame, tag: None });
    // Nothing else reads the destination address.
    if let Some([high, low]) = frame.first_chunk() {
        let tag = Some(u16::from_be_bytes([*high, *low]));
        check(&Received { frame, tag });
    }
}

fn check(received: &Received<'_>) {
    let mut packet = Packet::UNREAD;
    let first = digest(received, &mut packet);
    // Into what the first left behind, as in the kernel.
    assert_eq!(digest(received, &mut packet), first);
    if packet.subject == Subject::Advert && packet.reject == Reject::Nothing {
        let width = if packet.advert.family == IPV4 { 4 } else { 16 };
        let listed = usize::from(packet.advert.addresses) * width;
        assert!(usize::from(packet.advert.addresses_at) + listed <= received.frame.len());
        assert!(packet.advert.vrid != 0 && packet.advert.interval_cs != 0);
    }
    if packet.subject == Subject::Probe {
        // All of it is there to be sent back, to one host, and only a question was forwarded.
        assert!(received.frame.len() >= FRAME);
        assert!(packet.probe.source[0] & 1 == 0);
        assert!(!packet.probe.forwarded || packet.probe.kind == KIND_PROBE);
    }
}
