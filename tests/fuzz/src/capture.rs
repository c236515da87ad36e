//! Arbitrary bytes as a capture, and what `keepfast replay` tells of it.

use std::net::{IpAddr, Ipv4Addr};

use keepfast::pcap::Capture;
use keepfast::replay::Replay;
use keepfast::report::{ClockMapping, Format, Reporter};

use crate::assert_harmless;

const GATEWAY: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254))];

pub(crate) fn run(bytes: &[u8]) {
    let Ok(capture) = Capture::open(bytes) else {
        return;
    };
    let mut replay = Replay::new(capture, &GATEWAY);
    let mut reporter = Reporter::new(Format::Words, ClockMapping::capture());
    let mut lines = Vec::new();
    if let Err(error) = replay.run(&mut reporter, &mut lines) {
        assert_harmless(&format!("{error:#}"));
    }
    assert_harmless(&String::from_utf8_lossy(&lines));
    assert_harmless(&replay.summary());
}
