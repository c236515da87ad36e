//! What keepalived is told, and how often.

use crate::{LIMIT, Stage, alone, at_ns, events, keepalived, ms};
use keepfast::config::{Keepalived, file};
use keepfast::keepalived::render::{Features, Paths, render};
use lab::capture::{Capture, Recording, VRRP};
use lab::clock::monotonic_ns;
use lab::prober::Prober;
use lab::router::{Declaration, INNER};
use lab::segment::BRIDGE;
use lab::wait;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Something that nothing else is called.
const PASSWORD: &str = "kP4wX2zQ";
/// Between two adverts of the routers whose reloads are counted.
const INTERVAL: Duration = Duration::from_secs(1);

/// With a password.
fn secret(declaration: Declaration, directory: &Path) -> Declaration {
    let file = directory.join("secret");
    fs::write(&file, PASSWORD).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let file = file.display();
    Declaration {
        // The tables of a declaration follow what is of [vrrp].
        tables: format!(
            "\n[vrrp.authentication]\ntype = \"PASS\"\nsecret_file = \"{file}\"\n{}",
            declaration.tables
        ),
        ..declaration
    }
}

/// The regular files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else if entry.file_type().unwrap().is_file() {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn a15_a_managed_router_has_the_rendered_configuration_and_keeps_its_password() {
    alone(&[], || {
        let stage = Stage::start(1, |host, daemon| {
            let declaration = Declaration {
                keys: "gateway_check = \"5s\"\n".into(),
                ..Declaration::neutron(host)
            };
            secret(declaration, daemon.directory())
        });
        let daemon = &stage.daemons[0];
        let toml = stage.declarations[0].toml().unwrap();
        let router = file::parse(&toml, "r.toml", None).unwrap();
        let Keepalived::Managed(managed) = &router.keepalived else {
            unreachable!()
        };
        let paths = Paths {
            check_script: daemon.file("r", "ha_check_script_7.sh"),
            raise: daemon.file("r", "raise"),
        };
        let features = Features { no_track: true };
        let expected = render(&router, managed, Some(PASSWORD), &paths, features);
        let conf = daemon.file("r", "keepalived.conf");
        assert_eq!(fs::read_to_string(&conf).unwrap(), expected);
        assert!(expected.contains(PASSWORD), "{expected}");

        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&conf), 0o600);
        assert_eq!(mode(&paths.check_script), 0o520);
        assert_eq!(mode(&daemon.file("r", "state")), 0o644);
        assert_eq!(mode(&daemon.file("r", "")), 0o755);
        let mut holders = 0;
        for path in files(daemon.directory()) {
            let content = fs::read(&path).unwrap();
            let holds = content
                .windows(PASSWORD.len())
                .any(|part| part == PASSWORD.as_bytes());
            holders += usize::from(holds);
            assert!(!holds || mode(&path) & 0o077 == 0, "{}", path.display());
        }
        // The secret file and keepalived.conf.
        assert_eq!(holders, 2);
        assert!(!daemon.show("r").unwrap().to_string().contains(PASSWORD));
        for pid in daemon.left_running().unwrap() {
            for name in ["cmdline", "environ"] {
                let told = fs::read(format!("/proc/{pid}/{name}")).unwrap();
                assert!(!String::from_utf8_lossy(&told).contains(PASSWORD), "{name}");
            }
        }
        println!("A15: {} bytes equal", expected.len());
    });
}

fn every_second(declaration: Declaration) -> Declaration {
    Declaration {
        interval: INTERVAL,
        ..declaration
    }
}

#[test]
fn a16_a_burst_of_addresses_is_reloaded_at_most_once_in_its_time_and_loses_nothing() {
    alone(&[], || {
        let stage = Stage::start(1, |host, _| every_second(Declaration::neutron(host)));
        let daemon = &stage.daemons[0];
        let before = daemon.events("r").unwrap().len();
        let pid = keepalived(daemon, "r");
        let client = &stage.topology.client;
        let period = Duration::from_millis(5);
        let prober = Prober::start_every(client, "10.0.0.1".parse().unwrap(), period).unwrap();
        prober.wait_answers(20, LIMIT).unwrap();

        let mut declaration = stage.declarations[0].clone();
        let began_ns = monotonic_ns().unwrap();
        for last in 1..=10 {
            let address = format!("203.0.113.{last}/32");
            declaration.addresses.push((INNER, address));
            declaration.apply(daemon).unwrap();
        }
        let burst_ms = ms(began_ns, monotonic_ns().unwrap());
        let all = declaration.addresses.len() + 1;
        wait::until("all addresses", LIMIT, || {
            let shown = daemon.show("r").map_err(|error| format!("{error:#}"))?;
            let present = shown["addresses_present"].as_array().map(Vec::len);
            if present == Some(all) {
                Ok(())
            } else {
                Err(shown.to_string())
            }
        })
        .unwrap();
        let conf = fs::read_to_string(daemon.file("r", "keepalived.conf")).unwrap();
        assert!(conf.contains("203.0.113.10/32"), "{conf}");

        // Until a reload too many would have come.
        prober.wait_answers(400, Duration::from_secs(20)).unwrap();
        let probes = prober.stop().unwrap();
        let outage = probes.outage().length();
        println!(
            "A16: {} of {} pings lost, longest pause {outage:?}",
            probes.lost(),
            probes.probes.len()
        );
        assert_eq!(probes.lost(), 0);
        let reloads = events(daemon, before, "reloaded");
        let times: Vec<f64> = reloads.iter().map(|it| ms(began_ns, at_ns(it))).collect();
        println!("A16: burst of {burst_ms:.0} ms, reloads after {times:.0?} ms");
        for pair in times.windows(2) {
            let gap = pair[1] - pair[0];
            assert!(gap >= 1500.0, "{gap} ms");
        }
        assert_eq!(
            events(daemon, before, "state"),
            Vec::<serde_json::Value>::new()
        );
        assert_eq!(daemon.keepalived("r").unwrap(), pid);
        assert_eq!(daemon.state_file("r").unwrap(), "primary");
    });
}

/// When adverts passed, in nanoseconds of CLOCK_MONOTONIC.
fn adverts(recording: &Recording) -> Vec<u64> {
    let rows = recording.fields("vrrp", &["frame.time_epoch"]).unwrap();
    rows.iter()
        .map(|row| recording.monotonic_ns(&row.concat()).unwrap())
        .collect()
}

#[test]
fn a17_what_does_not_change_is_not_told_and_what_does_is_there_first() {
    alone(&[], || {
        let stage = Stage::start(1, |host, _| every_second(Declaration::neutron(host)));
        let daemon = &stage.daemons[0];
        let before = daemon.events("r").unwrap().len();
        let conf = daemon.file("r", "keepalived.conf");
        let identity = |path: &Path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        let old = identity(&conf);
        // Before the time for a reload is there, one would wait.
        let mut capture = Capture::start(stage.topology.ha.switch(), BRIDGE, VRRP).unwrap();
        capture.wait_more(3, LIMIT).unwrap();
        let applied_ns = monotonic_ns().unwrap();
        for _ in 0..3 {
            stage.declarations[0].apply(daemon).unwrap();
        }
        // Another text that comes to the same.
        let mut same = stage.declarations[0].toml().unwrap();
        same.insert_str(0, "# as before\n");
        daemon.apply(&same).unwrap();
        capture.wait_more(3, LIMIT).unwrap();
        assert_eq!(events(daemon, before, "reloaded").len(), 0);
        assert_eq!(identity(&conf), old);

        let mut changed = stage.declarations[0].clone();
        changed.addresses.push((INNER, "203.0.113.1/32".into()));
        let changed_ns = monotonic_ns().unwrap();
        changed.apply(daemon).unwrap();
        // There after the first reload: keepalived read what was on disk before its signal.
        let there = |event: &serde_json::Value| event["event"] == "reloaded";
        let reloaded = daemon
            .wait_event("r", before, "the reload", LIMIT, there)
            .unwrap();
        wait::until("the new address", LIMIT, || {
            match crate::has_address(stage.namespace(0), "203.0.113.1/32") {
                true => Ok(()),
                false => Err("none".into()),
            }
        })
        .unwrap();
        capture.wait_more(3, LIMIT).unwrap();
        let recording = capture.stop().unwrap();
        let times = adverts(&recording);
        let gaps = |from_ns: u64, to_ns: u64| -> Vec<f64> {
            let within = times.iter().filter(|at| (from_ns..to_ns).contains(at));
            let within: Vec<u64> = within.copied().collect();
            within.windows(2).map(|pair| ms(pair[0], pair[1])).collect()
        };
        let quiet = gaps(applied_ns, changed_ns);
        let after = gaps(changed_ns, u64::MAX);
        println!(
            "A17: reload {:.1} ms after the change; adverts apart {quiet:.0?} ms without, \
             {after:.0?} ms with a reload",
            ms(changed_ns, at_ns(&reloaded))
        );
        // A reload makes a master say so at once, and a moment later again.
        assert!(quiet.iter().all(|gap| *gap > 900.0), "{quiet:?}");
        assert!(after.iter().any(|gap| *gap < 900.0), "{after:?}");
        assert_eq!(events(daemon, before, "reloaded").len(), 1);
        assert_eq!(daemon.state_file("r").unwrap(), "primary");
    });
}
