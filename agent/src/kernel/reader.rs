//! The kernel's side as another thread reads it that tells how all is: handles of its own
//! to the maps.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use keepfast_common::counter::Counter;
use keepfast_common::maps::{self as names, RouterKey, RouterSlot, SessionSlot};
use keepfast_common::protect::Tally;
use keepfast_common::session::Session;
use keepfast_common::track::VirtualRouter;

use super::Wire;
use super::fast::{own, there};
use super::maps::{CounterMap, read_counters};
use super::protect::{TallyMap, read_tally};

/// Reads the maps; any thread may.
pub struct Reader {
    routers: HashMap<MapData, Wire<RouterKey>, Wire<RouterSlot>>,
    sessions: HashMap<MapData, u32, Wire<SessionSlot>>,
    counters: CounterMap,
    tallies: TallyMap,
}

impl Reader {
    pub(super) fn take(ebpf: &Ebpf) -> Result<Self> {
        Ok(Self {
            routers: own(ebpf, names::ROUTERS)?,
            sessions: own(ebpf, names::SESSIONS)?,
            counters: own(ebpf, names::COUNTERS)?,
            tallies: own(ebpf, names::TALLIES)?,
        })
    }

    /// One virtual router, if it is tracked.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn router(&self, key: &RouterKey) -> Result<Option<VirtualRouter>> {
        let slot = there(self.routers.get(&Wire(*key), 0), names::ROUTERS)?;
        Ok(slot.map(|slot| slot.0.state))
    }

    /// Every session, by its number.
    ///
    /// One that the kernel changes meanwhile may be missed or come twice.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn sessions(&self) -> Result<Vec<(u32, Session)>> {
        self.sessions
            .iter()
            .map(|element| element.map(|(number, slot)| (number, slot.0.state)))
            .collect::<Result<_, _>>()
            .with_context(|| format!("read map {}", names::SESSIONS))
    }

    /// See [`super::Protection::tally`].
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn tally(&self, key: RouterKey) -> Result<Option<Tally>> {
        read_tally(&self.tallies, key)
    }

    /// See [`super::Maps::counters`].
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn counters(&self) -> Result<Vec<(u32, u32, Counter, u64)>> {
        read_counters(&self.counters)
    }
}
