//! Addresses, routes and whole namespaces are changed.

use keepfast::config::NamespaceName;
use keepfast::netns;
use keepfast::network::namespace;
use keepfast::network::sysctl;
use keepfast::network::sysctl::Setting;
use lab::link;
use lab::netns::Namespace;
use lab::process;
use lab::require::{Need, require};
use std::fs;

use super::following::Followed;
use super::{cidr, entered, run};

#[test]
fn addresses_and_routes_are_changed_once() {
    if !require(&[Need::Root]) {
        return;
    }
    let namespace = Namespace::new("change").unwrap();
    link::ip(
        &namespace,
        "link add eth0 type veth peer name eth1\nlink set eth1 up\n",
    )
    .unwrap();
    run(async {
        let mut followed = Followed::new(&namespace);
        let index = followed.index("eth0").unwrap();
        let monitor = &followed.monitor;
        let dad = Setting {
            key: "net/ipv6/conf/eth0/accept_dad".to_owned(),
            value: "1",
        };
        sysctl::write(&entered(&namespace), &[dad]).unwrap();
        monitor.set_up(index).unwrap();
        for (text, scope) in [
            ("192.0.2.1/24", false),
            ("198.51.100.2/24", true),
            ("2001:db8::1/64", false),
            ("fe80::1/64", true),
        ] {
            let address = cidr(text);
            assert!(
                monitor.add_address(index, &address, scope).unwrap(),
                "{text}"
            );
            assert!(
                !monitor.add_address(index, &address, scope).unwrap(),
                "{text}"
            );
        }
        let shown = process::output(
            namespace
                .command("ip")
                .args(["-o", "address", "show", "dev", "eth0"]),
        )
        .unwrap();
        assert!(shown.contains("198.51.100.2/24 scope link"), "{shown}");
        // The kernel's own link-local address may well be.
        let tentative = |line: &str| line.contains("::1/64") && line.contains("tentative");
        assert!(!shown.lines().any(tentative), "{shown}");
        for protocol in ["static", "keepalived", "18"] {
            for route in [
                "0.0.0.0/0 via 192.0.2.9",
                "::/0 via fe80::9",
                "10.0.0.0/8 scope link",
            ] {
                let line = format!("route add {route} dev eth0 proto {protocol}\n");
                if protocol == "keepalived" || link::ip(&namespace, &line).is_err() {
                    continue;
                }
                let (to, rest) = route.split_once(' ').unwrap();
                let via = rest.strip_prefix("via ").map(|via| via.parse().unwrap());
                let to = cidr(to);
                assert!(
                    monitor.remove_route(&to, via, Some(index)).unwrap(),
                    "{line}"
                );
                assert!(
                    !monitor.remove_route(&to, via, Some(index)).unwrap(),
                    "{line}"
                );
            }
        }
        // Routes of others stay.
        link::ip(&namespace, "route add 10.0.0.0/8 dev eth0 proto boot\n").unwrap();
        assert!(
            !monitor
                .remove_route(&cidr("10.0.0.0/8"), None, None)
                .unwrap()
        );
        for text in ["192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"] {
            let address = cidr(text);
            assert!(monitor.remove_address(index, &address).unwrap(), "{text}");
            assert!(!monitor.remove_address(index, &address).unwrap(), "{text}");
        }
        assert!(
            monitor
                .add_address(999, &cidr("192.0.2.1/24"), false)
                .is_err()
        );
        followed.until(|view| view.links[&index].up).await;
    });
}

#[test]
fn a_namespace_is_made_and_removed_and_leaves_nothing() {
    if !require(&[Need::Root]) {
        return;
    }
    let unique = lab::workdir::unique_name("made");
    let name: NamespaceName = unique.parse().unwrap();
    let path = format!("/run/netns/{unique}");
    let mounts = || {
        let all = fs::read_to_string("/proc/self/mountinfo").unwrap();
        all.lines().filter(|line| line.contains(&unique)).count()
    };
    for round in 0..20 {
        let made = namespace::create(&name).unwrap();
        assert_eq!(made.name(), Some(unique.as_str()));
        let error = format!("{:#}", namespace::create(&name).unwrap_err());
        assert!(error.contains("File exists"), "{error}");
        let show = "link show lo";
        let seen = process::output(
            std::process::Command::new("ip")
                .args(["-n", &unique])
                .args(show.split(' ')),
        )
        .unwrap();
        assert!(seen.contains("<LOOPBACK,UP"), "{seen}");
        drop(made);
        namespace::delete(&name).unwrap();
        namespace::delete(&name).unwrap();
        assert!(!fs::exists(&path).unwrap(), "round {round}");
        assert_eq!(mounts(), 0, "round {round}");
    }
    // A creation that was killed half way.
    fs::write(&path, "").unwrap();
    drop(namespace::create(&name).unwrap());
    namespace::delete(&name).unwrap();
}

#[test]
fn what_is_no_namespace_is_neither_used_nor_removed() {
    if !require(&[Need::Root]) {
        return;
    }
    let real = Namespace::new("real").unwrap();
    let unique = lab::workdir::unique_name("link");
    let path = format!("/run/netns/{unique}");
    let name: NamespaceName = unique.parse().unwrap();
    let check = |what: &str| {
        assert!(netns::Namespace::named(&unique).is_err(), "{what}");
        assert!(namespace::create(&name).is_err(), "{what}");
        assert!(namespace::delete(&name).is_err(), "{what}");
        fs::symlink_metadata(&path).unwrap();
        fs::remove_file(&path).unwrap();
    };
    std::os::unix::fs::symlink(real.path(), &path).unwrap();
    check("a link");
    fs::write(&path, "precious").unwrap();
    check("a file");
    nix::unistd::mkfifo(path.as_str(), nix::sys::stat::Mode::S_IRUSR).unwrap();
    check("a FIFO");
    for path in ["../netns/x", "", ".", ".."] {
        assert!(netns::Namespace::named(path).is_err(), "{path:?}");
    }
}
