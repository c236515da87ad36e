//! Timers that the kernel refused are stood in for.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use aya::maps::{HashMap, MapData};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use keepfast::kernel::{Kernel, PinDirectory, Wire};
use keepfast::observe::Observer;
use keepfast_common::event::EventKind;
use keepfast_common::maps::{self as names, RouterKey, RouterSlot};
use lab::require::{Need, require};
use tokio::time::timeout;

/// Has the kernel track one captured advert: VRRPv3, VRID 7, 1 s.
fn track_one_advert(kernel: &mut Kernel) {
    let frame = include_bytes!("../../common/corpus/vrrp-v3.bin");
    let program = kernel.ebpf().program(names::XDP_INGRESS).unwrap();
    let program: &Xdp = program.try_into().unwrap();
    let options = TestRunOptions {
        data_in: Some(frame),
        ..TestRunOptions::new()
    };
    program.test_run(options).unwrap();
}

/// Replaces every tracked virtual router by itself without a timer, as it is when
/// the kernel had no memory for one: to replace an element cancels its timer.
fn take_the_timers_away(pins: &PinDirectory) {
    let map = MapData::from_pin(pins.path().join(names::ROUTERS)).unwrap();
    let map = aya::maps::Map::from_map_data(map).unwrap();
    let mut routers: HashMap<MapData, Wire<RouterKey>, Wire<RouterSlot>> = map.try_into().unwrap();
    let all: Vec<_> = routers.iter().map(Result::unwrap).collect();
    assert_eq!(all.len(), 1);
    for (key, Wire(mut slot)) in all {
        slot.armed_ns = 0;
        routers.insert(key, Wire(slot), 0).unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_agent_stands_in_for_a_refused_timer() {
    if !require(&[Need::Root]) {
        return;
    }
    let name = format!("test-rearm-{}", std::process::id());
    let (mut observer, mut source) = Observer::load(&name).unwrap();
    track_one_advert(&mut observer.kernel);
    take_the_timers_away(&observer.pins);

    assert_eq!(observer.kernel.maps().unarmed().unwrap().len(), 1);
    assert!(!observer.must_stand_in());
    let mut first = Vec::new();
    observer.next(&mut source, &mut first).await.unwrap();
    // A master that has begun without a timer is noticed as such.
    assert!(observer.must_stand_in());

    // Whether the kernel gives it a timer now or refuses again: the agent goes on
    // looking after it, and each deadline is told once.
    let mut told: Vec<_> = first
        .iter()
        .map(|event| EventKind::from_number(event.kind))
        .collect();
    let down = EventKind::MasterDown;
    let all_told = async {
        while told.last() != Some(&Some(down)) {
            let mut events = Vec::new();
            let next = observer.next(&mut source, &mut events);
            if let Ok(outcome) = timeout(Duration::from_millis(50), next).await {
                outcome.unwrap();
            }
            told.extend(
                events
                    .iter()
                    .map(|event| EventKind::from_number(event.kind)),
            );
            take_the_timers_away(&observer.pins);
            observer.stand_in().unwrap();
        }
    };
    timeout(Duration::from_secs(10), all_told)
        .await
        .unwrap_or_else(|_| panic!("no master down within 10 s"));
    let expected = [EventKind::MasterAppeared, EventKind::AdvertLate, down];
    assert_eq!(told, expected.map(Some));
}
