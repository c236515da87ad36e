use jiff::tz::TimeZone;
use keepfast_common::event::{Event, EventKind, Party};
use keepfast_common::wire::{IPV4, IPV6, Reject, widen};

use super::{ClockMapping, Format, Place, Reporter, words};

const SECOND: u64 = 1_000_000_000;
/// When the events happen, on their own clock.
const NOW: u64 = 100 * SECOND;
const ETH0: Place<'_> = Place {
    interface: "eth0",
    netns: None,
};

const NOTHING: Event = Event {
    sequence: 1,
    time_ns: NOW,
    due_ns: 0,
    old: Party::NOBODY,
    new: Party::NOBODY,
    netns: 4_026_531_840,
    ifindex: 2,
    vlan: 0,
    inner_vlan: 0,
    family: IPV4,
    vrid: 51,
    kind: 0,
    reason: 0,
    cpu: 0,
    session: 0,
};

/// 192.0.2.`host` with this priority, heard `ago_ms` before now.
const fn router(host: u8, priority: u8, ago_ms: u64) -> Party {
    Party {
        heard_ns: NOW - ago_ms * 1_000_000,
        address: widen([192, 0, 2, host]),
        mac: [0x52, 0x54, 0, 0, 0, host],
        interval_cs: 100,
        priority,
        version: 3,
        ..Party::NOBODY
    }
}

const fn local(party: Party) -> Party {
    Party { local: 1, ..party }
}

/// Who holds 192.0.2.254: 52:54:00:00:00:`host`, nobody known for 0.
const fn holder(host: u8, heard_ns: u64) -> Party {
    Party {
        heard_ns,
        address: widen([192, 0, 2, 254]),
        mac: if host == 0 {
            [0; 6]
        } else {
            [0x52, 0x54, 0, 0, 0, host]
        },
        ..Party::NOBODY
    }
}

fn event(kind: EventKind, old: Party, new: Party) -> Event {
    Event {
        kind: kind as u8,
        old,
        new,
        ..NOTHING
    }
}

/// An event that a timer found in time.
fn timer(kind: EventKind, old: Party, new: Party) -> Event {
    Event {
        due_ns: NOW,
        ..event(kind, old, new)
    }
}

#[test]
fn every_kind_has_its_words() {
    use EventKind as Kind;
    let (a, b) = (router(1, 150, 0), router(2, 100, 0));
    let gone = Party {
        heard_ns: NOW - 3_609_375_000,
        priority: 100,
        ..router(1, 100, 0)
    };
    for (event, expected) in [
        (
            event(Kind::MasterAppeared, Party::NOBODY, b),
            "192.0.2.2 is master now, priority 100, adverts every 1 s (VRRPv3)",
        ),
        (
            event(Kind::MasterAppeared, router(1, 150, 3_613), b),
            "192.0.2.2 is master now, priority 100, adverts every 1 s (VRRPv3); \
             the last advert of 192.0.2.1 (priority 150) was 3.613 s ago",
        ),
        (
            event(Kind::MasterAppeared, router(2, 100, 5_000), b),
            "192.0.2.2 is master again, priority 100, adverts every 1 s (VRRPv3); \
             its last advert was 5 s ago",
        ),
        (
            event(Kind::MasterChanged, router(2, 100, 400), a),
            "192.0.2.1 is master now, priority 150, adverts every 1 s (VRRPv3), \
             after 192.0.2.2 (priority 100)",
        ),
        (
            event(
                Kind::MasterChanged,
                local(router(2, 100, 400)),
                Party { version: 2, ..a },
            ),
            "192.0.2.1 is master now, priority 150, adverts every 1 s (VRRPv2), \
             after this host (192.0.2.2, priority 100)",
        ),
        (
            event(
                Kind::PriorityChanged,
                router(1, 150, 1_000),
                router(1, 90, 0),
            ),
            "master 192.0.2.1 changed its priority: 150 -> 90",
        ),
        (
            event(
                Kind::PriorityChanged,
                local(router(1, 150, 1_000)),
                local(router(1, 90, 0)),
            ),
            "this host (192.0.2.1) changed its priority: 150 -> 90",
        ),
        (
            event(Kind::MasterResigned, router(1, 150, 400), router(1, 0, 0)),
            "master 192.0.2.1 resigned (priority 0); a backup should be master within 1 s",
        ),
        (
            timer(Kind::AdvertLate, router(1, 150, 1_250), Party::NOBODY),
            "advert of master 192.0.2.1 is late: none for 1.25 s, expected every 1 s",
        ),
        (
            event(Kind::AdvertResumed, router(1, 150, 2_100), a),
            "master 192.0.2.1 advertises again after 2.1 s, expected every 1 s",
        ),
        (
            timer(Kind::MasterDown, gone, Party::NOBODY),
            "master 192.0.2.1 is down: no advert for 3.609 s (3 x 1 s + skew 0.609 s)",
        ),
        (
            timer(Kind::MasterDown, local(gone), Party::NOBODY),
            "this host (192.0.2.1) is no longer master: \
             no advert for 3.609 s (3 x 1 s + skew 0.609 s)",
        ),
        (
            timer(Kind::MasterDown, router(1, 150, 1_400), Party::NOBODY),
            "no master: nobody has followed 192.0.2.1 within 1 s since it resigned",
        ),
        (
            event(Kind::MultipleMasters, router(1, 150, 400), b),
            "several masters: 192.0.2.2 (priority 100) keeps advertising \
             although 192.0.2.1 (priority 150) does",
        ),
        (
            event(Kind::MultipleMasters, router(1, 150, 400), local(b)),
            "several masters: this host (192.0.2.2, priority 100) keeps advertising \
             although 192.0.2.1 (priority 150) does",
        ),
        (
            timer(Kind::SingleMaster, a, router(2, 100, 3_609)),
            "a single master again: 192.0.2.1; 192.0.2.2 fell silent",
        ),
        (
            event(Kind::SingleMaster, a, router(2, 0, 0)),
            "a single master again: 192.0.2.1; 192.0.2.2 resigned",
        ),
        (
            event(Kind::SingleMaster, a, router(1, 0, 0)),
            "no longer several masters: 192.0.2.1 resigned",
        ),
        (
            event(Kind::SingleMaster, a, b),
            "a single master again: 192.0.2.2",
        ),
        (
            event(Kind::LocalMaster, router(1, 150, 3_613), local(b)),
            "this host (192.0.2.2) is master now, priority 100, adverts every 1 s (VRRPv3), \
             after 192.0.2.1 (priority 150)",
        ),
        (
            event(Kind::LocalMaster, local(router(2, 100, 9_000)), local(b)),
            "this host (192.0.2.2) is master again, priority 100, adverts every 1 s (VRRPv3); \
             its last advert was 9 s ago",
        ),
        (
            event(
                Kind::LocalResigned,
                local(router(2, 100, 400)),
                local(router(2, 0, 0)),
            ),
            "this host (192.0.2.2) resigned (priority 0); a backup should be master within 1 s",
        ),
        (
            event(Kind::LocalResigned, a, local(router(2, 0, 0))),
            "this host (192.0.2.2) resigned (priority 0); 192.0.2.1 stays master",
        ),
        (
            timer(
                Kind::LocalStalled,
                local(router(2, 100, 1_250)),
                Party::NOBODY,
            ),
            "this host (192.0.2.2) is master but sends no advert: none for 1.25 s, \
             expected every 1 s; is keepalived stuck?",
        ),
        (
            event(Kind::LocalResumed, local(router(2, 100, 2_100)), local(b)),
            "this host (192.0.2.2) advertises again after 2.1 s, expected every 1 s",
        ),
        (
            Event {
                reason: Reject::Checksum as u8,
                ..event(Kind::AdvertRejected, Party::NOBODY, b)
            },
            "advert of 192.0.2.2 (52:54:00:00:00:02) rejected: wrong checksum",
        ),
        (
            Event {
                reason: Reject::Truncated as u8,
                ..event(
                    Kind::AdvertRejected,
                    Party::NOBODY,
                    Party {
                        address: [0; 16],
                        ..b
                    },
                )
            },
            "advert from 52:54:00:00:00:02 rejected: truncated",
        ),
        (
            Event {
                reason: 77,
                ..event(Kind::AdvertRejected, Party::NOBODY, b)
            },
            "advert of 192.0.2.2 (52:54:00:00:00:02) rejected: unknown reason 77",
        ),
        (
            event(Kind::GatewaySeen, holder(0, 0), holder(1, NOW)),
            "gateway 192.0.2.254 is at 52:54:00:00:00:01",
        ),
        (
            event(
                Kind::GatewaySeen,
                holder(1, NOW - 12 * SECOND),
                holder(1, NOW),
            ),
            "gateway 192.0.2.254 is heard again after 12 s, at 52:54:00:00:00:01",
        ),
        (
            event(
                Kind::GatewaySeen,
                holder(1, NOW - 12 * SECOND),
                holder(2, NOW),
            ),
            "gateway 192.0.2.254 is heard again after 12 s, at 52:54:00:00:00:02, \
             before at 52:54:00:00:00:01",
        ),
        (
            event(
                Kind::GatewayMacChanged,
                holder(1, NOW - SECOND),
                holder(2, NOW),
            ),
            "gateway 192.0.2.254 is at another MAC address: \
             52:54:00:00:00:01 -> 52:54:00:00:00:02",
        ),
        (
            timer(
                Kind::GatewaySilent,
                holder(1, NOW - 12 * SECOND),
                holder(0, 0),
            ),
            "gateway 192.0.2.254 does not answer; last heard 12 s ago, at 52:54:00:00:00:01",
        ),
        (
            timer(Kind::GatewaySilent, holder(0, 0), holder(0, 0)),
            "gateway 192.0.2.254 does not answer; it was never heard",
        ),
        (
            event(Kind::AddressClaimed, holder(0, 0), holder(2, NOW)),
            "virtual address 192.0.2.254 is announced by 52:54:00:00:00:02, \
             which is not its master",
        ),
        (
            event(
                Kind::AddressClaimed,
                holder(1, NOW - SECOND),
                holder(2, NOW),
            ),
            "virtual address 192.0.2.254 is announced by 52:54:00:00:00:02, \
             which is not its master; it was at 52:54:00:00:00:01",
        ),
        (
            event(
                Kind::AddressConflict,
                holder(1, NOW - SECOND),
                holder(2, NOW),
            ),
            "address 192.0.2.254 of this host is used by 52:54:00:00:00:02 too",
        ),
        (
            Event {
                kind: 200,
                ..NOTHING
            },
            "event of unknown kind 200: the programs are newer than this agent",
        ),
    ] {
        assert_eq!(words::sentence(&event), expected, "kind {}", event.kind);
    }
}

#[test]
fn the_skew_is_that_of_the_version_and_of_the_waiting_router() {
    for (version, interval_cs, waited_ns, expected) in [
        (
            2,
            200,
            6_804_687_500,
            "no advert for 6.804 s (3 x 2 s + skew 0.804 s)",
        ),
        (
            3,
            1,
            36_093_750,
            "no advert for 36.093 ms (3 x 10 ms + skew 6.093 ms)",
        ),
        // This host's router has priority 254, the master's does not matter.
        (
            3,
            100,
            3_007_812_500,
            "no advert for 3.007 s (3 x 1 s + skew 7.812 ms)",
        ),
    ] {
        let old = Party {
            version,
            interval_cs,
            heard_ns: NOW - waited_ns,
            ..router(1, 100, 0)
        };
        let words = words::sentence(&timer(EventKind::MasterDown, old, Party::NOBODY));
        assert_eq!(words, format!("master 192.0.2.1 is down: {expected}"));
    }
}

#[test]
fn a_late_timer_says_so() {
    let mut event = timer(EventKind::AdvertLate, router(1, 150, 1_250), Party::NOBODY);
    event.due_ns = NOW - 24_567;
    assert_eq!(
        words::sentence(&event),
        "advert of master 192.0.2.1 is late: none for 1.25 s, expected every 1 s \
         [timer 24.567 us late]"
    );
}

#[test]
fn ipv6_addresses_are_written_as_usual() {
    let address = "fe80::5054:ff:fe00:2"
        .parse::<std::net::Ipv6Addr>()
        .unwrap()
        .octets();
    let speaker = Party {
        address,
        ..router(2, 100, 0)
    };
    let event = Event {
        family: IPV6,
        ..event(EventKind::MasterAppeared, Party::NOBODY, speaker)
    };
    assert_eq!(
        words::sentence(&event),
        "fe80::5054:ff:fe00:2 is master now, priority 100, adverts every 1 s (VRRPv3)"
    );
}

#[test]
fn places_name_namespace_vlans_and_router() {
    let blue = Place {
        interface: "eth0",
        netns: Some("blue"),
    };
    for (event, place, expected) in [
        (NOTHING, ETH0, "eth0 vrid 51"),
        (NOTHING, blue, "blue/eth0 vrid 51"),
        (Event { vrid: 0, ..NOTHING }, ETH0, "eth0"),
        (
            Event {
                vlan: 10,
                ..NOTHING
            },
            ETH0,
            "eth0 vlan 10 vrid 51",
        ),
        (
            Event {
                vlan: 100,
                inner_vlan: 10,
                ..NOTHING
            },
            blue,
            "blue/eth0 vlan 100.10 vrid 51",
        ),
    ] {
        assert_eq!(words::place(&event, &place), expected);
    }
}

/// 2026-08-24T15:04:05.123456789Z at [`NOW`].
fn afternoon() -> ClockMapping {
    ClockMapping::fixed(1_787_583_845_123_456_789 - NOW as i64, TimeZone::UTC)
}

#[test]
fn lines_have_columns_and_a_date_where_it_changes() {
    let mut reporter = Reporter::new(Format::Words, afternoon());
    let down = Party {
        heard_ns: NOW - 3_609_375_000,
        ..router(1, 100, 0)
    };
    let first = timer(EventKind::MasterDown, down, Party::NOBODY);
    assert_eq!(
        reporter.line(&first, &ETH0),
        "2026-08-24, times in +00:00\n\
         15:04:05.123456   +0.000000s  eth0 vrid 51  \
         master 192.0.2.1 is down: no advert for 3.609 s (3 x 1 s + skew 0.609 s)"
    );
    let second = Event {
        time_ns: NOW + 3_556_000,
        vrid: 7,
        ..event(EventKind::MasterAppeared, Party::NOBODY, router(2, 100, 0))
    };
    assert_eq!(
        reporter.line(&second, &ETH0),
        "15:04:05.127012   +0.003556s  eth0 vrid 7   \
         192.0.2.2 is master now, priority 100, adverts every 1 s (VRRPv3)"
    );
    // From another CPU, and so not in order.
    let third = Event {
        time_ns: NOW + 3_544_000,
        ..second
    };
    assert!(
        reporter
            .line(&third, &ETH0)
            .starts_with("15:04:05.127000   -0.000012s  eth0 vrid 7 ")
    );
    let tomorrow = Event {
        time_ns: NOW + 86_400 * SECOND,
        ..second
    };
    assert!(reporter.line(&tomorrow, &ETH0).starts_with(
        "2026-08-25, times in +00:00\n15:04:05.123456 +86399.996456s  eth0 vrid 7   192.0.2.2"
    ));
}

#[test]
fn json_has_every_member_of_the_schema() {
    let mut reporter = Reporter::new(Format::Json, afternoon());
    let blue = Place {
        interface: "eth0",
        netns: Some("blue"),
    };
    let event = Event {
        vlan: 10,
        ..event(
            EventKind::PriorityChanged,
            router(1, 150, 1_000),
            local(router(1, 90, 0)),
        )
    };
    assert_eq!(
        reporter.line(&event, &blue),
        concat!(
            r#"{"schema":1,"kind":"priority_changed","kind_number":3,"#,
            r#""time":"2026-08-24T15:04:05.123456789Z","monotonic_ns":100000000000,"due_ns":null,"#,
            r#""netns":"blue","netns_inode":4026531840,"interface":"eth0","ifindex":2,"#,
            r#""vlan":10,"inner_vlan":null,"family":4,"vrid":51,"#,
            r#""old":{"address":"192.0.2.1","mac":"52:54:00:00:00:01","heard_ns":99000000000,"#,
            r#""priority":150,"interval_ms":1000,"version":3,"local":false},"#,
            r#""new":{"address":"192.0.2.1","mac":"52:54:00:00:00:01","heard_ns":100000000000,"#,
            r#""priority":90,"interval_ms":1000,"version":3,"local":true},"#,
            r#""reason":null,"sequence":1,"cpu":0,"#,
            r#""message":"this host (192.0.2.1) changed its priority: 150 -> 90"}"#,
        )
    );
}

#[test]
fn json_leaves_out_what_is_not_known() {
    let mut reporter = Reporter::new(Format::Json, afternoon());
    let silent = timer(EventKind::GatewaySilent, holder(0, 0), holder(0, 0));
    let line = reporter.line(
        &Event {
            vrid: 0,
            family: IPV4,
            ..silent
        },
        &ETH0,
    );
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["kind"], "gateway_silent");
    assert_eq!(object["due_ns"], NOW);
    assert!(object["vrid"].is_null() && object["netns"].is_null());
    assert_eq!(object["old"]["address"], "192.0.2.254");
    for member in ["mac", "heard_ns", "priority", "interval_ms", "version"] {
        assert!(object["old"][member].is_null(), "{member}");
    }

    let rejected = event(EventKind::AdvertRejected, Party::NOBODY, router(2, 100, 0));
    let line = reporter.line(
        &Event {
            reason: Reject::HopLimit as u8,
            ..rejected
        },
        &ETH0,
    );
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["reason"], "hop_limit");
    assert!(object["old"].is_null());
}
