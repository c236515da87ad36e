//! Records in words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use keepfast_common::blackbox::{ADVERT, ANNOUNCED, FIRST_PACKET, PEER_SAYS, Record};
use keepfast_common::event::EventKind;
use keepfast_common::wire::{Address, IPV6};

use super::{Identity, Reason};
use crate::report::clock::duration;

/// The short name of what is no event.
pub(super) const fn name(kind: u8) -> &'static str {
    match kind {
        ADVERT => "advert",
        ANNOUNCED => "announced",
        FIRST_PACKET => "first_packet",
        PEER_SAYS => "peer_says",
        _ => "unknown",
    }
}

/// A record as an operator would say it.
pub(super) fn sentence(record: &Record, identity: &Identity) -> String {
    let of_router = address(&record.address, identity.family);
    let link = identity.link(record.ifindex);
    let since = |then: u64| duration(record.time_ns.saturating_sub(then));
    match record.kind {
        ADVERT if record.local != 0 => match record.priority {
            0 => format!("this host's advert left {link}: it resigns (priority 0)"),
            priority => format!("this host's advert left {link}, priority {priority}"),
        },
        ADVERT => match record.priority {
            0 => format!("advert of {of_router}: it resigns (priority 0)"),
            priority => format!("advert of {of_router}, priority {priority}"),
        },
        ANNOUNCED => {
            let what = address(&record.address, record.family);
            let how = if record.family == IPV6 {
                "neighbour advertisement"
            } else {
                "gratuitous ARP"
            };
            if record.local != 0 {
                format!("{how} of {what} left {link}")
            } else {
                format!("{how} of {what} came in on {link}, from {}", mac(record))
            }
        }
        FIRST_PACKET if record.detail != 0 => format!("first packet forwarded, out of {link}"),
        FIRST_PACKET => format!(
            "first packet from {} left {link}",
            address(&record.address, record.family)
        ),
        PEER_SAYS => {
            let reason = Reason::of_number(record.detail);
            let unknown = "a reason that this keepfast does not know";
            let reason = reason.map_or(unknown, Reason::words);
            format!("host {} says why it gives up: {reason}", mac(record))
        }
        _ => event(record, &of_router, &since),
    }
}

fn event(record: &Record, router: &str, since: &dyn Fn(u64) -> String) -> String {
    let host = || mac(record);
    match EventKind::from_number(record.kind) {
        Some(EventKind::MasterAppeared) => {
            format!("{router} is master now, priority {}", record.priority)
        }
        Some(EventKind::MasterChanged) => {
            format!(
                "{router} is master now, priority {}, in place of another",
                record.priority
            )
        }
        Some(EventKind::PriorityChanged) => {
            format!(
                "master {router} advertises priority {} now",
                record.priority
            )
        }
        Some(EventKind::MasterResigned) => format!("master {router} resigned"),
        Some(EventKind::AdvertLate) => {
            format!(
                "advert of master {router} is late: none for {}",
                since(record.heard_ns)
            )
        }
        Some(EventKind::AdvertResumed) => format!("master {router} is heard again"),
        Some(EventKind::MasterDown) => {
            format!(
                "master {router} is down: no advert for {}",
                since(record.heard_ns)
            )
        }
        Some(EventKind::MultipleMasters) => format!("{router} advertises, too"),
        Some(EventKind::SingleMaster) => "there is one master again".to_owned(),
        Some(EventKind::LocalMaster) => format!(
            "this host is master: its first advert left, priority {}",
            record.priority
        ),
        Some(EventKind::LocalResigned) => "this host resigned".to_owned(),
        Some(EventKind::LocalStalled) => "this host's own advert is overdue".to_owned(),
        Some(EventKind::LocalResumed) => "this host advertises again".to_owned(),
        Some(EventKind::PeerUp) => format!("host {} answers probes", host()),
        Some(EventKind::PeerSuspect) => {
            format!("host {} leaves the first probes unanswered", host())
        }
        Some(EventKind::PeerSilent) => format!(
            "host {} is silent: its last answer came {} before, the first probe without one left {} before",
            host(),
            since(record.heard_ns),
            since(record.due_ns)
        ),
        Some(EventKind::PeerBack) => format!("host {} answers again", host()),
        Some(EventKind::PeerLeaving) => {
            format!(
                "host {} says that its keepfast ends: its silence means nothing",
                host()
            )
        }
        Some(EventKind::TakenOver) => format!("{router} says that it has taken over"),
        _ => format!("event {}", record.kind),
    }
}

pub(super) fn address(address: &Address, family: u8) -> String {
    let [a, b, c, d, ..] = *address;
    let address = if family == IPV6 {
        IpAddr::V6(Ipv6Addr::from(*address))
    } else {
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    address.to_string()
}

fn mac(record: &Record) -> String {
    let bytes = record.mac.map(|byte| format!("{byte:02x}"));
    bytes.join(":")
}
