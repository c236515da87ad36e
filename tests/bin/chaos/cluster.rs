//! Three hosts with a daemon each and routers that are on all of them.

use anyhow::{Context, Result, ensure};
use lab::adverts::Adverts;
use lab::clock::monotonic_ns;
use lab::daemon::Daemon;
use lab::netns::Namespace;
use lab::prober::{Outage, Prober};
use lab::router::{Declaration, HA, INNER};
use lab::segment::{Plug, Port, Segment};
use lab::wait;
use nix::ifaddrs::getifaddrs;
use nix::unistd::Pid;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use crate::disk::Disk;

pub(crate) const NODES: usize = 3;
/// Between two adverts, and half of one more.
const HEARD: Duration = Duration::from_millis(1_500);
/// A client asks this often.
const ASKED: Duration = Duration::from_millis(5);
/// For all to be as it should be after the last fault has ended. keepalived alone takes four
/// seconds, and keepfast's back-off lasts ten.
const SETTLING: Duration = Duration::from_secs(30);

/// From when it is as it should be until it is looked at once more.
const STAYING: Duration = Duration::from_millis(500);
/// What an agent has open for a moment: connections, files that it writes.
const SPARE: usize = 8;

/// The whole of it.
pub(crate) struct Cluster {
    // Before what they look after.
    pub(crate) nodes: Vec<Node>,
    adverts: Adverts,
    pub(crate) ha: Segment,
    pub(crate) inner: Segment,
    client: Namespace,
    /// Hears all adverts, and sends false ones.
    pub(crate) observer: Namespace,
    pub(crate) routers: u8,
}

/// A host.
pub(crate) struct Node {
    // Unmounted before the daemon's directory is removed.
    pub(crate) disk: Disk,
    pub(crate) daemon: Daemon,
    /// Of each router.
    pub(crate) places: Vec<Place>,
    /// How many its agent has open when all is in order.
    descriptors: usize,
}

/// Where a router is on a host.
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    pub(crate) ha: Port,
    pub(crate) inner: Port,
}

/// A router's own source address of adverts on a host.
fn own(node: usize, vrid: u8) -> String {
    format!("169.254.{}.{vrid}", 193 + node)
}

pub(crate) fn primary_address(vrid: u8) -> Ipv4Addr {
    Ipv4Addr::new(169, 254, 0, vrid)
}

fn clients_address(vrid: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, vrid, 1)
}

impl Cluster {
    /// Makes the network and starts the daemons with `routers` routers.
    pub(crate) fn start(routers: u8) -> Result<Self> {
        let [ha, inner] = ["ha", "inner"].map(Segment::new);
        let (ha, inner) = (ha?, inner?);
        let [client, observer] = ["client", "observer"].map(Namespace::new);
        let (client, observer) = (client?, observer?);
        let addresses: Vec<_> = (1..=routers)
            .map(|it| format!("10.0.{it}.100/24"))
            .collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        inner.attach(&client, "eth0", &addresses)?;
        ha.attach(&observer, HA, &["169.254.200.1/18"])?;
        let adverts = Adverts::listen(&observer, HA)?;
        let mut nodes = Vec::new();
        for number in 0..NODES {
            nodes.push(Node::start(number, routers, &ha, &inner)?);
        }
        Ok(Self {
            nodes,
            adverts,
            ha,
            inner,
            client,
            observer,
            routers,
        })
    }

    /// Of each router by number from 1.
    pub(crate) fn vrids(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.routers
    }

    pub(crate) fn node(&mut self, node: usize) -> Result<&mut Node> {
        self.nodes.get_mut(node).context("no such node")
    }

    /// What is open in each agent when each backup has its session is what it needs: more is a
    /// leak.
    pub(crate) fn count_descriptors(&mut self) -> Result<()> {
        for node in &self.nodes {
            for vrid in self.vrids() {
                wait::until("a session of each backup", SETTLING, || {
                    let shown = node.daemon.show(&id(vrid));
                    let shown = shown.map_err(|error| format!("{error:#}"))?;
                    let ready =
                        shown["state"] == "primary" || shown["fast_path"]["session"] == "up";
                    ready.then_some(()).ok_or_else(|| shown.to_string())
                })?;
            }
        }
        for node in &mut self.nodes {
            node.descriptors = descriptors(node.daemon.pid()?)?;
        }
        Ok(())
    }

    pub(crate) fn place(&self, node: usize, vrid: u8) -> Result<&Place> {
        let node = self.nodes.get(node).context("no such node")?;
        node.place(vrid)
    }

    /// On which node a router is the primary by its addresses; the lowest if there are several.
    pub(crate) fn primary(&self, vrid: u8) -> Result<Option<usize>> {
        for (number, node) in self.nodes.iter().enumerate() {
            if node.place(vrid)?.holds(vrid)?[0] {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// A client of each router.
    pub(crate) fn clients(&self) -> Result<Vec<Prober>> {
        self.vrids()
            .map(|vrid| Prober::start_every(&self.client, clients_address(vrid).into(), ASKED))
            .collect()
    }

    /// Waits until everything is as it should be, and sees that it stays so.
    pub(crate) fn settle(&self) -> Result<()> {
        self.come_in_order()?;
        std::thread::sleep(STAYING);
        let wrong = self.wrong()?;
        ensure!(
            wrong.is_empty(),
            "in order, and then not: {}",
            wrong.join("; ")
        );
        Ok(())
    }

    fn come_in_order(&self) -> Result<()> {
        wait::until("a cluster in order", SETTLING, || {
            if lab::interrupt::came() {
                return Ok(());
            }
            let wrong = self
                .wrong()
                .unwrap_or_else(|error| vec![format!("{error:#}")]);
            if wrong.is_empty() {
                Ok(())
            } else {
                // Looking takes more than waiting.
                std::thread::sleep(Duration::from_millis(100));
                Err(wrong.join("; "))
            }
        })
    }

    /// What is not as it should be now, as seen from outside.
    fn wrong(&self) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let heard_ns = u64::try_from(HEARD.as_nanos())?;
        let from_ns = monotonic_ns()?.saturating_sub(heard_ns);
        for vrid in self.vrids() {
            let mut primaries = Vec::new();
            for (number, node) in self.nodes.iter().enumerate() {
                let holds = node.place(vrid)?.holds(vrid)?;
                let state = node.daemon.state_file(&id(vrid)).unwrap_or_default();
                let truth = match holds {
                    [true, true] => "primary",
                    [false, false] => "backup",
                    _ => "half a primary",
                };
                if state != truth {
                    wrong.push(format!(
                        "router {vrid} node {number}: {truth} by its addresses, state file {state:?}"
                    ));
                }
                if holds != [false; 2] {
                    primaries.push(number);
                }
                let pids = node.daemon.keepalived(&id(vrid));
                let place = node.place(vrid)?;
                let lives = pids.is_ok_and(|pids| pids.iter().all(|pid| place.has(*pid)));
                if !lives {
                    wrong.push(format!("router {vrid} node {number}: no keepalived"));
                }
            }
            let masters: Vec<_> = self.adverts.masters(vrid, from_ns).into_iter().collect();
            let expected: Vec<Ipv4Addr> = primaries
                .iter()
                .map(|node| own(*node, vrid).parse())
                .collect::<Result<_, _>>()?;
            if primaries.len() != 1 || masters != expected {
                wrong.push(format!(
                    "router {vrid}: on nodes {primaries:?}, adverts of {masters:?}"
                ));
            }
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let children = node.daemon.left_running()?.len();
            let expected = 2 * usize::from(self.routers);
            if children != expected {
                wrong.push(format!(
                    "node {number}: {children} processes instead of {expected}"
                ));
            }
            let open = descriptors(node.daemon.pid()?)?;
            if node.descriptors > 0 && open > node.descriptors + SPARE {
                wrong.push(format!(
                    "node {number}: {open} descriptors, {} at the start",
                    node.descriptors
                ));
            }
        }
        Ok(wrong)
    }
}

/// How many a process has open.
pub(crate) fn descriptors(pid: Pid) -> Result<usize> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).context("count descriptors")?;
    Ok(open.count())
}

/// What a router is called.
pub(crate) fn id(vrid: u8) -> String {
    format!("r{vrid}")
}

/// The longest time that each client was without an answer since `from_ns`.
pub(crate) fn outages(clients: Vec<Prober>, from_ns: u64) -> Result<Vec<Duration>> {
    clients
        .into_iter()
        .map(|client| {
            // What is not answered by now is measured as an outage.
            let _answered = client.wait_answers(3, Duration::from_secs(2));
            Ok(Outage::length(&client.stop()?.outage_since(from_ns)))
        })
        .collect()
}

impl Node {
    fn start(number: usize, routers: u8, ha: &Segment, inner: &Segment) -> Result<Self> {
        let mut daemon = Daemon::prepare(&format!("node{number}"))?;
        let disk = Disk::mount(&daemon.state())?;
        let namespaces: Vec<_> = (1..=routers)
            .map(|vrid| Namespace::new(&format!("n{number}r{vrid}")))
            .collect::<Result<_>>()?;
        let plug = |segment: &Segment, interface| {
            let plugs: Vec<_> = namespaces
                .iter()
                .map(|namespace| Plug {
                    namespace,
                    interface,
                    addresses: &[],
                })
                .collect();
            segment.attach_all(&plugs)
        };
        let ports = plug(ha, HA)?.into_iter().zip(plug(inner, INNER)?);
        let mut places = Vec::new();
        for ((vrid, namespace), (ha, inner)) in (1..=routers).zip(&namespaces).zip(ports) {
            declare(&daemon, number, vrid, namespace)?;
            places.push(Place {
                namespace: namespace.clone(),
                ha,
                inner,
            });
        }
        daemon.start()?;
        Ok(Self {
            daemon,
            disk,
            places,
            descriptors: 0,
        })
    }

    fn place(&self, vrid: u8) -> Result<&Place> {
        let place = self.places.get(usize::from(vrid).wrapping_sub(1));
        place.context("no such router")
    }

    pub(crate) fn place_mut(&mut self, vrid: u8) -> Result<&mut Place> {
        let place = self.places.get_mut(usize::from(vrid).wrapping_sub(1));
        place.context("no such router")
    }
}

fn declare(daemon: &Daemon, node: usize, vrid: u8, namespace: &Namespace) -> Result<()> {
    let ranked = u8::try_from((node + usize::from(vrid)) % NODES)?;
    let version = if vrid.is_multiple_of(2) {
        "version = 2\n"
    } else {
        ""
    };
    let declaration = Declaration {
        own_address: format!("{}/18", own(node, vrid)),
        // Equals would not agree; so each is the primary of a third of them at first.
        priority: 100 + ranked,
        interval: Duration::from_secs(1),
        vrrp: version.to_owned(),
        addresses: vec![(INNER, format!("{}/24", clients_address(vrid)))],
        tables: "\n[fast_path]\nmode = \"armed\"\ninterval = \"10ms\"\n".to_owned(),
        ..Declaration::bare(namespace, vrid)
    };
    daemon.declare(&id(vrid), &declaration.toml()?)
}

impl Drop for Node {
    fn drop(&mut self) {
        // Before its disk goes; it may have ended already.
        let _ended = self.daemon.stop();
    }
}

impl Place {
    /// Whether a process lives in this namespace: one that was deleted keeps its processes.
    fn has(&self, pid: Pid) -> bool {
        let own = fs::metadata(self.namespace.path());
        let its = fs::metadata(format!("/proc/{pid}/ns/net"));
        matches!((own, its), (Ok(own), Ok(its)) if own.ino() == its.ino())
    }

    /// Whether it has the primary address, and the clients'.
    pub(crate) fn holds(&self, vrid: u8) -> Result<[bool; 2]> {
        let there: Vec<Ipv4Addr> = self.namespace.run(|| {
            let all = getifaddrs().context("list addresses")?;
            Ok(all
                .filter_map(|it| Some(it.address?.as_sockaddr_in()?.ip()))
                .collect())
        })?;
        Ok([primary_address(vrid), clients_address(vrid)].map(|it| there.contains(&it)))
    }
}
