//! One virtual router on several hosts, each with what looks after it there, and who is what.

use crate::cluster::peer::Peer;
use anyhow::{Context, Result, bail};
use lab::daemon::Daemon;
use lab::router::{Declaration, Host, Topology};
use lab::wait;
use serde_json::Value;
use std::thread;
use std::time::Duration;

/// A host whose keepalived nobody looks after.
pub(crate) mod peer;

/// What the router is called on each host.
pub(crate) const ROUTER: &str = "r";
/// Longer than any takeover or return takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How the routers speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Style {
    /// VRRP version 3, an advert each second.
    V3,
    /// VRRP version 2, an advert each second.
    V2,
    /// As Neutron has it: version 2, an advert every two seconds.
    Neutron,
}

/// Who runs on the hosts.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) style: Style,
    pub(crate) hosts: u8,
    /// Whether the first host has a keepalived alone, and then whether it forwards.
    pub(crate) peer_forwards: Option<bool>,
    /// What is in the declarations' `[fast_path]` table; without it, there is none.
    pub(crate) fast_path: Option<String>,
    /// Further keys of the declarations.
    pub(crate) keys: String,
}

/// The hosts of one virtual router; one of them is the primary.
pub(crate) struct Cluster {
    // Before the network that they are in.
    pub(crate) members: Vec<Member>,
    pub(crate) topology: Topology,
    armed: bool,
    interval: Duration,
}

/// What looks after the router on one host.
pub(crate) enum Member {
    /// `keepfast run`.
    Managed {
        daemon: Daemon,
        declaration: Box<Declaration>,
    },
    /// keepalived alone, which always takes over again.
    Alone(Peer),
}

impl Setup {
    /// What a host is told.
    fn declaration(&self, host: &Host) -> Declaration {
        let base = match self.style {
            Style::V3 | Style::V2 => Declaration {
                interval: Duration::from_secs(1),
                ..Declaration::plain(host)
            },
            Style::Neutron => Declaration::neutron(host),
        };
        let fast_path = self.fast_path.as_ref();
        Declaration {
            // Of more than two, those that are left must not be equals.
            priority: base.priority + if self.hosts > 2 { host.number } else { 0 },
            vrrp: match self.style {
                Style::V2 => "version = 2\n".to_owned(),
                Style::V3 | Style::Neutron => String::new(),
            },
            keys: self.keys.clone(),
            tables: fast_path.map_or_else(String::new, |keys| format!("\n[fast_path]\n{keys}")),
            ..base
        }
    }
}

impl Cluster {
    /// Makes the network, starts what runs there, and waits until one is the primary.
    pub(crate) fn start(setup: &Setup) -> Result<Self> {
        let topology = Topology::new(setup.hosts)?;
        let mut members = Vec::new();
        let mut interval = Duration::ZERO;
        for host in &topology.hosts {
            let declaration = setup.declaration(host);
            interval = declaration.interval;
            let first = members.is_empty();
            let member = match setup.peer_forwards.filter(|_| first) {
                Some(forwards) => Member::Alone(Peer::start(host, &declaration, forwards)?),
                None => Member::manage(host, declaration)?,
            };
            let state = if first { "primary" } else { "backup" };
            wait::until(&format!("{state} at the start"), LIMIT, || {
                match member.state() {
                    Ok(seen) if seen == state => Ok(()),
                    Ok(seen) => Err(seen),
                    Err(error) => Err(format!("{error:#}")),
                }
            })?;
            members.push(member);
        }
        Ok(Self {
            members,
            topology,
            armed: setup.fast_path.is_some(),
            interval,
        })
    }

    /// Between two adverts.
    pub(crate) const fn interval(&self) -> Duration {
        self.interval
    }

    /// Waits until there is one primary, the first host where that always takes over again, and
    /// all others are backups that know it; which one.
    pub(crate) fn settle(&self) -> Result<usize> {
        let primary = wait::until("one primary and backups", LIMIT, || {
            let states = self.states();
            let primaries = states.iter().filter(|it| *it == "primary").count();
            let backups = states.iter().filter(|it| *it == "backup").count();
            let at = states.iter().position(|it| it == "primary");
            match at {
                Some(at)
                    if (primaries, backups) == (1, states.len() - 1)
                        && (at == 0 || !self.prefers_first()) =>
                {
                    Ok(at)
                }
                _ => Err(states.join(", ")),
            }
        })?;
        if self.armed {
            for (number, member) in self.members.iter().enumerate() {
                if number != primary {
                    member.wait_session()?;
                }
            }
        } else {
            // Each has heard of it.
            thread::sleep(self.interval + self.interval / 4);
        }
        Ok(primary)
    }

    /// Waits until another than `old` is the primary; which one.
    pub(crate) fn wait_successor(&self, old: usize) -> Result<usize> {
        wait::until("another primary", LIMIT, || {
            let states = self.states();
            let mut others = states.iter().enumerate();
            let found = others.find(|(number, state)| *number != old && *state == "primary");
            let found = found.map(|(number, _)| number);
            found.ok_or_else(|| states.join(", "))
        })
    }

    /// What each of the routers is, or why that is not known.
    fn states(&self) -> Vec<String> {
        let states = self.members.iter().map(Member::state);
        states
            .map(|state| state.unwrap_or_else(|error| format!("{error:#}")))
            .collect()
    }

    fn prefers_first(&self) -> bool {
        matches!(self.members.first(), Some(Member::Alone(_)))
    }

    /// A member and its host.
    pub(crate) fn at(&self, number: usize) -> Result<(&Member, &Host)> {
        let member = self.members.get(number);
        member
            .zip(self.topology.hosts.get(number))
            .with_context(|| format!("find host {number}"))
    }

    /// The events of one member's router from `since_ns` on; none where nobody logs.
    pub(crate) fn events(&self, number: usize, since_ns: u64) -> Result<Vec<Value>> {
        let Member::Managed { daemon, .. } = self.at(number)?.0 else {
            return Ok(Vec::new());
        };
        let mut events = daemon.events(ROUTER)?;
        events.retain(|event| event["monotonic_ns"].as_u64() >= Some(since_ns));
        Ok(events)
    }
}

impl Member {
    fn manage(host: &Host, declaration: Declaration) -> Result<Self> {
        let daemon = Daemon::new(&format!("host{}", host.number))?;
        declaration.apply(&daemon)?;
        let declaration = Box::new(declaration);
        Ok(Self::Managed {
            daemon,
            declaration,
        })
    }

    /// `primary`, `backup`, or something else while it is neither.
    fn state(&self) -> Result<String> {
        match self {
            Self::Managed { daemon, .. } => daemon.state_file(ROUTER),
            Self::Alone(peer) => Ok(peer.state().to_owned()),
        }
    }

    /// The daemon and what it was told of the router.
    pub(crate) fn managed(&self) -> Result<(&Daemon, &Declaration)> {
        match self {
            Self::Managed {
                daemon,
                declaration,
            } => Ok((daemon, declaration)),
            Self::Alone(_) => bail!("nobody looks after the router there"),
        }
    }

    /// Waits until its fast path watches the primary.
    fn wait_session(&self) -> Result<()> {
        let Self::Managed { daemon, .. } = self else {
            return Ok(());
        };
        wait::until("a session of the fast path", LIMIT, || {
            let shown = daemon.show(ROUTER).map_err(|error| format!("{error:#}"))?;
            match &shown["fast_path"] {
                // A peer that answers no probes is asked, and has no session.
                fast_path
                    if fast_path["session"] == "up" || fast_path["means"] == "solicitation" =>
                {
                    Ok(())
                }
                other => Err(other.to_string()),
            }
        })
    }
}
