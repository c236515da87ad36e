//! Ctrl-C: noticed at the next step, so that every guard removes what it made.

use anyhow::{Context, Result};
use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::sync::atomic::{AtomicBool, Ordering};

static CAME: AtomicBool = AtomicBool::new(false);

/// From now on an interrupt or a request to terminate is only taken note of.
///
/// # Errors
/// When the kernel refuses.
pub fn catch() -> Result<()> {
    let note = SigAction::new(
        SigHandler::Handler(note),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler stores into an atomic, which is safe wherever the signal strikes.
        unsafe { sigaction(signal, &note) }.with_context(|| format!("catch {signal}"))?;
    }
    Ok(())
}

/// Whether one has come.
#[must_use]
pub fn came() -> bool {
    CAME.load(Ordering::Relaxed)
}

extern "C" fn note(_: c_int) {
    CAME.store(true, Ordering::Relaxed);
}
