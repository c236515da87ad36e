//! Kernel settings of a primary and of a backup.

use keepfast::config::InterfaceName;
use keepfast::network::sysctl;
use keepfast::network::sysctl::Setting;
use lab::capture::Capture;
use lab::link;
use lab::netns::Namespace;
use lab::process;
use lab::require::{Need, require};
use lab::segment::BRIDGE;
use lab::segment::Segment;
use std::fs;
use std::time::Duration;

use super::entered;

fn interface(name: &str) -> InterfaceName {
    name.parse().unwrap()
}

fn read(namespace: &Namespace, key: &str) -> String {
    let path = format!("/proc/sys/{key}");
    let text = namespace.run(|| Ok(fs::read_to_string(path)?)).unwrap();
    text.trim().to_owned()
}

#[test]
fn switches_are_set_once_and_by_state() {
    if !require(&[Need::Root]) {
        return;
    }
    let namespace = Namespace::new("switches").unwrap();
    let entered = entered(&namespace);
    let write = |settings: &[Setting]| sysctl::write(&entered, settings).unwrap();
    let router = sysctl::router_settings();
    assert!(write(&router) > 0);
    assert_eq!(write(&router), 0, "all is set");
    link::ip(&namespace, "link add qg type veth peer name qr\n").unwrap();
    let (qg, qr) = (interface("qg"), interface("qr"));
    for name in [&qg, &qr] {
        assert_eq!(write(&sysctl::interface_settings(name)), 0, "handed down");
    }
    let all = [qg.clone(), qr];
    let conf = |scope, name| read(&namespace, &format!("net/ipv6/conf/{scope}/{name}"));
    let check = |expected: [&str; 6]| {
        let found = ["all", "default", "qg", "qr"].map(|scope| conf(scope, "forwarding"));
        let learns = ["qg", "qr"].map(|scope| conf(scope, "accept_ra"));
        assert_eq!([&found[..], &learns[..]].concat(), expected);
    };
    let backup = sysctl::backup_settings(&all);
    for (settings, expected) in [
        (&backup, ["0", "0", "0", "0", "0", "0"]),
        (
            &sysctl::primary_settings(&all, Some(&qg), true),
            ["1", "0", "1", "1", "2", "0"],
        ),
        (&backup, ["1", "0", "0", "0", "0", "0"]),
        (
            &sysctl::primary_settings(&all, Some(&qg), false),
            ["1", "0", "1", "1", "0", "0"],
        ),
    ] {
        write(settings);
        check(expected);
        assert_eq!(write(settings), 0, "all is set");
    }
    assert_eq!(read(&namespace, "net/ipv4/ip_nonlocal_bind"), "1");
    assert_eq!(read(&namespace, "net/ipv4/conf/all/arp_announce"), "2");

    for (key, value, expected) in [
        (
            "net/ipv4/no_such_switch",
            "1",
            "set net/ipv4/no_such_switch to 1",
        ),
        ("net/ipv6/conf/gone0/forwarding", "0", "gone0"),
        (
            "net/ipv4/ip_forward",
            "many",
            "to many in network namespace",
        ),
    ] {
        let setting = Setting {
            key: key.to_owned(),
            value,
        };
        let error = format!("{:#}", sysctl::write(&entered, &[setting]).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

/// A router advertisement with a prefix for address configuration, by hand.
fn advertise(namespace: &Namespace) {
    let prefix = "030440c0 00000e10 00000e10 00000000 20010db8000000000000000000000000";
    let message = format!("86000000 40000708 00000000 00000000 {prefix}");
    let digits: Vec<u8> = message.bytes().filter(|byte| *byte != b' ').collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    namespace
        .run(|| {
            let domain = socket2::Domain::IPV6;
            let socket =
                socket2::Socket::new(domain, socket2::Type::RAW, Some(socket2::Protocol::ICMPV6))?;
            socket.set_multicast_hops_v6(255)?;
            socket.set_multicast_if_v6(nix::net::if_::if_nametoindex("eth0")?)?;
            let all: std::net::SocketAddrV6 = "[ff02::1]:0".parse()?;
            socket.send_to(&bytes, &all.into())?;
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_backup_sends_nothing_from_its_virtual_interfaces() {
    if !require(&[Need::Root, Need::Tool("tcpdump"), Need::Tool("tshark")]) {
        return;
    }
    // One that never was primary, and one that was: its 'all' forwarding stays set.
    for was_primary in [false, true] {
        let segment = Segment::new("switch").unwrap();
        let router = Namespace::new("router").unwrap();
        let advertiser = Namespace::new("peer").unwrap();
        // The advertiser is plugged in first.
        let capture_filter = "ether src not 02:4b:46:00:00:01";
        segment
            .attach(&advertiser, "eth0", &["fe80::9/64"])
            .unwrap();
        let entered = entered(&router);
        let qg = [interface("qg-1")];
        let write = |settings: &[Setting]| sysctl::write(&entered, settings).unwrap();
        write(&sysctl::router_settings());
        if was_primary {
            write(&sysctl::primary_settings(&[], None, false));
        }
        let capture = Capture::start(segment.switch(), BRIDGE, capture_filter).unwrap();
        segment.attach(&router, "qg-1", &[]).unwrap();
        advertise(&advertiser);
        write(&sysctl::interface_settings(&qg[0]));
        write(&sysctl::backup_settings(&qg));
        let ip = |lines: &str| link::ip(&router, lines).unwrap();
        // What an interface sends by itself it sends within five seconds, often at
        // random moments: this is a time to listen, not to wait for something.
        let listen = |seconds| std::thread::sleep(Duration::from_secs(seconds));
        advertise(&advertiser);
        listen(3);
        ip("link set qg-1 down\nlink set qg-1 up\n");
        write(&sysctl::router_settings());
        write(&sysctl::backup_settings(&qg));
        advertise(&advertiser);
        listen(4);
        let shown = process::output(
            router
                .command("ip")
                .args(["address", "show", "dev", "qg-1"]),
        )
        .unwrap();
        assert!(!shown.contains("inet"), "{shown}");
        let recording = capture.stop().unwrap();
        assert_eq!(
            recording.summary().unwrap(),
            "",
            "was primary: {was_primary}"
        );
    }
}
