//! What runs beside a router, and what the namespace is told, as the state says.

use crate::{ELECTION, LIMIT, Stage, alone, ms, named, wait_becomes};
use lab::addresses::Addresses;
use lab::capture::{Capture, Recording};
use lab::clock::monotonic_ns;
use lab::daemon::Daemon;
use lab::netns::Namespace;
use lab::router::{Declaration, INNER, OUTER, PRIMARY};
use lab::segment::BRIDGE;
use lab::wait;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What follows a change of state within so much is soon enough; see the head of this program.
const SOON_MS: f64 = 100.0 * 10.0;

/// A setting of a namespace.
fn setting(namespace: &Namespace, key: &str) -> String {
    let path = format!("/proc/sys/net/{key}");
    let value = namespace.run(|| Ok(fs::read_to_string(&path)?));
    value.unwrap().trim_end().to_owned()
}

/// Waits until a setting has this value, and says when it had it.
fn wait_setting(namespace: &Namespace, key: &str, value: &str) -> u64 {
    let path = format!("/proc/sys/net/{key}");
    let waited = namespace.run(|| {
        wait::until(
            &format!("{key} = {value}"),
            ELECTION,
            || match fs::read_to_string(&path) {
                Ok(found) if found.trim_end() == value => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )
    });
    waited.unwrap();
    monotonic_ns().unwrap()
}

/// The process id of a program of the router, if that runs.
fn pid(daemon: &Daemon, program: &str) -> Option<i64> {
    let shown = daemon.show("r").unwrap();
    shown["programs"][program]["pid"].as_i64()
}

/// Waits until a program of the router runs, or does not, and says when.
fn wait_program(daemon: &Daemon, program: &str, running: bool) -> u64 {
    wait::until(&format!("{program} running: {running}"), LIMIT, || {
        match pid(daemon, program).is_some() == running {
            true => Ok(()),
            false => Err(daemon.show("r").map_or_else(
                |error| format!("{error:#}"),
                |shown| shown["programs"].to_string(),
            )),
        }
    })
    .unwrap();
    monotonic_ns().unwrap()
}

/// What an HTTP server answers to the client, if there is one.
fn fetch(client: &Namespace) -> Result<String, String> {
    const SCRIPT: &str = "import urllib.request as r; \
                          print(r.urlopen('http://10.0.0.1:9697/', timeout=2).read().decode())";
    let mut command = client.command("python3");
    lab::process::output(command.args(["-c", SCRIPT])).map_err(|error| format!("{error:#}"))
}

/// haproxy, as Neutron's metadata proxy: told by a file, in the foreground.
fn haproxy(directory: &Path) -> String {
    let file = directory.join("haproxy.cfg");
    let text = "global\n    maxconn 16\ndefaults\n    mode http\n    timeout connect 1s\n    \
                timeout client 1s\n    timeout server 1s\nfrontend metadata\n    \
                bind 0.0.0.0:9697\n    \
                http-request return status 200 content-type text/plain string here\n";
    fs::write(&file, text).unwrap();
    format!(
        "\n[[child]]\nname = \"metadata\"\ncommand = [\"/usr/sbin/haproxy\", \"-db\", \"-f\", \
         \"{}\"]\nrun = \"primary\"\n",
        file.display()
    )
}

/// When router advertisements of a host passed, in nanoseconds of CLOCK_MONOTONIC.
fn advertisements(recording: &Recording, host: u8) -> Vec<u64> {
    let filter = format!(
        "icmpv6.type == 134 && eth.src == 02:4b:46:00:00:{:02x}",
        // The client's is the first port.
        host + 1
    );
    let rows = recording.fields(&filter, &["frame.time_epoch"]).unwrap();
    rows.iter()
        .map(|row| recording.monotonic_ns(&row.concat()).unwrap())
        .collect()
}

#[test]
fn a20_forwarding_advertisements_and_helpers_follow_the_state() {
    alone(&["radvd", "haproxy", "python3"], || {
        let declare = |host: &lab::router::Host, daemon: &Daemon| Declaration {
            interval: Duration::from_secs(1),
            // Without a gateway for IPv6 it is learnt.
            routes: vec![("0.0.0.0/0", "198.51.100.1", OUTER)],
            tables: format!(
                "\n[[radvd.interface]]\ninterface = \"{INNER}\"\nmin_interval = \"3s\"\n\
                 max_interval = \"4s\"\nprefixes = [\"2001:db8:1::/64\"]\n{}",
                haproxy(daemon.directory())
            ),
            ..Declaration::neutron(host)
        };
        let stage = Stage::prepare(2, declare);
        let [first, second] = &stage.daemons[..] else {
            unreachable!()
        };
        let (inside, other) = (stage.namespace(0), stage.namespace(1));
        let keys = |interface: &str, name: &str| format!("ipv6/conf/{interface}/{name}");
        let capture =
            Capture::start(stage.topology.inner.switch(), BRIDGE, "icmp6 or arp").unwrap();
        let addresses = Addresses::listen(inside).unwrap();
        stage.declarations[0].apply(first).unwrap();

        // The way up.
        let forwarding = wait_setting(inside, &keys(OUTER, "forwarding"), "1");
        let accepting = wait_setting(inside, &keys(OUTER, "accept_ra"), "2");
        let came_ns = addresses.wait(PRIMARY, true, LIMIT).unwrap();
        let radvd = wait_program(first, "radvd", true);
        let child = wait_program(first, "metadata", true);
        let times = [forwarding, accepting, radvd, child].map(|at| ms(came_ns, at));
        println!(
            "A20: after the address came forwarding {:.1}, accept_ra {:.1}, radvd {:.1}, \
             haproxy {:.1} ms",
            times[0], times[1], times[2], times[3]
        );
        assert!(times.iter().all(|time| *time < SOON_MS), "{times:?}");
        let answer = wait::until("haproxy's answer", LIMIT, || fetch(&stage.topology.client));
        assert_eq!(answer.unwrap().trim(), "here");
        for (interface, name, value) in [
            ("all", "forwarding", "1"),
            (INNER, "forwarding", "1"),
            (INNER, "accept_ra", "0"),
        ] {
            assert_eq!(
                setting(inside, &keys(interface, name)),
                value,
                "{interface}"
            );
        }

        stage.declarations[1].apply(second).unwrap();
        wait_becomes(second, 0, "backup");
        assert_eq!(named(second, "radvd"), Vec::<i32>::new());
        let assert_quiet = |namespace: &Namespace| {
            for interface in [INNER, OUTER] {
                for name in ["forwarding", "accept_ra"] {
                    assert_eq!(setting(namespace, &keys(interface, name)), "0");
                }
            }
        };
        assert_quiet(other);
        assert_eq!(pid(second, "metadata"), None);

        // The way down: without its link it is at fault, and its addresses go.
        stage.topology.hosts[0].ha.cut().unwrap();
        let gone_ns = addresses.wait(PRIMARY, false, LIMIT).unwrap();
        let forwarding = wait_setting(inside, &keys(OUTER, "forwarding"), "0");
        let accepting = wait_setting(inside, &keys(OUTER, "accept_ra"), "0");
        let radvd = wait_program(first, "radvd", false);
        let child = wait_program(first, "metadata", false);
        let times = [forwarding, accepting, radvd, child].map(|at| ms(gone_ns, at));
        println!(
            "A20: after the address went forwarding {:.1}, accept_ra {:.1}, radvd {:.1}, \
             haproxy {:.1} ms",
            times[0], times[1], times[2], times[3]
        );
        assert!(times.iter().all(|time| *time < SOON_MS), "{times:?}");
        assert_quiet(inside);
        // radvd has two processes.
        wait::until("the end of radvd", LIMIT, || {
            let left = named(first, "radvd");
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        })
        .unwrap();
        assert_eq!(setting(inside, &keys("all", "forwarding")), "1");
        wait_becomes(second, 0, "primary");
        wait_program(second, "radvd", true);
        let answer = wait::until("haproxy's answer", LIMIT, || fetch(&stage.topology.client));
        assert_eq!(answer.unwrap().trim(), "here");
        // Longer than the longest time between two advertisements.
        crate::nothing_for(Duration::from_secs(5));
        let recording = capture.stop().unwrap();
        let [of_first, of_second] = [1, 2].map(|host| advertisements(&recording, host));
        let late: Vec<f64> = of_first
            .iter()
            .map(|at| ms(gone_ns, *at))
            .filter(|at| *at > 0.0)
            .collect();
        let early = of_second.iter().filter(|at| **at < gone_ns).count();
        println!(
            "A20: advertisements: {} of the first, {} of the second",
            of_first.len(),
            of_second.len()
        );
        assert_eq!((late, early), (Vec::new(), 0));
        assert!(!of_first.is_empty() && !of_second.is_empty());
    });
}
