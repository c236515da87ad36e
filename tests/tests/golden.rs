//! What keepfast writes for keepalived, radvd and conntrackd, read by these themselves.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast::config::{
    Cidr, FastPath, InterfaceName, Keepalived, Managed, Mode, NamespaceChoice, Profile, Router,
    VirtualAddress, VirtualRoute, Vrid, Vrrp,
};
use keepfast::files::Dir;
use keepfast::keepalived::raise;
use keepfast::keepalived::render::{Features, Paths, check_script, render};
use lab::netns::Namespace;
use lab::process::Process;
use lab::require::{Need, require};
use lab::workdir::WorkDir;
use lab::{link, process, wait};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);
/// The interfaces of the golden files.
const INTERFACES: [&str; 4] = [
    "ha-0b7f3a52-8c",
    "qr-11111111-11",
    "qg-22222222-22",
    "qr-33333333-33",
];

/// The golden files of one kind, by name.
fn golden(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/golden");
    let entries = fs::read_dir(folder.join(kind)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A namespace with `interfaces`, all up.
fn namespace(interfaces: &[&str]) -> Namespace {
    let namespace = Namespace::new("golden").unwrap();
    for (number, name) in interfaces.iter().enumerate() {
        let lines = format!(
            "link add {name} type veth peer name peer{number}\n\
             link set {name} up\nlink set peer{number} up\n"
        );
        link::ip(&namespace, &lines).unwrap();
    }
    namespace
}

/// What `keepalived --config-test` says of a file, and its exit status.
fn tested(namespace: &Namespace, file: &Path) -> (i32, String) {
    let mut command = namespace.command("keepalived");
    let output = command.arg("--config-test").arg("--use-file").arg(file);
    let output = output.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said)
}

/// keepalived calls a file "bad" when it has anything to remark about it, and so does about each
/// of Neutron's. What it remarks must be harmless and known.
#[test]
fn keepalived_accepts_what_neutron_writes() {
    const KNOWN: [&str; 5] = [
        "Ignoring track_interface ha-0b7f3a52-8c since own interface",
        "Cannot specify scope for IPv6 addresses",
        // The script is not where these files say.
        "Disabling track script ha_health_check_5 since not found/accessible",
        // Written for a keepalived without no_track.
        "no-track-unknown.conf: Line",
        "Route cannot be tracked if protocol is not RTPROT_KEEPALIVED",
    ];
    if !require(&[Need::Root, Need::Tool("keepalived")]) {
        return;
    }
    let namespace = namespace(&INTERFACES);
    for file in golden("neutron") {
        let (code, said) = tested(&namespace, &file);
        assert!([0, 5].contains(&code), "{}: {code}: {said}", file.display());
        for line in said.lines().filter(|line| !line.is_empty()) {
            let known = KNOWN.iter().any(|known| line.contains(known));
            assert!(known, "{}: {line}", file.display());
        }
    }
}

/// A router in keepfast's own style, with all there is.
fn router(version: u8, primary_address: &str) -> (Router, Managed) {
    let cidr = |text: &str| text.parse::<Cidr>().unwrap();
    let name = |text: &str| text.parse::<InterfaceName>().unwrap();
    let address = |text: &str, interface: &str| VirtualAddress {
        interface: name(interface),
        address: cidr(text),
        link_scope: text.starts_with("fe80") || text.starts_with("198.51"),
    };
    let route = |to: &str, via: Option<&str>, interface: Option<&str>| VirtualRoute {
        to: cidr(to),
        via: via.map(|via| via.parse().unwrap()),
        interface: interface.map(name),
        link_scope: via.is_none(),
    };
    let managed = Managed {
        profile: Profile::Plain,
        vrrp: Vrrp {
            interface: name("eth0"),
            addresses: Vec::new(),
            vrid: Vrid::new(7).unwrap(),
            priority: 200,
            advert_interval: if version == 2 {
                Duration::from_secs(1)
            } else {
                Duration::from_millis(100)
            },
            version,
            preempt: false,
            authentication: None,
            primary_address: cidr(primary_address),
            track_interfaces: vec![name("eth0"), name("eth1")],
        },
        addresses: vec![
            address("10.0.0.1/24", "eth1"),
            address("10.0.0.2/32", "eth1"),
            address("198.51.100.1/32", "eth2"),
            address("2001:db8::1/64", "eth1"),
            address("fe80::1/64", "eth1"),
        ],
        routes: vec![
            route("192.0.2.1/32", None, Some("eth2")),
            route("0.0.0.0/0", Some("192.0.2.1"), Some("eth2")),
            route("::/0", Some("fe80::99"), Some("eth1")),
            route("203.0.113.0/24", Some("10.0.0.254"), None),
        ],
        gateway_check: Some(Duration::from_secs(1)),
        announce_again: Duration::from_secs(60),
        radvd: None,
        conntrackd: None,
    };
    let router = Router {
        id: "r-1.x".parse().unwrap(),
        namespace: NamespaceChoice::Host,
        keepalived: Keepalived::Managed(Box::new(managed.clone())),
        fast_path: FastPath {
            mode: Mode::Shadow,
            ..FastPath::OFF
        },
        protect: None,
        hooks: Vec::new(),
        children: Vec::new(),
    };
    (router, managed)
}

/// Writes the files of a router; the gateways always live.
fn write(directory: &WorkDir, router: &Router, managed: &Managed) -> PathBuf {
    let script = directory.file("check.sh");
    let state_file = directory.file("gateway");
    let text = check_script(managed, Path::new("/bin/true"), &state_file).unwrap();
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o520)).unwrap();
    let paths = Paths {
        check_script: script,
        raise: directory.file(raise::FILE),
    };
    let features = Features { no_track: true };
    let file = directory.file("keepalived.conf");
    fs::write(&file, render(router, managed, None, &paths, features)).unwrap();
    file
}

/// The addresses with prefix length, and the destinations of routes, that keepalived or nobody
/// but the test has put there.
fn there(namespace: &Namespace) -> BTreeSet<String> {
    let show = |arguments: &[&str]| -> Value {
        let mut command = namespace.command("ip");
        serde_json::from_str(&process::output(command.arg("-j").args(arguments)).unwrap()).unwrap()
    };
    let mut found = BTreeSet::new();
    for interface in show(&["address"]).as_array().unwrap() {
        for address in interface["addr_info"].as_array().unwrap() {
            let (local, prefix) = (address["local"].as_str().unwrap(), &address["prefixlen"]);
            found.insert(format!(
                "{local}/{prefix} {}",
                interface["ifname"].as_str().unwrap()
            ));
        }
    }
    for family in ["-4", "-6"] {
        for route in show(&[family, "route", "show", "proto", "keepalived"])
            .as_array()
            .unwrap()
        {
            let field = |name: &str| route[name].as_str().unwrap_or("none").to_owned();
            found.insert(format!(
                "{family} {} via {} {}",
                field("dst"),
                field("gateway"),
                field("dev")
            ));
        }
    }
    found
}

/// Has keepalived test and run the router, and compares what is there when it is master.
fn becomes_master(version: u8, primary_address: &str) {
    if !require(&[Need::Root, Need::Tool("keepalived")]) {
        return;
    }
    let namespace = namespace(&["eth0", "eth1", "eth2"]);
    link::ip(&namespace, "address add 10.99.0.1/24 dev eth0\n").unwrap();
    let directory = WorkDir::new("golden").unwrap();
    let (router, managed) = router(version, primary_address);
    let file = write(&directory, &router, &managed);
    assert_eq!(tested(&namespace, &file), (0, String::new()));

    let mut command = namespace.command("keepalived");
    command
        .args(["--vrrp", "--dont-fork", "--log-console", "--no-syslog"])
        .arg("--log-detail")
        .arg("--use-file")
        .arg(&file)
        .arg("--pid")
        .arg(directory.file("pid"))
        .arg("--vrrp_pid")
        .arg(directory.file("vrrp.pid"));
    let mut keepalived =
        Process::start("keepalived", &mut command, &directory.file("log")).unwrap();
    let mut expected: BTreeSet<String> = managed
        .addresses
        .iter()
        .map(|it| format!("{} {}", it.address, it.interface))
        .collect();
    expected.insert(format!("{primary_address} eth0"));
    expected.extend(
        [
            "-4 192.0.2.1 via none eth2",
            "-4 default via 192.0.2.1 eth2",
            "-4 203.0.113.0/24 via 10.0.0.254 eth1",
            "-6 default via fe80::99 eth1",
        ]
        .map(str::to_owned),
    );
    wait::until("all addresses and routes", LIMIT, || {
        let there = there(&namespace);
        let missing: Vec<_> = expected.difference(&there).collect();
        match missing[..] {
            [] => Ok(()),
            _ => Err(format!("{there:?} without {missing:?}")),
        }
    })
    .unwrap();
    keepalived
        .wait_log("all announcements", LIMIT, |log| {
            let sent = |how: &str, address: &str| {
                log.matches(&format!("Sending {how} on eth1 for {address}\n"))
                    .count()
            };
            let arp = sent("gratuitous ARP", "10.0.0.2");
            let neighbour = sent("unsolicited Neighbour Advert", "2001:db8::1");
            (arp >= 5 && neighbour >= 5).then_some(())
        })
        .unwrap();
    // Raised by its file, first made and then written over.
    let folder = Dir::open(directory.path()).unwrap();
    for (value, change) in [(254, "from 200 to 254"), (0, "from 254 to 200")] {
        raise::raise(&folder, value).unwrap();
        let changed = format!("Changing effective priority {change}");
        keepalived
            .wait_log(&changed, LIMIT, |log| log.contains(&changed).then_some(()))
            .unwrap();
    }
    let log = keepalived.log();
    for word in [
        "warning",
        "ignoring",
        "notice",
        "cannot",
        "unknown",
        "disabling",
    ] {
        assert!(!log.to_lowercase().contains(word), "{word} in:\n{log}");
    }
}

#[test]
fn a_plain_router_of_version_3_becomes_master_without_a_warning() {
    becomes_master(3, "169.254.0.7/24");
}

#[test]
fn a_plain_router_of_version_2_becomes_master_without_a_warning() {
    becomes_master(2, "169.254.0.7/24");
}

#[test]
fn a_plain_router_of_ipv6_becomes_master_without_a_warning() {
    becomes_master(3, "fe80::7/64");
}

#[test]
fn radvd_accepts_what_is_written_for_it() {
    if !require(&[Need::Tool("radvd")]) {
        return;
    }
    for file in golden("radvd") {
        // Without root it does not find the current directory's file: the path is absolute.
        let file = file.canonicalize().unwrap();
        let mut command = std::process::Command::new("radvd");
        process::output(command.arg("--configtest").arg("--config").arg(file)).unwrap();
    }
}

#[test]
fn conntrackd_starts_with_what_is_written_for_it() {
    if !require(&[Need::Root, Need::Tool("conntrackd")]) {
        return;
    }
    let namespace = namespace(&["eth0"]);
    link::ip(&namespace, "address add 10.1.1.1/24 dev eth0\n").unwrap();
    let directory = WorkDir::new("conntrackd").unwrap();
    let golden = golden("conntrackd").pop().unwrap();
    assert!(golden.ends_with("other.conf"));
    let folder = directory.path().to_str().unwrap();
    let text = fs::read_to_string(golden)
        .unwrap()
        .replace("/run/r", folder);
    let file = directory.file("conntrackd.conf");
    fs::write(&file, text).unwrap();
    let mut command = namespace.command("conntrackd");
    let log = directory.file("log");
    let mut conntrackd = Process::start("conntrackd", command.arg("-C").arg(&file), &log).unwrap();
    let ready = |log: &str| log.contains("initialization completed").then_some(());
    conntrackd.wait_log("its start", LIMIT, ready).unwrap();
}
