//! The families about the daemon and its host.

use std::fmt;

use tracing::warn;

use super::writer::Writer;
use crate::metrics::counted::{PROGRAMS, kind};
use crate::metrics::process::Usage;
use crate::metrics::scrape::Scrape;

pub(super) fn write(scrape: &Scrape, to: &mut Writer<'_>) -> fmt::Result {
    let metrics = &scrape.metrics;
    to.gauges(
        "keepfast_build_info",
        "1, and which keepfast this is.",
        [([("version", env!("CARGO_PKG_VERSION"))], 1_u64)],
    )?;
    to.gauge(
        "keepfast_declaration_problems",
        "What is wrong with router files, in number.",
        scrape.problems,
    )?;
    to.gauge(
        "keepfast_drained",
        "1: the host is drained, and takes nothing over.",
        u64::from(scrape.drained),
    )?;
    to.gauges(
        "keepfast_fallbacks",
        "What does not work as it should and is made up for, in number; 0: all does.",
        scrape
            .fallbacks
            .iter()
            .map(|(kind, count)| ([("kind", *kind)], *count)),
    )?;
    to.gauges(
        "keepfast_programs_running",
        "Programs of routers that run, by kind.",
        PROGRAMS.map(|program| {
            let running = scrape.running.iter().filter(|it| kind(**it) == program);
            ([("program", program)], running.count() as u64)
        }),
    )?;
    to.counters(
        "keepfast_program_events",
        "How often a program of a router was started, could not be, or has ended.",
        metrics.programs.iter().map(|((program, event), count)| {
            let labels = [("program", *program), ("event", *event)];
            (labels, *count)
        }),
    )?;
    to.counters(
        "keepfast_control_requests",
        "Requests on the control socket, by how they ended.",
        metrics
            .requests
            .iter()
            .map(|(outcome, count)| ([("outcome", *outcome)], *count)),
    )?;
    to.gauge(
        "keepfast_log_lines_lost",
        "Lines missing from the event logs of the routers that there are.",
        scrape.routers.iter().map(|it| it.unlogged).sum::<u64>(),
    )?;
    for (name, help, times) in [
        (
            "keepfast_event_latency_seconds",
            "From the kernel's time stamp of an event until it was dealt with, seconds.",
            &metrics.event_latency,
        ),
        (
            "keepfast_daemon_lateness_seconds",
            "How long after it was due the daemon did something, seconds.",
            &metrics.lateness,
        ),
        (
            "keepfast_scrape_stall_seconds",
            "How long the daemon did nothing else than to gather metrics, seconds.",
            &metrics.gathering,
        ),
    ] {
        to.times(name, help, [([], times)])?;
    }
    to.gauge(
        "process_start_time_seconds",
        "When the daemon started, seconds since 1970.",
        scrape.started_seconds,
    )?;
    match Usage::now() {
        Ok(usage) => process(&usage, to),
        Err(error) => {
            warn!("metrics without memory, time and files of the daemon: {error:#}");
            Ok(())
        }
    }
}

fn process(usage: &Usage, to: &mut Writer<'_>) -> fmt::Result {
    to.gauge(
        "process_resident_memory_bytes",
        "Memory that the daemon has, bytes.",
        usage.resident_bytes,
    )?;
    to.counter(
        "process_cpu_seconds",
        "Time of processors that the daemon's threads took, seconds.",
        usage.cpu_seconds,
    )?;
    to.gauge(
        "process_open_fds",
        "Open files of the daemon.",
        usage.open_files,
    )
}
