//! `keepfast check` on interfaces and kernels of several kinds.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast::kernel::{Attachment, Kernel, LoadOptions};
use keepfast::netlink::Interface;
use keepfast::netns;
use lab::leftovers::Snapshot;
use lab::netns::Namespace;
use lab::require::{Need, require};
use lab::workdir::WorkDir;
use lab::{binary, link, process};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

const NEEDS: [Need; 3] = [Need::Root, Need::Tool("bpftool"), Need::Tool("tc")];
const BTF: &str = "/sys/kernel/btf/vmlinux";
const NOBODY: u32 = 65534;

/// Two interfaces that allow everything.
const VETH: &str = "link add eth0 type veth peer name eth1\n";

/// What a command printed, and its exit status.
struct Outcome {
    code: i32,
    words: String,
    error: String,
}

impl Outcome {
    fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let outcome = Self {
            code: output.status.code().unwrap(),
            words: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        };
        println!("{}{}", outcome.words, outcome.error);
        outcome
    }

    /// The mark on the line of `subject`.
    fn mark(&self, subject: &str) -> &str {
        let line = self.words.lines().find(|line| {
            let rest = line.get(10..).unwrap_or_default();
            rest.starts_with(&format!("{subject} "))
        });
        line.unwrap().split(' ').next().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.words).unwrap()
    }
}

/// Runs one test at a time in a namespace with `interfaces`, and checks that it leaves there what
/// it found, and nothing elsewhere.
fn in_namespace(interfaces: &str, test: impl FnOnce(&Namespace)) {
    static ALONE: Mutex<()> = Mutex::new(());
    if !require(&NEEDS) {
        return;
    }
    let _guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = Snapshot::of_this_process().unwrap();
    let namespace = Namespace::new("check").unwrap();
    link::ip(&namespace, interfaces).unwrap();
    let attached = attached(&namespace);
    test(&namespace);
    assert_eq!(self::attached(&namespace), attached);
    drop(namespace);
    before.check().unwrap();
}

/// The programs and queueing disciplines of all interfaces.
fn attached(namespace: &Namespace) -> String {
    let show = |program, arguments: &[&str]| {
        process::output(namespace.command(program).args(arguments)).unwrap()
    };
    show("bpftool", &["-j", "net", "show"]) + &show("tc", &["-j", "qdisc", "show"])
}

/// `keepfast check` of a namespace.
fn check(namespace: &Namespace) -> Command {
    let mut command = binary::keepfast();
    command.args(["check", "--netns", namespace.name()]);
    command
}

/// What the JSON says of an interface.
fn interface<'a>(report: &'a Value, name: &str) -> &'a Value {
    let interfaces = report["interfaces"].as_array().unwrap();
    interfaces
        .iter()
        .find(|interface| interface["interface"] == name)
        .unwrap()
}

/// Attaches as an agent does that is already there.
fn occupy(namespace: &Namespace, name: &str) -> (Kernel, Attachment) {
    let links = process::output(namespace.command("ip").args(["-j", "link", "show", name]));
    let links: Value = serde_json::from_str(&links.unwrap()).unwrap();
    let interface = Interface {
        index: links[0]["ifindex"].as_u64().unwrap().try_into().unwrap(),
        name: name.to_owned(),
        ethernet: true,
        xdp_program: None,
    };
    let mut kernel = Kernel::load(&LoadOptions::default(), None).unwrap();
    let namespace = netns::Namespace::named(namespace.name()).unwrap();
    let attachment = kernel.attach(&namespace, &interface, None).unwrap();
    (kernel, attachment)
}

#[test]
fn all_is_well_on_a_plain_interface() {
    in_namespace(VETH, |namespace| {
        let words = Outcome::of(&mut check(namespace));
        assert_eq!(words.code, 0);
        assert_eq!(words.error, "");
        for subject in ["privileges", "kernel BTF", "timers", "programs", "eth0"] {
            assert_eq!(words.mark(subject), "ok", "{subject}");
        }
        assert!(words.words.contains("native XDP in, tc (TCX) out\n"));

        let json = Outcome::of(check(namespace).args(["--json", "--interface", "eth1"]));
        let report = json.json();
        assert_eq!(report["schema"], 1);
        assert_eq!(report["watchable"], true);
        assert_eq!(report["netns"], namespace.name());
        assert_eq!(report["tells_namespaces"], true);
        assert!(report["load_ns"].as_u64().unwrap() > 0);
        assert_eq!(report["interfaces"].as_array().unwrap().len(), 1);
        let eth1 = interface(&report, "eth1");
        assert_eq!(eth1["mark"], "ok");
        assert_eq!(eth1["ingress"], "native_xdp");
        assert_eq!(eth1["egress"], "tcx");
        assert_eq!(eth1["xdp_program"], Value::Null);
    });
}

#[test]
fn somebody_elses_program_is_named_and_stays() {
    in_namespace(VETH, |namespace| {
        let (_kernel, attachment) = occupy(namespace, "eth0");
        let before = attached(namespace);
        let outcome = Outcome::of(check(namespace).arg("--json"));
        assert_eq!(attached(namespace), before);
        drop(attachment);
        assert_eq!(outcome.code, 0);
        let report = outcome.json();
        let eth0 = interface(&report, "eth0");
        assert_eq!(eth0["mark"], "fallback");
        assert_eq!(eth0["ingress"], "tcx");
        let id = eth0["xdp_program"].as_u64().unwrap();
        let told = format!("id {id}, called xdp_ingress");
        assert!(eth0["message"].as_str().unwrap().contains(&told));
        // Its neighbour is free.
        assert_eq!(interface(&report, "eth1")["mark"], "ok");
    });
}

#[test]
fn devices_without_native_xdp_fall_back() {
    let devices = format!(
        "{VETH}link add br0 type bridge\n\
         link add mv0 link eth0 type macvlan mode bridge\n"
    );
    in_namespace(&devices, |namespace| {
        let outcome = Outcome::of(check(namespace).arg("--json"));
        assert_eq!(outcome.code, 0);
        let report = outcome.json();
        for name in ["br0", "mv0"] {
            let device = interface(&report, name);
            assert_eq!(device["mark"], "fallback");
            assert_eq!(device["ingress"], "generic_xdp");
            assert_eq!(device["egress"], "tcx");
            let message = device["message"].as_str().unwrap();
            assert!(message.contains("native XDP: Operation not supported"));
        }
    });
}

#[test]
fn a_kernel_that_does_not_describe_itself_is_said_so() {
    const NONE: Option<&str> = None;
    if !require(&[Need::File(BTF)]) {
        return;
    }
    let mask = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(NONE, "/", NONE, private, NONE)?;
        mount(Some("/dev/null"), BTF, NONE, MsFlags::MS_BIND, NONE).map_err(io::Error::from)
    };
    in_namespace(VETH, |namespace| {
        let mut command = check(namespace);
        // SAFETY: between fork and exec the closure makes system calls only; nix copies paths as
        // short as these to the stack.
        unsafe { command.pre_exec(mask) };
        let outcome = Outcome::of(command.arg("--json"));
        assert_eq!(outcome.code, 0);
        let report = outcome.json();
        assert_eq!(report["watchable"], true);
        assert_eq!(report["tells_namespaces"], false);
        let checks = report["checks"].as_array().unwrap();
        let btf = checks.iter().find(|it| it["check"] == "kernel_btf");
        assert_eq!(btf.unwrap()["mark"], "fallback");
        let message = btf.unwrap()["message"].as_str().unwrap();
        assert!(message.contains("watch one only"));
        assert_eq!(interface(&report, "eth0")["mark"], "ok");
    });
}

#[test]
fn without_privilege_what_can_be_known_is_told() {
    in_namespace(VETH, |namespace| {
        // Where nobody may run it, wherever it was built.
        let directory = WorkDir::new("public").unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let program = directory.file("keepfast");
        fs::copy(binary::path(), &program).unwrap();
        let mut command = namespace.command(program.to_str().unwrap());
        let become_nobody = || {
            setgroups(&[])?;
            setgid(Gid::from_raw(NOBODY))?;
            setuid(Uid::from_raw(NOBODY)).map_err(io::Error::from)
        };
        // SAFETY: between fork and exec the closure makes system calls only. It runs after the
        // one that enters the namespace.
        unsafe { command.pre_exec(become_nobody) };
        let outcome = Outcome::of(command.arg("check"));
        assert_eq!(outcome.code, 77);
        assert_eq!(outcome.mark("kernel"), "ok");
        assert_eq!(outcome.mark("privileges"), "missing");
        assert_eq!(outcome.mark("timers"), "unknown");
        assert_eq!(outcome.mark("programs"), "missing");
        assert_eq!(outcome.mark("eth0"), "unknown");
        assert!(
            outcome
                .words
                .contains("CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON\n")
        );
        let verdict = "error: cannot watch, missing: privileges, programs: run as root";
        assert!(outcome.error.starts_with(verdict));
    });
}

#[test]
fn names_that_do_not_exist_are_answered_with_those_that_do() {
    in_namespace(VETH, |namespace| {
        let outcome = Outcome::of(check(namespace).args(["--interface", "eth7"]));
        assert_eq!((outcome.code, outcome.words.as_str()), (64, ""));
        assert!(outcome.error.contains("\"eth7\" does not exist"));
        assert!(outcome.error.contains("lo, eth1, eth0"));

        let mut command = binary::keepfast();
        let outcome = Outcome::of(command.args(["check", "--netns", "no-such"]));
        assert_eq!((outcome.code, outcome.words.as_str()), (64, ""));
        assert!(outcome.error.contains("\"no-such\" does not exist"));
        assert!(outcome.error.contains("those that exist: "));
    });
}

#[test]
fn an_empty_namespace_waits_for_interfaces() {
    in_namespace("", |namespace| {
        let outcome = Outcome::of(&mut check(namespace));
        assert_eq!(outcome.code, 0);
        assert_eq!(outcome.mark("interfaces"), "fallback");
    });
}
