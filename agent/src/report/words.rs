//! What an event means, in words for an operator at night.
//!
//! "Master" is what RFC 9568 calls the Active router; "this host" is the one on
//! which the agent runs.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use keepfast_common::event::{Event, EventKind, Party};
use keepfast_common::maps::RouterKey;
use keepfast_common::time::{down_after_ns, interval_ns};
use keepfast_common::wire::vrrp::RESIGN;
use keepfast_common::wire::{Address, IPV4, Mac, Reject};

use super::Place;
use super::clock::duration;

/// Where: `blue/eth0 vlan 10 vrid 51`.
pub fn place(event: &Event, place: &Place<'_>) -> String {
    spot(place, event.vlan, event.inner_vlan, event.vrid)
}

/// Which virtual router: `blue/eth0 vlan 10 vrid 51`.
pub fn router(key: &RouterKey, place: &Place<'_>) -> String {
    spot(place, key.vlan, key.inner_vlan, key.vrid)
}

fn spot(place: &Place<'_>, vlan: u16, inner_vlan: u16, vrid: u8) -> String {
    let mut words = String::new();
    if let Some(netns) = place.netns {
        words.push_str(netns);
        words.push('/');
    }
    words.push_str(place.interface);
    // Writing to a string cannot fail.
    if vlan != 0 {
        _ = write!(words, " vlan {vlan}");
    }
    if inner_vlan != 0 {
        _ = write!(words, ".{inner_vlan}");
    }
    if vrid != 0 {
        _ = write!(words, " vrid {vrid}");
    }
    words
}

/// What happened, and for what a timer found how late it was found.
pub fn sentence(event: &Event) -> String {
    let Some(kind) = EventKind::from_number(event.kind) else {
        return format!(
            "event of unknown kind {}: the programs are newer than this agent",
            event.kind
        );
    };
    let mut words = happened(kind, event);
    let late_ns = event.time_ns.saturating_sub(event.due_ns);
    if event.due_ns != 0 && late_ns >= 1_000 {
        _ = write!(words, " [timer {} late]", duration(late_ns));
    }
    words
}

fn happened(kind: EventKind, event: &Event) -> String {
    let (old, new) = (&event.old, &event.new);
    match kind {
        EventKind::MasterAppeared | EventKind::MasterChanged | EventKind::LocalMaster => {
            new_master(event)
        }
        EventKind::PriorityChanged => format!(
            "{} changed its priority: {} -> {}",
            master(event, new),
            old.priority,
            new.priority
        ),
        EventKind::MasterResigned | EventKind::LocalResigned => resigned(event),
        EventKind::AdvertLate => format!(
            "advert of {} is late: none for {}, expected every {}",
            master(event, old),
            between(old.heard_ns, event.time_ns),
            interval(old)
        ),
        EventKind::LocalStalled => format!(
            "{} is master but sends no advert: none for {}, expected every {}; is keepalived stuck?",
            name(event, old),
            between(old.heard_ns, event.time_ns),
            interval(old)
        ),
        EventKind::AdvertResumed | EventKind::LocalResumed => format!(
            "{} advertises again after {}, expected every {}",
            master(event, new),
            between(old.heard_ns, new.heard_ns),
            interval(new)
        ),
        EventKind::MasterDown => down(event),
        EventKind::MultipleMasters => format!(
            "several masters: {} keeps advertising although {} does",
            ranked(event, new),
            ranked(event, old)
        ),
        EventKind::SingleMaster => single_master(event),
        EventKind::AdvertRejected => rejected(event),
        EventKind::GatewaySeen => gateway_seen(event),
        EventKind::GatewayMacChanged => format!(
            "gateway {} is at another MAC address: {} -> {}",
            address(event.family, &new.address),
            mac(&old.mac),
            mac(&new.mac)
        ),
        EventKind::GatewaySilent => gateway_silent(event),
        EventKind::AddressClaimed => claimed(event),
        EventKind::AddressConflict => format!(
            "address {} of this host is used by {} too",
            address(event.family, &new.address),
            mac(&new.mac)
        ),
        EventKind::PeerUp => "the peer answers probes".to_owned(),
        EventKind::PeerSuspect => "the peer's first answers are missing".to_owned(),
        EventKind::PeerSilent => "the peer answers no probes any more".to_owned(),
        EventKind::PeerBack => "the peer answers probes again".to_owned(),
        EventKind::PeerLeaving => "the peer's agent says that it is about to go".to_owned(),
        EventKind::TakenOver => format!(
            "{} (priority {}) says that it has taken over; this host keeps silent about its virtual addresses until its keepalived has given way",
            address(event.family, &new.address),
            new.priority
        ),
    }
}

fn new_master(event: &Event) -> String {
    let (old, new) = (&event.old, &event.new);
    let again = old.heard_ns != 0 && new.is(old);
    let mut words = format!(
        "{} is master {}, priority {}, adverts every {} (VRRPv{})",
        name(event, new),
        if again { "again" } else { "now" },
        new.priority,
        interval(new),
        new.version
    );
    let silent = between(old.heard_ns, event.time_ns);
    if again {
        _ = write!(words, "; its last advert was {silent} ago");
    } else if old.heard_ns != 0 && event.kind == EventKind::MasterAppeared as u8 {
        _ = write!(
            words,
            "; the last advert of {} was {silent} ago",
            ranked(event, old)
        );
    } else if old.heard_ns != 0 {
        _ = write!(words, ", after {}", ranked(event, old));
    }
    words
}

fn resigned(event: &Event) -> String {
    let (old, new) = (&event.old, &event.new);
    if new.is(old) {
        format!(
            "{} resigned (priority 0); a backup should be master within {}",
            master(event, new),
            interval(old)
        )
    } else {
        format!(
            "{} resigned (priority 0); {} stays master",
            name(event, new),
            name(event, old)
        )
    }
}

fn down(event: &Event) -> String {
    let old = &event.old;
    let Some(skew_ns) = skew_of_down(event) else {
        return format!(
            "no master: nobody has followed {} within {} since it resigned",
            name(event, old),
            interval(old)
        );
    };
    let fate = if old.local != 0 {
        "is no longer master"
    } else {
        "is down"
    };
    format!(
        "{} {fate}: no advert for {} (3 x {} + skew {})",
        master(event, old),
        between(old.heard_ns, event.time_ns),
        interval(old),
        duration(skew_ns)
    )
}

/// The skew that was waited for, nanoseconds; `None` where the deadline was not
/// the master-down time but the interval that follows a resignation.
///
/// The record does not say which it was, but the master-down time has one of 255
/// values, one for each priority that the waiting router may have.
fn skew_of_down(event: &Event) -> Option<u64> {
    let old = &event.old;
    let waited = event.due_ns.checked_sub(old.heard_ns)?;
    (1..=u8::MAX)
        .any(|priority| down_after_ns(old.version, old.interval_cs, priority) == waited)
        .then(|| waited - 3 * interval_ns(old.interval_cs))
}

fn single_master(event: &Event) -> String {
    let (old, new) = (&event.old, &event.new);
    let went = if event.due_ns != 0 {
        "fell silent"
    } else if new.priority == RESIGN {
        "resigned"
    } else {
        return format!("a single master again: {}", name(event, new));
    };
    if new.is(old) {
        format!("no longer several masters: {} {went}", name(event, new))
    } else {
        format!(
            "a single master again: {}; {} {went}",
            name(event, old),
            name(event, new)
        )
    }
}

fn rejected(event: &Event) -> String {
    let new = &event.new;
    let reason = match Reject::from_number(event.reason) {
        Some(reason) => reason.words().to_owned(),
        None => format!("unknown reason {}", event.reason),
    };
    if new.address == [0; 16] {
        format!("advert from {} rejected: {reason}", mac(&new.mac))
    } else {
        format!(
            "advert of {} ({}) rejected: {reason}",
            name(event, new),
            mac(&new.mac)
        )
    }
}

fn gateway_seen(event: &Event) -> String {
    let (old, new) = (&event.old, &event.new);
    let gateway = address(event.family, &new.address);
    if old.heard_ns == 0 {
        return format!("gateway {gateway} is at {}", mac(&new.mac));
    }
    let silent = between(old.heard_ns, new.heard_ns);
    let mut words = format!(
        "gateway {gateway} is heard again after {silent}, at {}",
        mac(&new.mac)
    );
    if old.mac != new.mac {
        _ = write!(words, ", before at {}", mac(&old.mac));
    }
    words
}

fn gateway_silent(event: &Event) -> String {
    let old = &event.old;
    let gateway = address(event.family, &old.address);
    if old.heard_ns == 0 {
        return format!("gateway {gateway} does not answer; it was never heard");
    }
    format!(
        "gateway {gateway} does not answer; last heard {} ago, at {}",
        between(old.heard_ns, event.time_ns),
        mac(&old.mac)
    )
}

fn claimed(event: &Event) -> String {
    let (old, new) = (&event.old, &event.new);
    let mut words = format!(
        "virtual address {} is announced by {}, which is not its master",
        address(event.family, &new.address),
        mac(&new.mac)
    );
    if old.heard_ns != 0 {
        _ = write!(words, "; it was at {}", mac(&old.mac));
    }
    words
}

/// A router: `192.0.2.1`, `this host (192.0.2.1)`.
fn name(event: &Event, party: &Party) -> String {
    let address = address(event.family, &party.address);
    if party.local != 0 {
        format!("this host ({address})")
    } else {
        address
    }
}

/// A router that is master: `master 192.0.2.1`, `this host (192.0.2.1)`.
fn master(event: &Event, party: &Party) -> String {
    if party.local != 0 {
        name(event, party)
    } else {
        format!("master {}", name(event, party))
    }
}

/// A router and its rank: `192.0.2.1 (priority 100)`.
fn ranked(event: &Event, party: &Party) -> String {
    let address = address(event.family, &party.address);
    let priority = party.priority;
    if party.local != 0 {
        format!("this host ({address}, priority {priority})")
    } else {
        format!("{address} (priority {priority})")
    }
}

fn interval(party: &Party) -> String {
    duration(interval_ns(party.interval_cs))
}

/// How long from one time to a later one, both in nanoseconds of one clock.
fn between(from_ns: u64, to_ns: u64) -> String {
    duration(to_ns.saturating_sub(from_ns))
}

/// An address as it is commonly written.
pub fn address(family: u8, address: &Address) -> String {
    if family == IPV4 {
        let [a, b, c, d, ..] = *address;
        Ipv4Addr::new(a, b, c, d).to_string()
    } else {
        Ipv6Addr::from(*address).to_string()
    }
}

/// An Ethernet address as Linux writes it.
pub fn mac(mac: &Mac) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
