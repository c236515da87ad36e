//! What this process takes of the host.

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// What this process takes of the host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// Memory that it has, bytes.
    pub(super) resident_bytes: u64,
    /// Time of processors, of all its threads, seconds.
    pub(super) cpu_seconds: f64,
    /// Open files.
    pub(super) open_files: u64,
}

impl Usage {
    /// As it is now.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub(super) fn now() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").context("read own status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
        let kilobytes: u64 = kilobytes.context("find the own memory")?;
        let usage = getrusage(UsageWho::RUSAGE_SELF).context("ask for the own time")?;
        let used_us = [usage.user_time(), usage.system_time()]
            .map(|time| time.num_microseconds() as f64)
            .iter()
            .sum::<f64>();
        let files = std::fs::read_dir("/proc/self/fd").context("list own files")?;
        Ok(Self {
            resident_bytes: kilobytes.saturating_mul(1024),
            cpu_seconds: used_us / 1e6,
            // One of them lists the others.
            open_files: (files.count() as u64).saturating_sub(1),
        })
    }
}
