//! What the kernel makes of the committed object: it accepts every program, and shows every map
//! with the types that an operator needs to read it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::panic, reason = "a test stops at the first surprise")]

use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp};
use keepfast::kernel::{Kernel, LoadOptions};
use keepfast_common::blackbox::Exit;
use keepfast_common::maps::{
    self as names, AddressKey, Agent, BlackBoxSlot, Count, CounterKey, Guarded, HeirsSlot,
    HoldingSlot, Link, LinkKey, RouterKey, RouterSlot, SessionSlot,
};
use keepfast_common::neighbour::Watched;
use keepfast_common::protect::{Policy, Tally};
use keepfast_common::session::Judgement;
use keepfast_common::share::{Limits, Share};
use lab::require::{Need, require};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

const BPFTOOL: [Need; 2] = [Need::Root, Need::Tool("bpftool")];

/// Held by each test, so that one runs at a time: where a child of another test ends while the
/// kernel verifies, it may break off with EAGAIN.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load() -> Kernel {
    // As an agent does: what the limits rule out, the verifier does not look at.
    let options = LoadOptions {
        limits: Limits::USUAL,
        ..LoadOptions::default()
    };
    Kernel::load(&options, None).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Has the kernel track one captured advert: VRRPv3, VRID 7, priority 100, 1 s, of 10.99.0.1.
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

fn bpftool(arguments: &[&str]) -> Value {
    let output = Command::new("bpftool")
        .arg("-j")
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "bpftool {arguments:?}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// The maps that the three attached programs use, by name, as bpftool shows them.
fn maps(kernel: &mut Kernel) -> BTreeMap<String, Value> {
    let ebpf = kernel.ebpf();
    let programs = [names::XDP_INGRESS, names::TC_INGRESS, names::TC_EGRESS];
    let ids = programs.map(|name| {
        let info = ebpf.program(name).unwrap().info().unwrap();
        info.map_ids().unwrap().unwrap()
    });
    let ids: BTreeSet<u32> = ids.into_iter().flatten().collect();
    let shown = ids
        .iter()
        .map(|id| bpftool(&["map", "show", "id", &id.to_string()]));
    shown
        .map(|map| (map["name"].as_str().unwrap().to_owned(), map))
        .collect()
}

/// What the elements of a map are, as `bpftool map dump` puts them into words.
fn dump(map: &Value) -> Vec<Value> {
    let elements = bpftool(&["map", "dump", "id", &map["id"].to_string()]);
    let elements = elements.as_array().unwrap().iter();
    elements
        .map(|element| element["formatted"].clone())
        .collect()
}

#[test]
fn the_kernel_accepts_every_program() {
    if !require(&[Need::Root]) {
        return;
    }
    let _guard = alone();
    let mut kernel = load();
    let ebpf = kernel.ebpf();
    for name in [names::XDP_EMPTY, names::XDP_DIGEST] {
        let program: &mut Xdp = ebpf.program_mut(name).unwrap().try_into().unwrap();
        program
            .load()
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    let program = ebpf.program_mut(names::TC_DIGEST).unwrap();
    let program: &mut SchedClassifier = program.try_into().unwrap();
    program.load().unwrap_or_else(|error| panic!("{error:?}"));

    let loaded: BTreeSet<_> = ebpf
        .programs()
        .map(|(name, program)| {
            assert!(program.fd().is_ok(), "{name} is not loaded");
            name
        })
        .collect();
    let expected = [
        names::XDP_INGRESS,
        names::XDP_REARM,
        names::TC_INGRESS,
        names::TC_EGRESS,
        names::TC_BOUNCE,
        names::TC_INJECT,
        names::XDP_EMPTY,
        names::XDP_DIGEST,
        names::TC_DIGEST,
    ];
    assert_eq!(loaded, BTreeSet::from(expected));
}

#[test]
fn the_maps_have_the_names_and_types_of_the_library() {
    if !require(&BPFTOOL) {
        return;
    }
    let _guard = alone();
    let mut kernel = load();
    let maps = maps(&mut kernel);
    let expected = [
        (
            names::ROUTERS,
            "hash",
            ("RouterKey", size_of::<RouterKey>()),
            ("RouterSlot", size_of::<RouterSlot>()),
        ),
        (
            names::WATCHED,
            "hash",
            ("AddressKey", size_of::<AddressKey>()),
            ("Watched", size_of::<Watched>()),
        ),
        (
            names::HOLDINGS,
            "hash",
            ("AddressKey", size_of::<AddressKey>()),
            ("HoldingSlot", size_of::<HoldingSlot>()),
        ),
        (
            names::COUNTERS,
            "percpu_hash",
            ("CounterKey", size_of::<CounterKey>()),
            ("Count", size_of::<Count>()),
        ),
        (names::SEQUENCE, "percpu_array", ("u32", 4), ("u64", 8)),
        (
            names::JUDGEMENTS,
            "hash",
            ("u32", 4),
            ("Judgement", size_of::<Judgement>()),
        ),
        (
            names::SESSIONS,
            "hash",
            ("u32", 4),
            ("SessionSlot", size_of::<SessionSlot>()),
        ),
        (
            names::HEIRS,
            "hash",
            ("RouterKey", size_of::<RouterKey>()),
            ("HeirsSlot", size_of::<HeirsSlot>()),
        ),
        (
            names::GUARDED,
            "hash",
            ("RouterKey", size_of::<RouterKey>()),
            ("Guarded", size_of::<Guarded>()),
        ),
        (
            names::LINKS,
            "hash",
            ("LinkKey", size_of::<LinkKey>()),
            ("Link", size_of::<Link>()),
        ),
        (
            names::AGENT,
            "array",
            ("u32", 4),
            ("Agent", size_of::<Agent>()),
        ),
        (
            names::BLACKBOX,
            "hash",
            ("RouterKey", size_of::<RouterKey>()),
            ("BlackBoxSlot", size_of::<BlackBoxSlot>()),
        ),
        (
            names::EXITS,
            "hash",
            ("LinkKey", size_of::<LinkKey>()),
            ("Exit", size_of::<Exit>()),
        ),
        (names::AWAITED, "array", ("u32", 4), ("u64", 8)),
        (
            names::POLICIES,
            "hash",
            ("RouterKey", size_of::<RouterKey>()),
            ("Policy", size_of::<Policy>()),
        ),
        (
            names::TALLIES,
            "percpu_hash",
            ("RouterKey", size_of::<RouterKey>()),
            ("Tally", size_of::<Tally>()),
        ),
        (
            names::SHARES,
            "hash",
            ("LinkKey", size_of::<LinkKey>()),
            ("Share", size_of::<Share>()),
        ),
    ];
    for (name, kind, key, value) in expected {
        let map = maps
            .get(name)
            .unwrap_or_else(|| panic!("no map {name} in {maps:?}"));
        assert_eq!(map["type"], kind, "{name}");
        assert_eq!(map["bytes_key"], key.1, "{name}");
        assert_eq!(map["bytes_value"], value.1, "{name}");
        let types = bpftool(&["btf", "dump", "map", "id", &map["id"].to_string(), "kv"]);
        let found = [0, 1].map(|side| {
            let side = &types["types"][side];
            (side["name"].as_str().unwrap(), side["size"].clone())
        });
        let expected = [key, value].map(|(name, size)| (name, size.into()));
        assert_eq!(found, expected, "{name}");
    }
    // The kernel takes no types for a ring buffer.
    for name in [names::EVENTS, names::URGENT] {
        assert_eq!(maps[name]["type"], "ringbuf", "{name}");
    }

    // Scratch space, constants, and what aya-log brings.
    let internal =
        |name: &str| matches!(name, "SCRATCH" | "AYA_LOGS") || name.starts_with(".rodata");
    let meant_for_operators: BTreeSet<_> = maps
        .keys()
        .map(String::as_str)
        .filter(|name| !internal(name))
        .collect();
    assert_eq!(meant_for_operators, BTreeSet::from(names::PINNED));
}

#[test]
fn bpftool_prints_a_virtual_router_field_by_field() {
    if !require(&BPFTOOL) {
        return;
    }
    let _guard = alone();
    let mut kernel = load();
    track_one_advert(&mut kernel);
    let maps = maps(&mut kernel);
    let routers = dump(&maps[names::ROUTERS]);
    let [router] = &routers[..] else {
        panic!("not one virtual router: {routers:?}");
    };
    for (field, expected) in [
        ("/key/ifindex", 1),
        ("/key/vlan", 0),
        ("/key/family", 4),
        ("/key/vrid", 7),
        ("/value/state/master/priority", 100),
        ("/value/state/master/interval_cs", 100),
        ("/value/state/master/version", 3),
        ("/value/state/master/local", 0),
        ("/value/state/adverts_received", 1),
        ("/value/state/adverts_sent", 0),
        ("/value/state/address_count", 1),
        ("/value/state/phase", 1),
    ] {
        let found = router.pointer(field);
        assert_eq!(found, Some(&expected.into()), "{field} in {router:#}");
    }
    let first_bytes = |field: &str| {
        let bytes = router.pointer(field).and_then(Value::as_array);
        bytes.unwrap_or_else(|| panic!("no {field} in {router:#}"))[..4].to_vec()
    };
    assert_eq!(first_bytes("/value/state/master/address"), [10, 99, 0, 1]);
    assert_eq!(first_bytes("/value/state/addresses/0"), [10, 99, 0, 100]);
    let heard = router.pointer("/value/state/master/heard_ns");
    assert!(heard.and_then(Value::as_u64) > Some(0), "{router:#}");
}

#[test]
fn bpftool_prints_counters_by_their_names() {
    if !require(&BPFTOOL) {
        return;
    }
    let _guard = alone();
    let mut kernel = load();
    track_one_advert(&mut kernel);
    let maps = maps(&mut kernel);
    let counters = dump(&maps[names::COUNTERS]);
    let [counter] = &counters[..] else {
        panic!("not one counter: {counters:?}");
    };
    assert_eq!(
        counter.pointer("/key/counter"),
        Some(&"AdvertReceived".into())
    );
    let values = counter
        .pointer("/values")
        .and_then(Value::as_array)
        .unwrap();
    let sum: u64 = values
        .iter()
        .map(|value| {
            value
                .pointer("/value/count")
                .and_then(Value::as_u64)
                .unwrap()
        })
        .sum();
    assert_eq!(sum, 1, "{counter:#}");
}
