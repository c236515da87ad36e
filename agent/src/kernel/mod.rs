//! The kernel's side as the agent sees it: loading the programs, attaching them,
//! reading and feeding their maps.

mod attach;
mod blackbox;
mod btf;
mod debug;
mod fast;
mod maps;
mod pins;
mod reader;
mod ring;
mod wire;

pub use attach::{Attachment, Hook};
pub use blackbox::{BlackBoxes, Boxes, pinned_boxes};
pub use btf::netns_offsets;
pub use debug::DebugLines;
pub use fast::FastKernel;
pub use maps::Maps;
pub use pins::{PinDirectory, ROOT as PIN_ROOT};
pub use reader::Reader;
pub use ring::{Events, Loss};
pub use wire::{Wire, address};

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use aya::maps::{MapData, RingBuf};
use aya::programs::{
    ProgramError, ProgramType, SchedClassifier, TestRun as _, TestRunOptions, Xdp,
};
use aya::sys::{BpfHelper, is_helper_supported};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use keepfast_common::maps as names;
use keepfast_common::maps::{NetnsOffsets, RouterKey};
use tracing::{debug, warn};

/// The programs, as `cargo xtask build-ebpf` made them.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/keepfast.bpf.o");

/// Name of the global that aya-log's programs read.
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";

/// How long the programs stay after it was said that they are about to go: peers ask
/// several times in it.
pub const LEAVE: std::time::Duration = std::time::Duration::from_millis(50);

/// How often the kernel is asked to load a program.
const LOAD_TRIES: u32 = 5;

/// How the programs are loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Whether the programs send debug lines.
    pub debug: bool,
    /// Room for this many virtual routers (and addresses, and counters); the
    /// object's own number if `None`.
    pub capacity: Option<u32>,
    /// Size of the ring buffer in bytes, a power of two and a multiple of the
    /// page size; the object's own if `None`.
    pub ring_bytes: Option<u32>,
}

/// The loaded programs, their maps, and whether they can tell namespaces apart.
pub struct Kernel {
    ebpf: Ebpf,
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
        let level: u8 = if options.debug { 4 } else { 0 };
        let mut loader = EbpfLoader::new();
        loader
            .verifier_log_level(VerifierLogLevel::STATS)
            .override_global(names::NETNS_OFFSETS, &offsets, true)
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
            ] {
                loader.map_max_entries(name, capacity);
            }
        }
        if let Some(bytes) = options.ring_bytes {
            loader.map_max_entries(names::EVENTS, bytes);
        }
        let mut ebpf = loader
            .load(OBJECT)
            .context("load the kernel programs' maps")?;
        for name in [names::XDP_INGRESS, names::XDP_REARM] {
            load_program(|| xdp(&mut ebpf, name)?.load().map_err(Into::into))?;
        }
        for name in [
            names::TC_INGRESS,
            names::TC_EGRESS,
            names::TC_BOUNCE,
            names::TC_INJECT,
        ] {
            load_program(|| tc(&mut ebpf, name)?.load().map_err(Into::into))?;
        }
        debug!("kernel programs loaded");
        if let Some(pins) = pins {
            pin_maps(&ebpf, pins)?;
        }
        let fast = FastKernel::take(&mut ebpf)?;
        let reader = Reader::take(&ebpf)?;
        let maps = Maps::take(&mut ebpf)?;
        Ok(Self {
            ebpf,
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
        &mut self.ebpf
    }

    /// Takes the stream of events; there is one.
    ///
    /// # Errors
    ///
    /// It was taken before.
    pub fn take_events(&mut self) -> Result<Events> {
        let map = self
            .ebpf
            .take_map(names::EVENTS)
            .context("take the ring buffer of events")?;
        let ring: RingBuf<MapData> = map.try_into().context("open the ring buffer of events")?;
        Events::new(ring)
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
        DebugLines::take(&mut self.ebpf)
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
        // The shortest frame that a test run takes; the key is what counts.
        let mut frame = [0; 64];
        let key = bytemuck::bytes_of(key);
        frame[..key.len()].copy_from_slice(key);
        let mut options = TestRunOptions::new();
        options.data_in = Some(&frame);
        xdp(&mut self.ebpf, names::XDP_REARM)?
            .test_run(options)
            .context("stand in for a timer")?;
        Ok(())
    }

    fn xdp(&mut self) -> Result<&mut Xdp> {
        xdp(&mut self.ebpf, names::XDP_INGRESS)
    }

    fn tc(&mut self, name: &str) -> Result<&mut SchedClassifier> {
        tc(&mut self.ebpf, name)
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

/// Pins every map that has a meaning for an operator under its name.
fn pin_maps(ebpf: &Ebpf, directory: &PinDirectory) -> Result<()> {
    for name in names::PINNED {
        let map = ebpf.map(name).with_context(|| format!("find map {name}"))?;
        let path = directory.path().join(name);
        map.pin(&path)
            .with_context(|| format!("pin {}", path.display()))?;
    }
    Ok(())
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("find program {name}"))?;
    program
        .try_into()
        .with_context(|| format!("find XDP program {name}"))
}

fn tc<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("find program {name}"))?;
    program
        .try_into()
        .with_context(|| format!("find tc program {name}"))
}

/// Loads a program; again where the kernel was interrupted while it verified.
fn load_program(mut load: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 1..LOAD_TRIES {
        match load() {
            Err(error) if is_interrupted(&error) => {}
            outcome => return outcome.map_err(refused),
        }
    }
    load().map_err(refused)
}

fn is_interrupted(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(ProgramError::LoadError { io_error, .. })
            if io_error.kind() == std::io::ErrorKind::WouldBlock
    )
}

/// The verifier's log is for the debug level; its last lines say what is wrong.
fn refused(error: anyhow::Error) -> anyhow::Error {
    let error = match error.downcast() {
        Ok(ProgramError::LoadError {
            io_error,
            verifier_log,
        }) => {
            let log = verifier_log.to_string();
            debug!("{log}");
            let start = log.len().saturating_sub(600);
            let tail = log.get(start..).unwrap_or(&log).trim().to_owned();
            anyhow::Error::new(io_error).context(tail)
        }
        Ok(error) => error.into(),
        Err(error) => error,
    };
    error.context("have the kernel verify its programs")
}
