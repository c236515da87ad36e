//! The fast path against real keepalived: what it takes over, how soon, and what it leaves alone.
//!
//! What depends on the protocol's timers is asserted. How long this machine takes for something
//! is asserted about ten times as long as it should be, for others may use the machine, and
//! printed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::daemon::Daemon;
use lab::netns::Namespace;
use lab::prober::Prober;
use lab::require::Need;
use lab::router::{Declaration, Host, Topology};
use lab::wait;
use serde_json::Value;
use std::time::Duration;

#[path = "takeover/cluster.rs"]
mod cluster;
#[path = "takeover/local.rs"]
mod local;
#[path = "takeover/oneway.rs"]
mod oneway;
#[path = "takeover/peer.rs"]
mod peer;
#[path = "takeover/power.rs"]
mod power;
#[path = "takeover/returning.rs"]
mod returning;
#[path = "takeover/safety.rs"]
mod safety;
#[path = "takeover/shadow.rs"]
mod shadow;
#[path = "takeover/slow.rs"]
mod slow;
#[path = "takeover/three.rs"]
mod three;
#[path = "takeover/wrong.rs"]
mod wrong;

/// How long something may take that is not a takeover.
const LIMIT: Duration = Duration::from_secs(30);

/// [`lab::alone`] with what these tests need.
fn alone(test: impl FnOnce()) {
    lab::alone(
        &[
            Need::Root,
            Need::Tool("keepalived"),
            Need::Tool("tcpdump"),
            Need::Tool("tshark"),
            Need::Tool("nft"),
            Need::Tool("arping"),
        ],
        test,
    );
}

/// A router with an advert every second and these keys in its table `[fast_path]`.
fn fast(host: &Host, keys: &str) -> Declaration {
    Declaration {
        interval: Duration::from_secs(1),
        ..fast_path(Declaration::plain(host), keys)
    }
}

/// With these keys in the table `[fast_path]`.
fn fast_path(declaration: Declaration, keys: &str) -> Declaration {
    Declaration {
        tables: format!("\n[fast_path]\n{keys}\n"),
        ..declaration
    }
}

/// Two hosts with a daemon each that look after the router "r": the first one is the primary.
struct Pair {
    // Before what they look after.
    first: Daemon,
    second: Daemon,
    topology: Topology,
}

impl Pair {
    /// Both armed, with these further keys in `[fast_path]`, and the backup's session is up.
    fn armed(keys: &str) -> Self {
        Self::of(|host| fast(host, &format!("mode = \"armed\"\n{keys}")))
    }

    /// Declared like this, and the backup's session is up.
    fn of(declare: impl Fn(&Host) -> Declaration) -> Self {
        let pair = Self::elected(declare);
        wait_session(&pair.second, "up");
        pair
    }

    /// Declared like this; the first one is the primary, and the second one knows it.
    fn elected(declare: impl Fn(&Host) -> Declaration) -> Self {
        let topology = Topology::new(2).unwrap();
        let pair = Self {
            first: Daemon::new("first").unwrap(),
            second: Daemon::new("second").unwrap(),
            topology,
        };
        for (daemon, host) in [&pair.first, &pair.second]
            .into_iter()
            .zip(&pair.topology.hosts)
        {
            declare(host).apply(daemon).unwrap();
            let state = if host.number == 1 {
                "primary"
            } else {
                "backup"
            };
            daemon.wait_state("r", state, LIMIT).unwrap();
        }
        pair
    }

    /// A host by its number, which counts from 1.
    fn host(&self, number: usize) -> &Host {
        &self.topology.hosts[number - 1]
    }

    /// A host's daemon, by the number of the host.
    fn daemon(&self, number: usize) -> &Daemon {
        [&self.first, &self.second][number - 1]
    }

    /// Waits until these hosts are what they are called, and all is as it should be.
    fn ready(&self, primary: usize, backup: usize) {
        let (primary, backup) = (self.daemon(primary), self.daemon(backup));
        primary.wait_state("r", "primary", LIMIT).unwrap();
        backup.wait_state("r", "backup", LIMIT).unwrap();
        wait_session(backup, "up");
        for (daemon, word, wanted) in [
            (primary, "heirs", Value::from(1)),
            (primary, "doing", "idle".into()),
            (backup, "doing", "idle".into()),
        ] {
            wait_status(daemon, word, &wanted);
        }
    }

    /// A client of the virtual address, all of whose probes are answered so far.
    fn client(&self) -> Prober {
        client(&self.topology)
    }
}

/// A client of the virtual address, all of whose probes are answered so far.
fn client(topology: &Topology) -> Prober {
    let prober = Prober::start(&topology.client, "10.0.0.1".parse().unwrap()).unwrap();
    prober.wait_answers(200, LIMIT).unwrap();
    prober
}

/// How long after a moment an event was.
fn after(from_ns: u64, event: &Value) -> Duration {
    let at_ns = event["monotonic_ns"].as_u64().unwrap();
    Duration::from_nanos(at_ns.checked_sub(from_ns).unwrap())
}

/// Virtual addresses of a host that the kernel will remove by itself.
fn lapsing(host: &Host) -> Vec<String> {
    let mut command = host.namespace.command("ip");
    let shown = lab::process::output(command.args(["-o", "address"])).unwrap();
    shown
        .lines()
        .filter(|line| line.contains(" dynamic "))
        .map(str::to_owned)
        .collect()
}

/// Waits until probes are answered again, and returns the longest time without an answer.
fn outage(prober: Prober) -> Duration {
    prober.wait_answers(200, LIMIT).unwrap();
    prober.stop().unwrap().outage().length()
}

/// Which host is the primary and which the backup, turn by turn: they change places.
const fn roles(turn: usize) -> (usize, usize) {
    if turn.is_multiple_of(2) {
        (1, 2)
    } else {
        (2, 1)
    }
}

/// So many times something is done to the primary and its host, whichever that is by then: the
/// outages.
fn turns(pair: &Pair, times: usize, disturb: impl Fn(&Daemon, &Host)) -> Vec<Duration> {
    let one = |turn: usize| {
        let (primary, backup) = roles(turn);
        pair.ready(primary, backup);
        let client = pair.client();
        disturb(pair.daemon(primary), pair.host(primary));
        pair.daemon(backup)
            .wait_state("r", "primary", LIMIT)
            .unwrap();
        outage(client)
    };
    (0..times).map(one).collect()
}

/// Prints all of them, and returns the one in the middle.
fn median(what: &str, mut outages: Vec<Duration>) -> Duration {
    outages.sort_unstable();
    let median = outages[outages.len() / 2];
    println!("{what}: median {median:?} of {outages:?}");
    median
}

/// Has a namespace forward packets, or not.
fn forwarding(namespace: &Namespace, forwards: bool) {
    let value = if forwards { "1" } else { "0" };
    let set = || Ok(std::fs::write("/proc/sys/net/ipv4/ip_forward", value)?);
    namespace.run(set).unwrap();
}

/// How the fast path of "r" is.
fn status(daemon: &Daemon) -> Value {
    daemon.show("r").unwrap()["fast_path"].clone()
}

/// Waits until the session of "r" is like this.
fn wait_session(daemon: &Daemon, phase: &str) {
    wait_status(daemon, "session", &phase.into());
}

/// Waits until a word of the status of the fast path of "r" is this one.
fn wait_status(daemon: &Daemon, word: &str, wanted: &Value) {
    wait::until(&format!("the {word} {wanted}"), LIMIT, || {
        let shown = daemon.show("r").map_err(|error| format!("{error:#}"))?;
        let fast_path = &shown["fast_path"];
        if &fast_path[word] == wanted {
            Ok(())
        } else {
            Err(fast_path.to_string())
        }
    })
    .unwrap();
}

/// Those of the events of "r" that have this name.
fn events(daemon: &Daemon, name: &str) -> Vec<Value> {
    let events = daemon.events("r").unwrap().into_iter();
    events.filter(|event| event["event"] == name).collect()
}

/// Waits for an event of "r" with this name.
fn wait_event(daemon: &Daemon, name: &str) -> Value {
    daemon
        .wait_event("r", 0, name, LIMIT, |event| event["event"] == name)
        .unwrap()
}
