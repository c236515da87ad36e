//! What the agent does to, and hears from, the network configuration of namespaces.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast::config::{Cidr, NamespaceName};
use keepfast::netns;
use keepfast::network::monitor::{Change, Monitor, View};
use keepfast::network::namespace;
use lab::link;
use lab::netns::Namespace;
use lab::process;
use lab::require::{Need, require};
use std::fs;
use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(10);

fn entered(namespace: &Namespace) -> netns::Namespace {
    netns::Namespace::named(namespace.name()).unwrap()
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

/// A monitor, what it saw first, and that kept up to date.
struct Followed {
    monitor: Monitor,
    changes: mpsc::Receiver<(usize, Change)>,
    view: View,
}

impl Followed {
    fn new(namespace: &Namespace) -> Self {
        let (sender, changes) = mpsc::channel(64);
        let monitor = Monitor::open(&entered(namespace), 5, sender).unwrap();
        let view = monitor.dump().unwrap();
        Self {
            monitor,
            changes,
            view,
        }
    }

    async fn next(&mut self) -> Change {
        let (label, change) = timeout(LIMIT, self.changes.recv()).await.unwrap().unwrap();
        assert_eq!(label, 5);
        self.view.apply(&change);
        change
    }

    /// Follows until `enough`.
    async fn until(&mut self, enough: impl Fn(&View) -> bool) {
        while !enough(&self.view) {
            self.next().await;
        }
    }

    fn index(&self, name: &str) -> Option<u32> {
        let mut links = self.view.links.values();
        links.find(|link| link.name == name).map(|link| link.index)
    }
}

#[test]
fn links_and_addresses_are_followed() {
    if !require(&[Need::Root]) {
        return;
    }
    let namespace = Namespace::new("follow").unwrap();
    let ip = |lines| link::ip(&namespace, lines).unwrap();
    ip("link add eth0 type veth peer name eth1\n");
    run(async {
        let mut followed = Followed::new(&namespace);
        let index = followed.index("eth0").unwrap();
        let link = |view: &View| view.links[&index].clone();
        assert!(!link(&followed.view).up && link(&followed.view).ethernet);
        assert!(link(&followed.view).mac.is_some());
        assert!(!followed.view.links[&1].ethernet, "loopback");

        ip("link set eth0 up\n");
        ip("link set eth1 up\n");
        followed.until(|view| view.links[&index].up).await;
        ip("address add 192.0.2.1/24 dev eth0\n");
        ip("address add 2001:db8::1/64 dev eth0\n");
        for address in ["192.0.2.1/24", "2001:db8::1/64"] {
            let held = (index, cidr(address));
            followed.until(|view| view.addresses.contains(&held)).await;
        }
        ip("address del 192.0.2.1/24 dev eth0\n");
        let held = (index, cidr("192.0.2.1/24"));
        followed.until(|view| !view.addresses.contains(&held)).await;
        ip("address add 192.0.2.8 peer 192.0.2.9/32 dev eth0\n");
        let held = (index, cidr("192.0.2.8/32"));
        followed.until(|view| view.addresses.contains(&held)).await;
        ip("link set eth0 down\n");
        ip("link set eth0 name qg-1\n");
        followed
            .until(|view| view.links[&index].name == "qg-1" && !view.links[&index].up)
            .await;
        assert_eq!(followed.monitor.dump().unwrap(), followed.view);
        ip("link del qg-1\n");
        followed.until(|view| view.links.len() == 1).await;
        assert!(
            followed
                .view
                .addresses
                .iter()
                .all(|(holder, _)| *holder == 1)
        );
    });
}

#[test]
fn a_port_that_leaves_its_bridge_stays_a_link() {
    if !require(&[Need::Root]) {
        return;
    }
    let namespace = Namespace::new("bridge").unwrap();
    link::ip(
        &namespace,
        "link add eth0 type veth peer name eth1\nlink add br0 type bridge\nlink set eth0 master br0\n",
    )
    .unwrap();
    run(async {
        let mut followed = Followed::new(&namespace);
        link::ip(
            &namespace,
            "link set eth0 nomaster\nlink add end type veth peer name other\n",
        )
        .unwrap();
        followed
            .until(|view| view.links.values().any(|link| link.name == "end"))
            .await;
        assert!(followed.index("eth0").is_some());
    });
}

#[test]
fn nothing_is_missed_between_the_first_look_and_what_follows() {
    if !require(&[Need::Root]) {
        return;
    }
    let namespace = Namespace::new("churn").unwrap();
    link::ip(
        &namespace,
        "link add eth0 type veth peer name eth1\nlink set eth0 up\n",
    )
    .unwrap();
    // Addresses come and go all the time; the last one says that all is done.
    let mut lines = String::new();
    for round in 0..30 {
        let what = if round % 2 == 0 { "add" } else { "del" };
        for host in 1..100 {
            lines += &format!("address {what} 10.0.0.{host}/32 dev eth0\n");
        }
    }
    lines += "address add 10.1.0.1/32 dev eth0\n";
    let last = cidr("10.1.0.1/32");
    std::thread::scope(|scope| {
        let churn = scope.spawn(|| link::ip(&namespace, &lines).unwrap());
        let looks = run(async {
            let mut looks = 0;
            let done = |view: &View| view.addresses.iter().any(|(_, held)| *held == last);
            loop {
                let mut followed = Followed::new(&namespace);
                looks += 1;
                for _ in 0..20 {
                    if done(&followed.view) {
                        assert_eq!(followed.monitor.dump().unwrap(), followed.view);
                        return looks;
                    }
                    let before = followed.view.clone();
                    let change = followed.next().await;
                    assert_ne!(change, Change::Overrun);
                    // What is told is news: an address comes only if it was not there.
                    if let Change::Address {
                        address, present, ..
                    } = change
                    {
                        let was = before.addresses.iter().any(|(_, held)| *held == address);
                        assert_ne!(was, present, "{address}");
                    }
                }
            }
        });
        churn.join().unwrap();
        assert!(looks > 1, "{looks} looks");
    });
}

#[test]
fn a_loss_is_told_and_made_good() {
    if !require(&[Need::Root]) {
        return;
    }
    let namespace = Namespace::new("loss").unwrap();
    link::ip(
        &namespace,
        "link add eth0 type veth peer name eth1\nlink set eth0 up\n",
    )
    .unwrap();
    run(async {
        let mut followed = Followed::new(&namespace);
        // Nobody reads meanwhile: the runtime has this thread only.
        let flood = "address add 192.0.2.1/24 dev eth0\naddress del 192.0.2.1/24 dev eth0\n";
        link::ip(&namespace, &flood.repeat(8_000)).unwrap();
        link::ip(&namespace, "address add 192.0.2.2/24 dev eth0\n").unwrap();
        while followed.next().await != Change::Overrun {}
        let silence = timeout(Duration::from_millis(50), followed.changes.recv()).await;
        assert!(silence.is_err(), "{silence:?} after the loss");
        followed.view = followed.monitor.dump().unwrap();
        let addresses: Vec<_> = followed.view.addresses.iter().map(|it| it.1).collect();
        assert!(addresses.contains(&cidr("192.0.2.2/24")), "{addresses:?}");
        assert!(!addresses.contains(&cidr("192.0.2.1/24")), "{addresses:?}");
        link::ip(&namespace, "address del 192.0.2.2/24 dev eth0\n").unwrap();
        let index = followed.index("eth0").unwrap();
        assert_eq!(
            followed.next().await,
            Change::Address {
                index,
                address: cidr("192.0.2.2/24"),
                present: false
            }
        );
    });
}

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
        assert!(!shown.contains("tentative"), "{shown}");
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
