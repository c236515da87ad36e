//! What it costs to probe, on both ends.
//!
//! All hosts are on one machine and the links between them are software: a probe's whole way,
//! there and back, is travelled on the prober's account, and the programs of both ends with it.
//! So the prober's figure is an upper bound. What the programs themselves take is told beside it.

use crate::held;
use crate::report::{Cell, Findings, Table, Target};
use anyhow::{Context, Result};
use aya::sys::{Stats, enable_stats};
use lab::daemon::Daemon;
use lab::many::{Many, Places};
use serde_json::Value;
use std::thread;
use std::time::{Duration, Instant};

/// How long each is watched.
const SPAN: Duration = Duration::from_secs(20);
/// From then on multipliers do not change any more and everybody is known.
const SETTLE: Duration = Duration::from_secs(3);
/// Of all sessions together, in a second.
const BUDGET: f64 = 20_000.0;
/// What the processor's clock and the moments of reading may add.
const BLUR: f64 = 1.01;

/// Routers and how they are probed.
struct Case {
    name: &'static str,
    routers: u8,
    places: Places,
    /// The declarations' last tables.
    tables: &'static str,
    /// Whether one session is enough for all.
    shared: bool,
}

const CASES: [Case; 6] = [
    Case {
        name: "1 router, off",
        routers: 1,
        places: Places::One,
        tables: "",
        shared: true,
    },
    Case {
        name: "1 router, 1 ms",
        routers: 1,
        places: Places::One,
        tables: "\n[fast_path]\nmode = \"armed\"\ninterval = \"1ms\"\n",
        shared: true,
    },
    Case {
        name: "50 routers of one interface, off",
        routers: 50,
        places: Places::One,
        tables: "",
        shared: true,
    },
    Case {
        name: "50 routers of one interface, 1 ms",
        routers: 50,
        places: Places::One,
        tables: "\n[fast_path]\nmode = \"armed\"\ninterval = \"1ms\"\n",
        shared: true,
    },
    Case {
        name: "50 namespaces, by host, 1 ms",
        routers: 50,
        places: Places::Own,
        tables: "\n[fast_path]\nmode = \"armed\"\ninterval = \"1ms\"\nliveness = \"host\"\n",
        shared: true,
    },
    Case {
        // They want as many probes as 200 do that want one each millisecond.
        name: "50 namespaces, 250 us",
        routers: 50,
        places: Places::Own,
        tables: "\n[fast_path]\nmode = \"armed\"\ninterval = \"250us\"\n",
        shared: false,
    },
];

/// Of one processor, in percent.
struct Busy {
    agent: f64,
    programs: f64,
}

/// What was seen of a case.
struct Seen {
    case: &'static Case,
    backup: Busy,
    primary: Busy,
    /// In a second.
    probes: f64,
    /// By how much less often than wanted.
    stretch: Option<f64>,
    /// The fewest and the most unanswered probes that count for a silence.
    multipliers: Option<(u64, u64)>,
}

pub(crate) fn measure() -> Result<Findings> {
    let mut seen = Vec::new();
    let mut faults = Vec::new();
    for case in &CASES {
        println!("{}", case.name);
        match watch(case) {
            Ok(found) => seen.push(found),
            Err(error) => faults.push(format!("{}: {error:#}", case.name)),
        }
    }
    Ok(Findings {
        tables: vec![Table {
            title: "What probing costs, of one processor",
            columns: &[
                "what",
                "backup's agent %",
                "programs %",
                "primary's agent %",
                "programs %",
                "probes/s",
                "stretch",
                "multipliers",
            ],
            rows: seen.iter().map(Seen::row).collect(),
        }],
        targets: targets(&seen),
        faults,
    })
}

fn targets(seen: &[Seen]) -> Vec<Target> {
    let shared = || seen.iter().filter(|it| it.case.shared);
    let worst = |of: fn(&Seen) -> &Busy| {
        shared()
            .map(|it| of(it).agent + of(it).programs)
            .fold(0.0, f64::max)
    };
    let target = |what, unit, measured, limit| Target {
        what,
        unit,
        measured,
        limit,
    };
    vec![
        target(
            "one session, the backup's end",
            "%",
            worst(|it| &it.backup),
            3.0,
        ),
        target(
            "one session, the primary's end",
            "%",
            worst(|it| &it.primary),
            3.0,
        ),
        target(
            "probes of all sessions together",
            "/s",
            seen.iter().map(|it| it.probes).fold(0.0, f64::max),
            BUDGET * BLUR,
        ),
    ]
}

fn watch(case: &'static Case) -> Result<Seen> {
    let many = Many::start(case.routers, case.places, ["", case.tables])?;
    let off = case.tables.is_empty();
    if !off {
        many.wait_sessions()?;
    }
    thread::sleep(SETTLE);
    // For as long as it is open.
    let _stats = enable_stats(Stats::RunTime).context("have the kernel count run times")?;
    let before = if off { Vec::new() } else { told(&many)? };
    let hosts = [&many.backup, &many.primary];
    let spent = hosts.map(spent);
    let begin = Instant::now();
    thread::sleep(SPAN);
    let seconds = begin.elapsed().as_secs_f64();
    let [backup, primary] = hosts.map(self::spent);
    let [backup_before, primary_before] = spent;
    let after = if off { Vec::new() } else { told(&many)? };
    let last = after.first().map(|(_, value)| value);
    let multipliers = || after.iter().filter_map(|(_, it)| it["multiplier"].as_u64());
    Ok(Seen {
        case,
        backup: busy(backup_before?, backup?, seconds),
        primary: busy(primary_before?, primary?, seconds),
        probes: rate(case, &before, &after),
        stretch: last.and_then(|value| value["stretch"].as_f64()),
        multipliers: multipliers().min().zip(multipliers().max()),
    })
}

/// What each router's fast path says, and when.
fn told(many: &Many) -> Result<Vec<(Instant, Value)>> {
    let ids = many.ids.iter();
    ids.map(|id| Ok((Instant::now(), many.fast_path(id)?)))
        .collect()
}

/// Probes in a second. Routers on one interface share a session, which each tells of.
fn rate(case: &Case, before: &[(Instant, Value)], after: &[(Instant, Value)]) -> f64 {
    let of_one = |((begin, before), (end, after)): (&(Instant, Value), &(Instant, Value))| {
        let sent = |value: &Value| value["probes_sent"].as_f64().unwrap_or(0.0);
        (sent(after) - sent(before)) / end.duration_since(*begin).as_secs_f64()
    };
    let rates = before.iter().zip(after).map(of_one);
    match case.places {
        Places::One => rates.fold(0.0, f64::max),
        Places::Own => rates.sum(),
    }
}

/// What a daemon has taken so far, and what its programs have.
fn spent(daemon: &Daemon) -> Result<[Duration; 2]> {
    let pid = daemon.pid()?.as_raw().cast_unsigned();
    Ok([held::processor_time(pid)?, held::programs_time(pid)?])
}

fn busy(before: [Duration; 2], after: [Duration; 2], seconds: f64) -> Busy {
    let [agent, programs] = after;
    let [agent_before, programs_before] = before;
    let share = |now: Duration, then| now.saturating_sub(then).as_secs_f64() / seconds * 100.0;
    Busy {
        agent: share(agent, agent_before),
        programs: share(programs, programs_before),
    }
}

impl Seen {
    fn row(&self) -> Vec<Cell> {
        let percent = |value| Cell::Number(value, 2);
        let multipliers = self.multipliers;
        vec![
            Cell::text(self.case.name),
            percent(self.backup.agent),
            percent(self.backup.programs),
            percent(self.primary.agent),
            percent(self.primary.programs),
            Cell::Number(self.probes, 0),
            self.stretch
                .map_or(Cell::text("-"), |it| Cell::Number(it, 1)),
            multipliers.map_or(Cell::text("-"), |(least, most)| {
                Cell::text(format!("{least}-{most}"))
            }),
        ]
    }
}
