//! The state monitor of Neutron's HA routers: keepfast, alone and with a daemon, beside
//! Neutron's own in shell and in Python.

use crate::held;
use crate::report::{Cell, Findings, Table, Target};
use crate::spread::micros;
use anyhow::{Context, Result, ensure};
use lab::addresses::Switch;
use lab::clock;
use lab::daemon::Daemon;
use lab::listener::{NeutronAgent, Notice};
use lab::neutron::{self, RELEASES, family, memory};
use lab::process::{self, Process};
use lab::shim::{ADDRESS, Form, INTERFACE, NAME, Router, StatePath};
use lab::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// Routers at once.
const ROUTERS: usize = 50;
/// Of Neutron's in Python, each of which takes a hundred megabytes and seconds to start.
const IN_PYTHON: usize = 8;
/// Changes of one router's state that are timed.
const CHANGES: usize = 60;
/// Between two of them; by then keepfast has given back its memory and has to get it again.
const PAUSE: Duration = Duration::from_millis(400);
/// How long each has to start, and to tell.
const LIMIT: Duration = Duration::from_secs(300);
/// How long they rest before their memory is read.
const REST: Duration = Duration::from_secs(2);

/// A monitor, and how it is started.
struct Contender {
    name: &'static str,
    routers: usize,
    form: Form,
    /// `None`: keepfast.
    program: Option<PathBuf>,
    led: bool,
}

/// What was measured of one.
struct Outcome {
    name: &'static str,
    routers: usize,
    processes: usize,
    resident: u64,
    proportional: u64,
    /// Of the daemon, divided by the routers.
    daemon: u64,
    /// From the address to the agent's socket, sorted.
    told_ns: Vec<u64>,
    /// Of a processor, for one change.
    busy: Duration,
}

pub(crate) fn measure() -> Result<Findings> {
    let [python, shell] = RELEASES;
    let own = |release| Ok::<_, anyhow::Error>(Some(neutron::programs(release)?.join(NAME)));
    let contender = |name, form, program, led| Contender {
        name,
        routers: ROUTERS,
        form,
        program,
        led,
    };
    let contenders = [
        contender("keepfast, alone", Form::Pairs, None, false),
        contender("keepfast, with a daemon", Form::Pairs, None, true),
        contender("Neutron 29 (shell)", Form::Pairs, own(shell)?, false),
        Contender {
            routers: IN_PYTHON,
            ..contender("Neutron 28 (Python)", Form::Equals, own(python)?, false)
        },
    ];
    let (mut outcomes, mut faults) = (Vec::new(), Vec::new());
    for contender in &contenders {
        match run(contender) {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => faults.push(format!("{}: {error:#}", contender.name)),
        }
    }
    let largest = outcomes.iter().filter(|it| it.name.starts_with("keepfast"));
    let largest = largest
        .map(|it| it.resident as f64 / 1024.0)
        .fold(0.0, f64::max);
    Ok(Findings {
        tables: vec![table(&outcomes)],
        targets: vec![Target {
            what: "resident memory of a monitor",
            unit: "KiB",
            measured: largest,
            limit: 1024.0,
        }],
        faults,
    })
}

fn table(outcomes: &[Outcome]) -> Table {
    let kilobytes = |bytes: u64| Cell::Number(bytes as f64 / 1024.0, 0);
    let rank = |it: &Outcome, percent: usize| {
        let at = (it.told_ns.len() * percent).div_ceil(100).max(1) - 1;
        let value = it.told_ns.get(at).copied().unwrap_or_default();
        Cell::Number(micros(value) / 1e3, 2)
    };
    let row = |it: &Outcome| {
        vec![
            Cell::text(it.name),
            Cell::count(it.routers),
            Cell::count(it.processes),
            kilobytes(it.resident),
            kilobytes(it.proportional),
            kilobytes(it.daemon),
            rank(it, 50),
            rank(it, 95),
            rank(it, 100),
            Cell::Number(it.busy.as_secs_f64() * 1e3, 2),
        ]
    };
    Table {
        title: "The state monitor of an HA router: memory of each, address to the agent's socket",
        columns: &[
            "monitor",
            "routers",
            "processes each",
            "RSS KiB",
            "PSS KiB",
            "daemon's KiB",
            "told p50 ms",
            "p95 ms",
            "max ms",
            "CPU ms",
        ],
        rows: outcomes.iter().map(row).collect(),
    }
}

/// Monitors that are ended when this is dropped, those in the background too.
struct Monitors(Vec<Pid>, Vec<Process>);

impl Drop for Monitors {
    fn drop(&mut self) {
        for pid in self.0.iter().flat_map(|pid| family(*pid)) {
            // What has ended already is as it should be.
            kill(pid, Signal::SIGKILL).unwrap_or_default();
        }
    }
}

fn run(contender: &Contender) -> Result<Outcome> {
    let path = StatePath::new("bench")?;
    let daemon = contender.led.then(|| Daemon::new("bench")).transpose()?;
    if let Some(daemon) = &daemon {
        wait::until("the kernel programs", LIMIT, || {
            let said = daemon.messages();
            let loaded = said.contains("fast path") || said.contains("no kernel programs");
            if loaded { Ok(()) } else { Err(said) }
        })?;
    }
    let before = daemon.as_ref().map(Daemon::rss).transpose()?;
    let agent = NeutronAgent::start(&path.agent_socket())?;
    let mut routers = Vec::new();
    for _ in 0..contender.routers {
        let mut router = Router::new(&path)?;
        router.program.clone_from(&contender.program);
        if let Some(daemon) = &daemon {
            router.keepfast_socket = daemon.socket();
        }
        routers.push(router);
    }
    let mut monitors = Monitors(Vec::new(), Vec::new());
    for router in &routers {
        match contender.form {
            Form::Pairs => monitors.1.push(router.start()?),
            Form::Equals => drop(process::output(&mut router.command(contender.form))?),
        }
        wait::until("its pid file", LIMIT, || {
            router.pid().map_err(|it| format!("{it:#}"))
        })?;
        monitors.0.push(router.pid()?);
    }
    for router in &routers {
        router.wait_state("backup", LIMIT)?;
        if contender.led {
            router.wait_log("looked after by keepfast", LIMIT)?;
        }
    }
    let first = routers.first().context("no router")?;
    // Neutron's in shell says nothing before an address has changed.
    let switch = Switch::new(first.namespace(), INTERFACE)?;
    for present in [true, false] {
        thread::sleep(REST);
        change(&switch, present, first, &agent)?;
    }
    thread::sleep(REST);
    let all: Vec<Pid> = monitors.0.iter().flat_map(|pid| family(*pid)).collect();
    let (resident, proportional) = memory(&all)?;
    let each = |bytes: u64| bytes / contender.routers as u64;
    let after = daemon.as_ref().map(Daemon::rss).transpose()?;
    let daemons = after
        .unwrap_or_default()
        .saturating_sub(before.unwrap_or_default());

    let pid = *monitors.0.first().context("no monitor")?;
    let mut told_ns = Vec::new();
    let busy = busy(pid)?;
    for number in 0..CHANGES {
        thread::sleep(PAUSE);
        told_ns.push(change(&switch, number.is_multiple_of(2), first, &agent)?);
    }
    let busy = self::busy(pid)?.saturating_sub(busy);
    told_ns.sort_unstable();
    Ok(Outcome {
        name: contender.name,
        routers: contender.routers,
        processes: all.len() / contender.routers,
        resident: each(resident),
        proportional: each(proportional),
        daemon: each(daemons),
        told_ns,
        busy: busy / u32::try_from(CHANGES)?,
    })
}

/// Adds or removes the address; how long until the agent was told, and once.
fn change(switch: &Switch, present: bool, router: &Router, agent: &NeutronAgent) -> Result<u64> {
    let state = if present { "primary" } else { "backup" };
    let begun = clock::monotonic_ns()?;
    switch.set(ADDRESS, present)?;
    let is_it =
        |it: &Notice| it.received_ns > begun && it.router == router.id() && it.state == state;
    let told = wait::until("the agent to be told", LIMIT, || {
        let notices = agent.notices().map_err(|error| format!("{error:#}"))?;
        let told: Vec<Notice> = notices.into_iter().filter(is_it).collect();
        if told.is_empty() {
            Err(router.log())
        } else {
            Ok(told)
        }
    })?;
    let [told] = told.as_slice() else {
        ensure!(false, "told {} times", told.len());
        return Ok(0);
    };
    Ok(told.received_ns - begun)
}

/// How long a process, what it has started and what has ended of that has run.
fn busy(pid: Pid) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for pid in family(pid) {
        sum += held::processor_time(pid.as_raw().cast_unsigned())?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read its times")?;
        // Behind the name, which may hold anything: cutime and cstime, in hundredths of a
        // second.
        let (_, fields) = stat.rsplit_once(')').context("read its times")?;
        for ticks in fields.split_whitespace().skip(13).take(2) {
            sum += Duration::from_millis(10) * ticks.parse::<u32>().context("read its times")?;
        }
    }
    Ok(sum)
}
