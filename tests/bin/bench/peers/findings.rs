//! All that was found, as the tables of a bench.

use crate::peers::calm::Calm;
use crate::peers::crowd::Crowd;
use crate::peers::cycle::Measured;
use crate::peers::table::Found;
use crate::report::{Cell, Findings, Table};

/// What was measured, and what went wrong.
pub(crate) fn of(found: &Found) -> Findings {
    let outages = |it: &Measured| {
        let mut row = vec![
            Cell::text(it.peer.name),
            Cell::text(it.fault.name()),
            Cell::count(it.samples.len()),
        ];
        for spread in [it.outage(), it.moved()] {
            row.extend(match spread {
                Ok(spread) => [spread.p50, spread.max].map(|it| Cell::Number(it, 2)),
                Err(_) => ["-", "-"].map(Cell::text),
            });
        }
        row
    };
    let calm = |it: &Calm| {
        vec![
            Cell::text(it.peer.name),
            Cell::text(it.load),
            Cell::Number(it.seconds, 0),
            Cell::count(it.changes),
        ]
    };
    let crowd = |it: &Crowd| {
        let mut row = vec![Cell::text(it.peer.name), Cell::count(it.routers)];
        match &it.held {
            Ok(hosts) => {
                for held in hosts {
                    row.push(Cell::count(held.processes));
                    row.push(Cell::Number(held.busy, 2));
                    row.push(Cell::Number(held.megabytes, 1));
                }
            }
            Err(_) => row.extend(["-"; 6].map(Cell::text)),
        }
        row.extend(match &it.outage {
            Some(Ok(spread)) => [spread.p50, spread.max].map(|it| Cell::Number(it, 1)),
            _ => ["-", "-"].map(Cell::text),
        });
        row
    };
    let mut faults = Vec::new();
    for it in &found.measured {
        let done = it.samples.len();
        let told = it.error.as_ref();
        faults.extend(told.map(|error| {
            format!(
                "{}, {}, after {done}: {error:#}",
                it.peer.name,
                it.fault.name()
            )
        }));
    }
    let calm_error = found.calm_error.as_ref();
    faults.extend(calm_error.map(|error| format!("failovers without a fault: {error:#}")));
    for it in &found.crowds {
        let of = format!("{}, {} routers", it.peer.name, it.routers);
        faults.extend(
            it.held
                .as_ref()
                .err()
                .map(|error| format!("{of}: {error:#}")),
        );
        let cut = it.outage.as_ref().and_then(|it| it.as_ref().err());
        faults.extend(cut.map(|error| format!("{of}, power cut: {error:#}")));
    }
    Findings {
        tables: vec![
            Table {
                title: "How long a client had no answer, and when the other host had the router",
                columns: &[
                    "peer",
                    "fault",
                    "times",
                    "median ms",
                    "worst ms",
                    "moved median ms",
                    "moved worst ms",
                ],
                rows: found.measured.iter().map(outages).collect(),
            },
            Table {
                title: "Failovers without a fault",
                columns: &["peer", "meanwhile", "s", "failovers"],
                rows: found.calm.iter().map(calm).collect(),
            },
            Table {
                title: "All processes of a host while nothing happens; then its power is cut, and of \
                        up to five routers the outage",
                columns: &[
                    "peer",
                    "routers",
                    "primary's processes",
                    "CPU %",
                    "MB",
                    "backup's processes",
                    "CPU % ",
                    "MB ",
                    "median ms",
                    "worst ms",
                ],
                rows: found.crowds.iter().map(crowd).collect(),
            },
        ],
        targets: Vec::new(),
        faults,
    }
}
