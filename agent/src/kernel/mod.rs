//! The kernel's side as the agent sees it: loading the programs, attaching them,
//! reading and feeding their maps.

mod attach;
mod blackbox;
mod btf;
mod debug;
mod fast;
mod maps;
mod pins;
mod programs;
mod protect;
mod reader;
mod ring;
mod schema;
mod wire;

pub use attach::{Attachment, Hook};
pub use blackbox::{BlackBoxes, Boxes, pinned_boxes};
pub use btf::netns_offsets;
pub use debug::DebugLines;
pub use fast::{FastKernel, Heritage};
pub use maps::Maps;
pub use pins::{Claim, PinDirectory, ROOT as PIN_ROOT};
pub use protect::Protection;
pub use reader::Reader;
pub use ring::{Events, Loss};
pub use wire::{Wire, address, event};

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use aya::maps::{MapData, RingBuf};
use aya::programs::{ProgramType, SchedClassifier, TestRun as _, TestRunOptions, Xdp};
use aya::sys::{BpfHelper, is_helper_supported};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use keepfast_common::maps as names;
use keepfast_common::maps::{
    NetnsOffsets, REARM_HOLDING, REARM_REFUSED, REARM_ROUTER, Rearm, RouterKey,
};
use keepfast_common::share::Limits;
use tracing::warn;

use programs::Programs;

/// The programs, as `cargo xtask build-ebpf` made them.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/keepfast.bpf.o");

/// Name of the global that aya-log's programs read.
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";

/// How long the programs stay after it was said that they are about to go: peers ask
/// several times in it.
pub const LEAVE: std::time::Duration = std::time::Duration::from_millis(50);

/// How the programs are loaded.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Whether the programs send debug lines.
    pub debug: bool,
    /// Room for this many virtual routers (and addresses, and counters); the
    /// object's own number if `None`.
    pub capacity: Option<u32>,
    /// Size of the ring buffer in bytes, a power of two and a multiple of the
    /// page size; the object's own if `None`.
    pub ring_bytes: Option<u32>,
    /// What strangers may have; nothing is limited by default, as for tests.
    pub limits: Limits,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            debug: false,
            capacity: None,
            ring_bytes: None,
            limits: Limits::NONE,
        }
    }
}

impl LoadOptions {
    /// The layout of the maps that are made with these options: agents of the same one can
    /// share them.
    ///
    /// # Errors
    ///
    /// The object is damaged.
    pub fn schema(&self) -> Result<u64> {
        let sizes = format!("{:?} {:?}", self.capacity, self.ring_bytes);
        schema::schema(OBJECT, &names::PINNED, &sizes)
    }
}

/// The loaded programs, their maps, and whether they can tell namespaces apart.
pub struct Kernel {
    programs: Programs,
    maps: Maps,
    fast: Option<FastKernel>,
    reader: Arc<Reader>,
    tells_namespaces: bool,
}

impl Kernel {
    /// Loads the programs, has the kernel verify them, and pins the maps in `pins`.
    ///
    /// Where the kernel does not describe its structures, the programs see all
    /// namespaces as one; that is announced, and [`Self::tells_namespaces`] says so.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map or a program: no privilege, too old, locked down.
    pub fn load(options: &LoadOptions, pins: Option<&PinDirectory>) -> Result<Self> {
        let offsets = Wire(offsets_or_none());
        let limits = Wire(options.limits);
        let level: u8 = if options.debug { 4 } else { 0 };
        let mut loader = EbpfLoader::new();
        loader
            .verifier_log_level(VerifierLogLevel::STATS)
            .override_global(names::NETNS_OFFSETS, &offsets, true)
            .override_global(names::LIMITS, &limits, true)
            .override_global(LOG_LEVEL, &level, false);
        if let Some(capacity) = options.capacity {
            for name in [
                names::ROUTERS,
                names::WATCHED,
                names::HOLDINGS,
                names::COUNTERS,
                names::HEIRS,
                names::GUARDED,
                names::LINKS,
                names::BLACKBOX,
                names::EXITS,
                names::POLICIES,
                names::TALLIES,
                names::SHARES,
            ] {
                loader.map_max_entries(name, capacity);
            }
        }
        if let Some(bytes) = options.ring_bytes {
            loader.map_max_entries(names::EVENTS, bytes);
        }
        if let Some(pins) = pins {
            for name in names::PINNED {
                loader.map_pin_path(name, pins.path().join(name));
            }
        }
        let ebpf = loader
            .load(OBJECT)
            .context("load the kernel programs' maps")?;
        if let Some(pins) = pins {
            pins.complete(options.schema()?)?;
        }
        // Programs that send debug lines send them to the agent that loaded them.
        let kept = pins.filter(|_| !options.debug);
        let kind = schema::digest(OBJECT)
            ^ schema::digest(bytemuck::bytes_of(&offsets.0))
            ^ schema::digest(bytemuck::bytes_of(&options.limits));
        let mut programs = Programs::load(ebpf, kept.map(|pins| (pins, kind)))?;
        let ebpf = &mut programs.ebpf;
        let fast = FastKernel::take(ebpf)?;
        let reader = Reader::take(ebpf)?;
        let maps = Maps::take(ebpf, options.limits)?;
        Ok(Self {
            programs,
            maps,
            fast: Some(fast),
            reader: Arc::new(reader),
            tells_namespaces: offsets.0.known == 1,
        })
    }

    /// The maps.
    pub const fn maps(&mut self) -> &mut Maps {
        &mut self.maps
    }

    /// What another thread may read the maps with.
    #[must_use]
    pub fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.reader)
    }

    /// Whether events and maps name the network namespace.
    pub const fn tells_namespaces(&self) -> bool {
        self.tells_namespaces
    }

    /// The loaded object, for what has no method here.
    pub const fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.programs.ebpf
    }

    /// Takes the stream of events; there is one.
    ///
    /// # Errors
    ///
    /// It was taken before.
    pub fn take_events(&mut self) -> Result<Events> {
        let map = self
            .programs
            .ebpf
            .take_map(names::EVENTS)
            .context("take the ring buffer of events")?;
        let ring: RingBuf<MapData> = map.try_into().context("open the ring buffer of events")?;
        let (read, _) = self.maps.progress()?;
        Events::new(ring, &read)
    }

    /// Takes what the fast path's thread needs; there is one.
    ///
    /// # Errors
    ///
    /// It was taken before.
    pub fn take_fast(&mut self) -> Result<FastKernel> {
        self.fast.take().context("take the fast path's maps")
    }

    /// Takes the stream of debug lines; there is one.
    ///
    /// # Errors
    ///
    /// It was taken before, or no runtime is there to wait for it.
    pub fn take_debug_lines(&mut self) -> Result<DebugLines> {
        DebugLines::take(&mut self.programs.ebpf)
    }

    /// Stands in for the timers that the kernel refused: what is due is told, and
    /// the timer is tried for again. Returns how many there were.
    ///
    /// Linux 6.18 allocates a timer without waiting for a lock, which may fail for
    /// long even with memory free.
    ///
    /// # Errors
    ///
    /// The kernel cannot run the program.
    pub fn rearm(&mut self) -> Result<usize> {
        let unarmed = self.maps.unarmed()?;
        for (key, _) in &unarmed {
            self.rearm_one(key)?;
        }
        Ok(unarmed.len())
    }

    /// Does so for one virtual router.
    ///
    /// # Errors
    ///
    /// As [`Self::rearm`].
    pub fn rearm_one(&mut self, key: &RouterKey) -> Result<()> {
        self.run_rearm(&Rearm {
            router: *key,
            what: REARM_REFUSED,
            ..bytemuck::Zeroable::zeroed()
        })
    }

    /// Has the timers that an agent before this one has left call this one's programs: until
    /// then they keep that one's.
    ///
    /// # Errors
    ///
    /// As [`Self::rearm`].
    pub fn renew_timers(&mut self) -> Result<()> {
        for (router, _) in self.maps.routers()? {
            self.run_rearm(&Rearm {
                router,
                what: REARM_ROUTER,
                ..bytemuck::Zeroable::zeroed()
            })?;
        }
        for address in self.maps.held()? {
            self.run_rearm(&Rearm {
                address,
                what: REARM_HOLDING,
                ..bytemuck::Zeroable::zeroed()
            })?;
        }
        Ok(())
    }

    fn run_rearm(&mut self, wish: &Rearm) -> Result<()> {
        // The shortest frame that a test run takes; the wish is what counts.
        let mut frame = [0; 64];
        let wish = bytemuck::bytes_of(wish);
        frame[..wish.len()].copy_from_slice(wish);
        let mut options = TestRunOptions::new();
        options.data_in = Some(&frame);
        self.programs
            .xdp(names::XDP_REARM)?
            .test_run(options)
            .context("stand in for a timer")?;
        Ok(())
    }

    fn xdp(&mut self) -> Result<&mut Xdp> {
        self.programs.xdp(names::XDP_INGRESS)
    }

    fn tc(&mut self, name: &str) -> Result<&mut SchedClassifier> {
        self.programs.tc(name)
    }
}

/// Where the kernel keeps namespaces; not known where the programs may not look.
fn offsets_or_none() -> NetnsOffsets {
    let offsets = netns_offsets().and_then(|offsets| {
        // Lockdown in its confidentiality mode takes the helper away.
        match is_helper_supported(ProgramType::Xdp, BpfHelper::BPF_FUNC_probe_read_kernel) {
            Ok(false) => bail!("programs may not read the kernel's memory (lockdown?)"),
            _ => Ok(offsets),
        }
    });
    offsets.unwrap_or_else(|error| {
        warn!("network namespaces cannot be told apart: {error:#}");
        NetnsOffsets {
            known: 0,
            ..bytemuck::Zeroable::zeroed()
        }
    })
}
