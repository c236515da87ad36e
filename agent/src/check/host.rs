//! What concerns the whole host: kernel and privileges.

use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::MapType;
use aya::programs::{ProgramError, ProgramType};
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported};
use aya::util::KernelVersion;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::{Finding, Mark};
use crate::kernel::{PIN_ROOT, netns_offsets};

const RELEASE: &str = "/proc/sys/kernel/osrelease";
const STATUS: &str = "/proc/thread-self/status";
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

/// Numbers of linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Looks at all of it; `enters` is whether another network namespace is entered.
pub(super) fn look(enters: bool) -> Vec<Finding> {
    vec![
        kernel(),
        privileges(enters),
        lockdown(),
        jit(),
        file_system(),
        btf(),
        probed("ring_buffer", "5.8", is_map_supported(MapType::RingBuf)),
        probed("timers", "5.15", knows(BpfHelper::BPF_FUNC_timer_init)),
        probed("spin_locks", "5.1", knows(BpfHelper::BPF_FUNC_spin_lock)),
        since("xdp_links", (5, 9), "tc"),
        since("tcx", (6, 6), "a filter of the clsact qdisc"),
    ]
}

fn kernel() -> Finding {
    match read(RELEASE) {
        Ok(release) => {
            let message = format!("Linux {}, {}", release.trim(), std::env::consts::ARCH);
            Finding::new("kernel", Mark::Ok, message)
        }
        Err(error) => Finding::new("kernel", Mark::Unknown, format!("{error:#}")),
    }
}

fn privileges(enters: bool) -> Finding {
    let held = read(STATUS).and_then(|status| effective(&status));
    let (mark, message) = match held {
        Err(error) => (Mark::Unknown, format!("{error:#}")),
        Ok(held) => match lacking(held, enters) {
            lacking if lacking.is_empty() => (Mark::Ok, "all that are needed".to_owned()),
            lacking => (Mark::Missing, format!("not held: {}", lacking.join(", "))),
        },
    };
    Finding::new("privileges", mark, message)
}

/// The effective capabilities in a text of /proc/<pid>/status.
fn effective(status: &str) -> Result<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .context("find the effective capabilities")?;
    u64::from_str_radix(value.trim(), 16).context("read the effective capabilities")
}

/// The capabilities that are needed and not `held`.
fn lacking(held: u64, enters: bool) -> Vec<&'static str> {
    let holds = |capability: u32| held >> capability & 1 == 1;
    // The newer, narrower ones are part of CAP_SYS_ADMIN.
    let administers = holds(CAP_SYS_ADMIN);
    [
        ("CAP_BPF", administers || holds(CAP_BPF)),
        ("CAP_NET_ADMIN", holds(CAP_NET_ADMIN)),
        ("CAP_PERFMON", administers || holds(CAP_PERFMON)),
        ("CAP_SYS_ADMIN (for --netns)", administers || !enters),
    ]
    .into_iter()
    .filter(|(_, there)| !there)
    .map(|(name, _)| name)
    .collect()
}

fn lockdown() -> Finding {
    let (mark, message) = match fs::read_to_string(LOCKDOWN) {
        Ok(modes) => match chosen(&modes) {
            "confidentiality" => (
                Mark::Fallback,
                "confidentiality: programs may not read the kernel's memory".to_owned(),
            ),
            mode => (Mark::Ok, mode.to_owned()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            (Mark::Ok, format!("none: there is no {LOCKDOWN}"))
        }
        Err(error) => (Mark::Unknown, format!("read {LOCKDOWN}: {error}")),
    };
    Finding::new("lockdown", mark, message)
}

/// The one in brackets: `none [integrity] confidentiality`.
fn chosen(modes: &str) -> &str {
    modes
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(modes.trim(), |(mode, _)| mode)
}

fn jit() -> Finding {
    let (mark, message) = match read(JIT) {
        Ok(value) if value.trim() == "0" => (
            Mark::Fallback,
            format!("off, programs are interpreted: write 1 to {JIT}"),
        ),
        Ok(_) => (Mark::Ok, "on".to_owned()),
        Err(error) => (Mark::Unknown, format!("{error:#}")),
    };
    Finding::new("bpf_jit", mark, message)
}

fn file_system() -> Finding {
    let place = Path::new(PIN_ROOT).parent().unwrap_or(Path::new(PIN_ROOT));
    let shown = place.display();
    let (mark, message) = match statfs(place) {
        Ok(found) if found.filesystem_type() == BPF_FS_MAGIC => {
            (Mark::Ok, format!("mounted at {shown}"))
        }
        Ok(_) => (
            Mark::Fallback,
            format!("not mounted at {shown}: watching mounts it"),
        ),
        Err(error) => (Mark::Missing, format!("inspect {shown}: {error}")),
    };
    Finding::new("bpf_file_system", mark, message)
}

fn btf() -> Finding {
    let (mark, message) = match netns_offsets() {
        Ok(_) => (
            Mark::Ok,
            "tells where a device's network namespace is kept".to_owned(),
        ),
        Err(error) => (
            Mark::Fallback,
            format!("{error:#}: network namespaces cannot be told apart, watch one only"),
        ),
    };
    Finding::new("kernel_btf", mark, message)
}

fn knows(helper: BpfHelper) -> Result<bool, ProgramError> {
    is_helper_supported(ProgramType::Xdp, helper)
}

/// What the kernel was asked for, and which release it came with.
fn probed<E>(check: &'static str, release: &str, answer: Result<bool, E>) -> Finding
where
    E: Error + Send + Sync + 'static,
{
    let (mark, message) = match answer {
        Ok(true) => (Mark::Ok, "there".to_owned()),
        Ok(false) => (Mark::Missing, format!("not there: need Linux {release}")),
        // The system's own words: the library's say only which call failed.
        Err(error) => (
            Mark::Unknown,
            format!("ask the kernel: {}", anyhow::Error::new(error).root_cause()),
        ),
    };
    Finding::new(check, mark, message)
}

/// What the kernel has by its release, and what does where it has not.
fn since(check: &'static str, (major, minor): (u8, u8), instead: &str) -> Finding {
    let (mark, message) = match KernelVersion::current() {
        Ok(version) if version >= KernelVersion::new(major, minor, 0) => {
            (Mark::Ok, format!("there, since Linux {major}.{minor}"))
        }
        Ok(_) => (
            Mark::Fallback,
            format!("not there before Linux {major}.{minor}: {instead} is used"),
        ),
        Err(error) => (Mark::Unknown, error.to_string()),
    };
    Finding::new(check, mark, message)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_capabilities_do_as_well_as_the_wide_one() {
        let all = [CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON];
        let held = |numbers: &[u32]| numbers.iter().fold(0, |held, number| held | 1 << number);
        assert!(lacking(held(&all), false).is_empty());
        assert_eq!(lacking(held(&all), true), ["CAP_SYS_ADMIN (for --netns)"]);
        assert!(lacking(held(&[CAP_SYS_ADMIN, CAP_NET_ADMIN]), true).is_empty());
        assert_eq!(lacking(held(&[CAP_SYS_ADMIN]), true), ["CAP_NET_ADMIN"]);
        assert_eq!(
            lacking(0, false),
            ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]
        );
    }

    #[test]
    fn capabilities_and_lockdown_are_read_as_the_kernel_writes_them() {
        let status = "CapPrm:\t000001ffffffffff\nCapEff:\t00000000a80425fb\nSeccomp:\t0\n";
        assert_eq!(effective(status).unwrap(), 0xa804_25fb);
        effective("Name:\tkeepfast\n").unwrap_err();
        assert_eq!(chosen("none [integrity] confidentiality\n"), "integrity");
        assert_eq!(chosen("[none] integrity confidentiality\n"), "none");
    }
}
