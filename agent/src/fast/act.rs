//! Doing what a takeover engine has decided.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use keepfast_common::event::Party;
use keepfast_common::wire::vrrp::RESIGN;
use keepfast_common::wire::{IPV4, Mac};

use crate::config::secret::Secret;
use crate::keepalived::raise;
use crate::kernel::FastKernel;
use crate::network::advert::Advert;
use crate::network::question;
use crate::takeover::{Action, Forgery, Note};

use super::guarded::Guarded;
use super::home::Home;
use super::order::Guard;
use super::peer::PeerKey;
use super::sessions::Sessions;

/// How long an address lives that keepalived has not taken for its own yet: an agent
/// that is started anew within it keeps what the dead one has left, if keepalived has
/// by then; else it goes by itself.
pub(super) const LEASE: Duration = Duration::from_secs(5);

/// The priority of the owner of the addresses, which outranks all others.
const OWNER: u8 = 255;

/// The shortest interval that says something, hundredths of a second.
const SHORTEST: u16 = 1;

/// How many addresses are announced from here; keepalived and the daemon announce the
/// others.
const ANNOUNCED: usize = 32;

/// Does it; returns what is to be noted.
pub(super) fn perform(
    action: Action,
    router: &mut Guarded,
    home: &Home,
    kernel: &FastKernel,
    sessions: &mut Sessions,
    ghost: Mac,
) -> Result<Option<Note>> {
    match action {
        Action::Solicit(master) => {
            solicit(&router.guard, home, &master).context("ask the master's keepalived")?;
        }
        Action::AskPeer => {
            if let Some(key) = &router.peer {
                sessions.ask_first(key, &router.guard.id);
            }
        }
        Action::AskWitness => ask_gateways(&router.guard, home)?,
        Action::Raise(value) => {
            if let Some(directory) = &router.guard.directory {
                let outcome = match value {
                    0 if router.guard.policy.drained => raise::lower(directory),
                    value => raise::raise(directory, value),
                };
                outcome.context("raise or lower the priority")?;
            }
        }
        Action::Lease => {
            home.leases.add(&router.guard.addresses, LEASE)?;
            announce(&router.guard, home)?;
        }
        Action::KeepLease => drop(home.leases.keep(&router.guard.addresses)?),
        Action::Unlease => drop(home.leases.remove(&router.guard.addresses)?),
        Action::Inject(forgery, master) => {
            router.deposed = Some(master);
            router.deposed_heard_ns = master.heard_ns;
            let frames = forge(forgery, &router.guard, &master, ghost)?;
            inject(&router.guard, home, kernel, &frames)?;
        }
        Action::Yield(master) => {
            let frame = forged(&router.guard, &master, ghost, OWNER, master.interval_cs)?;
            inject(&router.guard, home, kernel, &[frame])?;
        }
        Action::Announce => announce(&router.guard, home)?,
        Action::TellPeer(master) => tell_peer(router, home, &master)?,
        Action::Resign => resign(&router.guard, home)?,
        Action::Note(note) => return Ok(Some(note)),
    }
    Ok(None)
}

/// Asks a master's keepalived whether it lives: a resignation that only it receives
/// makes it advertise at once (RFC 9568 section 6.4.3).
pub(super) fn solicit(guard: &Guard, home: &Home, master: &Party) -> Result<()> {
    let frame = Advert {
        destination: Some(master.mac),
        ..own_advert(guard)
    }
    .frame()?;
    home.ask(guard.key.ifindex, &frame)
}

/// Asks all gateways.
pub(super) fn ask_gateways(guard: &Guard, home: &Home) -> Result<()> {
    for gateway in 0..guard.gateways.len() {
        ask_gateway(guard, home, gateway)?;
    }
    Ok(())
}

/// Asks one gateway.
pub(super) fn ask_gateway(guard: &Guard, home: &Home, number: usize) -> Result<()> {
    let Some(gateway) = guard.gateways.get(number) else {
        return Ok(());
    };
    let frame = question::frame(gateway.mac, gateway.source, gateway.address)
        .with_context(|| format!("ask gateway {}", gateway.address))?;
    home.send(gateway.key.ifindex, &frame)
}

fn resign(guard: &Guard, home: &Home) -> Result<()> {
    home.send(guard.key.ifindex, &own_advert(guard).frame()?)
        .context("resign")
}

/// An advert of priority 0 of this host's own.
fn own_advert(guard: &Guard) -> Advert<'_> {
    let speech = &guard.speech;
    Advert {
        mac: speech.mac,
        destination: None,
        source: speech.source,
        peer: None,
        vrid: guard.key.vrid,
        version: guard.policy.version,
        priority: RESIGN,
        interval_cs: speech.interval_cs,
        addresses: speech.addresses.clone(),
        password: guard.password.as_ref().map(Secret::expose),
    }
}

fn forge(forgery: Forgery, guard: &Guard, master: &Party, ghost: Mac) -> Result<Vec<Vec<u8>>> {
    Ok(match forgery {
        Forgery::ZeroInterval => vec![forged(guard, master, ghost, OWNER, 0)?],
        Forgery::ShortThenZero => vec![
            forged(guard, master, ghost, OWNER, SHORTEST)?,
            forged(guard, master, ghost, RESIGN, SHORTEST)?,
        ],
        Forgery::PriorityZero => {
            vec![forged(
                guard,
                master,
                ghost,
                RESIGN,
                guard.speech.interval_cs,
            )?]
        }
    })
}

/// An advert as the master would send it.
fn forged(
    guard: &Guard,
    master: &Party,
    ghost: Mac,
    priority: u8,
    interval_cs: u16,
) -> Result<Vec<u8>> {
    let [a, b, c, d, ..] = master.address;
    let source = if guard.key.family == IPV4 {
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(master.address))
    };
    Advert {
        mac: ghost,
        source,
        priority,
        interval_cs,
        ..own_advert(guard)
    }
    .frame()
    .context("make the master's advert")
}

fn inject(guard: &Guard, home: &Home, kernel: &FastKernel, frames: &[Vec<u8>]) -> Result<()> {
    home.namespace.enter(|| {
        for frame in frames {
            kernel.inject(guard.key.ifindex, frame)?;
        }
        Ok(())
    })
}

fn announce(guard: &Guard, home: &Home) -> Result<()> {
    for announcement in guard.announcements.iter().take(ANNOUNCED) {
        home.send(announcement.index, &announcement.frame())
            .context("announce an address")?;
    }
    Ok(())
}

/// Tells the host whose place was taken, by the token that it gave this one.
fn tell_peer(router: &Guarded, home: &Home, master: &Party) -> Result<()> {
    let (Some(wish), true) = (router.wish(), router.stamps.token != 0) else {
        return Ok(());
    };
    let key = PeerKey {
        netns: router.guard.key.netns,
        ifindex: router.guard.key.ifindex,
        mac: master.mac,
    };
    let frame = Sessions::taken(&key, &wish, &router.question(), router.stamps.token);
    home.ask(key.ifindex, frame.bytes())
        .context("tell the host whose place was taken")
}
