//! Real routers, forced to change roles some hundred times, and the agent beside one of them:
//! it must tell every transition that a capture on the same interface shows, and no other.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use anyhow::{Context, Result, ensure};
use lab::capture::{Capture, VRRP};
use lab::clock::monotonic_ns;
use lab::leftovers::Snapshot;
use lab::netns::Namespace;
use lab::oracle::{self, Advert, Expected, Kind, Observer, Transition};
use lab::process;
use lab::require::{Need, require};
use lab::segment::{Port, Segment};
use lab::sender::{self, Sender};
use lab::watcher::{Event, Watcher};
use routers::{Flavour, Routers};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

#[path = "observe/routers.rs"]
mod routers;

const LIMIT: Duration = Duration::from_secs(20);
/// How far apart the agent and the capture may see the same advert.
const TOLERANCE: Duration = Duration::from_millis(1);
/// Of the adverts that are made here, to see that all before them has been told.
const LAST_VRID: u8 = 99;

const FAST: Duration = Duration::from_millis(100);

const KINDS: [(&str, Kind); 13] = [
    ("master_appeared", Kind::MasterAppeared),
    ("master_changed", Kind::MasterChanged),
    ("priority_changed", Kind::PriorityChanged),
    ("master_resigned", Kind::MasterResigned),
    ("advert_late", Kind::AdvertLate),
    ("advert_resumed", Kind::AdvertResumed),
    ("master_down", Kind::MasterDown),
    ("multiple_masters", Kind::MultipleMasters),
    ("single_master", Kind::SingleMaster),
    ("local_master", Kind::LocalMaster),
    ("local_resigned", Kind::LocalResigned),
    ("local_stalled", Kind::LocalStalled),
    ("local_resumed", Kind::LocalResumed),
];

/// Two routers and the switch between them; the agent and the capture look at b's eth0.
struct Network {
    flavour: Flavour,
    a: Namespace,
    b: Namespace,
    port_a: Port,
    capture: Capture,
    /// All addresses of b: whoever sends from one of them is the observer's own router.
    own: Vec<IpAddr>,
    _segment: Segment,
}

impl Network {
    fn new(flavour: Flavour) -> Self {
        let segment = Segment::new("switch").unwrap();
        let [a, b] = ["a", "b"].map(|role| Namespace::new(role).unwrap());
        let port_a = segment.attach(&a, "eth0", &["10.99.0.1/24"]).unwrap();
        segment.attach(&b, "eth0", &["10.99.0.2/24"]).unwrap();
        let capture = Capture::start(&b, "eth0", VRRP).unwrap();
        let own = addresses(&b).unwrap();
        Self {
            flavour,
            a,
            b,
            port_a,
            capture,
            own,
            _segment: segment,
        }
    }
}

/// The addresses of eth0, the link-local one too.
fn addresses(namespace: &Namespace) -> Result<Vec<IpAddr>> {
    let mut command = namespace.command("ip");
    let shown = process::output(command.args(["-json", "address", "show", "dev", "eth0"]))?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    let listed = shown.pointer("/0/addr_info").and_then(|it| it.as_array());
    let listed = listed.context("no addresses")?.iter();
    let own: Vec<_> = listed
        .filter_map(|entry| entry["local"].as_str()?.parse().ok())
        .collect();
    ensure!(own.len() == 2, "not one address of each family: {own:?}");
    Ok(own)
}

/// What the agent told, as the oracle puts it.
fn transition(event: &Event) -> Result<Transition> {
    let kind = KINDS.iter().find(|(name, _)| event.is(name));
    let (_, kind) = kind.with_context(|| format!("no transition: {event:?}"))?;
    let silent = [Kind::AdvertLate, Kind::LocalStalled, Kind::MasterDown].contains(kind);
    let router = event.text(if silent {
        "/old/address"
    } else {
        "/new/address"
    });
    Ok(Transition {
        // When the deadline was, or when the advert came.
        time_ns: event
            .number("/due_ns")
            .or(event.number("/monotonic_ns"))
            .context("no time")?,
        ipv6: event.number("/family") == Some(6),
        vrid: event.number("/vrid").context("no VRID")?.try_into()?,
        kind: *kind,
        router: router.parse().with_context(|| format!("{event:?}"))?,
    })
}

/// A rival who is master because the master fell silent may be overdue from the first: its deadline
/// is that of an advert from before its reign, and nobody could have told it then.
fn begin_with_the_reign(transitions: &mut [Transition]) {
    let mut reigns = BTreeMap::new();
    for transition in transitions {
        let router = (transition.ipv6, transition.vrid, transition.router);
        match transition.kind {
            Kind::LocalMaster | Kind::MasterChanged => {
                reigns.insert(router, transition.time_ns);
            }
            Kind::LocalStalled | Kind::AdvertLate => {
                let since = reigns.get(&router).copied().unwrap_or_default();
                transition.time_ns = transition.time_ns.max(since);
            }
            _ => {}
        }
    }
}

/// Whether each router that the event names had sent, when it was last heard, the very advert
/// that is told of it.
fn check_parties(event: &Event, adverts: &[Advert], own: &[IpAddr]) -> Result<()> {
    for side in ["/old", "/new"] {
        let number = |member: &str| event.number(&format!("{side}/{member}"));
        let text = |member: &str| event.text(&format!("{side}/{member}"));
        let Some(heard_ns) = number("heard_ns") else {
            continue;
        };
        let source: IpAddr = text("address").parse()?;
        let same = |advert: &&Advert| {
            let apart = Duration::from_nanos(advert.time_ns.abs_diff(heard_ns));
            advert.source == source
                && apart <= TOLERANCE
                && number("priority") == Some(advert.priority.into())
                && number("version") == Some(advert.version.into())
                && number("interval_ms").map(u128::from) == Some(advert.interval.as_millis())
                && text("mac") == mac(advert)
        };
        ensure!(
            adverts.iter().any(|advert| same(&advert)),
            "no such advert was captured: {side} of {event:?}"
        );
        ensure!(
            event.flag(&format!("{side}/local")) == Some(own.contains(&source)),
            "taken for another host's: {side} of {event:?}"
        );
    }
    Ok(())
}

/// Whether an alarm is a true one: a's announcement of the virtual address comes while, by the
/// last advert, b has it. With unicast that happens before a's first advert, which has to wait
/// until a knows where b is; otherwise where both became master at once and b's advert came
/// between a's advert and a's announcement.
fn check_alarm(event: &Event, adverts: &[Advert]) -> Result<()> {
    let now = event.number("/monotonic_ns").context("no time")?;
    let last = adverts
        .iter()
        .rfind(|advert| advert.time_ns < now)
        .context("an alarm before all adverts")?;
    ensure!(
        (event.is("address_conflict") || event.is("address_claimed"))
            && event.text("/new/mac") != mac(last),
        "false alarm after {last:?}: {event:?}"
    );
    Ok(())
}

fn mac(advert: &Advert) -> String {
    advert.mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Compares what was told of one network with its capture; returns how many transitions.
fn judge(network: Network, events: &[Event], until_ns: u64) -> Result<usize> {
    let Network {
        flavour,
        capture,
        own,
        b,
        ..
    } = network;
    let adverts = oracle::adverts(&capture.stop()?)?;
    let (told, others): (Vec<_>, Vec<_>) = events
        .iter()
        .filter(|event| {
            event.text("/netns") == b.name()
                && event.number("/vrid") != Some(LAST_VRID.into())
                && event.number("/monotonic_ns") <= Some(until_ns)
        })
        .partition(|event| KINDS.iter().any(|(name, _)| event.is(name)));
    let mut transitions: Vec<_> = told
        .iter()
        .map(|event| transition(event))
        .collect::<Result<_>>()?;
    begin_with_the_reign(&mut transitions);
    let mut kinds = BTreeMap::<_, usize>::new();
    for transition in &transitions {
        *kinds.entry(transition.kind).or_default() += 1;
    }
    println!("{flavour}: {} transitions, {kinds:?}", transitions.len());
    let observer = Observer {
        own: own.clone(),
        until_ns,
    };
    Expected::derive(&adverts, &observer)?.check(&transitions, TOLERANCE)?;
    told.iter()
        .try_for_each(|event| check_parties(event, &adverts, &own))?;
    others
        .iter()
        .try_for_each(|event| check_alarm(event, &adverts))?;
    println!(
        "  {} captured adverts: none missing, none invented; {} true alarms",
        adverts.len(),
        others.len()
    );
    Ok(transitions.len())
}

/// Prints how long after the deadlines they were told; whether 99 of 100 were within the tolerance,
/// or 90 where the kernel `refused` timers.
/// The others are the processor's: it has more to do than to serve timers.
fn punctuality(events: &[Event], refused: bool) -> bool {
    let late = events.iter().filter_map(|event| {
        let late = event.number("/monotonic_ns")? - event.number("/due_ns")?;
        Some(Duration::from_nanos(late))
    });
    let mut late: Vec<_> = late.collect();
    late.sort_unstable();
    let within = late.partition_point(|late| *late <= TOLERANCE);
    println!(
        "{} deadlines, {within} told within {TOLERANCE:?}, the last after {:?}",
        late.len(),
        late.last()
    );
    // Where the kernel refuses a timer, the agent says so and keeps the deadline to 50 ms.
    let least = if refused { 90 } else { 99 };
    within * 100 >= late.len() * least
}

#[test]
fn every_transition_on_the_wire_is_told_once_and_no_other() {
    if !require(&[
        Need::Root,
        Need::Tool("keepalived"),
        Need::Tool("tcpdump"),
        Need::Tool("tshark"),
        Need::File("/usr/lib/frr/vrrpd"),
    ]) {
        return;
    }
    let before = Snapshot::of_this_process().unwrap();
    let mut networks: Vec<_> = Flavour::ALL.into_iter().map(Network::new).collect();
    let watched: Vec<_> = networks.iter().map(|network| &network.b).collect();
    let mut watcher = Watcher::start_with(&watched, &["--interface", "eth0"]).unwrap();
    thread::scope(|scope| {
        for network in &mut networks {
            scope.spawn(|| {
                let mut routers = Routers::start(network.flavour, &network.a, &network.b);
                routers.play(&network.port_a, &mut network.capture);
            });
        }
    });
    let until_ns = monotonic_ns().unwrap();
    for network in &networks {
        let last = sender::Advert {
            vrid: LAST_VRID,
            ..sender::Advert::default()
        };
        Sender::new(&network.a, "eth0")
            .unwrap()
            .send(&last)
            .unwrap();
    }
    for _ in &networks {
        let is_last = |event: &Event| event.number("/vrid") == Some(LAST_VRID.into());
        watcher.wait_for("the last advert", LIMIT, is_last).unwrap();
    }
    let ended = watcher.stop().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.messages);
    assert!(!ended.messages.contains("lost"), "{}", ended.messages);
    let verdicts: Vec<_> = networks
        .into_iter()
        .map(|network| {
            let flavour = network.flavour;
            judge(network, &ended.events, until_ns).with_context(|| flavour.to_string())
        })
        .collect();
    let mut all = 0;
    let mut wrong = String::new();
    for verdict in verdicts {
        match verdict {
            Ok(transitions) => all += transitions,
            Err(error) => wrong += &format!("{error:#}\n"),
        }
    }
    println!("{all} transitions in all");
    let punctual = punctuality(&ended.events, ended.messages.contains("refused"));
    assert!(wrong.is_empty(), "{wrong}");
    assert!(punctual, "deadlines were told late");
    assert!(all >= 200, "only {all} transitions");
    before.check().unwrap();
}
