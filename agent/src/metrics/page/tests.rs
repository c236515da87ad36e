use std::collections::BTreeSet;

use keepfast_common::protect::{Offence, Tally};
use keepfast_common::session::{
    PHASE_DOWN, PHASE_LEARNING, PHASE_LEAVING, PHASE_SILENT, PHASE_SUSPECT, PHASE_UP,
};
use keepfast_common::track::VirtualRouter;

use super::*;
use crate::config::RouterId;
use crate::engine::{Input, Program, State};
use crate::metrics::{AdvertSample, HookSample, Metrics, RouterSample, SessionSample, why};

fn id(name: &str) -> RouterId {
    name.parse().unwrap()
}

/// One of which every family has a number.
fn tally() -> Tally {
    let mut tally = Tally::NONE;
    tally.dropped[0] = 8;
    tally.dropped[Offence::Peer as usize] = 3;
    tally.observed[Offence::Owner as usize] = 2;
    tally
}

fn full() -> Scrape {
    let router = id("office");
    let mut metrics = Metrics::new();
    metrics.expect(&router);
    metrics.changed(&router, State::Primary, why(&Input::Looked));
    metrics.told(&router, "took_over", None);
    metrics.told(&router, "takeover_not_now", Some("no_master"));
    metrics.told(&router, "takeover_waits", Some("back_off"));
    metrics.told(&router, "a note of no interest", None);
    metrics.dual_primary(&router);
    metrics.failover("power", 4_500_000);
    metrics.answered("done");
    metrics.started(Program::Child(3));
    metrics.event(38_000);
    let mut known = VirtualRouter::UNKNOWN;
    known.gaps[0] = 1;
    known.gaps[10] = 5;
    known.gaps[15] = 2;
    known.gap_max_ns = 1_500_000_000;
    Scrape {
        metrics,
        routers: vec![RouterSample {
            id: router,
            state: State::Primary,
            since_seconds: 1.5,
            keepalived: Some(true),
            key: None,
            priority: 100,
            fast_path: Some(("armed", true)),
            protected: true,
            tally: Some(tally()),
            adverts: Some(AdvertSample::of(&known, 3_000_000_000)),
            hooks: Some(HookSample {
                delivered: 7,
                failed: 2,
                skipped: 1,
            }),
            unlogged: 4,
        }],
        sessions: SessionSample {
            phases: [0, 0, 1, 0, 0, 0],
            counts: [1, 2, 3, 4, 5],
        },
        wake_lateness: Some(crate::metrics::Distribution::default()),
        fallbacks: vec![("not_real_time", 1)],
        running: vec![Program::Keepalived, Program::Child(1), Program::Child(2)],
        ..Scrape::default()
    }
}

#[test]
fn numbers_are_where_they_belong() {
    let page = write(full(), Format::Prometheus).unwrap();
    for line in [
        "keepfast_router_state{router=\"office\",state=\"primary\"} 1",
        "keepfast_router_state{router=\"office\",state=\"backup\"} 0",
        "keepfast_router_state_since_timestamp_seconds{router=\"office\"} 1.5",
        "keepfast_router_transitions_total{router=\"office\",to=\"primary\",reason=\"found\"} 1",
        "keepfast_router_advert_margin_ratio{router=\"office\"} 0.5",
        "keepfast_router_advert_gap_seconds_bucket{router=\"office\",le=\"0.001024\"} 1",
        "keepfast_router_advert_gap_seconds_bucket{router=\"office\",le=\"1.048576\"} 6",
        "keepfast_router_advert_gap_seconds_bucket{router=\"office\",le=\"+Inf\"} 8",
        // 0.000512 + 5 * 0.786432 + 2 * 16.777216
        "keepfast_router_advert_gap_seconds_sum{router=\"office\"} 37.487104",
        "keepfast_router_advert_gap_seconds_count{router=\"office\"} 8",
        "keepfast_takeovers_total{router=\"office\",outcome=\"took_over\"} 1",
        "keepfast_takeovers_total{router=\"office\",outcome=\"not_now\"} 1",
        "keepfast_takeovers_total{router=\"office\",outcome=\"wrong\"} 0",
        "keepfast_takeovers_not_now_total{reason=\"no_master\"} 1",
        "keepfast_failover_outage_seconds_bucket{cause=\"power\",le=\"0.002\"} 0",
        "keepfast_failover_outage_seconds_bucket{cause=\"power\",le=\"0.005\"} 1",
        "keepfast_failover_outage_seconds_sum{cause=\"power\"} 0.0045",
        "keepfast_sessions{phase=\"up\"} 1",
        "keepfast_probes_late_total 3",
        "keepfast_programs_running{program=\"child\"} 2",
        "keepfast_program_events_total{program=\"child\",event=\"started\"} 1",
        "keepfast_hook_transitions_total{router=\"office\",outcome=\"failed\"} 2",
        "keepfast_protect_adverts_passed_total{router=\"office\"} 8",
        "keepfast_protect_adverts_dropped_total{router=\"office\",reason=\"peer\"} 3",
        "keepfast_protect_adverts_dropped_total{router=\"office\",reason=\"owner\"} 0",
        "keepfast_protect_adverts_observed_total{router=\"office\",reason=\"owner\"} 2",
        "keepfast_rejected_frames_total{reason=\"checksum\"} 0",
        "keepfast_log_lines_lost 4",
    ] {
        assert!(page.lines().any(|it| it == line), "{line}\n{page}");
    }
    assert!(!page.contains("back_off"), "that was no refusal");
}

#[test]
fn openmetrics_is_for_those_who_ask() {
    assert_eq!(Format::accepted("*/*"), Format::Prometheus);
    let asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
    assert_eq!(Format::accepted(asked), Format::OpenMetrics);
    let page = write(full(), Format::OpenMetrics).unwrap();
    assert!(page.ends_with("# EOF\n"));
    assert!(page.contains("# TYPE keepfast_takeovers counter\n"));
}

#[test]
fn every_family_is_there_once_and_says_what_it_is() {
    let page = write(full(), Format::Prometheus).unwrap();
    let mut seen = BTreeSet::new();
    for line in page.lines().filter_map(|it| it.strip_prefix("# HELP ")) {
        let (name, help) = line.split_once(' ').unwrap();
        assert!(seen.insert(name), "{name} is there twice");
        assert!(help.ends_with('.'), "{name}: {help}");
        let unit = name.contains("seconds");
        assert_eq!(unit, help.contains("seconds"), "{name}: {help}");
        let counter = name.ends_with("_total");
        assert_eq!(
            counter,
            page.contains(&format!("# TYPE {name} counter\n")),
            "{name}"
        );
    }
    let without_numbers: Vec<_> = seen
        .iter()
        .filter(|name| {
            let mut ends = ["{", " ", "_bucket{"].into_iter();
            !ends.any(|end| page.contains(&format!("\n{name}{end}")))
        })
        .collect();
    assert!(without_numbers.is_empty(), "{without_numbers:?}");
}

#[test]
fn phases_have_their_numbers() {
    for (number, phase) in [
        (PHASE_DOWN, "down"),
        (PHASE_LEARNING, "learning"),
        (PHASE_UP, "up"),
        (PHASE_SUSPECT, "suspect"),
        (PHASE_SILENT, "silent"),
        (PHASE_LEAVING, "leaving"),
    ] {
        assert_eq!(fast::PHASES[usize::from(number)], phase);
    }
}

#[test]
fn what_belonged_to_a_router_goes_with_it() {
    let mut scrape = full();
    scrape.metrics.forget(&id("office"));
    scrape.routers.clear();
    let page = write(scrape, Format::Prometheus).unwrap();
    assert!(!page.contains("office"), "{page}");
}
