//! What is legitimate for the routers, as the kernel programs are told, and what they
//! found.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use keepfast_common::maps::RouterKey;
use keepfast_common::protect::{
    HEADER, KEPT, MODE_ENFORCE, MODE_OBSERVE, MODE_OFF, Offence, PASSWORD, PLAIN, Policy, Tally,
};
use tracing::warn;

use crate::config::{AuthenticationKind, Protection, RouterId};
use crate::engine::{Instance, Nanos};
use crate::kernel;
use crate::report::clock::monotonic_ns;
use crate::report::words;

use super::daemon::Daemon;
use super::guard::source;

/// How often offences are told of one router, nanoseconds: they come as fast as
/// somebody can send.
const TOLD_NS: Nanos = 60_000_000_000;

/// The routers that the programs were told of.
#[derive(Debug, Default)]
pub(super) struct Configured(BTreeMap<RouterId, Told>);

impl Configured {
    /// All of them.
    pub(super) fn keys(&self) -> BTreeSet<RouterKey> {
        self.0.values().map(|told| told.key).collect()
    }
}

#[derive(Debug)]
struct Told {
    key: RouterKey,
    policy: Policy,
    /// Offences that were told, and when, CLOCK_MONOTONIC nanoseconds; 0: never.
    offences: u64,
    at: Nanos,
}

impl Daemon {
    /// Has the kernel programs know a router, and what is legitimate for it, where its
    /// interface is watched; or forget it.
    pub(super) fn protect_router(&mut self, id: &RouterId) {
        let wanted = self.policy_of(id);
        let told = self.configured.0.get(id);
        if told.map(|told| (told.key, told.policy)) == wanted {
            return;
        }
        if let Err(error) = self.try_protect(id, wanted) {
            self.trouble(id, &error.context("say what is legitimate for it"));
        }
    }

    fn try_protect(&mut self, id: &RouterId, wanted: Option<(RouterKey, Policy)>) -> Result<()> {
        let Some(observer) = &mut self.observer else {
            return Ok(());
        };
        let protection = observer.kernel.maps().protection();
        let old = self.configured.0.remove(id);
        let stays = |key| wanted.is_some_and(|(wanted, _)| wanted == key);
        if let Some(old) = old.as_ref().filter(|old| !stays(old.key))
            && !self.configured.0.values().any(|it| it.key == old.key)
        {
            protection.dismiss(old.key)?;
        }
        let Some((key, policy)) = wanted else {
            return Ok(());
        };
        protection.configure(key, policy)?;
        let kept = old.filter(|old| old.key == key);
        let told = Told {
            key,
            policy,
            offences: kept.as_ref().map_or(0, |old| old.offences),
            at: kept.map_or(0, |old| old.at),
        };
        self.configured.0.insert(id.clone(), told);
        Ok(())
    }

    fn policy_of(&self, id: &RouterId) -> Option<(RouterKey, Policy)> {
        let member = self.members.get(id)?;
        let (site, instance) = (self.site(member)?, member.plan().instance.as_ref()?);
        let key = self.key_of(member)?;
        if self.observer.is_none() || member.engine.is_deleted() || !site.is_watched(key.ifindex) {
            return None;
        }
        let own = source(site, member, instance, key.ifindex);
        let own = own.map_or([0; 16], |own| kernel::address(own).1);
        Some((key, policy(instance, own)))
    }

    /// Every second: tells of adverts that cannot be legitimate.
    pub(super) fn tell_offences(&mut self) {
        let (Some(observer), Ok(now)) = (&mut self.observer, monotonic_ns()) else {
            return;
        };
        let protection = observer.kernel.maps().protection();
        let mut news = Vec::new();
        for (id, told) in &mut self.configured.0 {
            if told.policy.mode == MODE_OFF || (told.at != 0 && now < told.at + TOLD_NS) {
                continue;
            }
            let tally = match protection.tally(told.key) {
                Ok(Some(tally)) => tally,
                Ok(None) => continue,
                Err(error) => {
                    warn!(router = %id, "{error:#}");
                    continue;
                }
            };
            let offences = offences(&tally);
            if offences > told.offences {
                news.push((id.clone(), detail(told, &tally)));
                told.offences = offences;
                told.at = now;
            }
        }
        for (id, (name, detail)) in news {
            warn!(router = %id, "{name}: {detail}");
            self.note(&id, now, name, &detail);
        }
    }

    /// What the programs have found of a router's adverts, if they look for anything.
    pub(super) fn tally_of(&mut self, id: &RouterId) -> Result<Option<Tally>> {
        let (Some(told), Some(observer)) = (self.configured.0.get(id), &mut self.observer) else {
            return Ok(None);
        };
        if told.policy.mode == MODE_OFF {
            return Ok(None);
        }
        observer.kernel.maps().protection().tally(told.key)
    }
}

/// What is legitimate for a router of which this host's own address is `own`.
fn policy(instance: &Instance, own: [u8; 16]) -> Policy {
    let protect = &instance.protect;
    let mut policy = Policy {
        own,
        mode: match protect.mode {
            Protection::Off => MODE_OFF,
            Protection::Observe => MODE_OBSERVE,
            Protection::Enforce => MODE_ENFORCE,
        },
        version: instance.version,
        authentication: match instance.authentication {
            None => PLAIN,
            Some(AuthenticationKind::Pass) => PASSWORD,
            Some(AuthenticationKind::Ah) => HEADER,
        },
        ..Policy::OFF
    };
    for (place, peer) in policy.peers.iter_mut().zip(&protect.peers) {
        *place = kernel::address(*peer).1;
    }
    policy.peer_count = protect.peers.len().min(KEPT) as u8;
    let owners = protect.owner.iter().chain(&instance.advertised);
    for (place, owner) in policy.held.iter_mut().zip(owners) {
        *place = kernel::address(*owner).1;
        policy.held_count += 1;
    }
    policy
}

fn offences(tally: &Tally) -> u64 {
    let counts = tally.dropped.iter().skip(1).chain(&tally.observed);
    counts.sum()
}

/// The event that tells of it: its name, and what there is to say.
fn detail(told: &Told, tally: &Tally) -> (&'static str, String) {
    let enforced = told.policy.mode == MODE_ENFORCE;
    let counts = if enforced {
        &tally.dropped
    } else {
        &tally.observed
    };
    let reasons = Offence::ALL.into_iter().filter_map(|offence| {
        let count = counts.get(offence as usize).filter(|count| **count != 0)?;
        Some(format!("{} {count}", offence.name()))
    });
    let reasons: Vec<String> = reasons.collect();
    let (name, what) = if enforced {
        ("adverts_dropped", "dropped")
    } else {
        ("adverts_suspicious", "not legitimate, and let pass")
    };
    let detail = format!(
        "{} adverts {what} ({}), the last one from {} at {}",
        offences(tally) - told.offences,
        reasons.join(", "),
        words::address(told.key.family, &tally.last_source),
        words::mac(&tally.last_mac)
    );
    (name, detail)
}
