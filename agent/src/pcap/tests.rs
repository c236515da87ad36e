use super::input::Order;
use super::{Capture, Frame};
use crate::frames::{Advert, Numbers};

/// Writes captures, as their formats say, of either byte order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer(Order);

impl Writer {
    pub(crate) const BIG: Self = Self(Order::Big);
    pub(crate) const LITTLE: Self = Self(Order::Little);

    pub(crate) fn u32(self, number: u32) -> [u8; 4] {
        if self.0 == Order::Big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    pub(crate) fn u16(self, number: u16) -> [u8; 2] {
        if self.0 == Order::Big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    /// A pcap header.
    pub(crate) fn classic(self, magic: u32, link: u32) -> Vec<u8> {
        [magic, 0, 0, 0, 262_144, link]
            .into_iter()
            .flat_map(|field| self.u32(field))
            .collect()
    }

    /// A packet of a pcap file.
    pub(crate) fn record(self, seconds: u32, fraction: u32, frame: &[u8]) -> Vec<u8> {
        let length = frame.len() as u32;
        let fields = [seconds, fraction, length, length];
        fields
            .into_iter()
            .flat_map(|field| self.u32(field))
            .chain(frame.iter().copied())
            .collect()
    }

    pub(crate) fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = self.u32(padded as u32 + 12);
        let mut block = [self.u32(kind), length].concat();
        block.extend(body);
        block.resize(8 + padded, 0);
        block.extend(length);
        block
    }

    pub(crate) fn section(self) -> Vec<u8> {
        let mut body = [self.u32(0x1a2b_3c4d).as_slice(), &self.u16(1), &self.u16(0)].concat();
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    pub(crate) fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [self.u16(code), self.u16(value.len() as u16)].concat();
        option.extend(value);
        option.resize(4 + value.len().next_multiple_of(4), 0);
        option
    }

    pub(crate) fn interface(self, link: u16, options: &[u8]) -> Vec<u8> {
        let mut body = [self.u16(link), self.u16(0)].concat();
        body.extend(self.u32(0));
        body.extend(options);
        self.block(1, &body)
    }

    pub(crate) fn packet(
        self,
        interface: u32,
        ticks: u64,
        frame: &[u8],
        options: &[u8],
    ) -> Vec<u8> {
        let length = frame.len() as u32;
        let fields = [
            interface,
            (ticks >> 32) as u32,
            ticks as u32,
            length,
            length,
        ];
        let mut body: Vec<u8> = fields
            .into_iter()
            .flat_map(|field| self.u32(field))
            .collect();
        body.extend(frame);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(options);
        self.block(6, &body)
    }
}

/// Microseconds.
pub(crate) const MICRO: u32 = 0xa1b2_c3d4;
const NANO: u32 = 0xa1b2_3c4d;
/// Link type of Ethernet.
pub(crate) const ETHERNET: u32 = 1;

/// Time, interface, and whether local, of a frame.
type Seen = (u64, String, bool);

/// The frames, and the error at the end.
fn read(file: &[u8]) -> (Vec<Seen>, Option<String>) {
    let mut frames = Vec::new();
    let mut capture = match Capture::open(file) {
        Ok(capture) => capture,
        Err(error) => return (frames, Some(format!("{error:#}"))),
    };
    loop {
        match capture.next_frame() {
            Ok(Some(Frame {
                number,
                time_ns,
                ifindex,
                local,
                ..
            })) => {
                assert_eq!(number, frames.len() as u64 + 1);
                frames.push((time_ns, capture.interface(ifindex).to_owned(), local));
            }
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(format!("{error:#}"))),
        }
    }
}

/// The file is read to its end; time, interface and whether local of each frame.
fn check(file: &[u8], expected: &[(u64, &str, bool)]) {
    let (frames, error) = read(file);
    assert_eq!(error, None);
    let found: Vec<_> = frames
        .iter()
        .map(|(time_ns, name, local)| (*time_ns, name.as_str(), *local))
        .collect();
    assert_eq!(found, expected);
}

/// Reading fails with this message after `whole` frames.
fn check_error(file: &[u8], whole: usize, expected: &str) {
    let (frames, error) = read(file);
    assert_eq!((frames.len(), error.as_deref()), (whole, Some(expected)));
}

#[test]
fn classic_captures_of_both_orders_and_units() {
    let frame = Advert::default().frame();
    for writer in [Writer::BIG, Writer::LITTLE] {
        for (magic, unit_ns) in [(MICRO, 1_000), (NANO, 1)] {
            let file = [
                writer.classic(magic, ETHERNET),
                writer.record(7, 123_456, &frame),
            ]
            .concat();
            check(&file, &[(7_000_000_000 + 123_456 * unit_ns, "if0", false)]);
        }
    }
}

#[test]
fn next_generation_captures_of_both_orders() {
    let frame = Advert::default().frame();
    for writer in [Writer::BIG, Writer::LITTLE] {
        let nanoseconds = [writer.option(2, b"eth0"), writer.option(9, &[9])].concat();
        let file = [
            writer.section(),
            writer.interface(1, &nanoseconds),
            writer.interface(1, &[]),
            writer.block(5, &[0; 40]),
            writer.packet(0, 7_000_000_123, &frame, &[]),
            writer.packet(1, 7_000_001, &frame, &writer.option(2, &writer.u32(2))),
            writer.packet(1, 7_000_002, &frame, &writer.option(2, &writer.u32(1))),
            // Another section has interfaces of its own.
            Writer::BIG.section(),
            Writer::BIG.interface(1, &Writer::BIG.option(2, b"eth0")),
            Writer::BIG.packet(0, 7_000_003, &frame, &[]),
        ]
        .concat();
        check(
            &file,
            &[
                (7_000_000_123, "eth0", false),
                (7_000_001_000, "if1", true),
                (7_000_002_000, "if1", false),
                (7_000_003_000, "eth0", false),
            ],
        );
    }
}

#[test]
fn units_and_offsets_of_time() {
    for writer in [Writer::BIG, Writer::LITTLE] {
        for (resolution, offset_s, ticks, expected_ns) in [
            (0, 0, 3, 3_000_000_000),
            (3, 0, 3_001, 3_001_000_000),
            (6, 1_000, 1, 1_000_000_001_000),
            (9, -1, 1_000_000_001, 1),
            (12, 0, 5_999, 5),
            (127, 0, u64::MAX, 0),
            (0x80 | 10, 0, 1_536, 1_500_000_000),
            (0xff, 0, u64::MAX, 0),
        ] {
            let offset = i64::to_be_bytes(offset_s);
            let offset: Vec<u8> = match writer.0 {
                Order::Big => offset.to_vec(),
                Order::Little => offset.into_iter().rev().collect(),
            };
            let options = [writer.option(9, &[resolution]), writer.option(14, &offset)].concat();
            let file = [
                writer.section(),
                writer.interface(1, &options),
                writer.packet(0, ticks, &[0; 60], &[]),
            ]
            .concat();
            check(&file, &[(expected_ns, "if0", false)]);
        }
    }
}

#[test]
fn cooked_captures_become_ethernet_and_know_the_direction() {
    let advert = Advert::default().frame();
    let mut cooked = vec![0, 4, 0, 1, 0, 6];
    cooked.extend([0x52, 0x54, 0, 0, 0, 1, 0, 0, 0x08, 0x00]);
    cooked.extend(&advert[14..]);
    let mut cooked2 = vec![0x08, 0x00, 0, 0, 0, 0, 0, 7, 0, 1, 1, 6];
    cooked2.extend([0x52, 0x54, 0, 0, 0, 1, 0, 0]);
    cooked2.extend(&advert[14..]);
    let writer = Writer::LITTLE;
    for (link, record, interface, local) in
        [(113, cooked, "if0", true), (276, cooked2, "if7", false)]
    {
        let file = [
            writer.classic(MICRO, link),
            writer.record(1, 0, &record),
            writer.record(2, 0, &[0; 10]),
        ]
        .concat();
        let mut capture = Capture::open(&file[..]).unwrap();
        let frame = capture.next_frame().unwrap().unwrap();
        assert_eq!((&frame.bytes[6..], frame.local), (&advert[6..], local));
        let ifindex = frame.ifindex;
        assert_eq!(capture.interface(ifindex), interface);
        // Too short for the cooked header.
        assert!(capture.next_frame().unwrap().unwrap().bytes.is_empty());
        assert_eq!(capture.next_frame().unwrap(), None);
    }
}

#[test]
fn names_cannot_steer_a_terminal() {
    let writer = Writer::LITTLE;
    let name = writer.option(2, b"a\x1b[2J\nb\xff");
    let file = [
        writer.section(),
        writer.interface(1, &name),
        writer.packet(0, 1, &[0; 60], &[]),
    ]
    .concat();
    check(&file, &[(1_000, "a_[2J_b\u{fffd}", false)]);
}

#[test]
fn what_is_no_capture_is_refused() {
    let garbage = b"not a capture at all";
    check_error(b"", 0, "0 bytes are no capture; expected pcap or pcapng");
    check_error(b"ab", 0, "2 bytes are no capture; expected pcap or pcapng");
    check_error(
        garbage,
        0,
        "begins with 6e6f7420, which is no capture; expected pcap or pcapng",
    );
    check_error(
        &Writer::LITTLE.classic(MICRO, ETHERNET)[..20],
        0,
        "the file ends after 20 bytes; expected a pcap header of 24",
    );
    check_error(
        &Writer::BIG.classic(MICRO, 105),
        0,
        "link type 105 (IEEE 802.11); expected Ethernet (1) or Linux cooked (113, 276)",
    );
    check_error(
        &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 1, 2, 3, 4],
        0,
        "at packet 1: a section header without byte order; expected 1a2b3c4d",
    );
}

#[test]
fn damage_to_a_classic_capture_names_the_packet() {
    let writer = Writer::LITTLE;
    let frame = Advert::default().frame();
    let good = [writer.classic(MICRO, ETHERNET), writer.record(7, 0, &frame)].concat();
    let with = |more: &[u8]| [&good, more].concat();
    let second = writer.record(8, 0, &frame);
    check_error(
        &with(&second[..10]),
        1,
        "packet 2 is cut off: the file ends after 10 bytes of its header; expected 16",
    );
    check_error(
        &with(&second[..26]),
        1,
        "packet 2 is cut off: the file ends after 10 bytes of it; expected 46",
    );
    check_error(
        &with(&writer.record(8, 1_000_000, &frame)),
        1,
        "packet 2 has 1000000 as fraction of a second; expected less than 1000000",
    );
    let huge = [8, 0, u32::MAX, 0].map(|field| writer.u32(field)).concat();
    check_error(
        &with(&huge),
        1,
        "packet 2 claims 4294967295 bytes; expected at most 262144",
    );
    check_error(
        &with(&writer.record(3, 0, &frame)),
        1,
        "packet 2 is 4 s older than one before it; expected packets in order of time \
         (reordercap sorts a capture)",
    );
    check(
        &with(&writer.record(6, 500_000, &frame)),
        &[(7_000_000_000, "if0", false), (6_500_000_000, "if0", false)],
    );
}

#[test]
fn damage_to_a_next_generation_capture_names_the_packet() {
    let writer = Writer::LITTLE;
    let begin = [writer.section(), writer.interface(1, &[])].concat();
    let packet = writer.packet(0, 1_000_000, &[0; 60], &[]);
    let with = |more: &[u8]| [&begin, &packet, more].concat();
    for (more, expected) in [
        (
            packet[..5].to_vec(),
            "at packet 2: the file ends after 5 bytes of a block; expected 8",
        ),
        (
            packet[..50].to_vec(),
            "at packet 2: the file ends after 50 bytes of a block; expected 92",
        ),
        (
            writer.packet(1, 1_000_000, &[0; 60], &[]),
            "packet 2 is of interface 1; expected one of the 1 described before",
        ),
        (
            writer.packet(0, u64::MAX, &[0; 60], &[]),
            "packet 2 is of 18446744073709 s after 1970; expected a time from 1970 to 2262",
        ),
        (
            writer.block(3, &[0; 64]),
            "packet 2 has no time (a simple packet block); expected enhanced packet blocks",
        ),
        (
            [6, u32::MAX - 3].map(|field| writer.u32(field)).concat(),
            "at packet 2: a block that claims 4294967292 bytes; expected 32 to 1048576, \
             a multiple of 4",
        ),
        (
            [6, 33].map(|field| writer.u32(field)).concat(),
            "at packet 2: a block that claims 33 bytes; expected 32 to 1048576, a multiple of 4",
        ),
        (
            [77, 4].map(|field| writer.u32(field)).concat(),
            "at packet 2: a block that claims 4 bytes; expected at least 12, a multiple of 4",
        ),
        (
            [77, u32::MAX - 3, 0, 0]
                .map(|field| writer.u32(field))
                .concat(),
            "at packet 2: the file ends after 16 bytes of a block; expected 4294967292",
        ),
        (
            [77, 16, 0, 12].map(|field| writer.u32(field)).concat(),
            "at packet 2: a block that ends with length 12; expected 16",
        ),
    ] {
        check_error(&with(&more), 1, expected);
    }
    let mut greedy = packet.clone();
    greedy[20..24].copy_from_slice(&writer.u32(61));
    check_error(
        &[&begin, &greedy[..]].concat(),
        0,
        "packet 1 claims 61 bytes; expected at most 60, which its block has",
    );
    let other = [writer.section(), writer.interface(101, &[]), packet].concat();
    check_error(
        &other,
        0,
        "link type 101 (IP without a link layer); expected Ethernet (1) or Linux cooked (113, 276)",
    );
}

#[test]
fn no_damage_panics() {
    let writer = Writer::LITTLE;
    let frame = Advert::default().frame();
    let options = [writer.option(2, b"eth0"), writer.option(9, &[9])].concat();
    let files = [
        [
            writer.classic(MICRO, 113),
            writer.record(7, 1, &frame),
            writer.record(8, 1, &frame),
        ]
        .concat(),
        [
            writer.section(),
            writer.interface(1, &options),
            writer.packet(0, 7_000, &frame, &writer.option(2, &writer.u32(2))),
            writer.packet(0, 8_000, &frame, &[]),
        ]
        .concat(),
    ];
    let mut numbers = Numbers(1);
    for file in files {
        for length in 0..file.len() {
            read(&file[..length]);
        }
        for _ in 0..20_000 {
            let mut damaged = file.clone();
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(file.len());
                damaged[at] = numbers.below(256) as u8;
            }
            read(&damaged);
        }
    }
}
