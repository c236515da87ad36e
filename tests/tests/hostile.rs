//! An attacker on the segment of the adverts who sends as fast as it can: what it must not bring
//! about.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use aya::programs::{TestRun, TestRunOptions, Xdp};
use keepfast::kernel::{Kernel, LoadOptions};
use keepfast_common::counter::Counter;
use keepfast_common::maps::{self, RouterKey};
use keepfast_common::protect::Policy;
use keepfast_common::share::Limits;
use keepfast_common::track::PHASE_DOWN;
use lab::daemon::Daemon;
use lab::flood::{Dice, Flood, Kind};
use lab::netns::Namespace;
use lab::require::Need;
use lab::router::{Declaration, Topology, VRID};
use lab::sender::{Advert, Sender};
use lab::wait;
use serde_json::Value;
use std::env;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

/// How long something may take that is not flooded away.
const LIMIT: Duration = Duration::from_secs(30);
/// For how many seconds is flooded before something happens, in place of [`FLOODED`].
const VARIABLE: &str = "KEEPFAST_FLOOD_SECONDS";
const FLOODED: u64 = 3;
/// What the agent may need more in a flood, in bytes.
const MEMORY: u64 = 32 << 20;

/// Two hosts, the first one primary, and an attacker beside them.
struct Siege {
    // Before what they look after.
    daemons: [Daemon; 2],
    _topology: Topology,
    attacker: Namespace,
}

impl Siege {
    fn new(protect: &str) -> Self {
        let topology = Topology::new(2).unwrap();
        let attacker = Namespace::new("attacker").unwrap();
        topology.ha.attach(&attacker, "eth0", &[]).unwrap();
        let daemons = ["first", "second"].map(|role| Daemon::new(role).unwrap());
        for (daemon, host) in daemons.iter().zip(&topology.hosts) {
            let peer = 3 - host.number;
            let tables = format!(
                "\n[fast_path]\nmode = \"armed\"\n[protect]\nmode = \"{protect}\"\n\
                 peers = [\"169.254.192.{peer}\"]\n"
            );
            let declaration = Declaration {
                interval: Duration::from_secs(1),
                priority: 50,
                tables,
                ..Declaration::plain(host)
            };
            declaration.apply(daemon).unwrap();
            let state = if host.number == 1 {
                "primary"
            } else {
                "backup"
            };
            daemon.wait_state("r", state, LIMIT).unwrap();
        }
        let siege = Self {
            daemons,
            _topology: topology,
            attacker,
        };
        wait::until("a session", LIMIT, || {
            let shown = siege.daemons[1]
                .show("r")
                .map_err(|error| error.to_string())?;
            match &shown["fast_path"]["session"] {
                Value::String(phase) if phase == "up" => Ok(()),
                other => Err(other.to_string()),
            }
        })
        .unwrap();
        siege
    }

    /// The first host is flooded, and by its being multicast or broadcast, the second one too.
    fn flood(&self, kinds: &[Kind]) -> Flood {
        // The ports of a segment count from 1.
        let mac = [0x02, 0x4b, 0x46, 0, 0, 1];
        Flood::start(&self.attacker, "eth0", kinds, 42, (VRID, mac)).unwrap()
    }

    fn router(&self, host: usize) -> Value {
        self.daemons[host].status().unwrap()["routers"][0].clone()
    }

    /// Sends the second host a resignation in the first one's name, from the attacker's own
    /// hardware address.
    fn resign_for_the_first(&self) {
        let sender = Sender::new(&self.attacker, "eth0").unwrap();
        let advert = Advert {
            source: Ipv4Addr::new(169, 254, 192, 1),
            vrid: VRID,
            priority: 0,
            address: Ipv4Addr::new(169, 254, 0, 7),
            ..Advert::default()
        };
        sender.send(&advert).unwrap();
    }

    /// How many events of this name a host has told.
    fn told(&self, host: usize, name: &str) -> usize {
        let events = self.daemons[host].events("r").unwrap();
        events.iter().filter(|event| event["event"] == name).count()
    }

    /// What both hosts have told of who is master.
    fn changes(&self) -> [usize; 2] {
        let names = [
            "master_appeared",
            "master_changed",
            "master_resigned",
            "master_down",
            "local_master",
            "local_resigned",
            "took_over",
            "state",
        ];
        [0, 1].map(|host| names.iter().map(|name| self.told(host, name)).sum())
    }

    fn assert_nothing_happened(&self, before: [usize; 2]) {
        assert_eq!(self.changes(), before, "{:?}", self.logs());
        for (host, state) in [(0, "primary"), (1, "backup")] {
            assert_eq!(self.router(host)["state"], state, "host {host}");
        }
    }

    fn logs(&self) -> Vec<Value> {
        let daemons = self.daemons.iter();
        daemons
            .flat_map(|daemon| daemon.events("r").unwrap())
            .collect()
    }

    /// The master's keepalived dies: the other host follows, and both say so.
    fn failover(&self) {
        self.daemons[0].crash_keepalived("r").unwrap();
        self.daemons[1].wait_state("r", "primary", LIMIT).unwrap();
        for (host, name) in [(0, "local_resigned"), (1, "local_master")] {
            wait::until(name, LIMIT, || match self.told(host, name) {
                0 => Err(format!("{:?}", self.logs())),
                _ => Ok(()),
            })
            .unwrap();
        }
    }
}

fn count(of: &Value, reason: &str) -> u64 {
    of[reason].as_u64().unwrap_or(0)
}

fn alone(test: impl FnOnce()) {
    lab::alone(&[Need::Root, Need::Tool("keepalived")], test);
}

#[test]
fn enforce_drops_all_that_is_not_legitimate_and_nothing_else() {
    alone(|| {
        let siege = Siege::new("enforce");
        let before = siege.changes();
        let [first, second] = [0, 1].map(|host| siege.daemons[host].rss().unwrap());
        let passed_before = siege.router(1)["protect"]["passed"].as_u64().unwrap();
        let seconds = env::var(VARIABLE).map_or(FLOODED, |it| it.parse().unwrap());
        let flood = siege.flood(&Kind::ALL);
        sleep(Duration::from_secs(seconds));
        siege.assert_nothing_happened(before);
        // The second host hears an advert of the first one each second, and of nobody else.
        let protect = siege.router(1)["protect"].clone();
        let passed = protect["passed"].as_u64().unwrap() - passed_before;
        assert!(
            (1..=seconds + 5).contains(&passed),
            "{passed} passed: {protect}"
        );
        for reason in ["hop_limit", "version", "malformed", "peer"] {
            assert!(count(&protect["dropped"], reason) > 100, "{protect}");
        }
        assert_eq!(protect["observed"], serde_json::json!({}));
        siege.failover();
        let sent = flood.stop().unwrap();
        for (host, before) in [(0, first), (1, second)] {
            let now = siege.daemons[host].rss().unwrap();
            assert!(now < before + MEMORY, "host {host}: {before} then {now}");
            assert!(siege.told(host, "adverts_dropped") > 0, "host {host}");
        }
        println!("{sent} frames; {protect}");
    });
}

#[test]
fn observe_counts_the_same_and_drops_nothing() {
    alone(|| {
        let siege = Siege::new("observe");
        let kinds = [Kind::Malformed, Kind::Probes, Kind::Answers];
        let flood = siege.flood(&kinds);
        let observed = wait::until("all reasons", LIMIT, || {
            let protect = siege.router(1)["protect"].clone();
            let reasons = ["hop_limit", "version", "malformed"];
            let all = reasons
                .iter()
                .all(|it| count(&protect["observed"], it) > 10);
            if all {
                Ok(protect)
            } else {
                Err(protect.to_string())
            }
        })
        .unwrap();
        flood.stop().unwrap();
        assert_eq!(observed["dropped"], serde_json::json!({}));
        // keepalived has had to refuse all of it: whatever that made of it, one serves.
        wait::until("one primary", LIMIT, || {
            let states = [0, 1].map(|host| siege.router(host)["state"].clone());
            match states.iter().filter(|state| **state == "primary").count() {
                1 => Ok(()),
                _ => Err(format!("{states:?}")),
            }
        })
        .unwrap();
        wait::until("the event", LIMIT, || {
            match siege.told(1, "adverts_suspicious") {
                0 => Err("none".to_owned()),
                _ => Ok(()),
            }
        })
        .unwrap();
    });
}

/// keepalived itself believes it, and would follow after its skew of 0.8 s, but for the master's
/// next advert.
#[test]
fn a_forged_resignation_of_a_peer_moves_nothing() {
    alone(|| {
        let siege = Siege::new("enforce");
        let passed = || siege.router(1)["protect"]["passed"].as_u64().unwrap();
        let hear_the_first = || {
            let before = passed();
            wait::until("an advert", LIMIT, || match passed() {
                now if now > before => Ok(()),
                _ => Err("none".to_owned()),
            })
            .unwrap();
        };
        for round in 1..=4 {
            hear_the_first();
            sleep(Duration::from_millis(350));
            siege.resign_for_the_first();
            wait::until("its refusal", LIMIT, || {
                match siege.told(1, "takeover_not_now") {
                    told if told >= round => Ok(()),
                    _ => Err(format!("{:?}", siege.logs())),
                }
            })
            .unwrap();
        }
        assert_eq!(siege.told(1, "takeover_begins"), 0, "{:?}", siege.logs());
        assert_eq!(siege.told(1, "peer_up"), 1, "{:?}", siege.logs());
        for (host, state) in [(0, "primary"), (1, "backup")] {
            assert_eq!(siege.router(host)["state"], state, "host {host}");
        }
        // One that is meant is followed at once, if the last word was an advert.
        hear_the_first();
        siege.failover();
        assert!(siege.told(1, "took_over") > 0, "{:?}", siege.logs());
    });
}

#[test]
fn strangers_have_their_share_and_no_more() {
    alone(|| {
        let namespace = Namespace::new("share").unwrap();
        let run = || {
            share();
            Ok(())
        };
        namespace.run(run).unwrap();
    });
}

/// The programs are run over adverts of strangers, by the loopback interface.
fn share() {
    let limits = Limits::USUAL;
    let options = LoadOptions {
        limits,
        ..LoadOptions::default()
    };
    let mut kernel = Kernel::load(&options, None).unwrap();
    let mut dice = Dice::new(42);
    for _ in 0..4 * limits.routers {
        run(&mut kernel, &Kind::Strangers.frame(&mut dice, VRID, [0; 6]));
    }
    let routers = kernel.maps().routers().unwrap();
    assert_eq!(routers.len() as u64, limits.routers);
    // One that is configured comes in, and all its events are told beside those held back.
    let configured = RouterKey {
        vlan: 0,
        inner_vlan: 0,
        vrid: VRID,
        ..routers[0].0
    };
    let protection = kernel.maps().protection();
    protection.configure(configured, Policy::OFF).unwrap();
    let own = Advert {
        vrid: VRID,
        ..Advert::default()
    };
    run(&mut kernel, &own.frame());
    let known = kernel.maps().router(configured).unwrap().unwrap();
    assert_eq!(known.adverts_received, 1);
    let counters = kernel.maps().counters().unwrap();
    let ignored = counters.iter().find(|it| it.2 == Counter::StrangerIgnored);
    assert!(ignored.unwrap().3 > limits.routers, "{counters:?}");
    // When they are nobody's for a minute, there is room again; not for the configured one's.
    let now = lab::clock::monotonic_ns().unwrap();
    assert_eq!(kernel.maps().share_out(now).unwrap(), []);
    wait::until("all masters down", LIMIT, || {
        // In place of timers that the kernel has refused.
        kernel.rearm().map_err(|error| error.to_string())?;
        let routers = kernel.maps().routers().map_err(|error| error.to_string())?;
        match routers
            .iter()
            .filter(|(_, it)| it.phase != PHASE_DOWN)
            .count()
        {
            0 => Ok(()),
            alive => Err(alive.to_string()),
        }
    })
    .unwrap();
    let later = lab::clock::monotonic_ns().unwrap() + 61_000_000_000;
    let forgotten = kernel.maps().share_out(later).unwrap();
    assert_eq!(forgotten.len() as u64, limits.routers);
    let left = kernel.maps().routers().unwrap();
    assert_eq!(
        left.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        [configured]
    );
}

fn run(kernel: &mut Kernel, frame: &[u8]) {
    let program = kernel.ebpf().program(maps::XDP_INGRESS).unwrap();
    let program: &Xdp = program.try_into().unwrap();
    let options = TestRunOptions {
        data_in: Some(frame),
        ..TestRunOptions::new()
    };
    program.test_run(options).unwrap();
}
