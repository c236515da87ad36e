//! Arbitrary bytes as two black boxes and an event log, and the reports made of them.

use std::collections::BTreeMap;

use keepfast::postmortem::{Evidence, Identity, Line, Report, html, text, turns};
use keepfast::report::ClockMapping;
use keepfast_common::blackbox::BlackBox;

/// Each two of them are a name and a text, in the log.
const MOST_LINES: usize = 64;

pub(crate) fn run(bytes: &[u8]) {
    let (one, rest) = black_box(bytes);
    let (two, rest) = black_box(rest);
    let evidence = Evidence {
        router: "office".to_owned(),
        identity: Identity {
            netns: 0,
            ifindex: 2,
            family: 4,
            vrid: 7,
            version: 3,
            priority: 100,
            advert_interval_ns: 1_000_000_000,
            links: BTreeMap::from([(2, "eth0".to_owned())]),
        },
        boxes: [one, two],
        log: rest
            .split(|byte| *byte == b'\n')
            .take(MOST_LINES)
            .filter_map(line)
            .collect(),
    };
    let clock = ClockMapping::capture();
    for turn in turns(&evidence) {
        let report = Report::build(&evidence, &turn, &clock);
        assert!(!text::render(&report).is_empty());
        let page = html::render(&report).to_ascii_lowercase();
        for tag in ["<script", "<img", "<iframe", "<object"] {
            assert!(!page.contains(tag), "{page}");
        }
    }
}

/// As much of a black box as there is; the rest of it is empty.
fn black_box(bytes: &[u8]) -> (BlackBox, &[u8]) {
    let mut black_box = BlackBox::EMPTY;
    let room = bytemuck::bytes_of_mut(&mut black_box);
    let (own, rest) = bytes.split_at_checked(room.len()).unwrap_or((bytes, &[]));
    for (to, from) in room.iter_mut().zip(own) {
        *to = *from;
    }
    (black_box, rest)
}

/// Eight bytes of time, a name, a space, and words.
fn line(bytes: &[u8]) -> Option<Line> {
    let (time, text) = bytes.split_first_chunk::<8>()?;
    let text = String::from_utf8_lossy(text);
    let (event, detail) = text.split_once(' ')?;
    Some(Line {
        at_ns: u64::from_le_bytes(*time),
        event: event.to_owned(),
        detail: detail.to_owned(),
    })
}
