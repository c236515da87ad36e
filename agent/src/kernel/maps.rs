//! Reading and feeding the maps.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues};
use keepfast_common::counter::Counter;
use keepfast_common::maps::{
    self as names, AddressKey, Agent, Count, CounterKey, Guarded, HoldingSlot, Link, LinkKey,
    RouterKey, RouterSlot,
};
use keepfast_common::neighbour::{Holding, Watched};
use keepfast_common::share::Limits;
use keepfast_common::track::VirtualRouter;

use super::{BlackBoxes, Protection, Wire};

/// The map of counters.
pub(super) type CounterMap = PerCpuHashMap<MapData, Wire<CounterKey>, Wire<Count>>;

/// The maps that the programs and the agent share.
pub struct Maps {
    routers: HashMap<MapData, Wire<RouterKey>, Wire<RouterSlot>>,
    watched: HashMap<MapData, Wire<AddressKey>, Wire<Watched>>,
    holdings: HashMap<MapData, Wire<AddressKey>, Wire<HoldingSlot>>,
    counters: CounterMap,
    guarded: HashMap<MapData, Wire<RouterKey>, Wire<Guarded>>,
    links: HashMap<MapData, Wire<LinkKey>, Wire<Link>>,
    agent: Array<MapData, Wire<Agent>>,
    sequence: PerCpuArray<MapData, u64>,
    black_boxes: BlackBoxes,
    protection: Protection,
}

impl Maps {
    pub(super) fn take(ebpf: &mut Ebpf, limits: Limits) -> Result<Self> {
        Ok(Self {
            routers: open(ebpf, names::ROUTERS)?,
            watched: open(ebpf, names::WATCHED)?,
            holdings: open(ebpf, names::HOLDINGS)?,
            counters: open(ebpf, names::COUNTERS)?,
            guarded: open(ebpf, names::GUARDED)?,
            links: open(ebpf, names::LINKS)?,
            agent: open(ebpf, names::AGENT)?,
            sequence: open(ebpf, names::SEQUENCE)?,
            black_boxes: BlackBoxes::take(ebpf)?,
            protection: Protection::take(ebpf, limits)?,
        })
    }

    /// Every virtual router that is tracked.
    ///
    /// An element that the kernel changes meanwhile may be missed or come twice.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn routers(&self) -> Result<Vec<(RouterKey, VirtualRouter)>> {
        self.routers
            .iter()
            .map(|element| element.map(|(key, slot)| (key.0, slot.0.state)))
            .collect::<Result<_, _>>()
            .with_context(|| format!("read map {}", names::ROUTERS))
    }

    /// The virtual routers with a deadline for which no timer is armed, and the
    /// deadlines, CLOCK_MONOTONIC nanoseconds.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn unarmed(&self) -> Result<Vec<(RouterKey, u64)>> {
        let mut unarmed = Vec::new();
        for element in self.routers.iter() {
            let (Wire(key), Wire(slot)) =
                element.with_context(|| format!("read map {}", names::ROUTERS))?;
            unarmed.extend(unarmed_deadline(&slot).map(|due| (key, due)));
        }
        Ok(unarmed)
    }

    /// The deadline of a virtual router, if it has one and no timer is armed for it.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn unarmed_deadline(&self, key: RouterKey) -> Result<Option<u64>> {
        Ok(self.slot(key)?.as_ref().and_then(unarmed_deadline))
    }

    /// One virtual router, if it is tracked.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn router(&self, key: RouterKey) -> Result<Option<VirtualRouter>> {
        Ok(self.slot(key)?.map(|slot| slot.state))
    }

    fn slot(&self, key: RouterKey) -> Result<Option<RouterSlot>> {
        match self.routers.get(&Wire(key), 0) {
            Ok(slot) => Ok(Some(slot.0)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read map {}", names::ROUTERS)),
        }
    }

    /// Who holds a watched address, if it was ever heard of.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn holding(&self, key: AddressKey) -> Result<Option<Holding>> {
        match self.holdings.get(&Wire(key), 0) {
            Ok(slot) => Ok(Some(slot.0.state)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read map {}", names::HOLDINGS)),
        }
    }

    /// The addresses of which it is known who holds them.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn held(&self) -> Result<Vec<AddressKey>> {
        self.holdings
            .keys()
            .map(|key| key.map(|key| key.0))
            .collect::<Result<_, _>>()
            .with_context(|| format!("read map {}", names::HOLDINGS))
    }

    /// Watches an address, or watches it for other reasons than before.
    ///
    /// # Errors
    ///
    /// The map is full.
    pub fn watch(&mut self, key: AddressKey, watched: Watched) -> Result<()> {
        self.watched
            .insert(Wire(key), Wire(watched), 0)
            .with_context(|| format!("write map {}", names::WATCHED))
    }

    /// Watches an address no longer, and forgets who held it.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn unwatch(&mut self, key: AddressKey) -> Result<()> {
        gone(self.watched.remove(&Wire(key)))
            .with_context(|| format!("write map {}", names::WATCHED))?;
        gone(self.holdings.remove(&Wire(key)))
            .with_context(|| format!("write map {}", names::HOLDINGS))
    }

    /// Forgets a virtual router.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn forget(&mut self, key: RouterKey) -> Result<()> {
        gone(self.routers.remove(&Wire(key)))
            .with_context(|| format!("write map {}", names::ROUTERS))
    }

    /// Has urgent events about a virtual router sent, and peers told how its keepalived
    /// is.
    ///
    /// # Errors
    ///
    /// The map is full.
    pub fn guard(&mut self, key: RouterKey, guarded: Guarded) -> Result<()> {
        self.guarded
            .insert(Wire(key), Wire(guarded), 0)
            .with_context(|| format!("write map {}", names::GUARDED))
    }

    /// Ends what [`Self::guard`] began.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn unguard(&mut self, key: RouterKey) -> Result<()> {
        gone(self.guarded.remove(&Wire(key)))
            .with_context(|| format!("write map {}", names::GUARDED))
    }

    /// Has probes answered on an interface.
    ///
    /// # Errors
    ///
    /// The map is full.
    pub fn answer_probes(&mut self, key: LinkKey, link: Link) -> Result<()> {
        self.links
            .insert(Wire(key), Wire(link), 0)
            .with_context(|| format!("write map {}", names::LINKS))
    }

    /// Ends what [`Self::answer_probes`] began.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn ignore_probes(&mut self, key: LinkKey) -> Result<()> {
        gone(self.links.remove(&Wire(key))).with_context(|| format!("write map {}", names::LINKS))
    }

    /// What is legitimate for the routers that are configured.
    pub const fn protection(&mut self) -> &mut Protection {
        &mut self.protection
    }

    /// Where strangers have many virtual routers: forgets those that have been nobody's
    /// for a while at `now` (CLOCK_MONOTONIC nanoseconds), and counts the others anew.
    /// Returns those that were forgotten.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn share_out(&mut self, now: u64) -> Result<Vec<RouterKey>> {
        if !self.protection.is_crowded()? {
            return Ok(Vec::new());
        }
        let routers = self.routers()?;
        let forgotten = self.protection.share_out(&routers, now)?;
        for key in &forgotten {
            self.forget(*key)?;
        }
        Ok(forgotten)
    }

    /// The black boxes.
    pub const fn black_boxes(&mut self) -> &mut BlackBoxes {
        &mut self.black_boxes
    }

    /// Says what the programs need to know of the agent.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn introduce(&mut self, agent: Agent) -> Result<()> {
        self.agent
            .set(0, Wire(agent), 0)
            .with_context(|| format!("write map {}", names::AGENT))
    }

    /// What an agent before this one has said of itself; all zero where there was none.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn introduced(&self) -> Result<Agent> {
        let agent = self.agent.get(&0, 0);
        Ok(agent
            .with_context(|| format!("read map {}", names::AGENT))?
            .0)
    }

    /// How far agents have come with the events: the number of the last one of each CPU, and
    /// how many lost ones were told.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn progress(&self) -> Result<(Vec<u64>, u64)> {
        let read = |element| {
            self.sequence
                .get(&element, 0)
                .with_context(|| format!("read map {}", names::SEQUENCE))
        };
        let lost = read(names::TOLD_LOST)?.first().copied();
        Ok((read(names::READ)?.to_vec(), lost.unwrap_or(0)))
    }

    /// Notes how far this agent has come, for the one after it.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn note_progress(&mut self, read: Vec<u64>, told_lost: u64) -> Result<()> {
        let mut lost = vec![0; read.len()];
        if let Some(first) = lost.first_mut() {
            *first = told_lost;
        }
        for (element, values) in [(names::READ, read), (names::TOLD_LOST, lost)] {
            let values = PerCpuValues::try_from(values).context("note as many as CPUs")?;
            self.sequence
                .set(element, values, 0)
                .with_context(|| format!("write map {}", names::SEQUENCE))?;
        }
        Ok(())
    }

    /// Every counter that is not zero: namespace's inode number, interface index,
    /// what, how often.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn counters(&self) -> Result<Vec<(u32, u32, Counter, u64)>> {
        read_counters(&self.counters)
    }
}

/// See [`Maps::counters`].
pub(super) fn read_counters(map: &CounterMap) -> Result<Vec<(u32, u32, Counter, u64)>> {
    let mut counters = Vec::new();
    for element in map.iter() {
        let (Wire(key), values) =
            element.with_context(|| format!("read map {}", names::COUNTERS))?;
        if let Some(counter) = Counter::from_number(key.counter) {
            let count = values.iter().map(|value| value.0.count).sum();
            counters.push((key.netns, key.ifindex, counter, count));
        }
    }
    Ok(counters)
}

/// The deadline for which no timer is armed, if there is one.
fn unarmed_deadline(slot: &RouterSlot) -> Option<u64> {
    let due = slot.state.next_deadline();
    (slot.armed_ns == 0 && due != 0).then_some(due)
}

/// Takes a map out of the loaded object.
pub(super) fn open<M: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &str) -> Result<M> {
    let map = ebpf
        .take_map(name)
        .with_context(|| format!("find map {name}"))?;
    M::try_from(map).with_context(|| format!("open map {name}"))
}

/// Removing what is not there is done.
pub(super) fn gone(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        other => other,
    }
}
