//! The primary's host lives: its keepalived dies, hangs or is told to go, or its gateway is lost.

use super::*;
use lab::clock::monotonic_ns;
use nix::sys::signal::{Signal, kill};

/// How long what the primary's own host tells may keep a client waiting; it is 2 to 5 ms on a
/// machine of one's own.
const SOON: Duration = Duration::from_millis(50);

#[test]
fn a_killed_keepalived_is_replaced_by_the_peers() {
    alone(|| {
        let pair = Pair::armed("");
        let outages = turns(&pair, 6, |primary, _| {
            primary.crash_keepalived("r").unwrap()
        });
        assert!(median("killed", outages) < SOON);
    });
}

#[test]
fn a_drained_router_goes_to_the_peer() {
    alone(|| {
        let pair = Pair::armed("");
        let outages = turns(&pair, 6, |primary, _| {
            primary.ask(&["failover", "r"]).unwrap();
        });
        assert!(median("drained", outages) < SOON);
        for daemon in [&pair.first, &pair.second] {
            assert_eq!(events(daemon, "handed_over").len(), 3);
            assert_eq!(events(daemon, "hand_over_failed").len(), 0);
            assert_eq!(events(daemon, "dual_primary_suspected").len(), 0);
        }
    });
}

#[test]
fn a_deleted_router_goes_to_the_peer() {
    alone(|| {
        let pair = Pair::armed("");
        let outages = turns(&pair, 6, |primary, host| {
            primary.delete("r").unwrap();
            wait::until("the end of the router", LIMIT, || {
                let gone = !primary.file("r", "").exists();
                gone.then_some(()).ok_or_else(|| "it is there".to_owned())
            })
            .unwrap();
            fast(host, "mode = \"armed\"").apply(primary).unwrap();
        });
        assert!(median("deleted", outages) < SOON);
    });
}

#[test]
fn a_stopped_keepalived_is_noticed_and_replaced_by_the_peers() {
    alone(|| {
        let pair = Pair::armed("");
        let client = pair.client();
        let stopped_ns = monotonic_ns().unwrap();
        for pid in pair.first.keepalived("r").unwrap() {
            kill(pid, Signal::SIGSTOP).unwrap();
        }
        pair.second.wait_state("r", "primary", LIMIT).unwrap();
        let noticed = wait_event(&pair.first, "keepalived_stopped");
        let took = wait_event(&pair.second, "took_over");
        let outage = outage(client);
        let (noticed, taken) = (after(stopped_ns, &noticed), after(stopped_ns, &took));
        println!(
            "stopped: noticed after {noticed:?}, taken over after {taken:?}, outage {outage:?}"
        );
        // The last advert may have been sent just before.
        assert!(noticed < Duration::from_millis(1_500) + SOON);
        assert!(taken < Duration::from_millis(1_500) + 2 * SOON);
        assert!(outage < 2 * SOON);
        // Its own keepalived is started anew, and is a backup.
        pair.first.wait_state("r", "backup", LIMIT).unwrap();
        wait_session(&pair.first, "up");
    });
}

/// The backup's keepalived gets no processor while it is told: it finds its raised priority and
/// the forged adverts all at once, in whatever order.
#[test]
fn a_starved_keepalived_follows_when_it_can() {
    alone(|| {
        for version in [2, 3] {
            let pair = Pair::of(|host| Declaration {
                vrrp: format!("version = {version}\n"),
                ..fast(host, "mode = \"armed\"")
            });
            let mut outages = Vec::new();
            for turn in 0..4 {
                let (primary, backup) = roles(turn);
                pair.ready(primary, backup);
                let client = pair.client();
                let starved = pair.daemon(backup).keepalived("r").unwrap();
                let all = |signal| starved.iter().try_for_each(|pid| kill(*pid, signal));
                all(Signal::SIGSTOP).unwrap();
                pair.daemon(primary).crash_keepalived("r").unwrap();
                std::thread::sleep(Duration::from_millis(20));
                all(Signal::SIGCONT).unwrap();
                let new = pair.daemon(backup);
                new.wait_state("r", "primary", LIMIT).unwrap();
                outages.push(outage(client));
                assert_eq!(events(new, "took_over").len(), turn / 2 + 1);
            }
            // By itself it would take the skew of its priority, 0.6 s.
            let worst = outages.iter().max().copied().unwrap();
            median(&format!("starved, version {version}"), outages);
            assert!(worst < Duration::from_millis(500), "{worst:?}");
        }
    });
}

/// With questions to the gateway every 10 ms, of which three must be unanswered.
const GATEWAY: &str = "gateway_interval = \"10ms\"\ngateway_multiplier = 3";

/// What a client sees of the world behind the gateway.
fn world(pair: &Pair) -> Prober {
    for host in &pair.topology.hosts {
        forwarding(&host.namespace, true);
    }
    let gateway = "198.51.100.1".parse().unwrap();
    let prober = Prober::start(&pair.topology.client, gateway).unwrap();
    prober.wait_answers(200, LIMIT).unwrap();
    prober
}

#[test]
fn a_primary_without_gateway_gives_way_to_a_backup_that_has_one() {
    alone(|| {
        let pair = Pair::armed(GATEWAY);
        let mut outages = Vec::new();
        for run in 0..6 {
            let (primary, backup) = if run % 2 == 0 { (1, 2) } else { (2, 1) };
            pair.ready(primary, backup);
            let client = world(&pair);
            pair.host(primary).outer.block().unwrap();
            pair.daemon(backup)
                .wait_state("r", "primary", LIMIT)
                .unwrap();
            outages.push(outage(client));
            let before = transitions(&pair);
            pair.host(primary).outer.unblock().unwrap();
            wait_back(pair.daemon(primary), run / 2 + 1);
            // Nobody preempts: there is no condition to wait for.
            std::thread::sleep(Duration::from_secs(2));
            assert_eq!(transitions(&pair), before, "no oscillation");
        }
        assert!(median("gateway", outages) < Duration::from_millis(450));
    });
}

#[test]
fn nobody_gives_way_where_no_host_has_a_gateway() {
    alone(|| {
        let pair = Pair::armed(GATEWAY);
        pair.ready(1, 2);
        let before = transitions(&pair);
        for run in 1..=5 {
            let client = world(&pair);
            // For both at the very same time.
            pair.topology.outside.cut().unwrap();
            for daemon in [&pair.first, &pair.second] {
                wait_count(daemon, "gateway_lost", run);
            }
            std::thread::sleep(Duration::from_secs(1));
            pair.topology.outside.restore().unwrap();
            for daemon in [&pair.first, &pair.second] {
                wait_back(daemon, run);
            }
            drop(client);
            std::thread::sleep(Duration::from_millis(1_500));
            assert_eq!(transitions(&pair), before);
        }
        assert_eq!(events(&pair.first, "hands_over").len(), 0);
    });
}

/// Waits until the gateway is said to be back for the `count`-th time.
fn wait_back(daemon: &Daemon, count: usize) {
    wait_count(daemon, "gateway_back", count);
}

fn wait_count(daemon: &Daemon, name: &str, count: usize) {
    wait::until(&format!("{count} times {name}"), LIMIT, || {
        let events = events(daemon, name).len();
        (events >= count)
            .then_some(())
            .ok_or_else(|| events.to_string())
    })
    .unwrap();
}

/// How often keepalived became master, on both hosts.
fn transitions(pair: &Pair) -> usize {
    let daemons = [&pair.first, &pair.second].into_iter();
    daemons
        .map(|daemon| events(daemon, "local_master").len())
        .sum()
}
