//! `keepfast discover` beside real keepaliveds.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast::config::{Keepalived as Declared, NamespaceChoice, file};
use lab::binary;
use lab::keepalived::{Authentication, Config, Family, Instance, Keepalived, State, Version};
use lab::netns::Namespace;
use lab::require::{Need, require};
use lab::segment::Segment;
use lab::sender::{Advert, Sender};
use lab::workdir::WorkDir;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const NEEDS: [Need; 2] = [Need::Root, Need::Tool("keepalived")];
const LIMIT: Duration = Duration::from_secs(15);

/// Runs discover and gives what it printed.
fn discover(namespace: Option<&Namespace>, config: &Path, listen: &str) -> String {
    let mut command = binary::keepfast();
    command
        .args(["discover", "--listen", listen, "--config"])
        .arg(config);
    if let Some(namespace) = namespace {
        command.args(["--netns", namespace.name()]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    println!("{text}{error}");
    assert!(output.status.success());
    assert_eq!(error, "");
    text
}

/// A host on the segment with a keepalived, and its other interface.
fn host(segment: &Segment, role: &str, address: &str, config: Config) -> (Namespace, Keepalived) {
    let namespace = Namespace::new(role).unwrap();
    segment.attach(&namespace, "eth0", &[address]).unwrap();
    let keepalived = Keepalived::start(&namespace, config).unwrap();
    (namespace, keepalived)
}

#[test]
fn a_pair_is_found_from_its_backup_and_its_master() {
    if !require(&NEEDS) {
        return;
    }
    let segment = Segment::new("switch").unwrap();
    let pair = |priority, interval| Instance {
        priority,
        interval: Duration::from_secs(interval),
        ..Instance::default()
    };
    let (a, mut master) = host(&segment, "a", "10.99.0.1/24", pair(101, 1).into());
    master.wait_state("VI_1", State::Master, LIMIT).unwrap();
    let (b, mut backup) = host(&segment, "b", "10.99.0.2/24", pair(100, 2).into());
    backup.wait_state("VI_1", State::Backup, LIMIT).unwrap();
    // Others that b has no instance for.
    let others = Config {
        instances: vec![
            Instance {
                name: "VI_2".into(),
                version: Version::V2,
                authentication: Authentication::Ah("secret".into()),
                vrid: 8,
                addresses: vec!["10.99.0.108/24".into(), "10.99.0.109/24".into()],
                ..Instance::default()
            },
            Instance {
                name: "VI_3".into(),
                family: Family::V6,
                vrid: 9,
                addresses: vec!["fe80::9/64".into()],
                ..Instance::default()
            },
        ],
        ..Config::default()
    };
    let (_c, mut other) = host(&segment, "c", "10.99.0.3/24", others);
    other.wait_state("VI_2", State::Master, LIMIT).unwrap();
    other.wait_state("VI_3", State::Master, LIMIT).unwrap();

    let config = backup.directory().join("keepalived.conf");
    let text = discover(Some(&b), &config, "3");
    for line in [
        "# eth0 vrid 7, VRRPv3, priority 100, adverts every 2 s",
        "# heard 10.99.0.1: priority 101, VRRPv3, adverts every 1 s, lists 10.99.0.100",
        "# warning: adverts every 1 s are heard, the instance has 2 s",
        "# no instance has eth0 vrid 8, heard 10.99.0.3: priority 100, VRRPv2, \
         adverts every 1 s, lists 10.99.0.108, 10.99.0.109",
        "# vrid = 9",
        "# primary_address = \"fe80::9/128\"",
    ] {
        assert!(text.lines().any(|it| it == line), "no line {line}");
    }
    assert_eq!(text.matches("# warning: ").count(), 1);
    assert_eq!(text.matches("# no instance has ").count(), 2);
    assert!(!text.contains("secret"));
    // What is not commented is a router file.
    let router = file::parse(&text, "printed", None).unwrap();
    assert_eq!(router.id.as_str(), "VI_1");
    let NamespaceChoice::Named { name, create } = router.namespace else {
        unreachable!("it was named")
    };
    assert_eq!((name.as_str(), create), (b.name(), false));
    let Declared::Attached(attached) = router.keepalived else {
        unreachable!("it is somebody else's")
    };
    assert_eq!(
        (attached.instance.as_str(), attached.config_file),
        ("VI_1", config)
    );

    let config = master.directory().join("keepalived.conf");
    let text = discover(Some(&a), &config, "3");
    assert!(text.contains("# heard this host, 10.99.0.1: priority 101, "));
}

/// The interface of a VLAN shows what belongs to it; on the one below, it would look as if the
/// virtual router were there.
#[test]
fn what_carries_a_vlan_tag_is_not_taken_for_the_interface_below() {
    if !require(&[Need::Root]) {
        return;
    }
    let segment = Segment::new("switch").unwrap();
    let [here, there] = ["here", "there"].map(|role| {
        let namespace = Namespace::new(role).unwrap();
        segment.attach(&namespace, "eth0", &[]).unwrap();
        namespace
    });
    let directory = WorkDir::new("discover").unwrap();
    let config = directory.file("keepalived.conf");
    fs::write(&config, "").unwrap();
    let sender = Sender::new(&there, "eth0").unwrap();
    let bare = Advert {
        vrid: 21,
        ..Advert::default()
    };
    let mut tagged = Advert {
        vrid: 22,
        ..Advert::default()
    }
    .frame();
    tagged.splice(12..12, [0x81, 0x00, 0, 10]);
    let (over, start) = (AtomicBool::new(false), Instant::now());
    let text = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) && start.elapsed() < LIMIT {
                sender.send_frame(&tagged).unwrap();
                sender.send(&bare).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        });
        let text = discover(Some(&here), &config, "1");
        over.store(true, Ordering::Relaxed);
        text
    });
    assert!(text.contains("\n# no instance has eth0 vrid 21, heard 10.99.0.1: "));
    assert!(!text.contains("vrid 22"));
}

#[test]
fn the_namespace_is_that_of_the_configuration_and_none_is_needed_to_only_read() {
    if !require(&[Need::Root]) {
        return;
    }
    let namespace = Namespace::new("blue").unwrap();
    let directory = WorkDir::new("discover").unwrap();
    let config = directory.file("keepalived.conf");
    let text = format!(
        "net_namespace {}\nvrrp_instance V {{\ninterface eth0\nvirtual_router_id 1\n}}\n",
        namespace.name()
    );
    fs::write(&config, text).unwrap();
    let text = discover(None, &config, "0");
    assert!(text.contains(&format!("namespace = \"{}\"\n", namespace.name())));
    assert!(text.starts_with("# instances in "));
    assert!(!text.contains("heard"));
}

#[test]
fn what_does_not_exist_is_said() {
    let directory = WorkDir::new("discover").unwrap();
    let empty = directory.file("keepalived.conf");
    fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();
    for (arguments, code) in [
        (&["--config", "/no/such", "--listen", "0"][..], 1),
        (
            &["--netns", "no-such", "--config", empty, "--listen", "0"],
            64,
        ),
        (&["--listen", "601"], 64),
    ] {
        let mut command = binary::keepfast();
        let output = command.arg("discover").args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert_eq!(output.stdout, b"");
    }
}
