//! How the daemon and its routers are, for `keepfast status`.
//!
//! For all routers at once the map of virtual routers is read in one go; nothing is read
//! from a file.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use keepfast_common::maps::{AddressKey, RouterKey};
use keepfast_common::neighbour::Holding;
use keepfast_common::protect::Tally;
use keepfast_common::time::{down_after_ns, interval_ns};
use keepfast_common::track::{PHASE_ACTIVE, PHASE_DOWN, PHASE_LATE, PHASE_RESIGNED, VirtualRouter};
use serde::Deserialize;

use crate::config::{Mode, Protection, RouterId};
use crate::engine::{Nanos, Program, State};
use crate::keepalived::render;
use crate::kernel::Hook;
use crate::report::clock::monotonic_ns;
use crate::report::words;
use crate::status::{
    AdvertStatus, DaemonStatus, DetectedBy, DetectionStatus, FastPathStatus, GatewayStatus,
    GatewayWord, KeepalivedStatus, Margin, MasterPhase, MasterStatus, Owner, ProtectStatus,
    RouterStatus, SCHEMA, SessionStatus, Status, TransitionStatus, WakeUps,
};

use super::daemon::Daemon;
use super::member::Member;

const MS_NS: u64 = 1_000_000;
const US_NS: u64 = 1_000;

/// What the fast path's thread says of a router.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    mode: Option<Mode>,
    doing: Option<String>,
    means: Option<String>,
    session: Option<String>,
    heirs: u64,
    backs_off_ms: u64,
    peer: Option<String>,
    interval_us: Option<u64>,
    multiplier: Option<u64>,
    probes_sent: u64,
    probes_answered: u64,
    worst_answer_us: u64,
    rank: u64,
    peer_keepalived: Option<String>,
    why: Option<String>,
    wakes: Option<u64>,
    late_wakes: u64,
    worst_wake_us: u64,
}

/// What is looked at for all routers at the same time.
struct Look {
    now: Nanos,
    routers: HashMap<RouterKey, VirtualRouter>,
    holdings: HashMap<AddressKey, Holding>,
    tallies: HashMap<RouterId, Tally>,
}

impl Daemon {
    /// How the daemon is, and one router or all.
    pub(super) fn status(&mut self, id: Option<&RouterId>) -> Result<Status> {
        let look = self.look(id)?;
        let members: Vec<&Member> = match id {
            Some(id) => self.members.get(id).into_iter().collect(),
            None => self.members.values().collect(),
        };
        let mut wake_ups = None;
        let mut routers = Vec::with_capacity(members.len());
        for member in members {
            let said = serde_json::from_value::<Said>(self.fast_status(member))
                .context("read what the fast path says")?;
            // The thread's, and so the same for all.
            if let Some(count) = said.wakes {
                wake_ups = Some(WakeUps {
                    count,
                    late: said.late_wakes,
                    worst_us: said.worst_wake_us,
                });
            }
            routers.push(self.router_status(member, said, &look));
        }
        Ok(Status {
            schema: SCHEMA.to_owned(),
            time: self.clock.instant(look.now).to_string(),
            daemon: self.daemon_status(wake_ups, look.now),
            routers,
        })
    }

    fn look(&mut self, id: Option<&RouterId>) -> Result<Look> {
        let mut look = Look {
            now: monotonic_ns()?,
            routers: HashMap::new(),
            holdings: HashMap::new(),
            tallies: HashMap::new(),
        };
        let ids: Vec<RouterId> = match id {
            Some(id) => vec![id.clone()],
            None => self.members.keys().cloned().collect(),
        };
        for id in ids {
            if let Some(tally) = self.tally_of(&id)? {
                look.tallies.insert(id, tally);
            }
        }
        let one = id.and_then(|id| self.members.get(id));
        let key = one.and_then(|member| self.key_of(member));
        let gateways: Vec<AddressKey> = match one {
            Some(member) => self.gateway_keys(member).collect(),
            None => {
                let members = self.members.values();
                members.flat_map(|it| self.gateway_keys(it)).collect()
            }
        };
        let Some(observer) = &mut self.observer else {
            return Ok(look);
        };
        let maps = observer.kernel.maps();
        match (id, key) {
            (None, _) => look.routers.extend(maps.routers()?),
            (Some(_), Some(key)) => {
                let known = maps.router(key)?;
                look.routers.extend(known.map(|known| (key, known)));
            }
            (Some(_), None) => {}
        }
        for key in gateways {
            let holding = maps.holding(key)?;
            look.holdings.extend(holding.map(|holding| (key, holding)));
        }
        Ok(look)
    }

    fn daemon_status(&self, wake_ups: Option<WakeUps>, now: Nanos) -> DaemonStatus {
        let mut fallbacks = self.fallbacks.clone();
        fallbacks.extend(self.fast.iter().flat_map(|fast| fast.path.fallbacks()));
        DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.clock.instant(self.started_ns).to_string(),
            up_ms: now.saturating_sub(self.started_ns) / MS_NS,
            directory: self.base.path().display().to_string(),
            kernel_programs: self.observer.is_some(),
            fast_path: self.fast.is_some(),
            drained: self.drained,
            fallbacks,
            problems: self.problems.clone(),
            events_lost: self.observer.as_ref().map_or(0, |it| it.lost()),
            timers_refused: self.observer.as_ref().map_or(0, |it| it.refused()),
            wake_ups,
        }
    }

    fn router_status(&self, member: &Member, said: Said, look: &Look) -> RouterStatus {
        let engine = &member.engine;
        let plan = member.plan();
        let instance = plan.instance.as_ref();
        let known = self.key_of(member).and_then(|key| look.routers.get(&key));
        let known = known.filter(|known| known.master.heard_ns != 0);
        let adverts = known.map(|known| {
            let priority = match (known.own_priority, instance) {
                (0, Some(instance)) => instance.priority,
                (own, _) => own,
            };
            adverts(known, priority, look.now)
        });
        let family = instance.map_or(4, |it| it.family);
        RouterStatus {
            id: member.id.to_string(),
            namespace: plan.router.namespace_name().map(str::to_owned),
            state: engine.state(),
            since: self.clock.instant(engine.since_ns()).to_string(),
            state_age_ms: look.now.saturating_sub(engine.since_ns()) / MS_NS,
            published: engine.published(),
            note: engine.note(),
            drained: self.drained,
            interface: member.advert_interface().map(str::to_owned),
            vrid: instance.map(|it| it.vrid.get()),
            priority: instance.map(|it| it.priority),
            primary_address: plan.addresses.first().map(|it| it.address.to_string()),
            addresses_declared: plan.addresses.len() as u64,
            addresses_present: engine.present().len() as u64,
            keepalived: keepalived(member),
            detection: self.detection(member),
            master: known.map(|known| master(known, family, look.now)),
            adverts,
            gateways: self.gateways(member, look),
            fast_path: fast_path(member, said, self.drained),
            protect: look.tallies.get(&member.id).map(|tally| {
                let mode = instance.map_or(Protection::Off, |it| it.protect.mode);
                ProtectStatus::of(mode, tally, family, look.now)
            }),
            last_transition: member.last.as_ref().map(|last| TransitionStatus {
                time: self.clock.instant(last.at).to_string(),
                from: last.from,
                to: last.to,
                reason: last.reason.clone(),
            }),
            last_failover: member.failover.clone(),
            events_not_logged: member.unlogged,
        }
    }

    fn detection(&self, member: &Member) -> DetectionStatus {
        let interface = member.advert_interface();
        let attachment = interface.and_then(|name| self.site(member)?.attachment(name));
        let Some(attachment) = attachment else {
            return DetectionStatus {
                by: DetectedBy::Netlink,
                hooks: "netlink only".to_owned(),
                fallbacks: Vec::new(),
            };
        };
        DetectionStatus {
            by: match attachment.ingress {
                Hook::NativeXdp => DetectedBy::NativeXdp,
                Hook::GenericXdp => DetectedBy::GenericXdp,
                Hook::Tcx | Hook::Clsact => DetectedBy::Tc,
            },
            hooks: attachment.hooks(),
            fallbacks: attachment.fallbacks.clone(),
        }
    }

    /// The gateways of a managed router, and where each is; `None`: its interface is not
    /// there.
    fn gateways_of(
        &self,
        member: &Member,
    ) -> impl Iterator<Item = (render::Gateway, Option<AddressKey>)> {
        let site = self.site(member);
        let gateways = member.managed().map(render::gateways).unwrap_or_default();
        gateways.into_iter().map(move |gateway| {
            let key = site.and_then(|site| {
                let link = site.link(gateway.interface.as_str())?;
                Some(site.address_key(link.index, gateway.address))
            });
            (gateway, key)
        })
    }

    /// Where those gateways are that the kernel programs watch.
    fn gateway_keys(&self, member: &Member) -> impl Iterator<Item = AddressKey> {
        let watches = self.fast.as_ref().is_some_and(|it| it.guards(&member.id));
        self.gateways_of(member)
            .filter_map(move |(_, key)| key.filter(|_| watches))
    }

    fn gateways(&self, member: &Member, look: &Look) -> Vec<GatewayStatus> {
        let watches = self.fast.as_ref().is_some_and(|it| it.guards(&member.id));
        let one = |(gateway, key): (render::Gateway, Option<AddressKey>)| {
            let holding = key.and_then(|key| look.holdings.get(&key));
            let heard = holding.filter(|it| it.heard_ns != 0);
            let state = match (watches, holding, heard) {
                (false, ..) => GatewayWord::Unwatched,
                (true, Some(holding), _) if holding.silent != 0 => GatewayWord::Silent,
                (true, _, Some(_)) => GatewayWord::Answers,
                (true, _, None) => GatewayWord::Unheard,
            };
            GatewayStatus {
                address: gateway.address.to_string(),
                interface: gateway.interface.to_string(),
                state,
                mac: heard.map(|it| words::mac(&it.mac)),
                heard_ms_ago: heard.map(|it| look.now.saturating_sub(it.heard_ns) / MS_NS),
            }
        };
        self.gateways_of(member).map(one).collect()
    }
}

fn keepalived(member: &Member) -> KeepalivedStatus {
    let pid = member.processes.get(&Program::Keepalived);
    let pid = pid.map(|process| process.pid());
    let mut programs = member.engine.programs();
    let phase = programs.find(|(program, _)| *program == Program::Keepalived);
    let managed = member.managed().is_some();
    let phase = match phase {
        Some((_, phase)) => phase,
        None if pid.is_some() => "running",
        None if managed => "stopped",
        None => "unknown",
    };
    KeepalivedStatus {
        owner: if managed {
            Owner::Managed
        } else {
            Owner::Attached
        },
        phase: phase.to_owned(),
        pid,
    }
}

fn master(known: &VirtualRouter, family: u8, now: Nanos) -> MasterStatus {
    let party = &known.master;
    MasterStatus {
        this_host: party.local != 0,
        address: words::address(family, &party.address),
        mac: words::mac(&party.mac),
        priority: party.priority,
        version: party.version,
        phase: match known.phase {
            PHASE_ACTIVE => MasterPhase::Active,
            PHASE_LATE => MasterPhase::Late,
            PHASE_RESIGNED => MasterPhase::Resigned,
            PHASE_DOWN => MasterPhase::Down,
            _ => MasterPhase::Vacant,
        },
        phase_age_ms: now.saturating_sub(known.since_ns) / MS_NS,
        contested: known.contested != 0,
    }
}

fn adverts(known: &VirtualRouter, priority: u8, now: Nanos) -> AdvertStatus {
    let party = &known.master;
    let down_ns = down_after_ns(party.version, party.interval_cs, priority);
    AdvertStatus {
        interval_ms: interval_ns(party.interval_cs) / MS_NS,
        age_us: now.saturating_sub(party.heard_ns) / US_NS,
        worst_gap_us: known.gap_max_ns / US_NS,
        down_after_us: down_ns / US_NS,
        margin: Margin::of(known.gap_max_ns, down_ns),
        received: known.adverts_received,
        sent: known.adverts_sent,
    }
}

fn fast_path(member: &Member, said: Said, drained: bool) -> FastPathStatus {
    let declared = member.plan().router.fast_path.mode;
    let mode = said.mode.unwrap_or(Mode::Off);
    // A master has none: then the word says so.
    let phase = said.session.filter(|phase| !phase.starts_with("none"));
    let is_master = member.engine.state() == State::Primary;
    let why_not = if drained && declared != Mode::Off {
        Some("this host is drained".to_owned())
    } else if is_master && said.why.is_none() {
        None
    } else if let Some(why) = said.why {
        Some(why)
    } else {
        why_not(declared, mode, said.backs_off_ms, phase.as_deref())
    };
    FastPathStatus {
        declared,
        mode,
        why_not,
        shadowed: member.is_shadowed(),
        doing: said.doing,
        backs_off_ms: said.backs_off_ms,
        heirs: said.heirs,
        session: phase.map(|phase| SessionStatus {
            peer: said.peer,
            phase,
            means: said.means.unwrap_or_default(),
            interval_us: said.interval_us,
            multiplier: said.multiplier,
            sent: said.probes_sent,
            answered: said.probes_answered,
            worst_answer_us: said.worst_answer_us,
            rank: said.rank,
            peer_keepalived: said.peer_keepalived,
        }),
    }
}

/// Why a backup would take nothing over, in words, if so.
fn why_not(declared: Mode, mode: Mode, backs_off_ms: u64, phase: Option<&str>) -> Option<String> {
    let why = match (declared, mode, phase) {
        (Mode::Off, ..) => "no [fast_path] is declared",
        (_, Mode::Off, _) => "it does not run",
        (_, Mode::Shadow, _) => "it is in shadow: it decides and logs, and does nothing",
        _ if backs_off_ms > 0 => "a takeover was wrong or failed a short while ago",
        (_, Mode::Armed, Some("up" | "suspect" | "silent")) => return None,
        (_, Mode::Armed, Some("learning")) => "the session with the master's host is too young",
        (_, Mode::Armed, Some("leaving")) => "the master's host ends the session",
        (_, Mode::Armed, _) => "there is no session with the master's host",
    };
    Some(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_and_an_able_backup_has_none() {
        for (declared, mode, backs_off_ms, phase, expected) in [
            (Mode::Armed, Mode::Armed, 0, Some("up"), None),
            (Mode::Armed, Mode::Armed, 0, Some("silent"), None),
            (Mode::Off, Mode::Off, 0, None, Some("no [fast_path]")),
            (Mode::Armed, Mode::Off, 0, None, Some("does not run")),
            (Mode::Shadow, Mode::Shadow, 0, Some("up"), Some("shadow")),
            (Mode::Armed, Mode::Shadow, 0, Some("up"), Some("shadow")),
            (Mode::Armed, Mode::Armed, 1, Some("up"), Some("wrong or")),
            (Mode::Armed, Mode::Armed, 0, Some("learning"), Some("young")),
            (
                Mode::Armed,
                Mode::Armed,
                0,
                Some("down"),
                Some("no session"),
            ),
            (Mode::Armed, Mode::Armed, 0, Some("leaving"), Some("ends")),
        ] {
            let why = why_not(declared, mode, backs_off_ms, phase);
            match expected {
                Some(part) => assert!(why.as_ref().unwrap().contains(part), "{why:?}"),
                None => assert_eq!(why, None),
            }
        }
    }

    #[test]
    fn the_margin_is_of_this_hosts_own_down_time() {
        let mut known = VirtualRouter::UNKNOWN;
        known.master.heard_ns = 10_000_000_000;
        known.master.interval_cs = 100;
        known.master.version = 3;
        known.gap_max_ns = 2_000_000_000;
        let told = adverts(&known, 100, 10_250_000_000);
        assert_eq!(told.interval_ms, 1_000);
        assert_eq!(told.age_us, 250_000);
        assert_eq!(told.down_after_us, 3_609_375);
        assert_eq!(told.margin, Margin::of(2_000_000, 3_609_375));
    }
}
