//! Two hosts with the same routers, looked after by one of those that are compared, and a client.

use crate::peers::own::Own;
use crate::peers::peer::{Kind, Peer};
use crate::peers::side::{self, Side};
use anyhow::{Context, Result};
use lab::daemon::Daemon;
use lab::gate::Gate;
use lab::link;
use lab::router::{Host, Topology};
use lab::segment::{Plug, Port, Segment};
use lab::wait;
use nix::unistd::Pid;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

/// Longer than any takeover or return takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(25);
/// Between two looks at what takes the daemon a while to tell.
const OFTEN: Duration = Duration::from_millis(100);
/// How long a host is without its links before it has power again.
const OFF: Duration = Duration::from_millis(500);
/// For how long a session has been up when it counts, and a little.
const SESSION: Duration = Duration::from_millis(1_300);
/// A keepalived that ends within ten seconds of its start rests longer each time before it is
/// started again; each host's is killed in every other cycle.
const STEADY: Duration = Duration::from_secs(4);
/// For hundreds of routers.
const START: Duration = Duration::from_secs(200);
/// So many routers have adverts on one link: identifiers are one byte.
pub(crate) const EACH_LINK: usize = 200;
/// The second link with adverts.
pub(crate) const SECOND: &str = "ha-lab2";

/// What is done to a primary.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Its host's power is cut, behind a switch that does not notice: nothing passes any more.
    Power,
    /// The link that its adverts go over ends, at both ends.
    Link,
    /// The program that speaks VRRP is killed.
    Kill,
    /// It is told to go.
    HandOver,
}

/// In the order of the table.
pub(crate) const FAULTS: [Fault; 4] = [Fault::Power, Fault::Link, Fault::Kill, Fault::HandOver];

impl Fault {
    /// For people and for JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Power => "power cut",
            Self::Link => "link down",
            Self::Kill => "killed",
            Self::HandOver => "handed over",
        }
    }
}

/// Two hosts, one of which is the primary.
pub(crate) struct Pair {
    // Before the network that they are in.
    sides: Vec<Side>,
    further: Vec<Port>,
    /// Where each router has networks of its own.
    own: Option<Own>,
    peer: &'static Peer,
    count: usize,
    pub(crate) topology: Topology,
    _second: Option<Segment>,
}

/// The virtual address of a router.
pub(crate) fn address(number: usize) -> Ipv4Addr {
    let [high, low] = [number / EACH_LINK, number % EACH_LINK + 1];
    // The client's own are 10.0.0.100 and those of the hosts 10.0.9.*.
    let third = if number == 0 { 0 } else { high + 1 };
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + (third * 256 + low) as u32)
}

impl Pair {
    /// Makes the network, starts `count` routers on both hosts, and waits until one is the primary.
    pub(crate) fn start(peer: &'static Peer, count: usize) -> Result<Self> {
        let topology = Topology::new(2)?;
        link::ip(&topology.client, "route add 10.0.0.0/16 dev eth0\n")?;
        let mut pair = Self {
            sides: Vec::new(),
            further: Vec::new(),
            own: None,
            peer,
            count,
            topology,
            _second: None,
        };
        if peer.kind == Kind::Keepfast && count > 1 {
            // A keepalived for each router is for routers in namespaces of their own.
            pair.own = Some(Own::new(&pair.topology.client, count)?);
        } else if count > EACH_LINK {
            let second = Segment::new("ha2")?;
            let plugs: Vec<Plug<'_>> = pair
                .topology
                .hosts
                .iter()
                .map(|host| Plug {
                    namespace: &host.namespace,
                    interface: SECOND,
                    addresses: &[],
                })
                .collect();
            pair.further = second.attach_all(&plugs)?;
            pair._second = Some(second);
        }
        for (number, host) in pair.topology.hosts.iter().enumerate() {
            let own = pair.own.as_ref().map(|it| it.places(number)).transpose()?;
            let side = side::start(peer, host, own, count)?;
            pair.sides.push(side);
            // The first becomes the primary before there is another.
            let word = if pair.sides.len() == 1 {
                "primary"
            } else {
                "backup"
            };
            wait::until(&format!("all {word} at the start"), START, || {
                match pair.in_state(number, word) {
                    Ok(there) if there >= count => Ok(()),
                    Ok(there) => Err(format!("{there} of {count}")),
                    Err(error) => Err(format!("{error:#}")),
                }
            })
            .with_context(|| pair.told(number))?;
        }
        Ok(pair)
    }

    /// Waits until one is the primary and the other a backup that knows it; which one.
    pub(crate) fn settle(&self) -> Result<usize> {
        let primary = wait::until("one primary and a backup", LIMIT, || {
            let states = [self.state(0), self.state(1)];
            match [states[0].as_str(), states[1].as_str()] {
                ["primary", "backup"] => Ok(0),
                ["backup", "primary"] => Ok(1),
                _ => Err(states.join(", ")),
            }
        })?;
        match self.sides.get(1 - primary) {
            Some(Side::Keepfast(daemon)) => {
                wait::until("a session of each router", START, || {
                    let up = sessions(daemon).map_err(|error| format!("{error:#}"))?;
                    if up >= self.count {
                        return Ok(());
                    }
                    thread::sleep(OFTEN);
                    Err(format!("{up} of {}", self.count))
                })?;
                // A session counts when it has been up for a second.
                thread::sleep(SESSION);
            }
            // It has heard of the primary, and BFD of the other.
            _ => thread::sleep(self.interval() * 5 / 4 + Duration::from_millis(300)),
        }
        Ok(primary)
    }

    /// Between two adverts.
    pub(crate) const fn interval(&self) -> Duration {
        Duration::from_millis(self.peer.interval_ms)
    }

    /// Waits until the other than `old` is the primary.
    pub(crate) fn wait_successor(&self, old: usize) -> Result<()> {
        wait::until("another primary", LIMIT, || {
            let state = self.state(1 - old);
            if state == "primary" {
                Ok(())
            } else {
                Err(state)
            }
        })
    }

    /// Does it to a host.
    pub(crate) fn strike(&mut self, fault: Fault, number: usize) -> Result<()> {
        match (fault, self.sides.get_mut(number).context("find a host")?) {
            (Fault::Power, _) => self.shut(number),
            (Fault::Link, _) => self.advert_link(number)?.cut(),
            (Fault::Kill, Side::Alone(alone)) => alone.kill(),
            (Fault::Kill, Side::Keepfast(daemon)) => daemon.crash_keepalived(ID),
            (Fault::HandOver, Side::Alone(alone)) => alone.ask_to_end(),
            (Fault::HandOver, Side::Keepfast(daemon)) => daemon.ask(&["failover", ID]).map(drop),
        }
    }

    /// Undoes that. The host becomes a backup.
    pub(crate) fn mend(&mut self, fault: Fault, number: usize) -> Result<()> {
        match (fault, self.sides.get_mut(number).context("find a host")?) {
            (Fault::Power, _) => {
                // It loses its role in between: who was without power does not claim it.
                let host = self.host(number)?;
                host.cut()?;
                thread::sleep(OFF);
                host.restore()
            }
            (Fault::Link, _) => self.advert_link(number)?.restore(),
            (Fault::Kill | Fault::HandOver, Side::Alone(alone)) => {
                alone.stop()?;
                alone.restart()
            }
            (Fault::Kill, Side::Keepfast(_)) => {
                thread::sleep(STEADY);
                Ok(())
            }
            (Fault::HandOver, Side::Keepfast(_)) => Ok(()),
        }
    }

    fn host(&self, number: usize) -> Result<&Host> {
        self.topology.hosts.get(number).context("find a host")
    }

    /// Shuts all ports of a host, the client's first: what a client is without counts from no
    /// later than the moment from which another host could know.
    fn shut(&self, number: usize) -> Result<()> {
        if let Some(own) = &self.own {
            return own.cut(number);
        }
        let host = self.host(number)?;
        let further = self.further.get(number).into_iter();
        let ports = [&host.inner, &host.ha, &host.outer].into_iter();
        // All at once first: to prepare one takes longer than to shut it.
        let gates = ports.chain(further).map(Port::gate);
        let gates: Vec<Gate> = gates.collect::<Result<_>>()?;
        gates.iter().try_for_each(Gate::shut)
    }

    fn advert_link(&self, number: usize) -> Result<&Port> {
        let host = self.host(number)?;
        Ok(if self.peer.kind == Kind::Frr {
            &host.inner
        } else {
            &host.ha
        })
    }

    /// `primary`, `backup`, or something else while it is neither.
    fn state(&self, number: usize) -> String {
        match self.sides.get(number) {
            Some(Side::Alone(alone)) => alone.state().to_owned(),
            Some(Side::Keepfast(daemon)) => daemon
                .state_file(ID)
                .unwrap_or_else(|error| format!("{error:#}")),
            None => "no host".to_owned(),
        }
    }

    /// How many of a host's routers are primary, or backup, after its start.
    fn in_state(&self, number: usize, word: &str) -> Result<usize> {
        match self.sides.get(number).context("find a host")? {
            Side::Alone(alone) => Ok(alone.entered(word == "primary")),
            Side::Keepfast(daemon) => {
                let listed = daemon.status()?;
                let routers = listed["routers"].as_array();
                let routers = routers.map_or(&[][..], Vec::as_slice);
                Ok(routers.iter().filter(|it| it["state"] == word).count())
            }
        }
    }

    /// How often one of the routers has become the primary on either host.
    pub(crate) fn masters(&self) -> Result<usize> {
        let mut sum = 0;
        for side in &self.sides {
            sum += match side {
                Side::Alone(alone) => alone.masters(),
                Side::Keepfast(daemon) => daemon
                    .events(ID)?
                    .iter()
                    .filter(|it| became_primary(it))
                    .count(),
            };
        }
        Ok(sum)
    }

    /// All processes of a host.
    pub(crate) fn pids(&self, number: usize) -> Result<Vec<Pid>> {
        Ok(match self.sides.get(number).context("find a host")? {
            Side::Alone(alone) => alone.pids(),
            Side::Keepfast(daemon) => {
                let mut pids = vec![daemon.pid()?];
                pids.extend(daemon.left_running()?);
                pids
            }
        })
    }

    fn told(&self, number: usize) -> String {
        match self.sides.get(number) {
            Some(Side::Alone(alone)) => alone.log(),
            Some(Side::Keepfast(daemon)) => daemon.messages(),
            None => String::new(),
        }
    }
}

/// The first router, as keepfast calls it.
const ID: &str = "r1";

/// How many masters' hosts answer.
fn sessions(daemon: &Daemon) -> Result<usize> {
    let status = daemon.status()?;
    let routers = status["routers"].as_array().context("no routers")?;
    let up = routers
        .iter()
        .filter(|it| it["fast_path"]["session"]["phase"] == "up");
    Ok(up.count())
}

fn became_primary(event: &Value) -> bool {
    let detail = event["detail"].as_str().unwrap_or_default();
    event["event"] == "state" && detail.contains("-> primary:")
}
