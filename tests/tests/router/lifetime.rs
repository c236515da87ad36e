//! How routers come and go: what they wait for, whom they leave alone, what is left of them.

use crate::{
    LIMIT, alone, keepalived, named, nothing_for, shown, wait_becomes, wait_gone, wait_started,
};
use lab::clock::monotonic_ns;
use lab::daemon::Daemon;
use lab::netns::Namespace;
use lab::process::{self, Process};
use lab::router::{Declaration, HA, INNER, Topology};
use lab::segment::Segment;
use lab::workdir::{WorkDir, unique_name};
use lab::{link, wait};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[test]
fn a24_keepalived_starts_once_its_interface_is_there_and_up() {
    alone(&[], || {
        let topology = Topology::new(1).unwrap();
        let late = Namespace::new("late").unwrap();
        let daemon = Daemon::new("daemon").unwrap();
        let declaration = Declaration {
            namespace: late.name().into(),
            addresses: Vec::new(),
            routes: Vec::new(),
            ..Declaration::plain(&topology.hosts[0])
        };
        // Without --wait that is an error at once.
        let refused = declaration.apply(&daemon).unwrap_err();
        assert!(
            format!("{refused:#}").contains("interface ha-lab does not exist"),
            "{refused:#}"
        );
        let toml = declaration.toml().unwrap();
        daemon
            .router(&["apply", "--wait", "--file", "-"], &toml)
            .unwrap();
        let wait_note = |wanted: &str| {
            wait::until(wanted, LIMIT, || {
                let shown = daemon.show("r").map_err(|error| format!("{error:#}"))?;
                match shown["note"].as_str() {
                    Some(note) if note.contains(wanted) => Ok(()),
                    _ => Err(shown.to_string()),
                }
            })
            .unwrap();
            assert_eq!(named(&daemon, "keepalived"), Vec::<i32>::new());
        };
        wait_note("ha-lab, which does not exist");
        link::ip(&late, "link add ha-lab type veth peer name far\n").unwrap();
        wait_note("ha-lab is down");
        link::ip(&late, "link set far up\nlink set ha-lab up\n").unwrap();
        wait_started(&daemon, "r", "keepalived");
        wait_becomes(&daemon, 0, "primary");
    });
}

#[test]
fn a24_ten_routers_start_at_once() {
    const COUNT: u8 = 10;
    alone(&[], || {
        let segment = Segment::new("many").unwrap();
        let namespaces: Vec<_> = (1..=COUNT)
            .map(|number| Namespace::new(&format!("many{number}")).unwrap())
            .collect();
        let mut daemon = Daemon::prepare("daemon").unwrap();
        let id = |number: u8| format!("r{number}");
        for (number, namespace) in (1..=COUNT).zip(&namespaces) {
            segment.attach(namespace, HA, &[]).unwrap();
            segment.attach(namespace, INNER, &[]).unwrap();
            let toml = format!(
                "namespace = \"{}\"\n[vrrp]\ninterface = \"{HA}\"\n\
                 addresses = [\"169.254.192.{number}/18\"]\nvrid = {number}\n\
                 advert_interval = \"100ms\"\n\
                 [[address]]\ninterface = \"{INNER}\"\naddress = \"10.0.{number}.1/24\"\n",
                namespace.name()
            );
            daemon.declare(&id(number), &toml).unwrap();
        }
        daemon.start().unwrap();
        for number in 1..=COUNT {
            daemon.wait_state(&id(number), "primary", LIMIT).unwrap();
        }
        let all_ms = crate::ms(daemon.started_ns(), monotonic_ns().unwrap());
        println!("A24: {COUNT} routers are primary {all_ms:.0} ms after the daemon's start");
        // 360 ms of them are the down time.
        assert!(all_ms < 10_000.0, "{all_ms} ms");
        assert_eq!(named(&daemon, "keepalived").len(), 2 * usize::from(COUNT));
    });
}

/// What the daemon and its routers have: files, processes, pins, namespaces.
fn belongings(daemon: &Daemon) -> BTreeSet<String> {
    let mut things = BTreeSet::new();
    let mut list = |kind: &str, path: &Path| {
        for entry in fs::read_dir(path).into_iter().flatten() {
            let name = entry.unwrap().file_name();
            things.insert(format!("{kind} {}", name.display()));
        }
    };
    list("file", &daemon.state());
    list("file", &daemon.routers());
    let pid = daemon.pid().unwrap();
    let pins = format!("/sys/fs/bpf/keepfast/run-{pid}");
    list("pin", Path::new(&pins));
    list("namespace", Path::new("/run/netns"));
    // Others may run beside this test.
    let own = format!("namespace kf-{}-", std::process::id());
    things.retain(|thing| !thing.starts_with("namespace ") || thing.starts_with(&own));
    let left = daemon.left_running().unwrap().into_iter();
    things.extend(left.map(|pid| format!("process {pid}")));
    things
}

/// How many descriptors the daemon has open, once it has let go of the processes that it stopped:
/// it holds them for as long as they may take to end.
fn descriptors(daemon: &Daemon) -> usize {
    nothing_for(Duration::from_secs(6));
    let pid = daemon.pid().unwrap();
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn wait_belongings(daemon: &Daemon, expected: &BTreeSet<String>) {
    wait::until("nothing to be left", LIMIT, || {
        let now = belongings(daemon);
        if now == *expected {
            Ok(())
        } else {
            let differing: Vec<_> = now.symmetric_difference(expected).collect();
            Err(format!("{differing:?}"))
        }
    })
    .unwrap();
}

/// Addresses, routes and rules of a namespace, without what the kernel has for each interface
/// that is up or forwards.
fn configured(namespace: &Namespace) -> String {
    let all: [&[&str]; 5] = [
        &["-o", "address"],
        &["-4", "route", "show", "table", "all"],
        &["-6", "route", "show", "table", "all"],
        &["-4", "rule"],
        &["-6", "rule"],
    ];
    let texts: Vec<_> = all
        .iter()
        .map(|arguments| shown(namespace, arguments))
        .collect();
    let own = |line: &&str| !line.starts_with("anycast ") && !line.starts_with("multicast ");
    let lines: Vec<_> = texts.iter().flat_map(|text| text.lines()).collect();
    lines.into_iter().filter(own).collect::<Vec<_>>().join("\n")
}

#[test]
fn a26_a_router_that_goes_twenty_times_leaves_nothing_each_time() {
    alone(&["radvd", "conntrackd"], || {
        let topology = Topology::new(1).unwrap();
        let host = &topology.hosts[0];
        let daemon = Daemon::new("daemon").unwrap();
        let mut declaration = Declaration::plain(host);
        declaration.keys = "gateway_check = \"1s\"\n".into();
        declaration.addresses.push((INNER, "fe80::1/64".into()));
        declaration.tables = format!(
            "\n[conntrackd]\n\n[[radvd.interface]]\ninterface = \"{INNER}\"\n\
             prefixes = [\"2001:db8:1::/64\"]\n\n[[child]]\nname = \"sleep\"\n\
             command = [\"/bin/sleep\", \"1000\"]\nrun = \"always\"\n"
        );
        // The last interface gets its link-local address a little after it is up.
        let before = wait::until("three link-local addresses", LIMIT, || {
            let shown = configured(&host.namespace);
            let count = shown.matches(" inet6 fe80::").count();
            if count == 3 { Ok(shown) } else { Err(shown) }
        })
        .unwrap();
        let mut expected = None;
        for _ in 0..20 {
            declaration.apply(&daemon).unwrap();
            daemon.wait_state("r", "primary", LIMIT).unwrap();
            wait_started(&daemon, "r", "radvd");
            daemon.delete("r").unwrap();
            wait_gone(&daemon, "r");
            // What is made once, for all routers, is there after the first one.
            match &expected {
                None => expected = Some((belongings(&daemon), descriptors(&daemon))),
                Some((expected, _)) => wait_belongings(&daemon, expected),
            }
            assert_eq!(configured(&host.namespace), before);
        }
        let (left, open) = expected.unwrap();
        println!("A26: left after each: {open} descriptors, {left:?}");
        assert_eq!(descriptors(&daemon), open);
    });
}

/// A namespace that the daemon makes and removes; what is left of it goes with this.
struct Made(String);

impl Drop for Made {
    fn drop(&mut self) {
        if Path::new("/run/netns").join(&self.0).exists()
            && let Err(error) = process::output(Command::new("ip").args(["netns", "del", &self.0]))
        {
            eprintln!("{error:#}");
        }
    }
}

#[test]
fn a26_a_namespace_that_was_made_for_a_router_goes_with_it() {
    alone(&[], || {
        let topology = Topology::new(1).unwrap();
        let made = Made(unique_name("made"));
        let name = &made.0;
        // Before the namespace, whose processes it ends.
        let daemon = Daemon::new("daemon").unwrap();
        let declaration = Declaration {
            namespace: name.clone(),
            keys: "create_namespace = true\n".into(),
            routes: Vec::new(),
            addresses: vec![(INNER, "10.0.0.1/24".into())],
            ..Declaration::plain(&topology.hosts[0])
        };
        let toml = declaration.toml().unwrap();
        let mut expected = None;
        for _ in 0..20 {
            daemon
                .router(&["apply", "--wait", "--file", "-"], &toml)
                .unwrap();
            for interface in [HA, INNER] {
                let make = format!("link add {interface} type veth peer name far-{interface}");
                for line in [
                    make,
                    format!("link set {interface} up"),
                    format!("link set far-{interface} up"),
                ] {
                    let mut command = Command::new("ip");
                    command.args(["-n", name]).args(line.split(' '));
                    process::output(&mut command).unwrap();
                }
            }
            daemon.wait_state("r", "primary", LIMIT).unwrap();
            daemon.delete("r").unwrap();
            wait_gone(&daemon, "r");
            match &expected {
                None => expected = Some((belongings(&daemon), descriptors(&daemon))),
                Some((expected, _)) => wait_belongings(&daemon, expected),
            }
            assert!(!Path::new("/run/netns").join(name).exists());
        }
        assert_eq!(descriptors(&daemon), expected.unwrap().1);
    });
}

#[test]
fn a27_a_foreign_process_in_a_pid_file_is_left_alone() {
    alone(&[], || {
        let topology = Topology::new(1).unwrap();
        let mut daemon = Daemon::prepare("daemon").unwrap();
        let log = WorkDir::new("sleep").unwrap();
        let sleep =
            Process::start("sleep", Command::new("sleep").arg("1000"), &log.file("log")).unwrap();
        let secret = daemon.directory().join("secret");
        fs::write(&secret, "hush").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let mut declaration = Declaration::neutron(&topology.hosts[0]);
        declaration.interval = Duration::from_secs(1);
        declaration.tables = format!(
            "\n[vrrp.authentication]\ntype = \"PASS\"\nsecret_file = \"{}\"\n\
             \n[[child]]\nname = \"nap\"\ncommand = [\"/bin/sleep\", \"2000\"]\n\
             run = \"always\"\n",
            secret.display()
        );
        daemon.declare("r", &declaration.toml().unwrap()).unwrap();
        fs::create_dir(daemon.file("r", "")).unwrap();
        let pid_files = [
            daemon.state().join("r.pid.keepalived"),
            daemon.state().join("r.pid.keepalived-vrrp"),
            daemon.file("r", "child.nap.pid"),
        ];
        for file in &pid_files {
            fs::write(file, format!("{}\n", sleep.pid())).unwrap();
        }
        daemon.start().unwrap();
        wait_becomes(&daemon, 0, "primary");
        wait_started(&daemon, "r", "nap");
        assert!(!keepalived(&daemon, "r").contains(&sleep.pid()));
        let nap = fs::read_to_string(&pid_files[2]).unwrap();
        assert_ne!(nap.trim(), sleep.pid().to_string());
        let conf = fs::metadata(daemon.file("r", "keepalived.conf")).unwrap();
        assert_eq!(conf.permissions().mode() & 0o777, 0o600);
        daemon.delete("r").unwrap();
        wait_gone(&daemon, "r");
        // Ending, it would be a zombie that its parent has not read.
        let state = fs::read_to_string(format!("/proc/{}/stat", sleep.pid())).unwrap();
        assert!(state.contains(") S "), "{state}");
    });
}
