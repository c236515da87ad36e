use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use keepfast_common::blackbox::{ANNOUNCED, BlackBox, FIRST_PACKET, PEER_SAYS};
use keepfast_common::event::{Changes, EventKind, Party};
use keepfast_common::time::down_after_ns;

use super::*;
use crate::report::clock::ClockMapping;

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// When the old primary was heard last.
const LOST: u64 = 1_000 * SECOND;

const OLD: Party = Party {
    address: [10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    mac: [2, 0, 0, 0, 0, 1],
    interval_cs: 100,
    priority: 100,
    version: 3,
    ..Party::NOBODY
};
const NEW: Party = Party {
    address: [10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    mac: [2, 0, 0, 0, 0, 2],
    priority: 254,
    local: 1,
    ..OLD
};

/// A router's past, as it is told.
struct Story(Evidence);

impl Story {
    fn new() -> Self {
        Self(Evidence {
            router: "r".to_owned(),
            identity: Identity {
                netns: 4,
                ifindex: 2,
                family: 4,
                vrid: 7,
                version: 3,
                priority: 90,
                advert_interval_ns: SECOND,
                links: BTreeMap::from([(2, "ha0".to_owned())]),
            },
            boxes: [BlackBox::EMPTY; 2],
            log: Vec::new(),
        })
    }

    fn advert(&mut self, at: u64, party: Party) {
        let party = Party {
            heard_ns: at,
            ..party
        };
        self.0.boxes[0].advert(&party, 2);
    }

    fn event(&mut self, kind: EventKind, at: u64, old: Party, new: Party) {
        let mut changes = Changes::NONE;
        changes.begin(&old, &new);
        self.0.boxes[0].event(kind as u8, &changes, at, 2);
    }

    fn peer(&mut self, kind: EventKind, at: u64, answered: u64, first: u64) {
        let record = self.0.boxes[1].next(kind as u8, at, 2).unwrap();
        record.mac = OLD.mac;
        record.heard_ns = answered;
        record.due_ns = first;
    }

    fn says(&mut self, at: u64, reason: Reason) {
        let record = self.0.boxes[0].next(PEER_SAYS, at, 2).unwrap();
        record.mac = OLD.mac;
        record.detail = reason.number();
    }

    fn seen(&mut self, kind: u8, at: u64) {
        let record = self.0.boxes[0].next(kind, at, 2).unwrap();
        record.local = 1;
        record.family = 4;
    }

    fn log(&mut self, at: u64, event: &str, detail: &str) {
        self.0.log.push(Line {
            at_ns: at,
            event: event.to_owned(),
            detail: detail.to_owned(),
        });
    }

    /// The master advertises and its host answers until [`LOST`].
    fn before() -> Self {
        let mut story = Self::new();
        story.event(
            EventKind::MasterAppeared,
            LOST - 9 * SECOND,
            Party::NOBODY,
            OLD,
        );
        story.peer(EventKind::PeerUp, LOST - 8 * SECOND, LOST - 8 * SECOND, 0);
        story.advert(LOST - SECOND / 2, OLD);
        story
    }

    /// This host takes over at [`LOST`] and 4 ms, with the first packet 2 ms later.
    fn taken_over(mut self) -> Self {
        self.log(LOST + 3 * MS, "takeover_begins", "because");
        self.advert(LOST + 4 * MS, NEW);
        self.event(EventKind::LocalMaster, LOST + 4 * MS, OLD, NEW);
        self.seen(ANNOUNCED, LOST + 5 * MS);
        self.log(
            LOST + 5 * MS,
            "state",
            "rising -> primary: 10.0.0.9/24 added",
        );
        self.seen(FIRST_PACKET, LOST + 6 * MS);
        self
    }

    fn report(&self) -> Report {
        let turn = *turns(&self.0).last().unwrap();
        let clock = ClockMapping::fixed(0, TimeZone::UTC);
        Report::build(&self.0, &turn, &clock)
    }
}

fn silent() -> Story {
    let mut story = Story::before();
    story.peer(EventKind::PeerSilent, LOST + 3 * MS, LOST, LOST + MS);
    story.taken_over()
}

pub(super) fn any_report() -> Report {
    silent().report()
}

fn resigned() -> Story {
    let mut story = Story::before();
    let last = Party {
        heard_ns: LOST,
        priority: 0,
        ..OLD
    };
    story.advert(LOST, last);
    story.event(EventKind::MasterResigned, LOST, OLD, last);
    story
}

#[test]
fn a_silent_host_is_measured_from_its_last_answer_to_the_first_packet() {
    let report = silent().report();
    assert_eq!(report.cause, Cause::PeerSilent);
    assert_eq!(report.side, Side::NewPrimary);
    assert_eq!(report.outage_ns, Some(6 * MS));
    assert_eq!(report.outage_until, Some(Until::FirstPacket));
    let stock = down_after_ns(3, 100, 90) - SECOND / 2;
    assert_eq!(report.stock_ns, Some(stock));
    let expected = Steps {
        last_advert_ns: Some(LOST - SECOND / 2),
        last_answer_ns: Some(LOST),
        first_unanswered_ns: Some(LOST + MS),
        detected_ns: Some(LOST + 3 * MS),
        decided_ns: Some(LOST + 3 * MS),
        took_over_ns: Some(LOST + 4 * MS),
        address_ns: Some(LOST + 5 * MS),
        announced_ns: Some(LOST + 5 * MS),
        first_packet_ns: Some(LOST + 6 * MS),
    };
    assert_eq!(report.steps, expected);
}

#[test]
fn a_silent_host_that_says_why_when_it_is_back_was_not_heard_to_resign() {
    let mut story = silent();
    story.says(LOST + 2 * SECOND, Reason::Interface);
    let report = story.report();
    assert_eq!(report.cause, Cause::PeerInterface);
    assert_eq!(report.stock_ns, silent().report().stock_ns);
}

#[test]
fn without_traffic_the_announcement_counts() {
    let mut story = Story::before();
    story.peer(EventKind::PeerSilent, LOST + 3 * MS, LOST, LOST + MS);
    story.event(EventKind::LocalMaster, LOST + 4 * MS, OLD, NEW);
    story.seen(ANNOUNCED, LOST + 5 * MS);
    let report = story.report();
    assert_eq!(report.outage_ns, Some(5 * MS));
    assert_eq!(report.outage_until, Some(Until::Announcement));
}

#[test]
fn who_resigns_may_say_why() {
    let skew = down_after_ns(3, 100, 90) - 3 * SECOND;
    let before = resigned().taken_over().report();
    assert_eq!(before.cause, Cause::PeerResigned);
    assert_eq!(
        (before.outage_ns, before.stock_ns),
        (Some(6 * MS), Some(skew))
    );
    for (reason, cause) in [
        (Reason::Keepalived, Cause::PeerKeepalived),
        (Reason::Interface, Cause::PeerInterface),
        (Reason::Operator, Cause::HandedOver),
        (Reason::Gateway, Cause::GatewayLost),
    ] {
        for at in [LOST - MS, LOST + MS, LOST + 2 * SECOND] {
            let mut story = resigned().taken_over();
            story.says(at, reason);
            let report = story.report();
            assert_eq!(report.cause, cause, "said at {at}");
            assert_eq!(report.outage_ns, Some(6 * MS), "{reason:?}");
        }
        let mut stale = resigned().taken_over();
        stale.says(LOST - SECOND, reason);
        assert_eq!(stale.report().cause, Cause::PeerResigned);
    }
}

#[test]
fn what_the_timer_finds_is_told_apart_by_the_host() {
    let mut story = Story::before();
    story.event(EventKind::MasterDown, LOST + 3 * SECOND, OLD, Party::NOBODY);
    story.event(EventKind::LocalMaster, LOST + 4 * SECOND, OLD, NEW);
    assert_eq!(story.report().cause, Cause::PeerKeepalivedSilent);
    let mut unprobed = Story::new();
    unprobed.advert(LOST, OLD);
    unprobed.event(EventKind::MasterDown, LOST + 3 * SECOND, OLD, Party::NOBODY);
    unprobed.event(EventKind::LocalMaster, LOST + 4 * SECOND, OLD, NEW);
    let report = unprobed.report();
    assert_eq!(report.cause, Cause::AdvertsCeased);
    assert_eq!(report.stock_ns, Some(down_after_ns(3, 100, 90)));
}

#[test]
fn the_first_primary_has_no_outage() {
    let mut story = Story::new();
    story.event(EventKind::LocalMaster, LOST, Party::NOBODY, NEW);
    story.seen(ANNOUNCED, LOST + MS);
    let report = story.report();
    assert_eq!(report.cause, Cause::FirstStart);
    assert_eq!((report.outage_ns, report.stock_ns), (None, None));
    let mut better = Story::new();
    better.0.identity.priority = 200;
    better.advert(LOST - MS, OLD);
    better.event(EventKind::LocalMaster, LOST, OLD, NEW);
    assert_eq!(better.report().cause, Cause::Preempted);
}

#[test]
fn the_old_primary_tells_its_own_side() {
    let own = Party { local: 1, ..OLD };
    let other = Party { local: 0, ..NEW };
    for (words, cause) in [
        (Some(Reason::Keepalived), Cause::OwnKeepalived),
        (Some(Reason::Interface), Cause::OwnInterface),
        (Some(Reason::Operator), Cause::HandedOver),
        (Some(Reason::Gateway), Cause::GatewayLost),
        (None, Cause::Outranked),
    ] {
        let mut story = Story::new();
        story.event(
            EventKind::LocalMaster,
            LOST - 9 * SECOND,
            Party::NOBODY,
            own,
        );
        story.advert(LOST - MS, own);
        if let Some(reason) = words {
            story.log(LOST + MS, GIVES_UP, reason.words());
            story.event(EventKind::LocalResigned, LOST, own, own);
        }
        story.event(EventKind::MasterChanged, LOST + 2 * MS, own, other);
        // keepalived answers before it gives way.
        story.event(EventKind::LocalMaster, LOST + 3 * MS, other, own);
        story.event(EventKind::MasterChanged, LOST + 4 * MS, own, other);
        let report = story.report();
        assert_eq!((report.side, report.cause), (Side::OldPrimary, cause));
        let turned = if words.is_some() { LOST } else { LOST + 2 * MS };
        assert_eq!(report.turned_ns, turned);
        assert_eq!(report.steps.last_advert_ns, Some(LOST - MS));
        assert_eq!(report.steps.took_over_ns, Some(LOST + 2 * MS));
    }
}

#[test]
fn a_log_of_another_boot_is_not_mixed_in() {
    let mut story = Story::new();
    story.log(LOST + 900 * SECOND, "local_master", "of another boot");
    story.log(5 * SECOND, "started", "keepalived");
    story.event(EventKind::LocalMaster, LOST, Party::NOBODY, NEW);
    let report = story.report();
    assert_eq!(report.turned_ns, LOST);
    assert!(!text::render(&report).contains("another boot"));
}

#[test]
fn what_the_kernel_told_is_not_told_twice() {
    let mut story = silent();
    story.log(LOST + 4 * MS, "local_master", "this host is master now");
    let report = story.report();
    let times = report
        .timeline
        .iter()
        .filter(|it| it.event == "local_master");
    assert_eq!(times.count(), 1);
}

#[test]
fn a_page_has_the_figures_and_no_markup_of_others() {
    let mut story = silent();
    story.0.router = "<script>alert('r')</script>".to_owned();
    story.log(
        LOST + 2 * MS,
        "trouble",
        "a & b <img src=\"http://example.net/\">",
    );
    let report = story.report();
    let page = html::render(&report);
    for text in [
        "<strong>6 ms</strong>",
        "&lt;script&gt;alert(&#39;r&#39;)&lt;/script&gt;",
        "trouble: a &amp; b &lt;img src=&quot;http://example.net/&quot;&gt;",
        "first packet <tspan class=\"tick\">+6.000 ms</tspan>",
        "keepalived alone: 3.148 s",
        "<code>peer_silent</code>",
    ] {
        assert!(page.contains(text), "no {text} in {page}");
    }
    for markup in ["<script", "<img", "src=\"", "url(", "@import"] {
        assert!(!page.contains(markup), "{markup} in {page}");
    }
    // One element for each step that is near enough to be plotted.
    assert_eq!(page.matches("<circle").count(), 8);
}

/// Any past at all is one that something can be said of.
#[test]
fn nothing_that_a_box_holds_is_too_strange() {
    let mut number = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        number
    };
    let clock = ClockMapping::fixed(0, TimeZone::UTC);
    let mut reports = 0;
    for _ in 0..300 {
        let mut story = Story::new();
        for _ in 0..random() % 90 {
            let wild = random() % 16 == 0;
            let at = if wild {
                random()
            } else {
                LOST + random() % (20 * SECOND)
            };
            let party = |bits: u64| Party {
                heard_ns: at,
                local: (bits & 1) as u8,
                priority: (bits >> 8) as u8,
                ..OLD
            };
            let (old, new) = (party(random()), party(random()));
            match random() % 4 {
                0 => story.advert(at, new),
                1 => {
                    let kind = random() as usize % EventKind::ALL.len();
                    story.event(EventKind::ALL[kind], at, old, new);
                }
                2 => {
                    let record = story.0.boxes[1].next(random() as u8, at, 9).unwrap();
                    record.heard_ns = random();
                    record.due_ns = random();
                    record.detail = random() as u8;
                }
                _ => story.log(at, "state", "primary -> backup: so"),
            }
        }
        let turns = turns(&story.0);
        for pair in turns.windows(2) {
            assert!(pair[0].at_ns <= pair[1].at_ns);
            assert_ne!(pair[0].side, pair[1].side);
        }
        for turn in turns {
            let report = Report::build(&story.0, &turn, &clock);
            let times: Vec<_> = report.timeline.iter().map(|it| it.at_ns).collect();
            assert!(times.is_sorted());
            assert!(!text::render(&report).is_empty());
            assert!(html::render(&report).ends_with("</html>\n"));
            let again: Report =
                serde_json::from_value(serde_json::to_value(&report).unwrap()).unwrap();
            assert_eq!(again, report);
            reports += 1;
        }
    }
    assert!(reports > 300, "{reports}");
}
