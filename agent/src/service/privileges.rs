//! What the daemon and all that it starts may do: the capabilities of the list below, and
//! no more than at its start.
//!
//! By rustix, which the agent has anyway: no crate of its own for six system calls.

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};
use tracing::{debug, warn};

/// What is needed, each with its reason. keepalived, helpers and hooks are children and
/// get no others.
const NEEDED: [(&str, CapabilitySet); 20] = [
    // Addresses, programs on interfaces, adverts.
    ("net_admin", CapabilitySet::NET_ADMIN),
    ("net_raw", CapabilitySet::NET_RAW),
    // radvd, conntrackd, other children.
    ("net_bind_service", CapabilitySet::NET_BIND_SERVICE),
    ("net_broadcast", CapabilitySet::NET_BROADCAST),
    // Kernel programs with timers and direct access to packets.
    ("bpf", CapabilitySet::BPF),
    ("perfmon", CapabilitySet::PERFMON),
    // Entering and making network namespaces, mounting, pinning.
    ("sys_admin", CapabilitySet::SYS_ADMIN),
    // Which namespace the process is in that a pid file names.
    ("sys_ptrace", CapabilitySet::SYS_PTRACE),
    // Ending helpers that run as somebody else.
    ("kill", CapabilitySet::KILL),
    // SCHED_FIFO, locked memory, limits: where no service manager gives limits instead.
    ("sys_nice", CapabilitySet::SYS_NICE),
    ("ipc_lock", CapabilitySet::IPC_LOCK),
    ("sys_resource", CapabilitySet::SYS_RESOURCE),
    // Sockets of hooks and files of routers that are others'.
    ("dac_override", CapabilitySet::DAC_OVERRIDE),
    ("dac_read_search", CapabilitySet::DAC_READ_SEARCH),
    // The control socket's group, modes of routers' files.
    ("chown", CapabilitySet::CHOWN),
    ("fowner", CapabilitySet::FOWNER),
    // keepalived's script user; helpers and hooks that step down.
    ("setuid", CapabilitySet::SETUID),
    ("setgid", CapabilitySet::SETGID),
    ("setpcap", CapabilitySet::SETPCAP),
    // Helpers that lock themselves in.
    ("sys_chroot", CapabilitySet::SYS_CHROOT),
];

/// The highest capability that may be: the kernel says where its own end.
const MOST: u64 = 64;

/// Gives up all else, of the calling thread and of those that it starts from then on. What
/// cannot be given up is warned of: the daemon works all the same.
pub fn give_up() {
    match reduce() {
        Ok(0) => debug!("no privilege was given up: only needed ones were there"),
        Ok(count) => {
            let names: Vec<&str> = NEEDED.iter().map(|(name, _)| *name).collect();
            debug!(
                "{count} privileges given up, left at most: {}",
                names.join(" ")
            );
        }
        Err(error) => warn!("privileges that are not needed are not given up: {error:#}"),
    }
}

/// How many capabilities are gone.
fn reduce() -> Result<u32> {
    let needed = NEEDED
        .iter()
        .fold(CapabilitySet::empty(), |all, (_, one)| all | *one);
    set_no_new_privs(true).context("rule out new privileges")?;
    let own = capabilities(None).context("read the own capabilities")?;
    // Before the permitted set: it takes CAP_SETPCAP. Without that, children get no more
    // than this process has, unless they run as root.
    if own.effective.contains(CapabilitySet::SETPCAP) {
        for bit in 0..MOST {
            let one = CapabilitySet::from_bits_retain(1 << bit);
            if needed.contains(one) {
                continue;
            }
            match remove_capability_from_bounding_set(one) {
                Ok(()) => {}
                // The kernel has no more.
                Err(Errno::INVAL) => break,
                Err(error) => return Err(error).context("bound the capabilities of children"),
            }
        }
    }
    let kept = CapabilitySets {
        effective: own.effective & needed,
        permitted: own.permitted & needed,
        inheritable: own.inheritable & needed,
    };
    set_capabilities(None, kept).context("reduce the own capabilities")?;
    Ok((own.permitted - kept.permitted).bits().count_ones())
}
