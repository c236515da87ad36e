//! The agent is started, stopped and killed while its routers run on.

use crate::{Flipped, LIMIT, Pair, alone, ms, wait_running};
use lab::addresses::Switch;
use lab::clock;
use lab::daemon::Daemon;
use lab::keepalived::{Config, Instance};
use lab::listener::{Listener, Notice};
use lab::netns::Namespace;
use lab::router::{Declaration, HA, PRIMARY, VRID};
use lab::segment::Segment;
use nix::unistd::Pid;
use std::fs;
use std::thread;
use std::time::{Duration, SystemTime};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(40);

/// When a file was last written, in nanoseconds of CLOCK_REALTIME.
fn written_ns(daemon: &Daemon, name: &str) -> u64 {
    let written = fs::metadata(daemon.file("r", name)).unwrap();
    let since = written
        .modified()
        .unwrap()
        .duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_nanos() as u64
}

#[test]
fn a07_the_state_at_the_start_is_told_without_any_event() {
    alone(|| {
        let mut pair = Pair::start(|host, daemon| {
            Declaration::plain(host).telling(&daemon.directory().join("hook"))
        });
        for (daemon, state) in pair.daemons.iter_mut().zip(["primary", "backup"]) {
            let listener = Listener::start(&daemon.directory().join("hook")).unwrap();
            listener.wait(1, LIMIT).unwrap();
            let keepalived = daemon.keepalived("r").unwrap();
            daemon.stop().unwrap();
            // It is written though its content was right.
            fs::remove_file(daemon.file("r", "state")).unwrap();
            daemon.start().unwrap();
            let told = listener.wait(2, LIMIT).unwrap();
            assert_eq!(daemon.state_file("r").unwrap(), state);
            let realtime = clock::realtime_minus_monotonic_ns().unwrap();
            let started = daemon.started_ns();
            let written = ms(started, written_ns(daemon, "state") - realtime);
            let after = ms(started, told[1].received_ns);
            println!("A7: {state}: written {written:.1} ms, told {after:.1} ms after the start");
            assert!(written < 1_000.0);
            // Nothing that takes a while comes between the two.
            assert!(after - written < 200.0);
            assert_eq!(told[1].state, state);
            assert!(told[1].whole["previous"].is_null(), "{:?}", told[1]);
            assert_eq!(daemon.keepalived("r").unwrap(), keepalived);
            let events = daemon.events("r").unwrap();
            let starts = events.iter().filter(|event| event["event"] == "started");
            assert_eq!(starts.count(), 1, "{events:#?}");
        }
    });
}

#[test]
fn a08_an_address_that_comes_or_goes_during_the_start_is_not_missed() {
    alone(|| {
        let namespace = Namespace::new("host").unwrap();
        let segment = Segment::new("ha").unwrap();
        segment
            .attach(&namespace, HA, &["169.254.192.1/18"])
            .unwrap();
        let mut daemon = Daemon::prepare("daemon").unwrap();
        // Of somebody else's keepalived that is not there: addresses alone tell.
        let config = daemon.directory().join("keepalived.conf");
        let address = "169.254.0.7/24";
        let instance = Instance {
            interface: HA.into(),
            vrid: VRID,
            addresses: vec![address.into()],
            ..Instance::default()
        };
        Config::from(instance).write(&config).unwrap();
        let toml = format!(
            "namespace = \"{}\"\n[attached]\nconfig_file = \"{}\"\ninstance = \"VI_1\"\n",
            namespace.name(),
            config.display()
        );
        daemon.declare("r", &toml).unwrap();
        let mut changes = 0;
        for round in 0..12 {
            // On until some time after it has started.
            let last = 150 + 7 * round;
            thread::scope(|scope| {
                let switching = scope.spawn(|| {
                    let switch = Switch::new(&namespace, HA).unwrap();
                    for number in 1..=last {
                        switch.set(address, number % 2 == 1).unwrap();
                        thread::sleep(Duration::from_millis(1));
                    }
                });
                daemon.start().unwrap();
                switching.join().unwrap();
            });
            let state = if last % 2 == 1 { "primary" } else { "backup" };
            daemon.wait_state("r", state, LIMIT).unwrap();
            daemon.stop().unwrap();
            changes += last;
            Switch::new(&namespace, HA)
                .unwrap()
                .set(address, false)
                .unwrap();
        }
        println!("A8: 12 starts during {changes} changes");
    });
}

fn states(notices: &[Notice]) -> Vec<&str> {
    notices.iter().map(|notice| notice.state.as_str()).collect()
}

/// All that a daemon has running is one keepalived.
fn assert_only(daemon: &Daemon, keepalived: [Pid; 2]) {
    let mut left = daemon.left_running().unwrap();
    left.sort();
    let mut expected = keepalived;
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn a09_a_killed_agent_leaves_no_orphan_and_the_next_one_catches_up() {
    alone(|| {
        let mut flipped = Flipped::start(|host, daemon| {
            Declaration::plain(host).telling(&daemon.directory().join("hook"))
        });
        let Flipped {
            daemon,
            rival,
            addresses,
            ..
        } = &mut flipped;
        let listener = Listener::start(&daemon.directory().join("hook")).unwrap();
        listener.wait(1, LIMIT).unwrap();
        let keepalived = daemon.keepalived("r").unwrap();
        assert_only(daemon, keepalived);

        daemon.kill().unwrap();
        assert_only(daemon, keepalived);
        // A transition that nobody sees, but from its outcome.
        rival.take(LONG).unwrap();
        addresses.wait(PRIMARY, false, LIMIT).unwrap();
        assert_eq!(daemon.state_file("r").unwrap(), "primary");
        daemon.start().unwrap();
        let told = listener.wait(2, LIMIT).unwrap();
        assert_eq!(states(&told), ["primary", "backup"]);
        daemon.wait_state("r", "backup", LIMIT).unwrap();
        assert_only(daemon, keepalived);

        rival.resign(SHORT).unwrap();
        listener.wait(3, LIMIT).unwrap();
        daemon.kill().unwrap();
        daemon.start().unwrap();
        // Told anew what nothing has changed about.
        let told = listener.wait(4, LIMIT).unwrap();
        rival.take(LONG).unwrap();
        let told_at_last = listener.wait(5, LIMIT).unwrap();
        assert_eq!(
            states(&told_at_last),
            ["primary", "backup", "primary", "primary", "backup"]
        );
        assert!(told[3].whole["previous"].is_null(), "{:?}", told[3]);
        assert_only(daemon, keepalived);
    });
}

#[test]
fn a11_a_state_file_that_outlived_a_reboot_is_corrected_before_keepalived_starts() {
    alone(|| {
        let namespace = Namespace::new("host").unwrap();
        let segment = Segment::new("ha").unwrap();
        let mut daemon = Daemon::prepare("daemon").unwrap();
        let declaration = Declaration {
            id: "r".into(),
            ..Declaration::bare(&namespace, VRID)
        };
        daemon.declare("r", &declaration.toml().unwrap()).unwrap();
        fs::create_dir(daemon.file("r", "")).unwrap();
        fs::write(daemon.file("r", "state"), "primary").unwrap();
        // As after a reboot its interface is not there yet, and keepalived cannot start.
        daemon.start().unwrap();
        daemon.wait_state("r", "backup", LIMIT).unwrap();
        assert!(daemon.keepalived("r").is_err(), "keepalived runs already");
        segment.attach(&namespace, HA, &[]).unwrap();
        wait_running(&daemon, "r");
        daemon.wait_state("r", "primary", LIMIT).unwrap();
    });
}
