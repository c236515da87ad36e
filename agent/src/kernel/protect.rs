//! What is legitimate for the routers that are configured, and what strangers may have.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{HashMap, MapData, PerCpuHashMap, PerCpuValues};
use aya::util::nr_cpus;
use keepfast_common::maps::{self as names, LinkKey, RouterKey};
use keepfast_common::protect::{Policy, Tally};
use keepfast_common::share::{Limits, Share};
use keepfast_common::track::{PHASE_ACTIVE, PHASE_LATE, VirtualRouter};

use super::Wire;
use super::blackbox::{ONLY_NEW, there};
use super::maps::{gone, open};

/// For how long a stranger's router is remembered that is master no longer, nanoseconds.
const REMEMBERED_NS: u64 = 60_000_000_000;

/// The map of tallies.
pub(super) type TallyMap = PerCpuHashMap<MapData, Wire<RouterKey>, Wire<Tally>>;

/// The maps of what is legitimate.
pub struct Protection {
    policies: HashMap<MapData, Wire<RouterKey>, Wire<Policy>>,
    tallies: TallyMap,
    shares: HashMap<MapData, Wire<LinkKey>, Wire<Share>>,
    limits: Limits,
    /// Rooms for each CPU.
    cpus: usize,
}

impl Protection {
    pub(super) fn take(ebpf: &mut Ebpf, limits: Limits) -> Result<Self> {
        let cpus = nr_cpus().map_err(|(_, error)| error);
        Ok(Self {
            policies: open(ebpf, names::POLICIES)?,
            tallies: open(ebpf, names::TALLIES)?,
            shares: open(ebpf, names::SHARES)?,
            limits,
            cpus: cpus.context("count the processors")?,
        })
    }

    /// A virtual router is configured here, and this is legitimate for it. From now on it
    /// is none of a stranger's; what was counted of it before stays.
    ///
    /// # Errors
    ///
    /// A map is full.
    pub fn configure(&mut self, key: RouterKey, policy: Policy) -> Result<()> {
        let fresh = PerCpuValues::try_from(vec![Wire(Tally::NONE); self.cpus])
            .with_context(|| format!("write map {}", names::TALLIES))?;
        there(self.tallies.insert(Wire(key), fresh, ONLY_NEW))
            .with_context(|| format!("write map {}", names::TALLIES))?;
        self.policies
            .insert(Wire(key), Wire(policy), 0)
            .with_context(|| format!("write map {}", names::POLICIES))
    }

    /// Ends what [`Self::configure`] began.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn dismiss(&mut self, key: RouterKey) -> Result<()> {
        gone(self.policies.remove(&Wire(key)))
            .with_context(|| format!("write map {}", names::POLICIES))?;
        gone(self.tallies.remove(&Wire(key)))
            .with_context(|| format!("write map {}", names::TALLIES))
    }

    /// Nothing is judged until it is [configured](Self::configure) again: what an agent
    /// before this one took for legitimate may be so no longer.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn suspend(&mut self) -> Result<()> {
        let keys = self.policies.keys().collect::<Result<Vec<_>, _>>();
        for key in keys.with_context(|| format!("read map {}", names::POLICIES))? {
            gone(self.policies.remove(&key))
                .with_context(|| format!("write map {}", names::POLICIES))?;
        }
        Ok(())
    }

    /// Makes all but these a stranger's.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn keep_only(&mut self, keys: &BTreeSet<RouterKey>) -> Result<()> {
        let configured = self.tallies.keys().collect::<Result<Vec<_>, _>>();
        for Wire(key) in configured.with_context(|| format!("read map {}", names::TALLIES))? {
            if !keys.contains(&key) {
                self.dismiss(key)?;
            }
        }
        Ok(())
    }

    /// What was found of the adverts of a router that is configured.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn tally(&self, key: RouterKey) -> Result<Option<Tally>> {
        read_tally(&self.tallies, key)
    }

    /// Whether strangers have half of what an interface, or all of them, may have.
    pub(super) fn is_crowded(&self) -> Result<bool> {
        if self.limits.routers == 0 {
            return Ok(false);
        }
        for element in self.shares.iter() {
            let (Wire(key), Wire(share)) =
                element.with_context(|| format!("read map {}", names::SHARES))?;
            let most = if key == LinkKey::ALL {
                self.limits.routers_of_all
            } else {
                self.limits.routers
            };
            if share.routers >= most / 2 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those of `routers` that strangers have and that have been nobody's for a while at
    /// `now`; what is left of the others is counted anew.
    pub(super) fn share_out(
        &mut self,
        routers: &[(RouterKey, VirtualRouter)],
        now: u64,
    ) -> Result<Vec<RouterKey>> {
        let configured = self
            .tallies
            .keys()
            .map(|key| key.map(|key| key.0))
            .collect::<Result<BTreeSet<_>, _>>()
            .with_context(|| format!("read map {}", names::TALLIES))?;
        let mut left: BTreeMap<LinkKey, u64> = BTreeMap::new();
        let mut forgotten = Vec::new();
        for (key, router) in routers {
            if configured.contains(key) {
                continue;
            }
            let reigns = matches!(router.phase, PHASE_ACTIVE | PHASE_LATE);
            if !reigns && now > router.since_ns.saturating_add(REMEMBERED_NS) {
                forgotten.push(*key);
                continue;
            }
            let link = LinkKey {
                netns: key.netns,
                ifindex: key.ifindex,
            };
            for link in [link, LinkKey::ALL] {
                *left.entry(link).or_default() += 1;
            }
        }
        let shares = self
            .shares
            .iter()
            .collect::<Result<Vec<_>, _>>()
            .with_context(|| format!("read map {}", names::SHARES))?;
        for (Wire(key), Wire(share)) in shares {
            let share = Share {
                routers: left.get(&key).copied().unwrap_or(0),
                ..share
            };
            self.shares
                .insert(Wire(key), Wire(share), 0)
                .with_context(|| format!("write map {}", names::SHARES))?;
        }
        Ok(forgotten)
    }
}

/// See [`Protection::tally`].
pub(super) fn read_tally(map: &TallyMap, key: RouterKey) -> Result<Option<Tally>> {
    let found = super::fast::there(map.get(&Wire(key), 0), names::TALLIES)?;
    Ok(found.map(|values| {
        let mut sum = Tally::NONE;
        for value in values.iter() {
            sum.add(&value.0);
        }
        sum
    }))
}
