use jiff::tz::TimeZone;

use super::*;
use crate::frames::{Advert, REQUEST, arp, corpus};
use crate::pcap::tests::{ETHERNET, MICRO, Writer};

/// 2026-08-24T15:04:05Z.
const START: u32 = 1_787_583_845;

/// The lines, the summary, and the error at the end of a replay.
fn replay(file: &[u8], gateways: &[IpAddr], format: Format) -> (String, String, Option<String>) {
    let mut reporter = Reporter::new(format, ClockMapping::fixed(0, TimeZone::UTC));
    let capture = Capture::open(file).unwrap();
    let mut replay = Replay::new(capture, gateways);
    let mut out = Vec::new();
    let outcome = replay.run(&mut reporter, &mut out);
    let error = outcome.err().map(|error| format!("{error:#}"));
    (String::from_utf8(out).unwrap(), replay.summary(), error)
}

/// A capture of frames, each with its milliseconds after the start.
fn capture(frames: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = Writer::LITTLE.classic(MICRO, ETHERNET);
    for (at_ms, frame) in frames {
        let seconds = START + at_ms / 1_000;
        file.extend(Writer::LITTLE.record(seconds, at_ms % 1_000 * 1_000, frame));
    }
    file
}

fn check(frames: &[(u32, Vec<u8>)], lines: &[&str], summary: &[&str]) {
    let (found, told, error) = replay(&capture(frames), &[], Format::Words);
    assert_eq!(error, None);
    assert_eq!(found.lines().collect::<Vec<_>>(), lines);
    assert_eq!(told.lines().collect::<Vec<_>>(), summary);
}

#[test]
fn a_power_cut_reads_as_watching_would_have_told_it() {
    let master = Advert {
        priority: 101,
        ..Advert::default()
    };
    let backup = Advert {
        host: 2,
        ..Advert::default()
    };
    check(
        &[
            (0, master.frame()),
            (1_000, master.frame()),
            (4_613, backup.frame()),
            (5_613, backup.frame()),
        ],
        &[
            "2026-08-24, times in +00:00",
            "15:04:05.000000   +0.000000s  if0 vrid 51  \
             192.0.2.1 is master now, priority 101, adverts every 1 s (VRRPv3)",
            "15:04:07.250000   +2.250000s  if0 vrid 51  \
             advert of master 192.0.2.1 is late: none for 1.25 s, expected every 1 s",
            "15:04:09.605468   +2.355468s  if0 vrid 51  \
             master 192.0.2.1 is down: no advert for 3.605 s (3 x 1 s + skew 0.605 s)",
            "15:04:09.613000   +0.007531s  if0 vrid 51  \
             192.0.2.2 is master now, priority 100, adverts every 1 s (VRRPv3); \
             the last advert of 192.0.2.1 (priority 101) was 3.613 s ago",
        ],
        &[
            "frames: 4 in 5.613 s",
            "  if0 vrid 51: adverts received: 4, sent: 0; the last master was 192.0.2.2, \
             the longest gap 1 s",
        ],
    );
}

#[test]
fn nothing_comes_due_after_the_end() {
    check(
        &[(0, Advert::default().frame())],
        &[
            "2026-08-24, times in +00:00",
            "15:04:05.000000   +0.000000s  if0 vrid 51  \
             192.0.2.1 is master now, priority 100, adverts every 1 s (VRRPv3)",
        ],
        &[
            "frames: 1 in 0 us",
            "  if0 vrid 51: adverts received: 1, sent: 0; the last master was 192.0.2.1, \
             the longest gap 0 us",
        ],
    );
}

#[test]
fn rejects_vlans_and_disorder_are_summed_up() {
    let ttl = Advert {
        ttl: 64,
        ..Advert::default()
    };
    let tagged = Advert {
        vlan: Some(10),
        vrid: 7,
        ..Advert::default()
    };
    check(
        &[(0, ttl.frame()), (500, ttl.frame()), (400, tagged.frame())],
        &[
            "2026-08-24, times in +00:00",
            "15:04:05.000000   +0.000000s  if0 vrid 51  \
             advert of 192.0.2.1 (52:54:00:00:00:01) rejected: TTL or hop limit is not 255",
            "15:04:05.500000   +0.500000s  if0 vlan 10 vrid 7  \
             192.0.2.1 is master now, priority 100, adverts every 1 s (VRRPv3)",
        ],
        &[
            "frames: 3 in 0.5 s",
            "  if0 vlan 10 vrid 7: adverts received: 1, sent: 0; the last master was 192.0.2.1, \
             the longest gap 0 us",
            "  rejected: 2, TTL or hop limit is not 255",
            "  1 older than the frame before; taken as simultaneous",
        ],
    );
}

#[test]
fn packet_directions_and_gateways_come_from_pcapng() {
    let writer = Writer::LITTLE;
    let (inbound, outbound) = (writer.u32(1), writer.u32(2));
    let at = |ms: u64| (u64::from(START) * 1_000 + ms) * 1_000;
    let file = [
        writer.section(),
        writer.interface(1, &writer.option(2, b"eth0")),
        writer.packet(
            0,
            at(0),
            &Advert::default().frame(),
            &writer.option(2, &outbound),
        ),
        writer.packet(
            0,
            at(10),
            &arp(REQUEST, 1, 1, 254),
            &writer.option(2, &outbound),
        ),
        writer.packet(
            0,
            at(1_400),
            &arp(REQUEST, 2, 2, 3),
            &writer.option(2, &inbound),
        ),
    ]
    .concat();
    let gateway: IpAddr = "192.0.2.254".parse().unwrap();
    let (lines, summary, error) = replay(&file, &[gateway], Format::Words);
    assert_eq!(error, None);
    assert_eq!(
        lines.lines().collect::<Vec<_>>(),
        [
            "2026-08-24, times in +00:00",
            "15:04:05.000000   +0.000000s  eth0 vrid 51  \
             this host (192.0.2.1) is master now, priority 100, adverts every 1 s (VRRPv3)",
            "15:04:06.010000   +1.010000s  eth0          \
             gateway 192.0.2.254 does not answer; it was never heard",
            "15:04:06.250000   +0.240000s  eth0 vrid 51  \
             this host (192.0.2.1) is master but sends no advert: none for 1.25 s, \
             expected every 1 s; is keepalived stuck?",
        ]
    );
    assert!(
        summary.contains("eth0 vrid 51: adverts received: 0, sent: 1"),
        "{summary}"
    );
}

#[test]
fn a_truncated_capture_is_told_until_its_damage() {
    let file = capture(&[
        (0, Advert::default().frame()),
        (1_000, Advert::default().frame()),
    ]);
    let (lines, summary, error) = replay(&file[..file.len() - 1], &[], Format::Words);
    assert_eq!(lines.lines().count(), 2);
    assert!(summary.starts_with("frames: 1 in 0 us\n"), "{summary}");
    assert_eq!(
        error.unwrap(),
        "packet 2 is cut off: the file ends after 45 bytes of it; expected 46"
    );
}

#[test]
fn json_has_the_captures_times() {
    let (lines, ..) = replay(
        &capture(&[(250, Advert::default().frame())]),
        &[],
        Format::Json,
    );
    let object: serde_json::Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(object["kind"], "master_appeared");
    assert_eq!(object["time"], "2026-08-24T15:04:05.250000000Z");
    assert_eq!(object["monotonic_ns"], 1_787_583_845_250_000_000_u64);
    assert_eq!(
        (&object["interface"], &object["cpu"]),
        (&"if0".into(), &0.into())
    );
}

#[test]
fn captured_frames_are_understood() {
    let names = [
        "vrrp-v3",
        "vrrp-v3-resign",
        "vrrp-v6",
        "frr-v2",
        "vrrp-v2-ah",
    ];
    let frames: Vec<_> = names
        .iter()
        .filter_map(|name| corpus(name))
        .map(|frame| (0, frame))
        .collect();
    if frames.len() < names.len() {
        eprintln!("skipped: common/corpus is not there");
        return;
    }
    let (lines, summary, error) = replay(&capture(&frames), &[], Format::Words);
    assert_eq!(error, None);
    assert!(lines.contains("resigned (priority 0)"), "{lines}");
    assert!(lines.contains("(VRRPv2)"), "{lines}");
    assert!(lines.contains("fe80::"), "{lines}");
    assert!(
        !lines.contains("rejected") && !summary.contains("rejected"),
        "{lines}{summary}"
    );
}
