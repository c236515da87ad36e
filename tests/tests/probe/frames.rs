//! Frames made by hand.

use keepfast_common::wire::probe::{KIND_ANSWER, KIND_PROBE, KIND_TAKEN};
use keepfast_common::wire::{self, Packet, Subject};
pub(crate) use lab::arp::arp;

use crate::pair::{ASKER_MAC, PEER_MAC};

/// The virtual address.
pub(crate) const VIRTUAL: [u8; 4] = [10, 99, 0, 100];
/// Another one, of the other family.
pub(crate) const VIRTUAL_6: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
/// The virtual router, as [`lab::sender::Advert`] has it.
pub(crate) const VRID: u8 = 7;

const HOP_LIMIT: usize = 22;
const STAMPS: usize = 42 + 52;
const TOKEN: usize = 42 + 72;

/// A frame of 122 bytes, from the asker to its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame(Vec<u8>);

impl Frame {
    pub(crate) fn probe(session: u32, sequence: u32, nonce: u64) -> Self {
        let mut frame = [PEER_MAC, ASKER_MAC].concat();
        frame.extend([0x08, 0x00, 0x45, 0xc0, 0, 108, 0, 0, 0, 0, 255, 17, 0, 0]);
        frame.extend([10, 99, 0, 2, 10, 99, 0, 2]);
        let sum = lab::sender::checksum(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&sum);
        frame.extend([0x0e, 0xc9, 0x0e, 0xc9, 0, 88, 0, 0]);
        frame.extend(b"KFLB");
        frame.extend([1, KIND_PROBE, VRID, 4]);
        frame.extend(session.to_be_bytes());
        frame.extend(sequence.to_be_bytes());
        frame.extend(nonce.to_be_bytes());
        frame.resize(42 + 32, 0);
        frame.extend([10, 99, 0, 2]);
        frame.resize(42 + 48, 0);
        frame.extend([90, 3]);
        frame.resize(122, 0);
        Self(frame)
    }

    /// One of no session.
    pub(crate) fn stray(nonce: u64) -> Self {
        Self::probe(0, 1, nonce)
    }

    pub(crate) fn with(mut self, at: usize, value: u8) -> Self {
        self.0[at] = value;
        self
    }

    pub(crate) fn with_hop_limit(self, value: u8) -> Self {
        self.with(HOP_LIMIT, value)
    }

    /// What the peer would answer.
    pub(crate) fn answered(self) -> Self {
        let mut frame = self.with(42 + 5, KIND_ANSWER);
        frame.0[..12].copy_from_slice(&[ASKER_MAC, PEER_MAC].concat());
        frame.0[STAMPS..TOKEN].fill(1);
        frame
    }

    /// The word of one that has taken over.
    pub(crate) fn taken(self, token: u64) -> Self {
        let mut frame = self.with(42 + 5, KIND_TAKEN);
        frame.0[TOKEN..].copy_from_slice(&token.to_be_bytes());
        frame
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a frame says, if it is a probe or what answers one.
pub(crate) fn read(frame: &[u8]) -> Option<wire::Probe> {
    let mut packet = Packet::UNREAD;
    wire::classify(frame, &mut packet);
    (packet.subject == Subject::Probe).then_some(packet.probe)
}

pub(crate) fn is_answer(frame: &[u8], nonce: u64) -> bool {
    read(frame).is_some_and(|probe| probe.kind == KIND_ANSWER && probe.nonce == nonce)
}

/// Something else, to see that all before it has come.
pub(crate) fn last_of(kind: u16, to: [u8; 6]) -> Vec<u8> {
    let mut frame = [to, [2, 0, 0, 0, 0, 0x99]].concat();
    frame.extend(kind.to_be_bytes());
    frame.resize(60, 0x99);
    frame
}

pub(crate) fn is_last(frame: &[u8]) -> bool {
    frame.get(6..12) == Some(&[2, 0, 0, 0, 0, 0x99])
}

/// A neighbour advertisement that nobody asked for, to all nodes.
pub(crate) fn advertisement(from: [u8; 6], target: [u8; 16]) -> Vec<u8> {
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(from);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
    frame.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    frame.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    frame.extend([136, 0, 0, 0, 0x20, 0, 0, 0]);
    frame.extend(target);
    frame.extend([2, 1]);
    frame.extend(from);
    frame
}
