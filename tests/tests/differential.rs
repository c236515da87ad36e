//! The programs in the kernel and the library on the host read the same frames and must find
//! the same in them: captured frames, probes, and well over 100,000 made from these by chance.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::panic, reason = "a test stops at the first surprise")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers are small")]

use aya::programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp};
use keepfast::kernel::{Kernel, LoadOptions};
use keepfast::tracker::Tracker;
use keepfast_common::counter::Counter;
use keepfast_common::digest::digest;
use keepfast_common::event::Party;
use keepfast_common::maps::{RouterKey, TC_DIGEST, TC_EGRESS, TC_INGRESS, XDP_DIGEST, XDP_INGRESS};
use keepfast_common::track::{GAP_BUCKETS, VirtualRouter};
use keepfast_common::wire::vrrp::{
    MARK_AH, MARK_GROUP_SUM, MARK_MESSAGE_SUM, MARK_TRAILER, MARK_UNICAST,
};
use keepfast_common::wire::{Packet, Reject, Subject};
use lab::clock::monotonic_ns;
use lab::require::{Need, require};
use mutants::{Dice, mutant};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

#[path = "differential/mutants.rs"]
mod mutants;
#[path = "differential/probes.rs"]
mod probes;

const MUTANTS: usize = 150_000;
/// A test run takes its frames for received on the loopback interface.
const LOOPBACK: u32 = 1;
/// Verdicts of `linux/bpf.h` and `linux/pkt_cls.h`: the frame goes on.
const XDP_PASS: u32 = 2;
const TC_ACT_UNSPEC: u32 = u32::MAX;

fn load() -> Kernel {
    Kernel::load(&LoadOptions::default(), None).unwrap_or_else(|error| panic!("{error:?}"))
}

/// The captured frames, in the order of their names, and probes.
fn corpus() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../common/corpus");
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let paths: BTreeSet<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .collect();
    assert!(paths.len() >= 40, "{folder} has {} frames", paths.len());
    let captured = paths.iter().map(|path| fs::read(path).unwrap());
    captured.chain(probes::probes()).collect()
}

/// What a program returns for `frame`.
fn run<P>(program: &P, frame: &[u8]) -> u32
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = aya::programs::TestRunResult>,
{
    let options = TestRunOptions {
        data_in: Some(frame),
        ..TestRunOptions::new()
    };
    let result: Result<_, ProgramError> = program.test_run(options);
    match result {
        Ok(result) => result.return_value,
        Err(error) => panic!("{error:?} for {} bytes: {}", frame.len(), hex(frame)),
    }
}

/// Whether the kernel takes `frame` for a test run of a tc program: it refuses what claims to be
/// IP and ends within that header, which a network card may well deliver.
fn tc_takes(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.len() >= 34,
        Some([0x86, 0xdd]) => frame.len() >= 54,
        _ => true,
    }
}

fn hex(frame: &[u8]) -> String {
    frame.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What kinds of frames there were: a comparison of frames that are all alike proves little.
fn kinds(packet: &Packet) -> Vec<String> {
    if packet.reject != Reject::Nothing && packet.subject != Subject::Other {
        return vec![format!("{:?}", packet.reject)];
    }
    match packet.subject {
        Subject::Other => vec!["other".into()],
        Subject::Neighbour => vec![format!("neighbour, IPv{}", packet.neighbour.family)],
        Subject::Probe if packet.probe.forwarded => vec!["probe, forwarded".into()],
        Subject::Probe => vec![format!("probe, kind {}", packet.probe.kind)],
        Subject::Advert => {
            let advert = &packet.advert;
            let marks = [
                (MARK_AH, "authentication header"),
                (MARK_UNICAST, "unicast"),
                (MARK_TRAILER, "trailer"),
                (MARK_MESSAGE_SUM, "message sum"),
                (MARK_GROUP_SUM, "group sum"),
            ];
            let mut kinds = vec![format!("v{}, IPv{}", advert.version, advert.family)];
            if advert.vlan.outer != 0 {
                kinds.push("one tag".into());
            }
            if advert.vlan.inner != 0 {
                kinds.push("two tags".into());
            }
            let marked = marks.iter().filter(|(mark, _)| advert.marks & mark != 0);
            kinds.extend(marked.map(|(_, name)| (*name).to_owned()));
            kinds
        }
    }
}

/// How many mutants of each kind there must be at least.
const AT_LEAST: [(&str, usize); 30] = [
    ("v2, IPv4", 5_000),
    ("v3, IPv4", 5_000),
    ("v3, IPv6", 2_000),
    ("authentication header", 500),
    ("unicast", 500),
    ("trailer", 500),
    ("message sum", 500),
    ("group sum", 20),
    ("one tag", 500),
    ("two tags", 200),
    ("neighbour, IPv4", 1_000),
    ("neighbour, IPv6", 1_000),
    ("probe, kind 1", 500),
    ("probe, kind 2", 500),
    ("probe, kind 3", 500),
    ("probe, forwarded", 300),
    ("Truncated", 500),
    ("Fragment", 500),
    ("ExtensionHeader", 500),
    ("IpHeader", 500),
    ("HopLimit", 200),
    ("Version", 500),
    ("Type", 200),
    ("Vrid", 200),
    ("AddressCount", 200),
    ("Checksum", 500),
    ("Interval", 50),
    ("Oversized", 20),
    ("Neighbour", 200),
    ("NeighbourHopLimit", 50),
];

#[test]
fn kernel_and_host_classify_every_frame_alike() {
    if !require(&[Need::Root]) {
        return;
    }
    for reject in Reject::ALL {
        let name = format!("{reject:?}");
        assert!(AT_LEAST.iter().any(|(kind, _)| *kind == name), "{name}");
    }
    let mut kernel = load();
    let ebpf = kernel.ebpf();
    let program: &mut Xdp = ebpf.program_mut(XDP_DIGEST).unwrap().try_into().unwrap();
    program.load().unwrap();
    let program: &mut SchedClassifier = ebpf.program_mut(TC_DIGEST).unwrap().try_into().unwrap();
    program.load().unwrap();
    let xdp: &Xdp = ebpf.program(XDP_DIGEST).unwrap().try_into().unwrap();
    let tc: &SchedClassifier = ebpf.program(TC_DIGEST).unwrap().try_into().unwrap();

    let corpus = corpus();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mutants: Vec<_> = (0..MUTANTS).map(|_| mutant(&corpus, &mut dice)).collect();
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut refused_by_tc = 0;
    for (index, frame) in corpus.iter().chain(&mutants).enumerate() {
        let mut packet = Packet::UNREAD;
        let expected = digest(&**frame, &mut packet);
        let told = || format!("frame {index}, on the host {packet:?}: {}", hex(frame));
        assert_eq!(run(xdp, frame), expected, "xdp, {}", told());
        if tc_takes(frame) {
            assert_eq!(run(tc, frame), expected, "tc, {}", told());
        } else {
            refused_by_tc += 1;
        }
        if index >= corpus.len() {
            for kind in kinds(&packet) {
                *found.entry(kind).or_default() += 1;
            }
        }
    }
    println!(
        "{} frames and {MUTANTS} mutants; {refused_by_tc} too short for tc; mutants: {found:#?}",
        corpus.len()
    );
    for (kind, least) in AT_LEAST {
        let count = found.get(kind).copied().unwrap_or(0);
        assert!(
            count >= least,
            "only {count} mutants of the kind {kind}, not {least}"
        );
    }
}

/// Every captured frame as it is, with one tag, with two, and cut off in three places.
fn variants() -> Vec<Vec<u8>> {
    let tags = [0x88, 0xa8, 0x00, 0x07, 0x81, 0x00, 0x20, 0x08];
    let variants = corpus().into_iter().flat_map(|frame| {
        let tagged = |tags: &[u8]| [&frame[..12], tags, &frame[12..]].concat();
        let short = |parts| frame[..frame.len() * parts / 8].to_vec();
        [
            frame.clone(),
            tagged(&tags[4..]),
            tagged(&tags),
            short(5),
            short(6),
            short(7),
        ]
    });
    variants.filter(|frame| tc_takes(frame)).collect()
}

/// What must be the same on both sides: everything but times.
fn without_times(router: &VirtualRouter) -> VirtualRouter {
    let timeless = |party: Party| Party {
        heard_ns: 0,
        ..party
    };
    VirtualRouter {
        master: timeless(router.master),
        rival: timeless(router.rival),
        since_ns: 0,
        gap_max_ns: 0,
        gaps: [0; GAP_BUCKETS],
        // Whether somebody insists is a matter of milliseconds.
        contested: 0,
        ..*router
    }
}

/// Runs all variants through the program that `name` names, and through its twin on the host at
/// the same times; their maps must be the same in the end.
fn check_tracking(name: &str, local: bool) {
    if !require(&[Need::Root]) {
        return;
    }
    let mut kernel = load();
    let mut tracker = Tracker::new();
    let mut events = Vec::new();
    let netns = fs::metadata("/proc/self/ns/net").unwrap().ino() as u32;
    let netns = if kernel.tells_namespaces() { netns } else { 0 };
    let program = kernel.ebpf().program(name).unwrap();
    let xdp: Option<&Xdp> = program.try_into().ok();
    let tc: Option<&SchedClassifier> = program.try_into().ok();
    for frame in &variants() {
        let now = monotonic_ns().unwrap();
        let verdict = match (xdp, tc) {
            (Some(xdp), _) => (run(xdp, frame), XDP_PASS),
            (_, Some(tc)) => (run(tc, frame), TC_ACT_UNSPEC),
            _ => panic!("{name} is neither an XDP nor a tc program"),
        };
        assert_eq!(verdict.0, verdict.1, "{name} must pass {}", hex(frame));
        tracker.frame(now, netns, LOOPBACK, frame, local, &mut events);
    }

    let counters = kernel.maps().counters().unwrap();
    // The kernel may refuse a timer for want of memory; the host never does.
    let compared = Counter::ALL
        .into_iter()
        .filter(|counter| *counter != Counter::TimerFailed);
    for counter in compared {
        let in_kernel = counters
            .iter()
            .find(|(at, ifindex, kind, _)| (*at, *ifindex, *kind) == (netns, LOOPBACK, counter));
        let in_kernel = in_kernel.map_or(0, |(.., count)| *count);
        assert_eq!(in_kernel, tracker.counted(counter), "{name}: {counter:?}");
    }
    let routers = kernel.maps().routers().unwrap();
    let routers: BTreeMap<RouterKey, VirtualRouter> = routers
        .iter()
        .map(|(key, router)| (*key, without_times(router)))
        .collect();
    tracker.advance(monotonic_ns().unwrap(), &mut events);
    let expected: BTreeMap<_, _> = tracker
        .routers()
        .map(|(key, router)| (*key, without_times(router)))
        .collect();
    assert_eq!(routers, expected, "{name}");

    // Both families in three VLANs, the address owner and Neutron's own VRID among them.
    assert!(routers.len() >= 9, "{name}: only {} routers", routers.len());
    let adverts = if local {
        Counter::AdvertSent
    } else {
        Counter::AdvertReceived
    };
    assert!(tracker.counted(adverts) > 80, "{name} saw few adverts");
    assert!(
        tracker.counted(Counter::RejectTruncated) > 20,
        "{name} rejected few"
    );
}

#[test]
fn xdp_tracks_what_is_received_as_the_host_does() {
    check_tracking(XDP_INGRESS, false);
}

#[test]
fn tc_tracks_what_is_received_as_the_host_does() {
    check_tracking(TC_INGRESS, false);
}

#[test]
fn tc_tracks_what_is_sent_as_the_host_does() {
    check_tracking(TC_EGRESS, true);
}
