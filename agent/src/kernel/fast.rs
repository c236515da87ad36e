//! The kernel's side as the fast path's thread sees it: handles of its own to the maps
//! that it reads and writes, the ring of urgent events, and turning frames round.

use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, MapError, RingBuf};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use keepfast_common::event::Event;
use keepfast_common::heirs::Heirs;
use keepfast_common::maps::{
    self as names, AddressKey, HeirsSlot, HoldingSlot, LinkKey, RouterKey, RouterSlot, SessionSlot,
};
use keepfast_common::neighbour::Holding;
use keepfast_common::session::{Judgement, PHASE_LEARNING, PHASE_SUSPECT, PHASE_UP, Session};
use keepfast_common::track::VirtualRouter;

use super::{Wire, wire};

/// Where `ifindex` is in the context of a tc program (`struct __sk_buff`).
const CONTEXT_IFINDEX: usize = 40;

/// For how long what a session has learnt is good for the agent after the one that had it,
/// nanoseconds.
const LEARNT_NS: u64 = 10_000_000_000;

/// The sessions of an agent before this one.
#[derive(Debug, Default)]
pub struct Heritage {
    /// Each with where it is probed and how it is.
    pub sessions: Vec<(LinkKey, Session)>,
    /// The highest number that was used.
    pub last_number: u32,
}

/// What the fast path's thread has of the kernel programs.
pub struct FastKernel {
    routers: HashMap<MapData, Wire<RouterKey>, Wire<RouterSlot>>,
    holdings: HashMap<MapData, Wire<AddressKey>, Wire<HoldingSlot>>,
    heirs: HashMap<MapData, Wire<RouterKey>, Wire<HeirsSlot>>,
    judgements: HashMap<MapData, u32, Wire<Judgement>>,
    sessions: HashMap<MapData, u32, Wire<SessionSlot>>,
    ring: RingBuf<MapData>,
    inject: SchedClassifier,
}

impl FastKernel {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        let inject = {
            let program: &SchedClassifier = ebpf
                .program(names::TC_INJECT)
                .context("find program tc_inject")?
                .try_into()
                .context("find tc program tc_inject")?;
            let info = program.info().context("ask for program tc_inject")?;
            // A handle of its own: another thread holds the object.
            // SAFETY: it is the program that was just asked for, of this very type.
            SchedClassifier::from_program_info(info, names::TC_INJECT.into())
                .context("open program tc_inject")?
        };
        Ok(Self {
            routers: own(ebpf, names::ROUTERS)?,
            holdings: own(ebpf, names::HOLDINGS)?,
            heirs: own(ebpf, names::HEIRS)?,
            judgements: own(ebpf, names::JUDGEMENTS)?,
            sessions: own(ebpf, names::SESSIONS)?,
            ring: {
                let map = ebpf
                    .take_map(names::URGENT)
                    .context("take the ring buffer of urgent events")?;
                map.try_into()
                    .context("open the ring buffer of urgent events")?
            },
            inject,
        })
    }

    /// The descriptor that is readable when there are urgent events.
    pub fn ring_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// The next urgent event, if there is one.
    ///
    /// # Errors
    ///
    /// A record has another size than this agent's.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        let record = self.ring.next();
        record.map(|record| wire::event(&record)).transpose()
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

    /// Who holds a watched address, if it was ever heard of.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn holding(&self, key: &AddressKey) -> Result<Option<Holding>> {
        let slot = there(self.holdings.get(&Wire(*key), 0), names::HOLDINGS)?;
        Ok(slot.map(|slot| slot.0.state))
    }

    /// The backups that probe this host for a virtual router.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn heirs(&self, key: &RouterKey) -> Result<Option<Heirs>> {
        let slot = there(self.heirs.get(&Wire(*key), 0), names::HEIRS)?;
        Ok(slot.map(|slot| slot.0.state))
    }

    /// What is known of a session's peer; `None` before the first probe has left.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn session(&self, number: u32) -> Result<Option<Session>> {
        let slot = there(self.sessions.get(&number, 0), names::SESSIONS)?;
        Ok(slot.map(|slot| slot.0.state))
    }

    /// Says how a session is to be judged, from its next probe on.
    ///
    /// # Errors
    ///
    /// The map is full.
    pub fn judge(&mut self, number: u32, judgement: &Judgement) -> Result<()> {
        self.judgements
            .insert(number, Wire(*judgement), 0)
            .with_context(|| format!("write map {}", names::JUDGEMENTS))
    }

    /// Takes the sessions that an agent before this one has left, and ends them: those that
    /// were up until lately, and of them what is worth knowing.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn inherit(&mut self, now: u64) -> Result<Heritage> {
        let mut heritage = Heritage::default();
        let mut numbers = Vec::new();
        for element in self.judgements.iter() {
            let (number, Wire(judgement)) =
                element.with_context(|| format!("read map {}", names::JUDGEMENTS))?;
            numbers.push(number);
            heritage.last_number = heritage.last_number.max(number);
            let link = LinkKey {
                netns: judgement.netns,
                ifindex: judgement.ifindex,
            };
            let session = self.session(number)?;
            heritage
                .sessions
                .extend(session.and_then(|it| Some((link, resumed(it, now)?))));
        }
        for number in numbers {
            self.end_session(number)?;
        }
        Ok(heritage)
    }

    /// Has a session go on under another number; before its first probe.
    ///
    /// # Errors
    ///
    /// The map is full.
    pub fn resume(&mut self, number: u32, session: Session) -> Result<()> {
        let slot = SessionSlot {
            state: session,
            ..bytemuck::Zeroable::zeroed()
        };
        self.sessions
            .insert(number, Wire(slot), 0)
            .with_context(|| format!("write map {}", names::SESSIONS))
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn end_session(&mut self, number: u32) -> Result<()> {
        // First: without it nobody makes the other one anew.
        super::maps::gone(self.judgements.remove(&number))
            .with_context(|| format!("write map {}", names::JUDGEMENTS))?;
        super::maps::gone(self.sessions.remove(&number))
            .with_context(|| format!("write map {}", names::SESSIONS))
    }

    /// Has an interface of the calling thread's namespace receive a frame that never
    /// was on the wire.
    ///
    /// # Errors
    ///
    /// The interface is gone or down, or a privilege is missing.
    pub fn inject(&self, ifindex: u32, frame: &[u8]) -> Result<()> {
        let mut context = [0; CONTEXT_IFINDEX + 4];
        if let Some(field) = context.last_chunk_mut::<4>() {
            *field = ifindex.to_ne_bytes();
        }
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.ctx_in = Some(&context);
        let outcome = self
            .inject
            .test_run(options)
            .context("turn a frame round into the receive path")?;
        // What the program says where the kernel took it.
        ensure!(
            outcome.return_value == u32::MAX,
            "the interface does not take a frame (is it up?)"
        );
        Ok(())
    }
}

/// A session as it goes on after a pause. Nothing that was out before it counts, and its
/// silence means nothing until one more probe is answered: the peer may have changed.
fn resumed(session: Session, now: u64) -> Option<Session> {
    let learnt = matches!(session.phase, PHASE_LEARNING | PHASE_UP | PHASE_SUSPECT);
    if !learnt || now > session.answered_ns.saturating_add(LEARNT_NS) {
        return None;
    }
    Some(Session {
        phase: PHASE_LEARNING,
        unanswered: 0,
        first_ns: 0,
        due_ns: 0,
        sent_ns: 0,
        slots: Session::UNKNOWN.slots,
        ..session
    })
}

/// A handle of its own to a map.
pub(super) fn own<M: TryFrom<Map, Error = MapError>>(ebpf: &Ebpf, name: &str) -> Result<M> {
    let map = ebpf.map(name).with_context(|| format!("find map {name}"))?;
    let (data, wrap): (&MapData, fn(MapData) -> Map) = match map {
        Map::HashMap(data) => (data, Map::HashMap),
        Map::PerCpuHashMap(data) => (data, Map::PerCpuHashMap),
        _ => anyhow::bail!("map {name} is of another type"),
    };
    let fd = data
        .fd()
        .as_fd()
        .try_clone_to_owned()
        .with_context(|| format!("open map {name}"))?;
    let data = MapData::from_fd(fd).with_context(|| format!("open map {name}"))?;
    M::try_from(wrap(data)).with_context(|| format!("open map {name}"))
}

pub(super) fn there<T>(found: Result<T, MapError>, name: &str) -> Result<Option<T>> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read map {name}")),
    }
}

#[cfg(test)]
mod tests {
    use keepfast_common::session::PHASE_SILENT;
    use keepfast_common::wire::probe::Probe;

    use super::*;

    const NOW: u64 = 100_000_000_000;

    fn up() -> Session {
        Session {
            phase: PHASE_UP,
            since_ns: 1,
            answered_ns: NOW - 1_000_000,
            unanswered: 2,
            ..Session::UNKNOWN
        }
    }

    #[test]
    fn what_goes_on_needs_one_more_answer() {
        let rules = Judgement {
            interval_ns: 1_000_000,
            learn_ns: 1_000_000_000,
            multiplier: 3,
            suspect_after: 1,
            ..bytemuck::Zeroable::zeroed()
        };
        let mut silent = resumed(up(), NOW).unwrap();
        for number in 1..20 {
            let at = NOW + u64::from(number) * rules.interval_ns;
            let probe = Probe {
                sequence: number,
                ..Probe::UNREAD
            };
            silent.sent(&rules, &probe, at);
            assert_eq!(silent.expire(&rules, at), 0, "a peer that never answered");
        }
        let mut session = resumed(up(), NOW).unwrap();
        session.sent(&rules, &Probe::UNREAD, NOW);
        session.answered(&rules, &Probe::UNREAD, NOW + 1).unwrap();
        assert_eq!(session.phase, PHASE_UP);
    }

    #[test]
    fn what_was_learnt_long_ago_is_learnt_again() {
        assert!(resumed(up(), NOW + LEARNT_NS).is_none());
        let silent = Session {
            phase: PHASE_SILENT,
            ..up()
        };
        assert!(resumed(silent, NOW).is_none());
    }
}
