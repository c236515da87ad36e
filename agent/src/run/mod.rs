//! `keepfast run`: the daemon that looks after routers.
//!
//! One task owns everything; what happens comes to it as one of these, and leaves
//! as actions of the router's [`crate::engine::Engine`]:
//!
//! ```text
//! netlink ----> addresses, links --\                  /--> state file, event log
//! ring buffer -> adverts -----------\                /---> sysctls, addresses, ARP
//! pidfds -----> ends of processes ---> Daemon: engine ---> keepalived, radvd, ...
//! inotify ----> declarations -------/                \---> hooks
//! socket -----> requests ----------/
//! clock, signals -----------------/
//! ```
//!
//! The fast path's thread ([`crate::fast`]) is told what it is to guard and tells what it
//! did ([`fast`], [`guard`]).
//!
//! Ended by a signal, or killed, it leaves keepalived, addresses and all else as
//! they are; the next one takes them up. SIGUSR2 ends it for another one that comes at once:
//! the kernel programs stay, and go on noting and answering, as they do after a kill.
//!
//! Reading order: [`daemon`] (what owns all) and [`perform`] (what engines decide);
//! what happens: [`declarations`], [`requests`], [`registered`], [`drain`], [`moves`], [`places`],
//! [`processes`], [`heard`], [`ticks`]; what a router has: [`member`], [`site`], [`plan`], [`memory`], [`claims`]; what is
//! done: [`network`], [`programs`], [`keepalived`], [`removal`], [`jobs`]; [`directory`]; [`fast`], [`guard`];
//! an agent before and after this one: [`succession`];
//! what is told of it all: [`status`], [`metrics`], [`blackbox`], [`reported`], [`service`].

mod daemon;
mod perform;

mod blackbox;
mod declarations;
mod drain;
mod fast;
mod guard;
mod heard;
mod moves;
mod places;
mod processes;
mod registered;
mod reported;
mod requests;
mod service;
mod status;
mod succession;
mod teardown;
mod ticks;

mod check;
mod claims;
mod member;
mod memory;
mod plan;
mod site;

mod jobs;
mod keepalived;
mod metrics;
mod network;
mod programs;
mod removal;

mod protect;

mod directory;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use keepfast_common::event::Event;
use nix::fcntl::{Flock, FlockArg};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tracing::{error, info, warn};

use crate::cli::RunArgs;
use crate::control::Server;
use crate::exit;
use crate::files::Dir;
use crate::keepalived::render::Features;
use crate::metrics::Server as MetricsServer;
use crate::network::monitor::Change;
use crate::observe::{Loaded, Observer, STAND_IN, Source};
use crate::report::clock::monotonic_ns;
use crate::service::privileges;
use crate::watch::raise_descriptor_limit;

use daemon::Daemon;
use directory::Watches;
use fast::Fast;
use plan::Planner;
use service::Service;

/// How often it is looked for what no event tells.
const TICK: Duration = Duration::from_secs(1);

/// How often it is looked for what costs a little for each router.
const SLOW_TICK: Duration = Duration::from_secs(5);

/// How often routers on their way to other hosts are looked at.
const MOVING: Duration = Duration::from_millis(5);

/// How long all else waits for the fast path at most, and how often that is looked at.
const STAND_BACK: Duration = Duration::from_millis(500);
const STAND_BACK_STEP: Duration = Duration::from_millis(2);

/// Files that are written together are read together.
const SETTLE: Duration = Duration::from_millis(20);

/// Changes of network configuration that wait to be looked at.
const CHANGES: usize = 4096;

/// How long a killed daemon may seem to live on, and how often that is looked at.
const LOCK_LIMIT: Duration = Duration::from_secs(1);
const LOCK_STEP: Duration = Duration::from_millis(5);

/// Where network namespaces have their names.
const NAMESPACES: &str = "/run/netns";

/// Runs the daemon until SIGINT or SIGTERM.
///
/// # Errors
///
/// A directory cannot be used, another daemon uses it, or the control socket cannot
/// be opened. What is wrong with single routers is logged, and no error, unless it is
/// asked for only that (`--check-config`).
pub fn run(args: &RunArgs) -> Result<()> {
    if args.check_config {
        return check::check(args);
    }
    // Before there are threads, which would keep them.
    privileges::give_up();
    let serve = async {
        if args.tear_down {
            teardown::limited(serve(args)).await
        } else {
            serve(args).await
        }
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(serve)
}

async fn serve(args: &RunArgs) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("wait for signals")?;
    let mut make_room = signal(SignalKind::user_defined2()).context("wait for signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("wait for signals")?;
    let mut service = Service::new()?;
    raise_descriptor_limit();
    let base = Dir::create(&args.state, 0o755)?;
    let _lock = lock(base.path())?;
    let mut server = Server::bind(&args.socket, args.group.as_deref())?;
    let program = std::env::current_exe().context("find the own program")?;
    let planner = Planner::new(base.path().to_owned(), program, features().await);
    let (changes, mut changed) = mpsc::channel::<(usize, Change)>(CHANGES);
    let mut daemon = Daemon::new(base, args.routers.clone(), planner, changes)?;
    // One that was not there says nothing about routers that were looked after.
    if args.tear_down {
        daemon.take_up_to_tear_down();
    } else if !args.routers.exists() {
        Dir::create(&args.routers, 0o755)?;
        warn!(
            "made {}, where routers are declared",
            args.routers.display()
        );
        daemon.remembered_taken_up = true;
    }
    daemon.recall_drained()?;
    // Watched before it is read: what changes in between is seen twice, not missed.
    let mut watches = Watches::new()?;
    watches.watch_declarations(&args.routers);
    watches.watch_namespaces(Path::new(NAMESPACES));
    daemon.read_declarations(false);
    info!("looking after {} routers", daemon.members.len());
    let mut questions = MetricsServer::start(args.metrics);
    let state = daemon.base.path();
    let state = state.canonicalize().context("find the state directory")?;
    let mut loading = Some(spawn_blocking(move || load_programs(&state)));
    let mut source: Option<Source> = None;
    let mut leaves_all = false;
    let mut events: Vec<Event> = Vec::new();
    let mut reread: Option<Instant> = None;
    // To attach to an interface takes milliseconds in which nothing else happens; as
    // long is left for all else before the next one.
    let mut next_attach = Some(Instant::now());
    let mut next_move = None;
    let mut tick = interval(TICK);
    let mut slow_tick = interval(SLOW_TICK);
    let mut stand_in = interval(STAND_IN);
    for timer in [&mut tick, &mut slow_tick, &mut stand_in] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    // Of what a killed daemon left, the kernel programs go when others are loaded.
    while !(daemon.is_torn_down() && loading.is_none()) {
        service.turn(&daemon);
        stand_back(&daemon).await;
        let deadline = daemon.deadline();
        let refused = daemon
            .observer
            .as_ref()
            .is_some_and(Observer::must_stand_in);
        if next_move.is_none() && daemon.moves.is_active() {
            next_move = Some(Instant::now() + MOVING);
        }
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = make_room.recv() => {
                leaves_all = true;
                break;
            }
            Some((label, change)) = changed.recv() => daemon.change(label, &change),
            outcome = next_events(daemon.observer.as_mut(), source.as_mut(), &mut events) => {
                if let Err(error) = outcome {
                    daemon.fall_back(format!("the kernel programs tell no more, addresses tell alone: {error:#}"));
                    source = None;
                }
                daemon.take_events(&mut events);
                daemon.acted(source.as_ref());
            }
            Some(told) = fast::next_told(daemon.fast.as_mut()) => daemon.take_told(&told),
            () = at(next_move) => {
                next_move = None;
                daemon.go_on_moving();
            }
            done = daemon.jobs.next() => daemon.done(done),
            () = until(deadline) => daemon.expire(),
            incoming = server.next() => daemon.answer(incoming),
            question = questions.next() => daemon.gather(question),
            changed = watches.next() => {
                let changed = changed?;
                if changed.namespaces {
                    daemon.namespaces_changed();
                }
                if changed.declarations && reread.is_none() {
                    reread = Some(Instant::now() + SETTLE);
                }
            }
            _ = hangup.recv() => {
                info!("reading the declarations again");
                service.reload(|| daemon.read_declarations(true));
            }
            () = at(reread) => {
                reread = None;
                daemon.read_declarations(false);
            }
            loaded = loaded(&mut loading) => {
                loading = None;
                source = observe(&mut daemon, loaded, args.fast_priority);
                daemon.take_up_states();
                service.ready(&daemon);
            }
            due = tick.tick() => {
                daemon.metrics.late(nanoseconds(due.elapsed()));
                if watches.watch_declarations(&args.routers) {
                    reread = Some(Instant::now());
                }
                watches.watch_namespaces(Path::new(NAMESPACES));
                daemon.tick();
                service.tell(&daemon);
            }
            _ = slow_tick.tick() => {
                daemon.slow_tick();
                // What was wrong may have been a secret that was not there yet.
                if !daemon.problems.is_empty() {
                    reread = Some(Instant::now());
                }
            }
            _ = stand_in.tick(), if refused => {
                if let Some(Err(error)) = daemon.observer.as_mut().map(Observer::stand_in) {
                    error!("stand in for refused timers: {error:#}");
                }
            }
            () = at(next_attach), if daemon.must_attach() => {
                let begun = Instant::now();
                daemon.attach_one();
                let ended = Instant::now();
                next_attach = Some(ended + (ended - begun));
            }
        }
    }
    if daemon.is_torn_down() {
        info!("ending; all routers are removed");
    } else {
        info!("ending; the routers stay as they are");
    }
    service.stopping();
    if leaves_all {
        daemon.make_room();
        return Ok(());
    }
    daemon.take_leave().await;
    if daemon.is_torn_down() {
        daemon.remove_base(&args.state)?;
    } else {
        daemon.put_boxes_away();
    }
    Ok(())
}

/// While the fast path takes over many routers, what follows from that waits a moment: each
/// router's sysctls, addresses and files take a millisecond of a processor, and of the kernel's
/// lock on the network configuration.
async fn stand_back(daemon: &Daemon) {
    let fast = daemon.fast.as_ref();
    let is_pressed = || fast.is_some_and(|fast| fast.path.is_pressed());
    let end = Instant::now() + STAND_BACK;
    while is_pressed() && Instant::now() < end {
        sleep(STAND_BACK_STEP).await;
    }
}

/// Holds the directory for this daemon.
fn lock(path: &Path) -> Result<Flock<std::fs::File>> {
    let mut file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let end = std::time::Instant::now() + LOCK_LIMIT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            // What a killed daemon was about to start holds it until it is started.
            Err((again, nix::errno::Errno::EWOULDBLOCK)) if std::time::Instant::now() < end => {
                file = again;
                std::thread::sleep(LOCK_STEP);
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                bail!(
                    "another keepfast looks after the routers in {}",
                    path.display()
                )
            }
            Err((_, error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
    }
}

/// What the installed keepalived understands.
async fn features() -> Features {
    match crate::keepalived::process::version().await {
        Ok(version) => Features::of_version(&version),
        Err(error) => {
            warn!("ask keepalived for its version: {error:#}");
            Features::of_version("")
        }
    }
}

/// Loads the kernel programs for the daemon of a state directory.
fn load_programs(state: &Path) -> Result<Loaded> {
    Loaded::load(&format!("run-{}", std::process::id()), Some(state))
}

async fn loaded(loading: &mut Option<JoinHandle<Result<Loaded>>>) -> Result<Loaded> {
    match loading {
        Some(loading) => loading.await.context("load the kernel programs")?,
        None => std::future::pending().await,
    }
}

/// Begins to use the kernel programs, where that is possible.
fn observe(daemon: &mut Daemon, loaded: Result<Loaded>, priority: u8) -> Option<Source> {
    match loaded.and_then(Observer::begin) {
        Ok((mut observer, source)) => {
            if !observer.kernel.tells_namespaces() {
                daemon.fall_back(
                    "the kernel programs cannot tell namespaces apart; addresses tell alone"
                        .to_owned(),
                );
                return None;
            }
            match Fast::start(&mut observer, priority) {
                Ok(fast) => daemon.fast = Some(fast),
                Err(error) => daemon.fall_back(format!("no fast path: {error:#}")),
            }
            daemon.take_boxes(&mut observer);
            daemon.observer = Some(observer);
            Some(source)
        }
        Err(error) => {
            let hint = if exit::code(&error) == exit::NO_PERMISSION {
                " (CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed)"
            } else {
                ""
            };
            daemon.fall_back(format!(
                "no kernel programs, addresses tell alone{hint}: {error:#}"
            ));
            None
        }
    }
}

async fn next_events(
    observer: Option<&mut Observer>,
    source: Option<&mut Source>,
    events: &mut Vec<Event>,
) -> Result<()> {
    match (observer, source) {
        (Some(observer), Some(source)) => observer.next(source, events).await,
        _ => std::future::pending().await,
    }
}

/// Waits until a time of CLOCK_MONOTONIC.
async fn until(deadline: Option<u64>) {
    match (deadline, monotonic_ns()) {
        (Some(deadline), Ok(now)) => {
            let rest = Duration::from_nanos(deadline.saturating_sub(now));
            at(Some(Instant::now() + rest)).await;
        }
        _ => std::future::pending().await,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
