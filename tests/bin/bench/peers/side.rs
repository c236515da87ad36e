//! What looks after the routers of one host, with its configuration.

use crate::peers::alone::Alone;
use crate::peers::pair::{EACH_LINK, SECOND, address};
use crate::peers::peer::{Kind, Peer};
use anyhow::{Context, Result};
use lab::daemon::Daemon;
use lab::link;
use lab::netns::Namespace;
use lab::router::{HA, Host, INNER};
use std::fmt::Write;
use std::fs;

/// What looks after the routers of one host.
pub(crate) enum Side {
    Alone(Box<Alone>),
    Keepfast(Daemon),
}

/// Starts `count` routers of a peer on a host: in its namespace, or each in its own.
pub(crate) fn start(
    peer: &'static Peer,
    host: &Host,
    own: Option<&[Namespace]>,
    count: usize,
) -> Result<Side> {
    let namespace = &host.namespace;
    let fill = |number: usize, text: &str| match own.and_then(|it| it.get(number)) {
        Some(place) => filled(host, place, [0, number], text),
        None => {
            let link = number / EACH_LINK;
            filled(host, namespace, [link, number], text)
        }
    };
    match peer.kind {
        Kind::Keepfast => {
            let daemon = Daemon::prepare(&format!("host{}", host.number))?;
            for number in 0..count {
                daemon.declare(
                    &format!("r{}", number + 1),
                    &fill(number, peer.configuration),
                )?;
            }
            let mut daemon = daemon;
            daemon.start()?;
            Ok(Side::Keepfast(daemon))
        }
        Kind::Keepalived => {
            let mut lines = String::new();
            let own = |link| fill(link * EACH_LINK, "address add @own@/24 dev @link@\n");
            for link in 0..=(count - 1) / EACH_LINK {
                lines += &own(link);
            }
            link::ip(namespace, &lines)?;
            let text = peer.text(count, fill);
            let alone = Alone::start(peer.kind, namespace, &text)?;
            Ok(Side::Alone(Box::new(alone)))
        }
        Kind::Frr => {
            macvlans(host, count)?;
            let text = peer.text(count, fill);
            let alone = Alone::start(peer.kind, namespace, &text)?;
            Ok(Side::Alone(Box::new(alone)))
        }
    }
}

/// A text with what is different for a host and a router, which is in this namespace.
fn filled(host: &Host, namespace: &Namespace, [link, number]: [usize; 2], text: &str) -> String {
    let other = 3 - host.number;
    let address = address(number);
    [
        ("@id@", format!("r{}", number + 1)),
        ("@number@", (number + 1).to_string()),
        ("@namespace@", namespace.name().to_owned()),
        ("@link@", if link == 0 { HA } else { SECOND }.to_owned()),
        ("@inside@", INNER.to_owned()),
        ("@vrid@", (number % EACH_LINK + 1).to_string()),
        ("@own@", format!("169.254.{}.{}", 192 + link, host.number)),
        ("@other@", format!("169.254.{}.{other}", 192 + link)),
        ("@host@", address.to_string()),
        ("@address@", format!("{address}/16")),
    ]
    .iter()
    .fold(text.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    })
}

/// The devices that vrrpd looks for.
fn macvlans(host: &Host, count: usize) -> Result<()> {
    host.namespace.run(|| {
        // A host must not answer for an address of a macvlan that is not its own now.
        for (name, value) in [
            ("arp_ignore", "1"),
            ("arp_announce", "2"),
            ("rp_filter", "0"),
        ] {
            let file = format!("/proc/sys/net/ipv4/conf/all/{name}");
            fs::write(&file, value).with_context(|| format!("write {file}"))?;
        }
        Ok(())
    })?;
    let mut lines = format!("address add 10.0.9.{}/16 dev {INNER}\n", host.number);
    for number in 0..count {
        let vrid = number + 1;
        write!(
            lines,
            "link add vrrp4-{vrid} link {INNER} address 00:00:5e:00:01:{vrid:02x} type macvlan mode bridge\n\
             address add {}/16 dev vrrp4-{vrid}\nlink set vrrp4-{vrid} up\n",
            address(number)
        )?;
    }
    link::ip(&host.namespace, &lines)
}
