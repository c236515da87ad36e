//! What it costs to look: `keepfast status` and `keepfast top` at a thousand routers.

use crate::attached::{self, Attached};
use crate::held;
use crate::report::{Cell, Findings, Table, Target};
use crate::spread::Spread;
use anyhow::{Context, Result, ensure};
use lab::binary;
use lab::pty::Pty;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

const ROUTERS: usize = 1_000;
/// How often each question is asked.
const TIMES: usize = 50;
/// How long `top` is watched.
const WATCHED: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(20);
const ADDRESS: Duration = Duration::from_millis(5);

pub(crate) fn measure() -> Result<Findings> {
    let mut routers = Attached::new(ROUTERS, "")?;
    routers.daemon.start()?;
    routers.wait_watched()?;
    // Half of them primary, so that there is something to tell of.
    for number in (0..ROUTERS).step_by(2) {
        routers.set(number, true)?;
        thread::sleep(ADDRESS);
    }
    let raw = ask_often(|| ask(&routers))?;
    let json = ask_often(|| routers.daemon.ask(&["status", "--json"]).map(|it| it.len()))?;
    let text = ask_often(|| routers.daemon.ask(&["status"]).map(|it| it.len()))?;
    let (top, daemon, idle) = watch(&routers)?;
    attached::end(&routers.daemon)?;
    let rows = [
        ("the daemon's answer", &raw),
        ("keepfast status --json", &json),
        ("keepfast status", &text),
    ];
    let row = |(what, (spread, bytes)): (&str, &(Spread, usize))| {
        let mut row = vec![Cell::text(what), Cell::count(bytes / 1024)];
        row.extend([spread.p50, spread.p99, spread.max].map(|ms| Cell::Number(ms, 1)));
        row
    };
    Ok(Findings {
        tables: vec![
            Table {
                title: "Status of 1,000 routers: from the question until all of the answer",
                columns: &["asked by", "KB", "p50 ms", "p99 ms", "max ms"],
                rows: rows.into_iter().map(row).collect(),
            },
            Table {
                title: "Top at 1,000 routers, a look each second: percent of a core",
                columns: &["process", "percent"],
                rows: vec![
                    vec![Cell::text("keepfast top"), Cell::Number(top, 2)],
                    vec![
                        Cell::text("keepfast run, asked by it"),
                        Cell::Number(daemon, 2),
                    ],
                    vec![Cell::text("keepfast run, not asked"), Cell::Number(idle, 2)],
                ],
            },
        ],
        targets: vec![
            Target {
                what: "status of 1,000 routers as JSON, median",
                unit: "ms",
                measured: json.0.p50,
                limit: 100.0,
            },
            Target {
                what: "top at 1,000 routers",
                unit: "% of a core",
                measured: top,
                limit: 5.0,
            },
        ],
        faults: Vec::new(),
    })
}

/// Milliseconds, and the length of an answer.
fn ask_often(ask: impl Fn() -> Result<usize>) -> Result<(Spread, usize)> {
    let mut times = Vec::new();
    let mut length = 0;
    for _ in 0..TIMES {
        let begin = Instant::now();
        length = ask()?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok((Spread::of(times)?, length))
}

fn ask(routers: &Attached) -> Result<usize> {
    let mut stream = UnixStream::connect(routers.daemon.socket()).context("connect")?;
    stream
        .write_all(b"{\"op\":\"status\",\"id\":null}\n")
        .context("ask")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("hear")?;
    ensure!(answer.ends_with(b"\n"), "no whole answer");
    Ok(answer.len())
}

/// Percent of a core: of `top`, of the daemon meanwhile, of the daemon before.
fn watch(routers: &Attached) -> Result<(f64, f64, f64)> {
    let told: Value = routers.daemon.status()?;
    let count = told["routers"].as_array().map_or(0, Vec::len);
    ensure!(count == ROUTERS, "{count} routers");
    let daemon = routers.daemon.pid()?.as_raw().cast_unsigned();
    let before = held::processor_time(daemon)?;
    thread::sleep(WATCHED);
    let idle = percent(held::processor_time(daemon)? - before);
    let mut command = binary::keepfast();
    command
        .arg("top")
        .arg("--socket")
        .arg(routers.daemon.socket());
    let mut top = Pty::start(&mut command, 160, 50)?;
    top.wait_written(0, "1000 routers: 500 primary", LIMIT)?;
    let pid = top.pid().as_raw().cast_unsigned();
    let before = [held::processor_time(pid)?, held::processor_time(daemon)?];
    thread::sleep(WATCHED);
    let after = [held::processor_time(pid)?, held::processor_time(daemon)?];
    top.signal(Signal::SIGTERM)?;
    top.wait_end()?;
    Ok((
        percent(after[0] - before[0]),
        percent(after[1] - before[1]),
        idle,
    ))
}

fn percent(time: Duration) -> f64 {
    time.as_secs_f64() / WATCHED.as_secs_f64() * 100.0
}
