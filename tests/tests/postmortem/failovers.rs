//! Failovers of five kinds: what a post-mortem says of each, against an independent capture.

use crate::alone;
use crate::pair::{LIMIT, Pair, report};
use anyhow::{Context, Result};
use lab::capture::{Capture, Recording};
use lab::daemon::Daemon;
use lab::link::ip;
use lab::process;
use lab::router::{HA, Host, INNER};
use lab::wait;
use serde_json::Value;
use std::thread;
use std::time::Duration;

/// How many failovers there are in all, unless the variable says otherwise.
const USUAL: usize = 5;
const VARIABLE: &str = "KEEPFAST_POSTMORTEMS";

/// How far a post-mortem's times may be from those of the capture.
const APART: Duration = Duration::from_millis(1);

/// How long a cut lasts.
const CUT: Duration = Duration::from_millis(1_500);

/// What happens to a primary.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Power,
    Link,
    Keepalived,
    Operator,
    Gateway,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Power,
        Self::Link,
        Self::Keepalived,
        Self::Operator,
        Self::Gateway,
    ];

    fn begin(self, primary: &Daemon, host: &Host) -> Result<()> {
        match self {
            Self::Power => host.cut(),
            Self::Link => ip(&host.namespace, &format!("link set {INNER} down\n")),
            Self::Keepalived => primary.crash_keepalived("r"),
            Self::Operator => primary.ask(&["failover", "r"]).map(drop),
            Self::Gateway => host.outer.block(),
        }
    }

    fn end(self, host: &Host) -> Result<()> {
        match self {
            Self::Power => host.restore(),
            Self::Link => ip(&host.namespace, &format!("link set {INNER} up\n")),
            Self::Gateway => host.outer.unblock(),
            Self::Keepalived | Self::Operator => Ok(()),
        }
    }

    /// What the new primary and the old one are to say.
    fn causes(self) -> [&'static str; 2] {
        match self {
            // To the host itself a cut cable and a cut switch are the same.
            Self::Power => ["peer_silent", "own_interface"],
            Self::Link => ["peer_interface", "own_interface"],
            Self::Keepalived => ["peer_keepalived", "own_keepalived"],
            Self::Operator => ["handed_over", "handed_over"],
            Self::Gateway => ["gateway_lost", "gateway_lost"],
        }
    }
}

/// Has this happen, and returns what the new primary says of it and what was captured there.
pub(crate) fn failover(
    pair: &Pair,
    kind: Kind,
    primary: usize,
    backup: usize,
) -> (Value, Recording) {
    pair.wait_ready(primary, backup);
    let client = pair.client();
    let namespace = &pair.host(backup).namespace;
    let capture = Capture::start(namespace, "any", "vrrp or arp or icmp").unwrap();
    // One advert at least.
    thread::sleep(CUT);
    kind.begin(pair.daemon(primary), pair.host(primary))
        .unwrap();
    pair.daemon(backup)
        .wait_state("r", "primary", LIMIT)
        .unwrap();
    client.wait_answers(50, LIMIT).unwrap();
    client.stop().unwrap();
    let recording = capture.stop().unwrap();
    thread::sleep(CUT);
    kind.end(pair.host(primary)).unwrap();
    let [of_new, of_old] = kind.causes();
    let told = wait_cause(pair.daemon(backup), "new_primary", of_new);
    let told_there = wait_cause(pair.daemon(primary), "old_primary", of_old);
    wait_line(pair.daemon(backup), &told);
    wait_line(pair.daemon(primary), &told_there);
    (told, recording)
}

/// Waits until a daemon's router has this post-mortem: a host that was cut off says why it gave
/// up when it is back.
fn wait_cause(daemon: &Daemon, side: &str, cause: &str) -> Value {
    wait::until(&format!("the cause {cause}"), LIMIT, || {
        let report = report(daemon, &[]).map_err(|error| format!("{error:#}"))?;
        let right = report["side"] == side && report["cause"] == cause;
        right
            .then(|| report.clone())
            .ok_or_else(|| report.to_string())
    })
    .unwrap()
}

/// Waits until the daemon itself has told of this failover.
fn wait_line(daemon: &Daemon, report: &Value) {
    let of_this = |event: &Value| {
        let told = &event["report"];
        event["event"] == "failover"
            && told["turned_ns"] == report["turned_ns"]
            && told["outage_ns"] == report["outage_ns"]
    };
    daemon
        .wait_event("r", 0, "a line about it", LIMIT, of_this)
        .unwrap();
}

/// What the capture has of the steps that are on the wire, in nanoseconds of CLOCK_MONOTONIC.
fn captured(
    recording: &Recording,
    old: &Host,
    took_over_ns: u64,
) -> Result<[(&'static str, u64); 4]> {
    let times = |filter: &str| -> Result<Vec<u64>> {
        let rows = recording.fields(filter, &["frame.time_epoch"])?;
        rows.iter()
            .map(|row| recording.monotonic_ns(&row.concat()))
            .collect()
    };
    // Of what is captured on all interfaces, 4 is what leaves.
    let sent = times("vrrp && sll.pkttype == 4 && vrrp.prio != 0")?;
    // Not what was injected, which bears no host's address.
    let of_old = format!("vrrp && sll.src.eth == {}", mac(old)?);
    let heard = times(&of_old)?;
    // One that resigns may do so twice: its agent for it, and keepalived itself. The first counts.
    let resigned = times(&format!("{of_old} && vrrp.prio == 0"))?;
    let announced = times("arp.isgratuitous && sll.pkttype == 4")?;
    let packets = times("icmp && sll.pkttype == 4 && (icmp.type == 0 || icmp.type == 8)")?;
    let first = *announced.first().context("no gratuitous ARP")?;
    let last = heard.iter().rev().find(|at| **at <= took_over_ns);
    let last = resigned.first().or(last).context("nobody was heard")?;
    Ok([
        ("last_advert_ns", *last),
        ("took_over_ns", *sent.first().context("no advert was sent")?),
        ("announced_ns", first),
        (
            "first_packet_ns",
            *packets
                .iter()
                .find(|at| **at >= first)
                .context("no packet was forwarded")?,
        ),
    ])
}

/// A host's hardware address in the routers' network.
fn mac(host: &Host) -> Result<String> {
    let mut command = host.namespace.command("ip");
    let shown = process::output(command.args(["-o", "link", "show", HA]))?;
    let (_, after) = shown.split_once("link/ether ").context("no address")?;
    let (mac, _) = after.split_once(' ').context("no address")?;
    Ok(mac.to_owned())
}

#[test]
fn times_agree_with_a_capture_and_causes_are_right() {
    alone(|| {
        let pair = Pair::start();
        let set = std::env::var(VARIABLE).ok();
        let count = set.map_or(USUAL, |count| count.parse().unwrap());
        let mut worst = [Duration::ZERO; 4];
        for turn in 0..count {
            let kind = Kind::ALL[turn % Kind::ALL.len()];
            let (primary, backup) = if turn % 2 == 0 { (0, 1) } else { (1, 0) };
            let (report, recording) = failover(&pair, kind, primary, backup);
            let steps = &report["steps"];
            let took_over = steps["took_over_ns"].as_u64().unwrap();
            let captured = captured(&recording, pair.host(primary), took_over)
                .with_context(|| recording.summary().unwrap_or_default())
                .unwrap();
            for (worst, (name, at)) in worst.iter_mut().zip(captured) {
                let said = steps[name].as_u64();
                let apart = said.map(|said| Duration::from_nanos(said.abs_diff(at)));
                assert!(
                    apart.is_some_and(|apart| apart < APART),
                    "{kind:?}: {name} is {said:?}, captured at {at}: {report:#}"
                );
                *worst = apart.unwrap().max(*worst);
            }
            let outage = report["outage_ns"].as_u64().unwrap();
            println!("{kind:?}: outage {:?}", Duration::from_nanos(outage));
            assert_eq!(report["outage_until"], "first_packet");
        }
        println!("{count} failovers, at most apart: {worst:?}");
    });
}
