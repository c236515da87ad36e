//! An agent that follows another one goes on with its kernel programs, maps and sessions.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::capture::Capture;
use lab::daemon::Daemon;
use lab::process::{self, wait_gone};
use lab::require::Need;
use lab::router::{Declaration, HA, Host, Rival, Topology};
use lab::wait;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// How many upgrades, if not these few.
const VARIABLE: &str = "KEEPFAST_UPGRADES";
const FEW: usize = 4;

/// A virtual router that nobody but the rival has, and that comes and goes all the time.
const FLAPPING: u8 = 77;

/// Between two of its adverts, in a test of few upgrades. Each is an event: the kernel programs
/// send 128 of a router at once on each CPU, and 4 a second, and hold back what is beyond.
const PACE: Duration = Duration::from_millis(80);
/// The same, for as many upgrades as one likes.
const EASY_PACE: Duration = Duration::from_millis(250);

fn alone(test: impl FnOnce()) {
    lab::alone(
        &[
            Need::Root,
            Need::Tool("keepalived"),
            Need::Tool("tcpdump"),
            Need::Tool("tshark"),
            Need::Tool("bpftool"),
        ],
        test,
    );
}

/// Two hosts: the second one's daemon is the backup of "r", and looks on at "flapping".
struct Pair {
    daemons: [Daemon; 2],
    topology: Topology,
}

impl Pair {
    fn start() -> Self {
        let topology = Topology::new(2).unwrap();
        let pair = Self {
            daemons: ["first", "second"].map(|role| Daemon::new(role).unwrap()),
            topology,
        };
        for (number, state) in ["primary", "backup"].into_iter().enumerate() {
            let declaration = declare(&pair.topology.hosts[number]);
            declaration.apply(&pair.daemons[number]).unwrap();
            pair.daemons[number].wait_state("r", state, LIMIT).unwrap();
        }
        let backup = pair.backup();
        let conf = backup.directory().join("flapping.conf");
        let text = format!(
            "vrrp_instance F {{\n interface {HA}\n virtual_router_id {FLAPPING}\n \
             priority 100\n version 3\n virtual_ipaddress {{\n 169.254.0.77/24\n }}\n}}\n"
        );
        fs::write(&conf, text).unwrap();
        let toml = format!(
            "id = \"flapping\"\nnamespace = \"{}\"\n[attached]\nconfig_file = \"{}\"\n\
             instance = \"F\"\npid_file = \"{}\"\n",
            pair.topology.hosts[1].namespace.name(),
            conf.display(),
            conf.with_extension("pid").display()
        );
        backup.apply(&toml).unwrap();
        pair.wait_session();
        pair
    }

    fn backup(&self) -> &Daemon {
        &self.daemons[1]
    }

    fn wait_session(&self) {
        wait::until("a session", LIMIT, || {
            let shown = self.backup().show("r");
            let shown = shown.map_err(|error| format!("{error:#}"))?;
            let up = shown["fast_path"]["session"] == "up";
            up.then_some(()).ok_or_else(|| shown.to_string())
        })
        .unwrap();
    }
}

fn declare(host: &Host) -> Declaration {
    Declaration {
        interval: Duration::from_secs(1),
        tables: "\n[fast_path]\nmode = \"armed\"\n".to_owned(),
        ..Declaration::plain(host)
    }
}

/// Comes and goes until it is stopped, and counts; a test that fails stops it, too, for its thread
/// has a namespace.
struct Flapping {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Flapping {
    fn start(rival: Rival, pace: Duration) -> Self {
        let ends = Arc::<AtomicBool>::default();
        let told = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            let mut rounds = 0;
            while !told.load(Ordering::Relaxed) {
                for priority in [90, 0] {
                    rival
                        .send(FLAPPING, priority, Duration::from_secs(10))
                        .unwrap();
                    thread::sleep(pace);
                }
                rounds += 1;
            }
            rounds
        });
        Self {
            ends,
            thread: Some(thread),
        }
    }

    fn stop(mut self) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Flapping {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Of one that panicked, its message is there.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn pins(daemon: &Daemon) -> PathBuf {
    Path::new("/sys/fs/bpf/keepfast").join(format!("run-{}", daemon.pid().unwrap()))
}

/// The links that are pinned: their names, and the kernel's numbers of them and of their
/// programs.
fn links(pins: &Path) -> BTreeMap<String, (u64, u64)> {
    let mut links = BTreeMap::new();
    for entry in fs::read_dir(pins).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let is_link = name.contains("-ingress") || name.contains("-egress");
        if !is_link || path.is_symlink() {
            continue;
        }
        let mut command = Command::new("bpftool");
        command.args(["-j", "link", "show", "pinned"]).arg(&path);
        let shown: Value = serde_json::from_str(&process::output(&mut command).unwrap()).unwrap();
        let number = |word: &str| shown[word].as_u64().unwrap();
        links.insert(name, (number("id"), number("prog_id")));
    }
    links
}

/// Has the next agent find no programs of its own object among the pins: as if the agent before it
/// were of another release, a newer or an older one, whose maps are the same.
fn call_programs_others(pins: &Path) {
    let entries = fs::read_dir(pins).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let of_object = |path: &PathBuf| path.to_string_lossy().contains("/programs-");
    let all: Vec<_> = paths.filter(of_object).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    fs::rename(&all[0], pins.join("programs-0123456789abcdef")).unwrap();
}

fn wait_watching(daemon: &Daemon, starts: usize) {
    wait::until("watched interfaces", LIMIT, || {
        let messages = daemon.messages();
        let count = messages.matches("INFO watching ha-lab").count();
        (count >= starts).then_some(()).ok_or(messages)
    })
    .unwrap();
}

/// How many lines of a router's event log have this name.
fn count(daemon: &Daemon, id: &str, name: &str) -> usize {
    let events = daemon.events(id).unwrap().into_iter();
    events.filter(|event| event["event"] == name).count()
}

#[test]
fn nothing_is_lost_or_doubled_over_upgrades() {
    alone(|| {
        let upgrades = std::env::var(VARIABLE).map_or(FEW, |count| count.parse().unwrap());
        let mut pair = Pair::start();
        wait_watching(pair.backup(), 1);
        let rival = Rival::new(&pair.topology.ha).unwrap();
        let host = &pair.topology.hosts[1].namespace;
        let capture = Capture::start(host, HA, "udp port 3785 and outbound").unwrap();
        let changes = |pair: &Pair| {
            let hosts = pair.daemons.iter();
            hosts
                .map(|it| count(it, "r", "local_master") + count(it, "r", "master_changed"))
                .sum::<usize>()
        };
        let before = changes(&pair);
        let first = links(&pins(pair.backup())).len();
        assert!(first >= 2, "{first}");
        let flapping = Flapping::start(rival, if upgrades <= FEW { PACE } else { EASY_PACE });
        for number in 0..upgrades {
            thread::sleep(Duration::from_millis(300));
            let pid = pair.backup().pid().unwrap();
            let left = pins(pair.backup());
            if number % 2 == 0 {
                pair.daemons[1].signal(Signal::SIGUSR2).unwrap();
                wait_gone(pid).unwrap();
                pair.daemons[1].gone().unwrap();
            } else {
                pair.daemons[1].kill().unwrap();
            }
            let other = number % 4 >= 2;
            if other {
                call_programs_others(&left);
            }
            let found = links(&left);
            pair.daemons[1].start().unwrap();
            wait_watching(pair.backup(), number + 2);
            pair.wait_session();
            let after = links(&pins(pair.backup()));
            assert_eq!(after.len(), first, "{after:?}");
            for (name, (link, program)) in &after {
                let (old_link, old_program) = found[name];
                assert_eq!(*link, old_link, "{name} was detached");
                // What is of the same object is not verified anew.
                assert_eq!(*program != old_program, other, "{name}");
            }
        }
        let rounds = flapping.stop();
        let messages = pair.backup().messages();
        assert!(!messages.contains("held back"), "too fast: {messages}");
        let seen = |name: &str| count(pair.backup(), "flapping", name);
        wait::until("all that came and went", LIMIT, || {
            let seen = [seen("master_appeared"), seen("master_resigned")];
            let messages = || pair.backup().messages();
            (seen == [rounds; 2])
                .then_some(())
                .ok_or_else(|| format!("{seen:?} of {rounds}: {}", messages()))
        })
        .unwrap();
        let names: Vec<_> = pair.backup().events("flapping").unwrap();
        let names = names.iter().map(|event| event["event"].as_str().unwrap());
        let names: Vec<_> = names.filter(|name| name.starts_with("master_")).collect();
        assert!(
            names
                .chunks(2)
                .all(|it| it == ["master_appeared", "master_resigned"]),
            "{names:?}"
        );
        assert_eq!(changes(&pair), before, "the router changed hands");
        let messages = pair.backup().messages();
        assert!(!messages.contains("events lost"), "{messages}");
        let recording = capture.stop().unwrap();
        let mut gaps = gaps(&recording.fields("udp", &["frame.time_epoch"]).unwrap());
        gaps.sort_unstable();
        let blind: Vec<_> = gaps.iter().rev().take(upgrades).collect();
        println!(
            "{upgrades} upgrades, {rounds} comings and goings: blind for the network 0, \
             longest times between two probes {blind:?}"
        );
    });
}

fn gaps(times: &[Vec<String>]) -> Vec<Duration> {
    let seconds = times.iter().map(|it| it[0].parse::<f64>().unwrap());
    let seconds: Vec<f64> = seconds.collect();
    let gaps = seconds.windows(2);
    gaps.map(|it| Duration::from_secs_f64((it[1] - it[0]).max(0.0)))
        .collect()
}

/// Maps of another layout, as another release may have them, are made anew and that is told.
#[test]
fn maps_of_another_layout_are_made_anew() {
    alone(|| {
        let mut pair = Pair::start();
        wait_watching(pair.backup(), 1);
        let schema = pins(pair.backup()).join("schema");
        let first = links(&pins(pair.backup()));
        let old = pins(pair.backup());
        pair.daemons[1].kill().unwrap();
        fs::remove_file(&schema).unwrap();
        std::os::unix::fs::symlink("0123456789abcdef", &schema).unwrap();
        pair.daemons[1].start().unwrap();
        wait_watching(pair.backup(), 2);
        pair.wait_session();
        let messages = pair.backup().messages();
        assert!(messages.contains("have another layout"), "{messages}");
        let second = links(&pins(pair.backup()));
        assert_eq!(second.len(), first.len());
        assert!(
            second
                .values()
                .all(|it| !first.values().any(|old| old == it))
        );
        assert!(!old.exists());
    });
}

/// At whatever moment an agent is killed, the one after it begins well, and nothing stays.
#[test]
fn an_agent_that_is_killed_amid_its_start_leaves_nothing_in_the_way() {
    alone(|| {
        let mut pair = Pair::start();
        wait_watching(pair.backup(), 1);
        let mut dead = vec![pins(pair.backup())];
        pair.daemons[1].kill().unwrap();
        // With what was left, and with nothing.
        for fresh in [false, true] {
            for wait_ms in [0, 60, 120, 200, 300, 450] {
                if fresh {
                    for path in &dead {
                        _ = fs::remove_dir_all(path);
                    }
                }
                pair.daemons[1].start().unwrap();
                thread::sleep(Duration::from_millis(wait_ms));
                dead.push(pins(pair.backup()));
                pair.daemons[1].kill().unwrap();
            }
        }
        pair.daemons[1].start().unwrap();
        pair.wait_session();
        let left: Vec<_> = dead.iter().filter(|path| path.exists()).collect();
        assert!(left.is_empty(), "{left:?}");
        let first = links(&pins(pair.backup()));
        assert!(first.len() >= 2, "{first:?}");
        let last = pins(pair.backup());
        pair.daemons[1].stop().unwrap();
        assert!(!last.exists(), "one that is stopped leaves nothing");
    });
}
