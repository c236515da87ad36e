//! How long it takes from a change of address until the state file says so, and until a hook was
//! told; beside what keepalived itself tells.

use crate::attached::Attached;
use crate::report::{Cell, Findings, Table, Target, processors};
use crate::sight::{self, STAMP, Sight, Witness};
use crate::spread::Spread;
use anyhow::{Context, Result, ensure};
use lab::addresses::Addresses;
use lab::clock;
use lab::daemon::Daemon;
use lab::keepalived::{Config, Instance, Keepalived};
use lab::load::Load;
use lab::netns::Namespace;
use lab::router::{HA, PRIMARY, Rival, VRID};
use lab::segment::Segment;
use lab::workdir::WorkDir;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::env;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// Of addresses that this program adds and removes.
const BY_HAND: usize = 1_000;
/// Of a real keepalived.
const BY_KEEPALIVED: usize = 200;
/// Long enough for the daemon to have gone to sleep again.
const PAUSE: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(5);
/// Between keepalived's adverts, and those of its rival.
const INTERVAL: Duration = Duration::from_millis(100);

/// What is measured of one witness: how many milliseconds after the change it noticed.
type Delays = Vec<(Witness, Vec<f64>)>;

pub(crate) fn measure() -> Result<Findings> {
    let idle = by_hand()?;
    let busy = {
        let _load = Load::start(processors()?);
        by_hand()?
    };
    let real = by_keepalived()?;
    let mut rows = Vec::new();
    for (change, delays) in [
        ("by hand", &idle),
        ("by hand, processors busy", &busy),
        ("by keepalived", &real),
    ] {
        for (witness, values) in delays {
            let Spread { p50, p99, max } = Spread::of(values.iter().copied())?;
            let mut row = vec![Cell::text(change), Cell::text(witness.name())];
            row.push(Cell::count(values.len()));
            row.extend([p50, p99, max].map(|value| Cell::Number(value, 2)));
            rows.push(row);
        }
    }
    let p99 = |witness| {
        let found = idle.iter().find(|(of, _)| *of == witness);
        let (_, values) = found.with_context(|| format!("find {witness:?}"))?;
        Ok::<_, anyhow::Error>(Spread::of(values.iter().copied())?.p99)
    };
    Ok(Findings {
        tables: vec![Table {
            title: "A router's state: from the change of its address until it is noticed",
            columns: &[
                "changed",
                "noticed by",
                "times",
                "p50 ms",
                "p99 ms",
                "max ms",
            ],
            rows,
        }],
        targets: vec![
            Target {
                what: "address to state file, p99",
                unit: "ms",
                measured: p99(Witness::File)?,
                limit: 2.0,
            },
            Target {
                what: "address to socket, p99",
                unit: "ms",
                measured: p99(Witness::Socket)?,
                limit: 5.0,
            },
        ],
        faults: Vec::new(),
    })
}

impl Witness {
    const fn name(self) -> &'static str {
        match self {
            Self::File => "state file",
            Self::Socket => "hook: socket",
            Self::Hook => "hook: program",
            Self::Fifo => "keepalived: notify_fifo",
            Self::Script => "keepalived: notify script",
        }
    }
}

/// Changes the address in no time, and measures from before that.
fn by_hand() -> Result<Delays> {
    let directory = WorkDir::new("states")?;
    let socket = directory.file("hook");
    let mut routers = Attached::new(1, &socket_hook(&socket))?;
    let (sink, sights) = mpsc::channel();
    sight::files(&routers.directories(), sink.clone())?;
    sight::socket(&socket, sink)?;
    routers.daemon.start()?;
    let mut delays: Delays = [Witness::File, Witness::Socket]
        .map(|it| (it, Vec::new()))
        .into();
    all_notice(&sights, &delays, &routers.daemon, "backup").context("at its start")?;
    routers.wait_watched()?;
    for number in 0..BY_HAND {
        thread::sleep(PAUSE);
        let primary = number % 2 == 0;
        let start = clock::monotonic_ns()?;
        routers.set(0, primary)?;
        let state = if primary { "primary" } else { "backup" };
        let at = all_notice(&sights, &delays, &routers.daemon, state)
            .with_context(|| format!("transition {number}"))?;
        note(&mut delays, start, &at);
    }
    Ok(delays)
}

/// Has a real keepalived win and lose, and measures from when this program hears of the address.
fn by_keepalived() -> Result<Delays> {
    let directory = WorkDir::new("states")?;
    let [socket, stamps, fifo] = ["hook", "stamps", "fifo"].map(|name| directory.file(name));
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).context("make a FIFO")?;
    let program = env::current_exe().context("find this program")?;
    let (program, stamps_shown) = (program.display(), stamps.display());
    let segment = Segment::new("ha")?;
    let namespace = Namespace::new("router")?;
    let _port = segment.attach(&namespace, HA, &["169.254.192.1/18"])?;
    let rival = Rival::new(&segment)?;
    let (sink, sights) = mpsc::channel();
    sight::fifo(&fifo, sink.clone())?;
    sight::stamps(&stamps, sink.clone())?;
    let config = Config {
        globals: vec![
            "script_user root".into(),
            format!("vrrp_notify_fifo {}", fifo.display()),
        ],
        instances: vec![Instance {
            interface: HA.into(),
            vrid: VRID,
            interval: INTERVAL,
            addresses: vec![PRIMARY.into()],
            extra: vec![format!("notify \"{program} {STAMP} {stamps_shown}\"")],
            ..Instance::default()
        }],
        ..Config::default()
    };
    let keepalived = Keepalived::start(&namespace, config)?;
    let mut daemon = Daemon::prepare("states")?;
    let toml = format!(
        "namespace = \"{}\"\n[attached]\nconfig_file = \"{}\"\ninstance = \"VI_1\"\n\
         pid_file = \"{}\"\n{}[[hook]]\nname = \"program\"\n\
         program = [\"{program}\", \"{STAMP}\", \"{stamps_shown}\"]\n",
        namespace.name(),
        keepalived.directory().join("keepalived.conf").display(),
        keepalived.pid_file().display(),
        socket_hook(&socket),
    );
    daemon.declare("r0", &toml)?;
    let state = daemon.state().join("r0");
    fs::create_dir(&state).context("make the router's directory")?;
    sight::files(&[state], sink.clone())?;
    sight::socket(&socket, sink)?;
    let addresses = Addresses::listen(&namespace)?;
    daemon.start()?;
    let mut delays: Delays = [
        Witness::File,
        Witness::Socket,
        Witness::Hook,
        Witness::Fifo,
        Witness::Script,
    ]
    .map(|it| (it, Vec::new()))
    .into();
    settle(&sights, &delays, &daemon)?;
    addresses.forget();
    let mut times = Vec::new();
    for number in 0..BY_KEEPALIVED {
        thread::sleep(PAUSE);
        let state = if number % 2 == 0 {
            rival.take(INTERVAL)?;
            "backup"
        } else {
            rival.resign(INTERVAL)?;
            "primary"
        };
        let at = all_notice(&sights, &delays, &daemon, state)
            .with_context(|| format!("transition {number} of keepalived:\n{}", keepalived.log()))?;
        times.push(at);
    }
    let moments = addresses.moments();
    ensure!(
        moments.len() == times.len(),
        "{} transitions, but the address changed {} times",
        times.len(),
        moments.len()
    );
    for (moment, at) in moments.iter().zip(&times) {
        note(&mut delays, moment.at_ns, at);
    }
    Ok(delays)
}

fn socket_hook(path: &Path) -> String {
    let path = path.display();
    format!("[[hook]]\nname = \"socket\"\nsocket = \"{path}\"\n")
}

/// Waits until all have noticed that the router, at its start, is primary.
fn settle(sights: &Receiver<Sight>, delays: &Delays, daemon: &Daemon) -> Result<()> {
    let mut primary = Vec::new();
    while primary.len() < delays.len() {
        let sight = sights.recv_timeout(LIMIT);
        let sight = sight.with_context(|| format!("only {primary:?} know that it is primary"))?;
        primary.retain(|witness| *witness != sight.by);
        if said(&sight, daemon)? == "primary" {
            primary.push(sight.by);
        }
    }
    Ok(())
}

/// Waits until each witness has noticed that the state is `state`, and when; in their order.
///
/// # Errors
/// When one does not, or notices something else, or twice.
fn all_notice(
    sights: &Receiver<Sight>,
    delays: &Delays,
    daemon: &Daemon,
    state: &str,
) -> Result<Vec<u64>> {
    let mut times = vec![None; delays.len()];
    while times.contains(&None) {
        let sight = sights.recv_timeout(LIMIT);
        let sight = sight.with_context(|| format!("not all notice {state}: {times:?}"))?;
        let said = said(&sight, daemon)?;
        ensure!(said == state, "expected {state}, but {said:?}: {sight:?}");
        let place = delays.iter().position(|(by, _)| *by == sight.by);
        let time = place.and_then(|place| times.get_mut(place));
        let time = time.with_context(|| format!("nobody expected {sight:?}"))?;
        ensure!(time.is_none(), "noticed twice: {sight:?}");
        *time = Some(sight.at_ns);
    }
    Ok(times.into_iter().flatten().collect())
}

fn said(sight: &Sight, daemon: &Daemon) -> Result<String> {
    match sight.by {
        Witness::File => daemon.state_file("r0"),
        _ => Ok(sight.state.clone()),
    }
}

fn note(delays: &mut Delays, start_ns: u64, at: &[u64]) {
    for ((_, values), at_ns) in delays.iter_mut().zip(at) {
        // keepalived may tell before the address is heard of.
        values.push((*at_ns as f64 - start_ns as f64) / 1e6);
    }
}
