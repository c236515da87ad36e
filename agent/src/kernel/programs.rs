//! The programs: loaded and verified, or found as an agent before this one has left them.
//!
//! To verify them takes some tenths of a second. Those that were made of the same object and
//! use the pinned maps are pinned in a directory that is named after the object: the next
//! agent takes them from there. What turns frames round is for the agent alone and pinned
//! nowhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::programs::{ProgramError, SchedClassifier, Xdp};
use aya_obj::programs::XdpAttachType;
use keepfast_common::maps as names;
use tracing::{debug, info, warn};

use super::PinDirectory;

/// What the directories of programs are called, before the digest.
const DIRECTORY: &str = "programs-";

/// How often the kernel is asked to load a program.
const LOAD_TRIES: u32 = 5;

/// All programs that are used.
pub(super) struct Programs {
    /// The object with its maps, and the programs that were loaded.
    pub(super) ebpf: Ebpf,
    xdp: BTreeMap<&'static str, Xdp>,
    tc: BTreeMap<&'static str, SchedClassifier>,
}

impl Programs {
    /// Finds the programs of the object whose digest is `kind` in `pins`, or has the kernel
    /// verify them; pins them for the agent after this one.
    ///
    /// # Errors
    ///
    /// The kernel refuses a program.
    pub(super) fn load(ebpf: Ebpf, pins: Option<(&PinDirectory, u64)>) -> Result<Self> {
        let mut programs = Self {
            ebpf,
            xdp: BTreeMap::new(),
            tc: BTreeMap::new(),
        };
        let directory = match pins {
            Some((pins, kind)) => Some(pins.subdirectory(&format!("{DIRECTORY}{kind:016x}"))?),
            None => None,
        };
        let pin = |name: &str| directory.as_ref().map(|it| it.join(name));
        let mut found = 0;
        for name in [names::XDP_INGRESS, names::XDP_REARM] {
            let pin = pin(name);
            if let Some(program) = pinned(pin.as_deref(), |path| {
                Xdp::from_pin(path, XdpAttachType::Interface)
            }) {
                programs.xdp.insert(name, program);
                found += 1;
                continue;
            }
            load_program(|| xdp(&mut programs.ebpf, name)?.load().map_err(Into::into))?;
            if let Some(pin) = pin {
                leave(&pin, xdp(&mut programs.ebpf, name)?.pin(&pin));
            }
        }
        for name in [names::TC_INGRESS, names::TC_EGRESS, names::TC_BOUNCE] {
            let pin = pin(name);
            if let Some(program) = pinned(pin.as_deref(), |path| SchedClassifier::from_pin(path)) {
                programs.tc.insert(name, program);
                found += 1;
                continue;
            }
            load_program(|| tc(&mut programs.ebpf, name)?.load().map_err(Into::into))?;
            if let Some(pin) = pin {
                leave(&pin, tc(&mut programs.ebpf, name)?.pin(&pin));
            }
        }
        let inject = names::TC_INJECT;
        load_program(|| tc(&mut programs.ebpf, inject)?.load().map_err(Into::into))?;
        debug!("kernel programs loaded, {found} found");
        if let Some(own) = directory {
            forget_others(&own);
        }
        Ok(programs)
    }

    pub(super) fn xdp(&mut self, name: &str) -> Result<&mut Xdp> {
        match self.xdp.get_mut(name) {
            Some(program) => Ok(program),
            None => xdp(&mut self.ebpf, name),
        }
    }

    pub(super) fn tc(&mut self, name: &str) -> Result<&mut SchedClassifier> {
        match self.tc.get_mut(name) {
            Some(program) => Ok(program),
            None => tc(&mut self.ebpf, name),
        }
    }
}

fn pinned<P>(
    path: Option<&Path>,
    open: impl FnOnce(&Path) -> Result<P, ProgramError>,
) -> Option<P> {
    let path = path.filter(|path| path.exists())?;
    match open(path) {
        Ok(program) => Some(program),
        Err(error) => {
            info!("{} is loaded anew: {error}", path.display());
            _ = std::fs::remove_file(path);
            None
        }
    }
}

/// A program that cannot be pinned works; the next agent has to load it.
fn leave(path: &Path, pinned: Result<(), aya::pin::PinError>) {
    if let Err(error) = pinned {
        warn!("pin {}: {error}", path.display());
    }
}

/// Programs of other objects beside the directory `own`: links and timers hold what they
/// still use.
fn forget_others(own: &Path) {
    let siblings = own.parent().and_then(|parent| parent.read_dir().ok());
    let siblings = siblings.into_iter().flatten().flatten();
    let others = siblings.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        path != own && name.is_some_and(|name| name.starts_with(DIRECTORY))
    });
    for path in others.collect::<Vec<PathBuf>>() {
        if let Err(error) = std::fs::remove_dir_all(&path) {
            warn!("remove {}: {error}", path.display());
        }
    }
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
