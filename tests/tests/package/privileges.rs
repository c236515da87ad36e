//! What the daemon, and what it starts, may still do.

use super::{LIMIT, alone};
use lab::daemon::Daemon;
use lab::require::Need;
use lab::router::{Declaration, Topology};
use lab::wait;
use nix::unistd::Pid;
use std::fs;

/// By the numbers of linux/capability.h: what would let a hook take the machine, and is needed
/// by nothing here.
const GIVEN_UP: [(&str, u32); 8] = [
    ("linux_immutable", 9),
    ("sys_module", 16),
    ("sys_rawio", 17),
    ("sys_boot", 22),
    ("sys_time", 25),
    ("mknod", 27),
    ("mac_admin", 33),
    ("syslog", 34),
];
const NET_ADMIN: u64 = 1 << 12;

/// A line of a process's or thread's status, hexadecimal or decimal.
fn field(status: &str, name: &str, radix: u32) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    u64::from_str_radix(line.unwrap().trim_start_matches(':').trim(), radix).unwrap()
}

fn is_reduced(status: &str) {
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        let mask = field(status, set, 16);
        for (name, number) in GIVEN_UP {
            assert_eq!(mask & 1 << number, 0, "{set} has {name}: {status}");
        }
        assert_ne!(mask & NET_ADMIN, 0, "{set}: {status}");
    }
    assert_eq!(field(status, "CapInh", 16), 0, "{status}");
    assert_eq!(field(status, "NoNewPrivs", 10), 1, "{status}");
}

#[test]
fn what_is_not_needed_is_given_up_and_all_works() {
    alone(&[Need::Root, Need::Tool("keepalived")], || {
        let topology = Topology::new(1).unwrap();
        let mut daemon = Daemon::prepare("privileges").unwrap();
        daemon
            .start_dressed(&[], |command| {
                command.arg("-v");
            })
            .unwrap();
        let said = daemon.messages();
        assert!(said.contains("privileges given up"), "{said}");
        let hook = daemon.directory().join("hook");
        let seen = daemon.directory().join("seen");
        fs::write(
            &hook,
            format!("#!/bin/sh\ncp /proc/self/status {}\n", seen.display()),
        )
        .unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&hook, mode).unwrap();
        let mut declaration = Declaration::plain(&topology.hosts[0]);
        declaration.hooks.push(format!(
            "name = \"status\"\nprogram = [\"{}\"]\n",
            hook.display()
        ));
        declaration.apply(&daemon).unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        let hooked = wait::until("the hook", LIMIT, || {
            let text = fs::read_to_string(&seen).unwrap_or_default();
            text.contains("NoNewPrivs")
                .then_some(text)
                .ok_or_else(String::new)
        });
        is_reduced(&hooked.unwrap());
        for pid in daemon.keepalived("r").unwrap() {
            is_reduced(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap());
        }
        for thread in threads(daemon.pid().unwrap()) {
            is_reduced(&thread);
        }
        let said = daemon.messages();
        assert!(
            said.contains("the fast path runs with SCHED_FIFO"),
            "{said}"
        );
        assert!(!said.contains("memory is not locked"), "{said}");
    });
}

/// The status of each thread, of which there must be more than the first.
fn threads(pid: Pid) -> Vec<String> {
    wait::until("the fast path's thread", LIMIT, || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let texts = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")));
        // One that has ended meanwhile has none.
        let texts: Vec<String> = texts.filter_map(Result::ok).collect();
        let fast = texts.iter().any(|text| text.contains("Name:\tfast-path\n"));
        fast.then_some(texts).ok_or_else(String::new)
    })
    .unwrap()
}
