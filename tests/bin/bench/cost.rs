//! What a packet costs: the programs run over captured frames, beside one that does nothing.
//!
//! The kernel's test run executes a program a million times on one frame. It tells whole
//! nanoseconds only and its clock goes on while others use the processor, so the time taken here
//! is this thread's own. The kernel's loop around the program is in all the numbers, that of the
//! empty program too.

use crate::report::{Cell, Findings, Table, Target};
use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::programs::{Program, TestRun, TestRunOptions, Xdp};
use keepfast::kernel::{Kernel, LoadOptions};
use keepfast_common::maps as names;
use lab::flood::{Dice, Kind};
use lab::netns::Namespace;
use lab::router::VRID;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

const REPEAT: u32 = 1_000_000;
/// Each program in turn, this often: what disturbs the machine disturbs all of them.
const ROUNDS: usize = 7;

const PROGRAMS: [&str; 4] = [
    names::XDP_EMPTY,
    names::XDP_INGRESS,
    names::TC_INGRESS,
    names::TC_EGRESS,
];

const CAPTURED: [(&str, &[u8]); 3] = [
    (
        "TCP segment",
        include_bytes!("../../../common/corpus/tcp-syn.bin"),
    ),
    (
        "foreign ARP",
        include_bytes!("../../../common/corpus/arp-request.bin"),
    ),
    (
        "VRRP advert",
        include_bytes!("../../../common/corpus/vrrp-v3.bin"),
    ),
];

/// What an attacker may send: the first of each kind of a flood.
const HOSTILE: [(&str, Kind); 8] = [
    ("stranger's advert", Kind::Strangers),
    ("malformed advert", Kind::Malformed),
    ("foreign advert", Kind::Foreign),
    ("foreign resignation", Kind::Resign),
    ("foreign owner's advert", Kind::Owner),
    ("unasked probe", Kind::Probes),
    ("forged answer", Kind::Answers),
    ("ARP claim", Kind::Neighbours),
];

/// In a namespace of its own: the programs find the frames on its loopback interface.
pub(crate) fn measure() -> Result<Findings> {
    let mut dice = Dice::new(42);
    let captured = CAPTURED.map(|(name, frame)| (name, frame.to_vec()));
    let hostile = HOSTILE.map(|(name, kind)| (name, kind.frame(&mut dice, VRID, [2; 6])));
    let frames: Vec<_> = captured.into_iter().chain(hostile).collect();
    let costs = Namespace::new("cost")?.run(|| run_all(&frames))?;
    let [tcp, _, advert, ..] = costs[..] else {
        bail!("{} frames were run", costs.len());
    };
    let row = |name: &str, [empty, xdp, ingress, egress]: [f64; 4]| {
        let mut row = vec![Cell::text(name)];
        row.extend([empty, xdp].map(|ns| Cell::Number(ns, 1)));
        row.push(Cell::Number(xdp / empty, 2));
        row.extend([ingress, egress].map(|ns| Cell::Number(ns, 1)));
        row
    };
    let rows = frames
        .iter()
        .zip(costs)
        .map(|((name, _), times)| row(name, times));
    Ok(Findings {
        tables: vec![Table {
            title: "Cost per packet (median of 7 rounds of 1,000,000)",
            columns: &[
                "frame",
                "xdp_empty ns",
                "xdp_ingress ns",
                "ratio",
                "tc_ingress ns",
                "tc_egress ns",
            ],
            rows: rows.collect(),
        }],
        targets: vec![
            Target {
                what: "TCP segment, xdp_ingress to xdp_empty",
                unit: "x",
                measured: tcp[1] / tcp[0],
                limit: 1.5,
            },
            Target {
                what: "VRRP advert, xdp_ingress",
                unit: "ns",
                measured: advert[1],
                limit: 1_000.0,
            },
        ],
        ..Findings::default()
    })
}

/// Median nanoseconds of each program for each frame.
fn run_all(frames: &[(&str, Vec<u8>)]) -> Result<Vec<[f64; 4]>> {
    let mut kernel = Kernel::load(&LoadOptions::default(), None)?;
    let empty: &mut Xdp = kernel
        .ebpf()
        .program_mut(names::XDP_EMPTY)
        .context("find the empty program")?
        .try_into()?;
    empty.load().context("load the empty program")?;
    let mut rounds = vec![[[0.0; ROUNDS]; 4]; frames.len()];
    for round in 0..ROUNDS {
        for (times, (_, frame)) in rounds.iter_mut().zip(frames) {
            for (times, name) in times.iter_mut().zip(PROGRAMS) {
                times[round] =
                    run(kernel.ebpf(), name, frame).with_context(|| format!("run {name}"))?;
            }
        }
    }
    let median = |mut times: [f64; ROUNDS]| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    };
    Ok(rounds.into_iter().map(|frame| frame.map(median)).collect())
}

fn run(ebpf: &Ebpf, name: &str, frame: &[u8]) -> Result<f64> {
    let options = TestRunOptions {
        data_in: Some(frame),
        repeat: REPEAT,
        ..TestRunOptions::default()
    };
    let program = ebpf.program(name).context("find it")?;
    let before = own_time()?;
    match program {
        Program::Xdp(program) => program.test_run(options),
        Program::SchedClassifier(program) => program.test_run(options),
        _ => bail!("not for packets"),
    }?;
    let taken = own_time()?.saturating_sub(before);
    Ok(taken.as_nanos() as f64 / f64::from(REPEAT))
}

/// Processor time of this thread.
fn own_time() -> Result<Duration> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("read own time")?;
    Ok(time.into())
}
