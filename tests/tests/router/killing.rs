//! The daemon killed at a hundred random moments, while routers change their states and are
//! declared anew.

use crate::{LIMIT, Stage, alone, has_address, named, wait_gone};
use lab::daemon::Daemon;
use lab::router::{Declaration, INNER, PRIMARY, Rival};
use lab::wait;
use nix::unistd::Pid;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const KILLS: u32 = 100;
/// Between two adverts.
const INTERVAL: Duration = Duration::from_millis(100);
/// The same moments in each run.
const SEED: u64 = 0x5eed_2026;

/// Numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Tells [`flap`] to stop when it is dropped, by a test that fails too.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has the router go up and down until told to stop; then it may be the primary.
fn flap(rival: &Rival, stop: &AtomicBool, mut random: Random) {
    while !stop.load(Ordering::Relaxed) {
        let pause = Duration::from_millis(20 + random.next(300));
        if random.next(2) == 0 {
            rival.take(INTERVAL).unwrap();
        } else {
            rival.resign(INTERVAL).unwrap();
        }
        thread::sleep(pause);
    }
    rival.resign(INTERVAL).unwrap();
}

/// Declares the router anew, again and again, until the daemon is killed.
fn reload(daemon: &Daemon, declaration: &Declaration, until: Instant, random: &mut Random) {
    let mut declaration = declaration.clone();
    while Instant::now() < until {
        declaration.priority = 100 + u8::try_from(random.next(3)).unwrap();
        declaration.addresses.truncate(4);
        for last in 0..random.next(4) {
            declaration
                .addresses
                .push((INNER, format!("203.0.113.{last}/32")));
        }
        declaration.apply(daemon).unwrap();
        let rest = until.saturating_duration_since(Instant::now());
        thread::sleep(rest.min(Duration::from_millis(random.next(60))));
    }
}

/// What is wrong with the router: its state file, its addresses, its processes. `expected` is
/// the keepalived that must still be the one.
fn wrong(stage: &Stage, declaration: &Declaration, expected: Option<[Pid; 2]>) -> Option<String> {
    let daemon = &stage.daemons[0];
    let namespace = stage.namespace(0);
    let held = |address: &str| has_address(namespace, address);
    let primary = held(PRIMARY);
    let state = daemon.state_file("r").unwrap_or_default();
    if (state == "primary") != primary {
        return Some(format!("state {state:?} with the address there: {primary}"));
    }
    for (_, address) in &declaration.addresses {
        if held(address) != primary {
            return Some(format!("{address} of a {state}"));
        }
    }
    for last in 0..4 {
        let address = format!("203.0.113.{last}/32");
        let declared = declaration.addresses.iter().any(|(_, it)| *it == address);
        if held(&address) && !declared {
            return Some(format!("{address}, which is not declared"));
        }
    }
    let mut running = named(daemon, "keepalived");
    // A script or a check of a configuration is none.
    let pids = match daemon.keepalived("r") {
        Ok(pids) => pids,
        Err(error) => return Some(format!("{error:#}")),
    };
    running.sort_unstable();
    let mut known = pids.map(Pid::as_raw);
    known.sort_unstable();
    if running != known {
        return Some(format!(
            "keepaliveds {running:?}, of which {known:?} are known"
        ));
    }
    match expected {
        Some(expected) if expected != pids => Some(format!("{pids:?} instead of {expected:?}")),
        _ => None,
    }
}

#[test]
fn killed_at_any_moment_it_finds_its_way_back() {
    alone(&[], || {
        let mut stage = Stage::start(1, |host, _| Declaration::plain(host));
        let declaration = stage.declarations[0].clone();
        let rival = Rival::new(&stage.topology.ha).unwrap();
        let mut random = Random(SEED);
        println!("killing: seed {SEED:#x}");
        let began = Instant::now();
        let mut pids = crate::keepalived(&stage.daemons[0], "r");
        let mut crashes = 0;
        let mut slowest = Duration::ZERO;
        for round in 0..KILLS {
            let stop = AtomicBool::new(false);
            let flapping = Random(random.next(u64::MAX) | 1);
            // Now and then keepalived dies too: before the daemon, which then is starting
            // another one, or while there is none.
            let crash = match random.next(10) {
                0 => Some(Duration::from_millis(random.next(80))),
                1 => Some(Duration::MAX),
                _ => None,
            };
            thread::scope(|scope| {
                scope.spawn(|| flap(&rival, &stop, flapping));
                let _stop = Stop(&stop);
                let end = Instant::now() + Duration::from_millis(random.next(600));
                reload(&stage.daemons[0], &declaration, end, &mut random);
                match crash {
                    Some(before) if before != Duration::MAX => {
                        stage.daemons[0].crash_keepalived("r").unwrap();
                        thread::sleep(before);
                        stage.daemons[0].kill().unwrap();
                    }
                    _ => stage.daemons[0].kill().unwrap(),
                }
                if crash == Some(Duration::MAX) {
                    stage.daemons[0].crash_keepalived("r").unwrap();
                }
                stage.daemons[0].start().unwrap();
            });
            crashes += u32::from(crash.is_some());
            let settling = Instant::now();
            // What was declared last counts, whether it was written in time or not.
            declaration.apply(&stage.daemons[0]).unwrap();
            let expected = crash.is_none().then_some(pids);
            wait::until("everything to be right", LIMIT, || {
                wrong(&stage, &declaration, expected).map_or(Ok(()), Err)
            })
            .unwrap_or_else(|error| {
                let events = stage.daemons[0].events("r").unwrap();
                let last = &events[events.len().saturating_sub(30)..];
                panic!("round {round}, crash {crash:?}: {error:#}\n{last:#?}");
            });
            slowest = slowest.max(settling.elapsed());
            pids = stage.daemons[0].keepalived("r").unwrap();
        }
        println!(
            "killing: {KILLS} kills, {crashes} of them with keepalived's death, in {:.0} s; \
             right again after {slowest:?} at most",
            began.elapsed().as_secs_f64()
        );
        stage.daemons[0].delete("r").unwrap();
        wait_gone(&stage.daemons[0], "r");
        assert_eq!(stage.daemons[0].left_running().unwrap(), Vec::new());
        let state = std::fs::read_dir(stage.daemons[0].state()).unwrap();
        assert_eq!(state.count(), 0);
    });
}
