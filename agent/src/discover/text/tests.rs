use anyhow::bail;

use super::super::hear;
use super::*;
use crate::config::{Router, file};
use crate::keepalived::read::{self, Source};

const CONFIGURATION: &str = "global_defs {\nvrrp_version 3\n}\n\
    vrrp_instance VI_1 {\ninterface eth0\nvirtual_router_id 51\npriority 101\n\
    virtual_ipaddress {\n10.0.0.100/24\n}\n}\n\
    vrrp_instance \"VI 1\" {\ninterface eth1\nvirtual_router_id 52\n@a nopreempt\n}\n";

fn heard(interface: &str, source: &str, vrid: u8) -> Heard {
    Heard {
        interface: interface.to_owned(),
        own: false,
        source: source.parse().unwrap(),
        vrid,
        priority: 100,
        version: 3,
        interval: Duration::from_secs(1),
        addresses: vec!["10.0.0.100".parse().unwrap()],
    }
}

fn report_of(routers: Vec<Heard>, limit: Duration) -> String {
    let source = Source {
        path: "k.conf".into(),
        text: CONFIGURATION.to_owned(),
    };
    let found = Found {
        config_file: "/etc/keepalived/keepalived.conf".into(),
        is_there: true,
        pid_file: Some("/run/keepalived.pid".into()),
        instances: read::read(&source, |_, pattern| bail!("asked for {pattern}")).unwrap(),
    };
    let site = Site {
        place: NamespaceChoice::Host,
        heard: hear::Heard {
            routers,
            invalid: 2,
            dropped: 0,
        },
    };
    let places = [NamespaceChoice::Host, NamespaceChoice::Host];
    report(&found, &places, &[site], limit)
}

/// The router files in `text`, from each `id` to the next.
fn files(text: &str) -> Vec<Router> {
    let starts: Vec<_> = text.match_indices("\nid = ").map(|(at, _)| at).collect();
    let ends = starts.iter().copied().skip(1).chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| file::parse(&text[*start..end], "text", None).unwrap())
        .collect()
}

#[test]
fn each_instance_gets_a_router_file_and_what_was_heard_of_it() {
    let routers = vec![
        heard("eth0", "10.0.0.2", 51),
        Heard {
            own: true,
            priority: 0,
            version: 2,
            interval: Duration::from_secs(2),
            addresses: Vec::new(),
            ..heard("eth0", "10.0.0.1", 51)
        },
    ];
    let text = report_of(routers, Duration::from_secs(4));
    let expected = r#"# instances in /etc/keepalived/keepalived.conf: 2; listened for 4 s

# VI_1.toml, for vrrp_instance VI_1:
# eth0 vrid 51, VRRPv3, priority 101, adverts every 1 s
# heard 10.0.0.2: priority 100, VRRPv3, adverts every 1 s, lists 10.0.0.100
# heard this host, 10.0.0.1: resigned, VRRPv2, adverts every 2 s, lists no address
# warning: VRRPv2 is heard, the instance has VRRPv3
# warning: adverts every 2 s are heard, the instance has 1 s
# warning: no address is listed, the instance has 10.0.0.100
id = "VI_1"
host = true

[attached]
config_file = "/etc/keepalived/keepalived.conf"
instance = "VI_1"
pid_file = "/run/keepalived.pid"

# VI-1.toml, for vrrp_instance VI 1:
# eth1 vrid 52, VRRPv3, priority 100, adverts every 1 s
# note: k.conf:15: not understood: @a makes "nopreempt" depend on how keepalived was started
# nothing was heard of it
# refused: VI-1.toml:6:12: attached.instance: "VI 1" is no name of a vrrp_instance: expected 1 to 255 letters, digits and signs without quotes and what else keepalived gives a meaning
# id = "VI-1"
# host = true
#
# [attached]
# config_file = "/etc/keepalived/keepalived.conf"
# instance = "VI 1"
# pid_file = "/run/keepalived.pid"

# 2 adverts were not valid: `keepfast watch` says why
"#;
    assert_eq!(text, expected);
    let instances: Vec<_> = files(&text)
        .into_iter()
        .map(|router| match router.keepalived {
            Keepalived::Attached(attached) => attached.instance,
            Keepalived::Managed(_) => panic!("{router:?}"),
        })
        .collect();
    assert_eq!(instances, ["VI_1"]);
}

#[test]
fn several_masters_are_warned_of_and_silence_only_after_listening() {
    let routers = vec![heard("eth0", "10.0.0.2", 51), heard("eth0", "10.0.0.3", 51)];
    let text = report_of(routers, Duration::from_secs(4));
    assert!(text.contains("\n# warning: 2 routers advertise at the same time\n"));
    let text = report_of(Vec::new(), Duration::ZERO);
    assert!(!text.contains("nothing was heard"));
}

#[test]
fn what_no_instance_has_becomes_a_router_file_to_be_uncommented() {
    let stranger = Heard {
        addresses: vec!["10.0.0.9".parse().unwrap(), "10.0.0.8".parse().unwrap()],
        ..heard("eth0", "10.0.0.4", 60)
    };
    let echo = Heard {
        interface: "br0".to_owned(),
        ..heard("eth0", "10.0.0.2", 51)
    };
    let routers = vec![heard("eth0", "10.0.0.2", 51), echo, stranger];
    let text = report_of(routers, Duration::from_secs(4));
    let (_, after) = text.split_once("# no instance has ").unwrap();
    let (first, rest) = after.split_once('\n').unwrap();
    assert_eq!(
        first,
        "eth0 vrid 60, heard 10.0.0.4: priority 100, VRRPv3, adverts every 1 s, \
         lists 10.0.0.8, 10.0.0.9"
    );
    assert!(!rest.contains("# no instance has"), "{rest}");
    let uncommented: String = rest
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('#'))
        .map(|line| format!("{}\n", line.trim_start_matches(['#', ' '])))
        .collect();
    let router = file::parse(&uncommented, "text", None).unwrap();
    assert_eq!(router.id.as_str(), "eth0-60");
    let Keepalived::Managed(managed) = router.keepalived else {
        panic!("{uncommented}")
    };
    assert_eq!(managed.vrrp.primary_address.to_string(), "10.0.0.9/32");
    assert_eq!(managed.addresses.len(), 1);
    assert_eq!(managed.vrrp.version, 3);
}

#[test]
fn ids_are_made_of_names_and_never_twice() {
    let mut ids = Ids::default();
    for (name, id) in [
        ("VI_1", "VI_1"),
        ("VI_1", "VI_1-2"),
        ("a b/c", "a-b-c"),
        ("", "r"),
        (".x", "r.x"),
        ("ä", "r-"),
    ] {
        assert_eq!(ids.make(name).as_str(), id, "{name}");
    }
    let long = "x".repeat(100);
    ids.make(&long);
    assert_eq!(ids.make(&long).as_str(), format!("{}-2", "x".repeat(48)));
}
