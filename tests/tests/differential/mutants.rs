//! Frames made from captured ones by chance, many of them still valid. What is where in a frame
//! is found here anew, without a line of the code under test.

use super::probes::DECISIVE;

const VRRP: u8 = 112;
const AUTHENTICATION: u8 = 51;

/// A xorshift generator: the same frames in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Changes a frame of `corpus` in a few ways; three times in four, what the changes broke
/// (lengths, checksum) is made right again.
pub(crate) fn mutant(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut frame = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(3) {
        mutate(&mut frame, corpus, dice);
    }
    if dice.below(4) != 0 {
        repair(&mut frame, dice);
    }
    // The least that a test run takes is an Ethernet header.
    frame.resize(frame.len().clamp(14, 1_900), 0);
    frame
}

fn mutate(frame: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    match dice.below(14) {
        0 => {
            for _ in 0..=dice.below(4) {
                let at = dice.below(frame.len());
                frame[at] ^= 1 << dice.below(8);
            }
        }
        1 => {
            let at = dice.below(frame.len());
            frame[at] = dice.of(&[0, 1, 2, 0x0f, 0x7f, 0x80, 0xfe, 0xff]);
        }
        2 => frame.truncate(14 + dice.below(frame.len())),
        3 => {
            let length = dice.of(&[1, 2, 4, 16, 20, 24, 200]);
            frame.extend((0..length).map(|_| dice.byte()));
        }
        4 => tag(frame, dice),
        5 => options(frame, dice),
        6 => fragment(frame, dice),
        7 => extension_header(frame, dice),
        8 => authentication_header(frame, dice),
        9 | 10 => message_field(frame, dice),
        11 => address_list(frame, dice),
        12 => ip_field(frame, dice),
        _ => match dice.below(4) {
            0 => probe_field(frame, dice),
            1 => neighbour_field(frame, dice),
            _ => splice(frame, corpus, dice),
        },
    }
}

/// One to three VLAN tags.
fn tag(frame: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        let tag = [0x81, 0x00, dice.byte(), dice.byte()];
        let tag = if dice.below(2) == 0 {
            [0x88, 0xa8, tag[2], tag[3]]
        } else {
            tag
        };
        insert(frame, 12, &tag);
    }
}

/// IPv4 options, none of which anybody knows.
fn options(frame: &mut Vec<u8>, dice: &mut Dice) {
    let at = payload(frame);
    if frame.get(at).is_some_and(|first| *first == 0x45) {
        let words = 1 + dice.below(10);
        frame[at] += words as u8;
        insert(frame, at + 20, &vec![1; words * 4]);
    }
}

fn fragment(frame: &mut [u8], dice: &mut Dice) {
    let at = payload(frame) + 6;
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&[dice.of(&[0x20, 0x40, 0x80, 0x1f, 0x00]), dice.of(&[0, 1])]);
    }
}

/// An IPv6 header before the payload.
fn extension_header(frame: &mut Vec<u8>, dice: &mut Dice) {
    let at = payload(frame);
    if frame.len() > at + 40 && frame[at] >> 4 == 6 {
        let header = [frame[at + 6], 0, 0, 1, 0, 0, 0, 0];
        frame[at + 6] = dice.of(&[0, 43, 44, 60, AUTHENTICATION]);
        insert(frame, at + 40, &header);
    }
}

/// An authentication header before a payload of IPv4.
fn authentication_header(frame: &mut Vec<u8>, dice: &mut Dice) {
    let at = payload(frame);
    if frame.len() > at + 20 && frame[at] >> 4 == 4 {
        let words = dice.of(&[0, 1, 4, 4, 4, 30]);
        let mut header = vec![0; (words as usize + 2) * 4];
        header[0] = frame[at + 9];
        header[1] = words;
        frame[at + 9] = AUTHENTICATION;
        let behind = at + usize::from(frame[at] & 0x0f) * 4;
        insert(frame, behind, &header);
    }
}

fn message_field(frame: &mut [u8], dice: &mut Dice) {
    let Some(at) = message(frame) else { return };
    let (offset, value) = match dice.below(8) {
        0 => (0, dice.of(&[0x11, 0x21, 0x31, 0x41, 0x20, 0x32, 0x3f])),
        1 => (1, dice.of(&[0, 1, 7, 254, 255])),
        2 => (2, dice.of(&[0, 1, 99, 100, 254, 255])),
        3 => (3, dice.of(&[0, 1, 2, 3, 20, 255])),
        4 => (4, dice.of(&[0, 1, 2, 0x0f, 0x10, 0xff])),
        5 => (5, dice.of(&[0, 1, 100, 255])),
        6 => (4 + dice.below(2), 0),
        _ => (dice.below(8), dice.byte()),
    };
    if let Some(field) = frame.get_mut(at + offset) {
        *field = value;
    }
}

/// As many addresses as the count then says.
fn address_list(frame: &mut Vec<u8>, dice: &mut Dice) {
    let Some(at) = message(frame) else { return };
    if frame.len() < at + 8 {
        return;
    }
    let count = dice.of(&[1, 2, 3, 8, 9, 20, 60]);
    let width = if frame[payload(frame)] >> 4 == 4 {
        4
    } else {
        16
    };
    frame[at + 3] = count;
    frame.truncate(at + 8);
    frame.extend((0..usize::from(count) * width).map(|_| dice.byte()));
    if frame[at] >> 4 == 2 {
        frame.extend([0; 8]);
    }
}

/// Length, hop limit, protocol or destination.
fn ip_field(frame: &mut [u8], dice: &mut Dice) {
    let at = payload(frame);
    let v6 = frame.get(at).is_some_and(|first| first >> 4 == 6);
    let (offset, value) = match (dice.below(5), v6) {
        (0, false) => (2, dice.of(&[0, 5, 6])),
        (0, true) => (4, dice.of(&[0, 5, 6])),
        (1, false) => (8, dice.of(&[0, 1, 254, 255])),
        (1, true) => (7, dice.of(&[0, 1, 254, 255])),
        (2, false) => (9, VRRP),
        (2, true) => (6, dice.of(&[VRRP, 58])),
        (3, false) => (16, dice.of(&[10, 224, 239, 240])),
        (3, true) => (24, dice.of(&[0xff, 0xfd])),
        (_, false) => (0, dice.of(&[0x44, 0x4f, 0x55, 0x65])),
        (_, true) => (dice.below(40), dice.byte()),
    };
    if let Some(field) = frame.get_mut(at + offset) {
        *field = value;
    }
}

/// One of the bytes that decide what an ARP or neighbour discovery message says.
fn neighbour_field(frame: &mut [u8], dice: &mut Dice) {
    let at = payload(frame);
    let offset = match frame.get(at) {
        Some(first) if first >> 4 == 6 => dice.of(&[7, 40, 41, 44, 64, 65]),
        _ => dice.of(&[1, 3, 4, 5, 7, 17, 27]),
    };
    if let Some(field) = frame.get_mut(at + offset) {
        *field = dice.of(&[0, 1, 2, 3, 6, 0x40, 0x60, 134, 135, 136, 255]);
    }
}

/// One of the bytes that decide whether a datagram is a probe.
fn probe_field(frame: &mut [u8], dice: &mut Dice) {
    let (at, values) = dice.of(&DECISIVE);
    if let Some(field) = frame.get_mut(at) {
        *field = dice.of(values);
    }
}

/// The head of one frame, the tail of another.
fn splice(frame: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    let other = &corpus[dice.below(corpus.len())];
    let cut = dice.below(frame.len().min(other.len()));
    frame.truncate(cut);
    frame.extend_from_slice(&other[cut..]);
}

/// Makes the lengths and the message's checksum what they should be, the latter in one of the
/// ways that are in use.
fn repair(frame: &mut [u8], dice: &mut Dice) {
    let ip = payload(frame);
    let Some(at) = message(frame) else { return };
    let v4 = frame[ip] >> 4 == 4;
    // Now and then the length field stays as it is: too long, too short.
    if dice.below(8) != 0 {
        let length = frame.len() - ip;
        let (field, length) = if v4 {
            (ip + 2, length)
        } else {
            (ip + 4, length - 40)
        };
        frame[field..field + 2].copy_from_slice(&(length as u16).to_be_bytes());
    }
    let width = if v4 { 4 } else { 16 };
    let v2 = frame.get(at).is_some_and(|first| first >> 4 == 2);
    let listed = frame
        .get(at + 3)
        .map_or(0, |count| usize::from(*count) * width);
    let whole = frame.len() - at;
    let length = (8 + listed + if v2 { 8 } else { 0 }).min(whole);
    // Where a trailer follows, either the message or all of it is summed.
    let length = if dice.below(4) == 0 { whole } else { length };
    if length < 8 {
        return;
    }
    let mut summed = Vec::new();
    let way = dice.below(3);
    if !v2 && (way != 0 || !v4) {
        let (source, destination) = if v4 { (12, 16) } else { (8, 24) };
        summed.extend_from_slice(&frame[ip + source..ip + source + width]);
        if v4 && way == 1 {
            summed.extend([224, 0, 0, 18]);
        } else {
            summed.extend_from_slice(&frame[ip + destination..ip + destination + width]);
        }
        summed.extend([0, VRRP]);
        summed.extend((length as u16).to_be_bytes());
    }
    frame[at + 6..at + 8].fill(0);
    summed.extend_from_slice(&frame[at..at + length]);
    let sum = internet_checksum(&summed);
    frame[at + 6..at + 8].copy_from_slice(&sum.to_be_bytes());
}

/// RFC 1071.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let mut sum: u64 = bytes
        .chunks(2)
        .map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Where the payload of Ethernet begins, past all tags.
fn payload(frame: &[u8]) -> usize {
    let mut at = 12;
    while matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8])) {
        at += 4;
    }
    at + 2
}

/// Where a VRRP message begins, behind a whole IP header.
fn message(frame: &[u8]) -> Option<usize> {
    let ip = payload(frame);
    match frame.get(ip)? >> 4 {
        4 => {
            frame.get(ip + 19)?;
            let at = ip + usize::from(frame[ip] & 0x0f) * 4;
            let at = match frame[ip + 9] {
                VRRP => at,
                AUTHENTICATION => at + (usize::from(*frame.get(at + 1)?) + 2) * 4,
                _ => return None,
            };
            (at <= frame.len()).then_some(at)
        }
        6 => (*frame.get(ip + 6)? == VRRP && frame.len() >= ip + 40).then_some(ip + 40),
        _ => None,
    }
}

fn insert(frame: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if at <= frame.len() {
        frame.splice(at..at, bytes.iter().copied());
    }
}
