//! Ctrl-C: noticed at the next step, so that every guard removes what it made.

use anyhow::{Context, Result, ensure};
use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

static CAME: AtomicBool = AtomicBool::new(false);

/// How often a pause looks for one.
const GLANCE: Duration = Duration::from_millis(100);

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

/// Goes on, unless one has come.
///
/// # Errors
/// When one has.
pub fn check() -> Result<()> {
    ensure!(!came(), "interrupted");
    Ok(())
}

/// Waits for so long, or until one comes.
///
/// # Errors
/// When one has.
pub fn pause(span: Duration) -> Result<()> {
    let begin = Instant::now();
    loop {
        check()?;
        let rest = span.saturating_sub(begin.elapsed());
        if rest.is_zero() {
            return Ok(());
        }
        thread::sleep(rest.min(GLANCE));
    }
}

extern "C" fn note(_: c_int) {
    CAME.store(true, Ordering::Relaxed);
}
