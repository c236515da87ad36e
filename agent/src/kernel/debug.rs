//! The kernel programs' debug lines (aya-log).

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::Log;
use tokio::io::unix::AsyncFd;

/// The stream of debug lines.
pub struct DebugLines(AsyncFd<EbpfLogger<&'static dyn Log>>);

impl DebugLines {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        let logger = EbpfLogger::init(ebpf).context("open the debug lines")?;
        // SAFETY: the logger's descriptor is its map's, the same for as long as
        // the logger lives, and the logger lives in what is returned.
        let logger = unsafe { AsyncFd::register(logger) }.context("wait for debug lines")?;
        Ok(Self(logger))
    }

    /// Waits for debug lines and hands them to the log.
    ///
    /// # Errors
    ///
    /// The kernel cannot poll the ring buffer.
    pub async fn forward(&mut self) -> Result<()> {
        let mut guard = self
            .0
            .readable_mut()
            .await
            .context("wait for debug lines")?;
        guard.get_inner_mut().flush();
        guard.clear_ready();
        Ok(())
    }
}
