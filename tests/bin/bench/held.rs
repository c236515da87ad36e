//! What a process holds and takes, as /proc tells.

use anyhow::{Context, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Its resident memory, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    kilobytes(pid, "status", "VmRSS:")
}

/// Its resident memory, in bytes; of what it shares with others only its part.
pub(crate) fn proportional(pid: u32) -> Result<u64> {
    kilobytes(pid, "smaps_rollup", "Pss:")
}

/// What its maps and programs take in the kernel, in bytes.
pub(crate) fn kernel_memory(pid: u32) -> Result<u64> {
    let mut objects = BTreeMap::new();
    for entry in fs::read_dir(file(pid, "fdinfo")).context("list its files")? {
        // A file may be closed meanwhile.
        let Ok(info) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        for kind in ["map_id:", "prog_id:"] {
            // A link names its program too, but has no memory to tell of.
            if let (Some(id), Some(bytes)) = (field(&info, kind), field(&info, "memlock:")) {
                objects.insert((kind, id), bytes);
            }
        }
    }
    Ok(objects.values().sum())
}

/// How long its programs have run while that was counted.
pub(crate) fn programs_time(pid: u32) -> Result<Duration> {
    let mut programs = BTreeMap::new();
    for entry in fs::read_dir(file(pid, "fdinfo")).context("list its files")? {
        // A file may be closed meanwhile.
        let Ok(info) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        if let (Some(id), Some(ns)) = (field(&info, "prog_id:"), field(&info, "run_time_ns:")) {
            programs.insert(id, ns);
        }
    }
    Ok(Duration::from_nanos(programs.values().sum()))
}

/// How many BPF links it holds.
pub(crate) fn links(pid: u32) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(file(pid, "fd")).context("list its files")? {
        let target = fs::read_link(entry?.path());
        let is = target.is_ok_and(|found| found.as_os_str() == "anon_inode:bpf_link");
        count += usize::from(is);
    }
    Ok(count)
}

/// How long it has run on a processor, with its threads that have ended since.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed())).context("find its clock")?;
    Ok(clock_gettime(clock).context("read its clock")?.into())
}

fn kilobytes(pid: u32, name: &str, key: &str) -> Result<u64> {
    let text = fs::read_to_string(file(pid, name)).context("ask for its memory")?;
    let kilobytes = field(&text, key).context("find its memory")?;
    Ok(kilobytes * 1024)
}

fn file(pid: u32, name: &str) -> String {
    format!("/proc/{pid}/{name}")
}

/// The number behind `name` at the start of a line.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}
