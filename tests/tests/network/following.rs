//! The configuration of a namespace is followed, and nothing of it is missed.

use keepfast::network::monitor::Change;
use keepfast::network::monitor::Monitor;
use keepfast::network::monitor::View;
use lab::link;
use lab::netns::Namespace;
use lab::require::{Need, require};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{LIMIT, cidr, entered, run};

/// A monitor, what it saw first, and that kept up to date.
pub(super) struct Followed {
    pub(super) monitor: Monitor,
    changes: mpsc::Receiver<(usize, Change)>,
    pub(super) view: View,
}

impl Followed {
    pub(super) fn new(namespace: &Namespace) -> Self {
        let (sender, changes) = mpsc::channel(64);
        let monitor = Monitor::open(&entered(namespace), 5, sender).unwrap();
        let view = monitor.dump().unwrap();
        Self {
            monitor,
            changes,
            view,
        }
    }

    pub(super) async fn next(&mut self) -> Change {
        let (label, change) = timeout(LIMIT, self.changes.recv()).await.unwrap().unwrap();
        assert_eq!(label, 5);
        self.view.apply(&change);
        change
    }

    /// Follows until `enough`.
    pub(super) async fn until(&mut self, enough: impl Fn(&View) -> bool) {
        while !enough(&self.view) {
            self.next().await;
        }
    }

    pub(super) fn index(&self, name: &str) -> Option<u32> {
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
