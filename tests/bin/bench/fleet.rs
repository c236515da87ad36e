//! A thousand routers of one daemon: how long it takes to start, what it holds, and what it does
//! while nothing happens.

use crate::advert::Advert;
use crate::attached::{self, Attached, vrid};
use crate::held;
use crate::network::{INTERFACE, Network, Sender};
use crate::report::{Cell, Findings, Table, Target};
use crate::sight::{self, Sight};
use anyhow::{Context, Result, bail, ensure};
use lab::daemon::Daemon;
use lab::listener::NeutronAgent;
use lab::process;
use lab::wait;
use lab::workdir::WorkDir;
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Routers whose keepalived is played by this program.
const ATTACHED: usize = 1_000;
/// Routers whose keepalived is real, if there is memory for them.
const MANAGED: usize = 200;
/// What a keepalived and its namespace take, with room to spare.
const EACH: u64 = 10 << 20;
/// For the last of them to be right.
const LIMIT: Duration = Duration::from_secs(300);
/// Reading what the listener was told takes time that it needs too.
const PAUSE: Duration = Duration::from_millis(50);
/// How long it is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(30);
/// Neutron's time between adverts.
const INTERVAL: Duration = Duration::from_secs(2);

/// What was measured of one daemon.
struct Outcome {
    name: &'static str,
    routers: usize,
    start: Start,
    rest: Rest,
    end: Duration,
}

/// How long it took from the daemon's start.
struct Start {
    /// Until each router had a state file.
    files: Duration,
    /// Until all state files said what they should.
    right: Duration,
    /// Until the hooks had been told.
    told: Duration,
    /// Until the kernel programs watched all interfaces.
    watched: Duration,
}

/// What it held and did while nothing happened.
struct Rest {
    resident: u64,
    proportional: u64,
    kernel: u64,
    /// Of one processor, in percent.
    busy: f64,
}

pub(crate) fn measure() -> Result<Findings> {
    let empty = empty()?;
    let mut faults = Vec::new();
    let mut outcomes = Vec::new();
    for outcome in [attached(), managed()] {
        match outcome {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    let each =
        |it: &Outcome| it.rest.resident.saturating_sub(empty) as f64 / 1024.0 / it.routers as f64;
    let megabytes = |bytes: u64| Cell::Number(bytes as f64 / 1e6, 1);
    let seconds = |duration: Duration| Cell::Number(duration.as_secs_f64(), 2);
    let row = |it: &Outcome| {
        vec![
            Cell::text(it.name),
            Cell::count(it.routers),
            seconds(it.start.files),
            seconds(it.start.right),
            seconds(it.start.told),
            seconds(it.start.watched),
            megabytes(it.rest.resident),
            megabytes(it.rest.proportional),
            Cell::Number(each(it), 1),
            megabytes(it.rest.kernel),
            Cell::Number(it.rest.busy, 2),
            seconds(it.end),
        ]
    };
    let mut alone = vec![Cell::text("none"), Cell::count(0)];
    alone.extend(["", "", "", ""].map(Cell::text));
    alone.push(megabytes(empty));
    alone.extend(["", "", "", "", ""].map(Cell::text));
    let worst = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).fold(0.0, f64::max);
    Ok(Findings {
        tables: vec![Table {
            title: "Many routers of one daemon, each with a hook and an advert every 2 s",
            columns: &[
                "keepalived",
                "routers",
                "files s",
                "files right s",
                "hooks told s",
                "watched s",
                "RSS MB",
                "PSS MB",
                "RSS KB each",
                "maps and programs MB",
                "idle %",
                "ended s",
            ],
            rows: std::iter::once(alone)
                .chain(outcomes.iter().map(row))
                .collect(),
        }],
        targets: vec![
            Target {
                what: "memory for each router",
                unit: "KB",
                measured: worst(&each),
                limit: 100.0,
            },
            Target {
                what: "of a processor while nothing happens",
                unit: "%",
                measured: worst(&|outcome| outcome.rest.busy),
                limit: 1.0,
            },
        ],
        faults,
    })
}

/// The memory of a daemon without routers.
fn empty() -> Result<u64> {
    let daemon = Daemon::new("empty")?;
    let pid = pid(&daemon)?;
    // It loads the kernel programs after it has begun to answer, and takes most for that.
    wait::until("the kernel programs", LIMIT, || {
        match held::kernel_memory(pid) {
            Ok(0) => Err("none".to_owned()),
            memory => Ok(memory),
        }
    })??;
    process::wait_asleep(daemon.pid()?)?;
    held::resident(pid)
}

/// Routers of which every other one is primary.
fn attached() -> Result<Outcome> {
    let agent = Agent::start()?;
    let mut routers = Attached::new(ATTACHED, &agent.hook())?;
    for number in (0..ATTACHED).step_by(2) {
        routers.set(number, true)?;
    }
    let (sink, files) = mpsc::channel();
    sight::files(&routers.directories(), sink)?;
    let begin = Instant::now();
    routers.daemon.start()?;
    let state = |number| if number % 2 == 0 { "primary" } else { "backup" };
    let [files, right] = all_right(
        &files,
        &routers.directories(),
        state,
        routers.daemon.started_ns(),
    )?;
    agent.wait(ATTACHED)?;
    let told = begin.elapsed();
    routers.wait_watched()?;
    let watched = begin.elapsed();
    let sender = routers.network.sender()?;
    let rest = at_rest(&routers.daemon, || advertise(&sender, ATTACHED))?;
    let end = attached::end(&routers.daemon)?;
    Ok(Outcome {
        name: "played",
        routers: ATTACHED,
        start: Start {
            files,
            right,
            told,
            watched,
        },
        rest,
        end,
    })
}

/// Routers with a keepalived each, which is alone and so becomes master.
fn managed() -> Result<Outcome> {
    let count = affordable()?;
    let agent = Agent::start()?;
    let mut daemon = Daemon::prepare("managed")?;
    let network = Network::new(count)?;
    let mut directories: Vec<PathBuf> = Vec::new();
    for (number, namespace) in network.namespaces.iter().enumerate() {
        let toml = format!(
            "namespace = \"{}\"\nprofile = \"neutron\"\n[vrrp]\ninterface = \"{INTERFACE}\"\n\
             addresses = [\"169.254.192.1/18\"]\nvrid = {}\n{}",
            namespace.name(),
            vrid(number),
            agent.hook()
        );
        let id = format!("r{number}");
        daemon.declare(&id, &toml)?;
        let directory = daemon.state().join(id);
        fs::create_dir(&directory).context("make a router's directory")?;
        directories.push(directory);
    }
    let (sink, files) = mpsc::channel();
    sight::files(&directories, sink)?;
    let begin = Instant::now();
    daemon.start()?;
    let [files, right] = all_right(&files, &directories, |_| "primary", daemon.started_ns())?;
    // Each was a backup first.
    agent.wait(2 * count)?;
    let told = begin.elapsed();
    attached::wait_watched(&daemon, count)?;
    let watched = begin.elapsed();
    let rest = at_rest(&daemon, || Ok(()))?;
    let end = attached::end(&daemon)?;
    Ok(Outcome {
        name: "real",
        routers: count,
        start: Start {
            files,
            right,
            told,
            watched,
        },
        rest,
        end,
    })
}

/// For how many keepaliveds half of the memory that is left will do.
fn affordable() -> Result<usize> {
    let text = fs::read_to_string("/proc/meminfo").context("ask how much memory is left")?;
    let bytes = held::field(&text, "MemAvailable:").context("find how much memory is left")? * 1024;
    Ok(MANAGED.min(usize::try_from(bytes / 2 / EACH)?))
}

/// Waits until all state files say what they should; when the last of them was first written,
/// and when the last became right.
fn all_right(
    sights: &Receiver<Sight>,
    directories: &[PathBuf],
    state: impl Fn(usize) -> &'static str,
    started_ns: u64,
) -> Result<[Duration; 2]> {
    let waiting = Instant::now();
    let mut written = HashSet::new();
    let mut right = HashSet::new();
    let mut times = [started_ns; 2];
    while right.len() < directories.len() {
        let rest = LIMIT.saturating_sub(waiting.elapsed());
        let Ok(Sight { router, at_ns, .. }) = sights.recv_timeout(rest) else {
            let wrong = (0..directories.len()).filter(|number| !right.contains(number));
            bail!(
                "after {LIMIT:?} the state files of these routers are wrong: {:?}",
                wrong.collect::<Vec<_>>()
            );
        };
        if written.insert(router) {
            times[0] = at_ns;
        }
        times[1] = at_ns;
        let file = directories.get(router).context("find the router")?;
        let said = fs::read_to_string(file.join("state")).context("read a state file")?;
        if said == state(router) {
            right.insert(router);
        } else {
            right.remove(&router);
        }
    }
    Ok(times.map(|at_ns| Duration::from_nanos(at_ns - started_ns)))
}

/// Watches the daemon while nothing happens but what `adverts` does every two seconds.
fn at_rest(daemon: &Daemon, mut adverts: impl FnMut() -> Result<()>) -> Result<Rest> {
    let pid = pid(daemon)?;
    // The first ones are of masters that nobody knew.
    adverts()?;
    thread::sleep(INTERVAL);
    let before = held::processor_time(pid)?;
    let begin = Instant::now();
    while begin.elapsed() < IDLE {
        adverts()?;
        thread::sleep(INTERVAL);
    }
    let worked = held::processor_time(pid)?.saturating_sub(before);
    let busy = worked.as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0;
    Ok(Rest {
        resident: held::resident(pid)?,
        proportional: held::proportional(pid)?,
        kernel: held::kernel_memory(pid)?,
        busy,
    })
}

/// Has a master of each router advertise.
pub(crate) fn advertise(sender: &Sender, count: usize) -> Result<()> {
    for number in 0..count {
        let advert = Advert {
            vlan: 0,
            vrid: vrid(number),
            priority: 100,
            interval_cs: u16::try_from(INTERVAL.as_millis() / 10)?,
        };
        sender.send(number, &advert.frame())?;
    }
    Ok(())
}

fn pid(daemon: &Daemon) -> Result<u32> {
    Ok(daemon.pid()?.as_raw().cast_unsigned())
}

/// Whom the hooks tell.
struct Agent {
    listener: NeutronAgent,
    directory: WorkDir,
}

impl Agent {
    fn start() -> Result<Self> {
        let directory = WorkDir::new("fleet")?;
        let listener = NeutronAgent::start(&directory.file("agent"))?;
        Ok(Self {
            listener,
            directory,
        })
    }

    fn hook(&self) -> String {
        let path = self.directory.file("agent");
        format!(
            "[[hook]]\nname = \"agent\"\nneutron_socket = \"{}\"\n",
            path.display()
        )
    }

    /// Waits until so much was told.
    fn wait(&self, count: usize) -> Result<()> {
        let begin = Instant::now();
        loop {
            let told = self.listener.notices()?.len();
            if told >= count {
                return Ok(());
            }
            ensure!(
                begin.elapsed() < LIMIT,
                "{told} of {count} notifications after {LIMIT:?}"
            );
            thread::sleep(PAUSE);
        }
    }
}
