//! A router on two hosts or more, between which frames can be lost, and who has its addresses.

use crate::{LIMIT, events, wait_session};
use anyhow::Context;
use lab::addresses::Addresses;
use lab::clock::monotonic_ns;
use lab::daemon::Daemon;
use lab::fault::{Fault, Way};
use lab::prober::{PERIOD, Prober};
use lab::process;
use lab::router::{Declaration, Host, INNER, PRIMARY, Topology};
use lab::segment::Port;
use lab::wait;
use std::time::Duration;

/// A virtual address of the clients' network.
const ADDRESS: &str = "10.0.0.1";

/// So many hosts with a daemon each that look after the router "r".
pub(crate) struct Cluster {
    // Before what they look after.
    pub(crate) daemons: Vec<Daemon>,
    pub(crate) addresses: Vec<Addresses>,
    /// Of each host's ports: those of the routers' network, the client's and the gateway's.
    pub(crate) faults: Vec<[Fault; 3]>,
    pub(crate) topology: Topology,
}

impl Cluster {
    /// Declared like this on each host; the first one is the primary, and the others' sessions
    /// with it are up.
    pub(crate) fn start(hosts: u8, declare: impl Fn(&Host) -> Declaration) -> Self {
        let topology = Topology::new(hosts).unwrap();
        let fault = |port: &Port| Fault::new(port).unwrap();
        let faults = topology.hosts.iter();
        let faults = faults.map(|host| [&host.ha, &host.inner, &host.outer].map(fault));
        let daemon = |host: &Host| Daemon::new(&format!("daemon{}", host.number)).unwrap();
        let listen = |host: &Host| Addresses::listen(&host.namespace).unwrap();
        let cluster = Self {
            daemons: topology.hosts.iter().map(daemon).collect(),
            addresses: topology.hosts.iter().map(listen).collect(),
            faults: faults.collect(),
            topology,
        };
        for (number, host) in cluster.topology.hosts.iter().enumerate() {
            declare(host).apply(&cluster.daemons[number]).unwrap();
            let state = if number == 0 { "primary" } else { "backup" };
            cluster.daemons[number]
                .wait_state("r", state, LIMIT)
                .unwrap();
        }
        cluster.wait_sessions(0);
        cluster
    }

    /// Waits until the sessions of all others with this host are up.
    pub(crate) fn wait_sessions(&self, primary: usize) {
        for (number, daemon) in self.daemons.iter().enumerate() {
            if number != primary {
                daemon.wait_state("r", "backup", LIMIT).unwrap();
                wait_session(daemon, "up");
            }
        }
    }

    /// Has a host forget its back-off, which would last for minutes soon: starts its agent anew,
    /// and waits until that and the backup are ready for a takeover from `primary`.
    pub(crate) fn restart(&mut self, host: usize, primary: usize) {
        let watched = |daemon: &Daemon| daemon.messages().matches("INFO watching ").count();
        let before = watched(&self.daemons[host]);
        let masters = self.count(host, "local_master");
        self.daemons[host].restart().unwrap();
        // While it begins to watch an interface it hears nothing of what goes on.
        wait::until("three watched interfaces", LIMIT, || {
            match watched(&self.daemons[host]) - before {
                3 => Ok(()),
                other => Err(other.to_string()),
            }
        })
        .unwrap();
        if host == primary {
            self.wait_count(host, "local_master", masters + 1);
        }
        self.wait_sessions(primary);
    }

    /// Has all ports of a host lose these frames.
    pub(crate) fn lose(&mut self, host: usize, frames: &[(Way, &str)]) {
        for fault in &mut self.faults[host] {
            fault.lose(frames).unwrap();
        }
    }

    /// Has them lose nothing any more.
    pub(crate) fn heal(&mut self, host: usize) {
        for fault in &mut self.faults[host] {
            fault.heal().unwrap();
        }
    }

    /// The hosts that have both the primary address and the clients' one.
    pub(crate) fn owners(&self) -> Vec<usize> {
        let hosts = self.topology.hosts.iter().enumerate();
        let owns = |host: &Host| {
            let mut command = host.namespace.command("ip");
            let shown = process::output(command.args(["-o", "-4", "address"])).unwrap();
            [PRIMARY, "10.0.0.1/24"].map(|it| shown.contains(&format!(" {it} ")))
        };
        // One without the other is an owner, too, and one too many.
        let owners = hosts.filter(|(_, host)| owns(host) != [false; 2]);
        owners.map(|(number, _)| number).collect()
    }

    /// Waits until there is one owner, whom the client reaches by asking for the address anew.
    pub(crate) fn wait_one_owner(&self, limit: Duration) -> usize {
        let owner = wait::until("one owner", limit, || match self.owners()[..] {
            [owner] => Ok(owner),
            ref owners => Err(format!("{owners:?}")),
        });
        let owner = owner.with_context(|| self.told()).unwrap();
        assert_eq!(self.asked(), [self.mac(owner)], "{}", self.told());
        owner
    }

    /// The hardware addresses that answer the client when it asks for the virtual address.
    fn asked(&self) -> Vec<String> {
        let mut command = self.topology.client.command("arping");
        let said = process::output(command.args(["-c", "2", "-w", "3", "-I", "eth0", ADDRESS]));
        let said = said.unwrap();
        let from = |line: &str| Some(line.split_once('[')?.1.split_once(']')?.0.to_lowercase());
        let mut macs: Vec<_> = said.lines().filter_map(from).collect();
        macs.sort();
        macs.dedup();
        macs
    }

    /// A host's hardware address in the clients' network.
    fn mac(&self, host: usize) -> String {
        let mut command = self.topology.hosts[host].namespace.command("ip");
        let shown = process::output(command.args(["-o", "link", "show", INNER])).unwrap();
        let (_, after) = shown.split_once("link/ether ").unwrap();
        after.split_once(' ').unwrap().0.to_owned()
    }

    /// A client of the virtual address, whose probes are answered so far.
    pub(crate) fn client(&self) -> Prober {
        let prober = Prober::start(&self.topology.client, ADDRESS.parse().unwrap()).unwrap();
        prober.wait_answers(200, LIMIT).unwrap();
        prober
    }

    /// When the primary address was on a host, in nanoseconds of CLOCK_MONOTONIC, since `from_ns`.
    pub(crate) fn owned(&self, host: usize, from_ns: u64) -> Vec<(u64, u64)> {
        let mut spans = Vec::new();
        let mut since = None;
        for moment in self.addresses[host].moments() {
            if moment.address != PRIMARY {
                continue;
            }
            match (moment.present, since) {
                (true, None) => since = Some(moment.at_ns),
                (false, Some(begin)) => {
                    spans.push((begin, moment.at_ns));
                    since = None;
                }
                _ => {}
            }
        }
        spans.extend(since.map(|begin| (begin, monotonic_ns().unwrap())));
        spans.retain(|(_, end)| *end > from_ns);
        spans
    }

    /// For how long two of these hosts had the primary address at a time, since `from_ns`.
    pub(crate) fn overlap(&self, hosts: &[usize], from_ns: u64) -> Duration {
        let mut overlap = 0;
        for (number, one) in hosts.iter().enumerate() {
            for other in &hosts[number + 1..] {
                for (begin, end) in self.owned(*one, from_ns) {
                    for (other_begin, other_end) in self.owned(*other, from_ns) {
                        let both = end.min(other_end).saturating_sub(begin.max(other_begin));
                        overlap = overlap.max(both);
                    }
                }
            }
        }
        Duration::from_nanos(overlap)
    }

    /// How many events with this name a host's log has.
    pub(crate) fn count(&self, host: usize, name: &str) -> usize {
        events(&self.daemons[host], name).len()
    }

    /// Waits until it has so many.
    pub(crate) fn wait_count(&self, host: usize, name: &str, count: usize) {
        let what = format!("{count} times {name} at host {host}");
        let waited = wait::until(&what, LIMIT, || match self.count(host, name) {
            seen if seen >= count => Ok(()),
            seen => Err(seen.to_string()),
        });
        waited.with_context(|| self.told()).unwrap();
    }

    /// How often the primary address came to a host since `from_ns`.
    pub(crate) fn came(&self, host: usize, from_ns: u64) -> usize {
        let spans = self.owned(host, from_ns);
        spans.iter().filter(|(begin, _)| *begin > from_ns).count()
    }

    /// What all hosts' event logs say.
    pub(crate) fn told(&self) -> String {
        let mut lines = Vec::new();
        for (number, daemon) in self.daemons.iter().enumerate() {
            for event in daemon.events("r").unwrap() {
                let at = event["monotonic_ns"].as_u64().unwrap_or(0);
                let (name, detail) = (&event["event"], &event["detail"]);
                lines.push((at, format!("{at} host {number} {name} {detail}")));
            }
        }
        lines.sort();
        let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
        lines.join("\n")
    }
}

/// Waits until probes are answered again, and returns for how long those were sent that never
/// were. Unlike the longest time between two answers this leaves out that of a machine which was
/// too busy to ask.
pub(crate) fn unanswered(client: Prober) -> Duration {
    client.wait_answers(200, LIMIT).unwrap();
    PERIOD * u32::try_from(client.stop().unwrap().lost()).unwrap()
}

/// How often something is repeated: so often, or as the variable says.
pub(crate) fn rounds(variable: &str, usual: usize) -> usize {
    let set = std::env::var(variable).ok();
    set.map_or(usual, |count| count.parse().unwrap())
}

/// The middle one and the longest, in milliseconds.
pub(crate) fn median_and_worst(mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let (median, worst) = (ms(times.get(times.len() / 2)), ms(times.last()));
    format!(
        "{} times, median {median:.2} ms, worst {worst:.2} ms",
        times.len()
    )
}
