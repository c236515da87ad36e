//! What the agent does to, and hears from, the network configuration of namespaces.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast::config::{Cidr, InterfaceName, NamespaceName};
use keepfast::netns;
use keepfast::network::announce::{Announcement, announce};
use keepfast::network::monitor::{Change, Link, Monitor, View};
use keepfast::network::namespace;
use keepfast::network::probe::probe;
use keepfast::network::sysctl::{self, Setting};
use lab::capture::Capture;
use lab::link;
use lab::netns::Namespace;
use lab::process;
use lab::require::{Need, require};
use lab::segment::{BRIDGE, Port, Segment};
use lab::workdir::WorkDir;
use lab::{binary, wait};
use std::fs;
use std::future::Future;
use std::net::IpAddr;
use std::time::{Duration, Instant};
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
        let index = followed.index("eth0").unwrap();
        while followed.index("end").is_none() {
            assert_ne!(followed.next().await, Change::LinkGone { index });
        }
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

/// Two hosts on a segment: one to act in and one to be told.
struct Pair {
    segment: Segment,
    here: Namespace,
    there: Namespace,
    port_there: Port,
}

const MAC: &str = "02:4b:46:00:00:01";

impl Pair {
    fn new() -> Self {
        let segment = Segment::new("switch").unwrap();
        let here = Namespace::new("here").unwrap();
        let there = Namespace::new("there").unwrap();
        let addresses = ["192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"];
        segment.attach(&here, "eth0", &addresses).unwrap();
        let addresses = ["192.0.2.2/24", "2001:db8::2/64", "fe80::2/64"];
        let port_there = segment.attach(&there, "eth0", &addresses).unwrap();
        Self {
            segment,
            here,
            there,
            port_there,
        }
    }

    fn link(&self) -> Link {
        run(async {
            let followed = Followed::new(&self.here);
            let index = followed.index("eth0").unwrap();
            followed.view.links[&index].clone()
        })
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn announcements_are_well_formed_and_believed() {
    if !require(&[Need::Root, Need::Tool("tcpdump"), Need::Tool("tshark")]) {
        return;
    }
    let pair = Pair::new();
    let addresses = ["192.0.2.1", "2001:db8::1", "fe80::1"];
    // The neighbour believes something else.
    let wrong: String = addresses
        .iter()
        .map(|address| {
            format!("neigh add {address} lladdr 02:00:00:00:00:99 dev eth0 nud reachable\n")
        })
        .collect();
    link::ip(&pair.there, &wrong).unwrap();
    let capture = Capture::start(pair.segment.switch(), BRIDGE, "arp or icmp6").unwrap();
    let link = pair.link();
    let announcements = addresses.map(|address| Announcement {
        index: link.index,
        mac: link.mac.unwrap(),
        address: ip(address),
        router: address == "fe80::1",
    });
    assert_eq!(announce(&entered(&pair.here), &announcements).unwrap(), 3);
    wait::until("the neighbour's cache", LIMIT, || {
        let known = process::output(
            pair.there
                .command("ip")
                .args(["neigh", "show", "dev", "eth0"]),
        )
        .unwrap();
        let right = |address: &&str| known.contains(&format!("{address} lladdr {MAC}"));
        let all = addresses.iter().all(right);
        // It learns from the flag, too, who is a router.
        let routers = known
            .lines()
            .filter(|line| line.contains(" router "))
            .count();
        (all && routers == 1).then_some(()).ok_or(known)
    })
    .unwrap();
    let recording = capture.stop().unwrap();
    let arp = recording
        .fields(
            "arp",
            &[
                "eth.dst",
                "arp.opcode",
                "arp.src.proto_ipv4",
                "arp.dst.proto_ipv4",
                "arp.src.hw_mac",
            ],
        )
        .unwrap();
    assert_eq!(
        arp,
        [["ff:ff:ff:ff:ff:ff", "1", "192.0.2.1", "192.0.2.1", MAC]]
    );
    let fields = [
        "eth.dst",
        "ipv6.src",
        "ipv6.dst",
        "ipv6.hlim",
        "icmpv6.checksum.status",
        "icmpv6.nd.na.target_address",
        "icmpv6.nd.na.flag.r",
        "icmpv6.nd.na.flag.s",
        "icmpv6.nd.na.flag.o",
        "icmpv6.opt.linkaddr",
    ];
    let told: Vec<Vec<String>> = recording
        .fields("icmpv6.type == 136", &fields)
        .unwrap()
        .into_iter()
        // Versions of tshark differ in how they write a flag.
        .map(|row| {
            row.iter()
                .map(|it| it.replace("True", "1").replace("False", "0"))
                .collect()
        })
        .collect();
    let expected = |address, router| {
        let all = ["33:33:00:00:00:01", address, "ff02::1", "255", "1", address];
        [&all[..], &[router, "0", "1", MAC]].concat()
    };
    assert_eq!(
        told,
        [expected("2001:db8::1", "0"), expected("fe80::1", "1")]
    );
}

#[test]
fn many_announcements_take_a_moment_and_a_lost_interface_nothing() {
    if !require(&[Need::Root]) {
        return;
    }
    let pair = Pair::new();
    let link = pair.link();
    let announcement = |number: u16, index| Announcement {
        index,
        mac: link.mac.unwrap(),
        address: std::net::Ipv4Addr::from_bits(0x0a00_0000 + u32::from(number)).into(),
        router: false,
    };
    let many: Vec<_> = (0..500)
        .map(|number| announcement(number, link.index))
        .collect();
    let entered = entered(&pair.here);
    let begin = Instant::now();
    assert_eq!(announce(&entered, &many).unwrap(), 500);
    let took = begin.elapsed();
    println!("500 announced in {took:?}");
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(announce(&entered, &[announcement(1, 999)]).unwrap(), 1);
    link::ip(&pair.here, "link set eth0 down\n").unwrap();
    assert_eq!(announce(&entered, &many).unwrap(), 500);
}

#[test]
fn a_living_neighbour_answers_and_a_dead_one_does_not() {
    if !require(&[Need::Root]) {
        return;
    }
    let pair = Pair::new();
    let link = pair.link();
    let limit = Duration::from_millis(900);
    let ask = |address: &str, sender: Option<&str>| {
        let begin = Instant::now();
        let alive = pair
            .here
            .run(|| probe(&link, ip(address), sender.map(ip), limit))
            .unwrap();
        (alive, begin.elapsed())
    };
    let questions = [
        ("192.0.2.2", Some("192.0.2.1")),
        ("192.0.2.2", None),
        ("2001:db8::2", Some("2001:db8::1")),
        ("2001:db8::2", None),
        ("fe80::2", Some("fe80::1")),
        ("fe80::2", None),
    ];
    for (address, sender) in questions {
        let (alive, took) = ask(address, sender);
        assert!(alive, "{address} {sender:?}");
        assert!(took < limit, "{address} {sender:?}: {took:?}");
    }
    pair.port_there.block().unwrap();
    for (address, sender) in &questions[..4] {
        let (alive, took) = ask(address, *sender);
        assert!(!alive, "{address} {sender:?}");
        assert!(took >= limit && took < limit * 3 / 2, "{took:?}");
    }
    link::ip(&pair.here, "link set eth0 down\n").unwrap();
    assert!(!ask("192.0.2.2", None).0, "no link");
    let wrong = pair
        .here
        .run(|| probe(&link, ip("192.0.2.2"), Some(ip("fe80::1")), limit));
    assert!(wrong.is_err());
}

#[test]
fn who_asks_as_nobody_is_remembered_by_nobody() {
    if !require(&[Need::Root, Need::Tool("tcpdump"), Need::Tool("tshark")]) {
        return;
    }
    let pair = Pair::new();
    let link = pair.link();
    let capture = Capture::start(pair.segment.switch(), BRIDGE, "arp or icmp6").unwrap();
    link::ip(&pair.here, "address flush dev eth0\n").unwrap();
    for address in ["192.0.2.2", "fe80::2"] {
        assert!(
            pair.here
                .run(|| probe(&link, ip(address), None, LIMIT))
                .unwrap()
        );
    }
    let known = process::output(pair.there.command("ip").args(["neigh", "show"])).unwrap();
    assert!(
        !known.contains(MAC) && !known.contains("192.0.2.1"),
        "{known}"
    );
    let recording = capture.stop().unwrap();
    let asked = format!("eth.src == {MAC} && (arp || icmpv6.type == 135)");
    assert_eq!(
        recording.fields(&asked, &["frame.number"]).unwrap().len(),
        0
    );
}

/// `keepfast gateway-check` with its state file.
struct Check<'a> {
    pair: &'a Pair,
    directory: WorkDir,
}

impl Check<'_> {
    /// Whether it says "healthy", and what it says.
    fn run(&self, gateways: &[&str]) -> (bool, String) {
        let mut command = self.pair.here.command(binary::path().to_str().unwrap());
        command
            .arg("gateway-check")
            .arg("--state-file")
            .arg(self.state_file());
        command.args(["--holder", "169.254.0.7%eth0"]);
        for gateway in gateways {
            command.args(["--gateway", gateway]);
        }
        let begin = Instant::now();
        let output = command.output().unwrap();
        let took = begin.elapsed();
        assert!(took < Duration::from_millis(1_500), "{took:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
        (output.status.success(), said)
    }

    fn state_file(&self) -> std::path::PathBuf {
        self.directory.file("gateway")
    }

    fn state(&self) -> Option<String> {
        fs::read_to_string(self.state_file()).ok()
    }
}

#[test]
fn the_gateway_check_answers_by_state_and_never_oscillates() {
    if !require(&[Need::Root, Need::Tool("tcpdump"), Need::Tool("tshark")]) {
        return;
    }
    let pair = Pair::new();
    let check = Check {
        pair: &pair,
        directory: WorkDir::new("check").unwrap(),
    };
    let live = ["192.0.2.2%eth0", "fe80::2%eth0", "2001:db8::2%eth0"];
    let state = |expected: Option<&str>| assert_eq!(check.state().as_deref(), expected);
    // A backup says yes, and sends nothing.
    let capture = Capture::start(pair.segment.switch(), BRIDGE, "arp or icmp6").unwrap();
    assert!(check.run(&["192.0.2.77%eth0"]).0);
    state(None);
    assert_eq!(capture.stop().unwrap().summary().unwrap(), "");
    // The primary asks.
    link::ip(&pair.here, "address add 169.254.0.7/24 dev eth0\n").unwrap();
    let (healthy, said) = check.run(&live);
    assert!(healthy, "{said}");
    state(Some("ok"));
    let (healthy, said) = check.run(&["192.0.2.2%eth0", "192.0.2.77%eth0"]);
    assert!(
        !healthy && said.contains("192.0.2.77%eth0 does not answer"),
        "{said}"
    );
    state(Some("failed"));
    // And so is primary no longer, but still asks, as nobody.
    link::ip(&pair.here, "address del 169.254.0.7/24 dev eth0\n").unwrap();
    let capture = Capture::start(pair.segment.switch(), BRIDGE, "arp").unwrap();
    assert!(!check.run(&["192.0.2.77%eth0"]).0);
    state(Some("failed"));
    let recording = capture.stop().unwrap();
    let asked = recording
        .fields("arp.opcode == 1", &["arp.src.proto_ipv4"])
        .unwrap();
    assert_eq!(asked, vec![vec!["0.0.0.0"]; 3]);
    let own = format!("eth.src == {MAC}");
    assert_eq!(recording.fields(&own, &["frame.number"]).unwrap().len(), 0);
    // Until they answer; then it is a backup like others.
    assert!(check.run(&live).0);
    state(Some("ok"));
    assert!(check.run(&["192.0.2.77%eth0"]).0);
    // An interface that is not there cannot reach anybody.
    link::ip(&pair.here, "address add 169.254.0.7/24 dev eth0\n").unwrap();
    let (healthy, said) = check.run(&["192.0.2.2%gone0"]);
    assert!(!healthy && said.contains("no such interface"), "{said}");
    state(Some("failed"));
    // A link in the place of the state file is replaced, not followed.
    let precious = check.directory.file("precious");
    fs::write(&precious, "precious").unwrap();
    fs::remove_file(check.state_file()).unwrap();
    std::os::unix::fs::symlink(&precious, check.state_file()).unwrap();
    assert!(check.run(&live).0);
    state(Some("ok"));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert!(fs::symlink_metadata(check.state_file()).unwrap().is_file());
}
