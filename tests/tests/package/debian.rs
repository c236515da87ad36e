//! The Debian package in a system with a real service manager: installed, upgraded while it
//! looks after routers, removed, purged.

use super::container::{Container, xtask};
use super::{LIMIT, alone};
use lab::process;
use lab::require::Need;
use lab::workdir::WorkDir;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

pub(super) const NEEDS: [Need; 5] = [
    Need::Root,
    Need::Tool("systemd-nspawn"),
    Need::Tool("debootstrap"),
    Need::Tool("dpkg-deb"),
    Need::Tool("nsenter"),
];

/// How many routers a host has whose agent is upgraded.
const ROUTERS: usize = 50;

/// All files of the system but those that any package's installation changes.
const FILES: &str = "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp \
     -o -path /dev -o -path /root -o -path /var/cache -o -path /var/log -o -path /var/lib/dpkg \
     -o -path /var/tmp -o -path /var/lib/systemd \\) -prune -o -print | sort; cut -d: -f1 /etc/group";

/// The package as it is now, made once.
pub(super) fn package() -> &'static PathBuf {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| xtask(&["dist", "--debug"]))
}

/// The same package with a higher version.
fn newer(directory: &Path) -> PathBuf {
    let tree = directory.join("newer");
    let unpack = Command::new("dpkg-deb")
        .arg("--raw-extract")
        .args([package(), &tree])
        .status();
    assert!(unpack.unwrap().success());
    let control = tree.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control).unwrap();
    let version = text
        .lines()
        .find(|line| line.starts_with("Version: "))
        .unwrap();
    std::fs::write(&control, text.replace(version, &format!("{version}.1"))).unwrap();
    let file = directory.join("newer.deb");
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--root-owner-group", "-Zgzip", "-z1", "--build"]);
    process::output(pack.args([&tree, &file])).unwrap();
    file
}

#[test]
fn it_works_in_a_fresh_system_and_leaves_nothing() {
    alone(&NEEDS, || {
        let system = Container::boot();
        let before = system.sh(FILES);
        let file = system.put(package());
        system.sh(&format!("dpkg --install {file}"));
        assert_eq!(system.sh("systemctl is-active keepfast").trim(), "active");
        assert_eq!(system.sh("systemctl is-enabled keepfast").trim(), "enabled");
        let status = "systemctl show --value --property StatusText keepfast";
        system.wait(status, "no routers", LIMIT);
        assert_eq!(system.sh("dpkg --verify keepfast"), "");
        assert_eq!(
            system.sh("systemd-analyze verify keepfast.service 2>&1"),
            ""
        );
        let check = system.sh("ip link add name port0 type veth peer name port1; ip link set port0 up; keepfast check");
        assert!(check.contains("ok        programs"), "{check}");
        let socket = system.sh("stat --format='%a %G' /run/keepfast/control.sock");
        assert_eq!(socket.trim(), "660 keepfast");

        for page in ["keepfast", "keepfast-run", "keepfast-router-apply"] {
            let text = system.sh(&format!("MANPAGER=cat man {page}"));
            assert!(text.contains("NAME"), "{text}");
        }
        for file in [
            "/usr/share/bash-completion/completions/keepfast",
            "/usr/share/zsh/vendor-completions/_keepfast",
            "/usr/share/fish/vendor_completions.d/keepfast.fish",
            "/usr/share/doc/keepfast/examples/plain.toml",
        ] {
            system.sh(&format!("test -s {file}"));
        }
        let completed = system.sh(
            "bash -c '. /usr/share/bash-completion/completions/keepfast; COMP_WORDS=(keepfast ro); \
             COMP_CWORD=1; _keepfast keepfast ro keepfast; echo ${COMPREPLY[@]}'",
        );
        assert_eq!(completed.trim(), "router");
        // Nothing of Rust, nothing that a host with libc does not have.
        let libraries = system.sh("ldd /usr/bin/keepfast | awk '{print $1}' | sort | tr '\\n' ' '");
        assert_eq!(
            libraries.trim(),
            "/lib64/ld-linux-x86-64.so.2 libc.so.6 libgcc_s.so.1 linux-vdso.so.1"
        );

        system.sh("dpkg --remove keepfast");
        assert!(system.try_sh("pgrep -x keepfast").is_err());
        system.sh("test -f /etc/default/keepfast && dpkg --purge keepfast");
        assert_eq!(system.sh(FILES), before);
        assert_eq!(
            system.sh("ls -d /sys/fs/bpf/keepfast /run/keepfast 2>/dev/null || true"),
            ""
        );
        assert_eq!(
            system.sh("systemctl list-units --failed --no-legend --plain"),
            ""
        );
    });
}

#[test]
fn an_upgrade_touches_no_router() {
    alone(&NEEDS, || {
        let directory = WorkDir::new("upgrade").unwrap();
        let system = Container::boot();
        let [old, new] = [package(), &newer(directory.path())].map(|file| system.put(file));
        system.sh(&format!("dpkg --install {old}"));
        system.sh(&network());
        let states = "grep -lx primary /var/lib/keepfast/*/state | wc -l";
        system.wait(states, &ROUTERS.to_string(), LIMIT * 6);
        let alive = "pgrep -x keepalived | sort | xargs";
        let keepaliveds = system.sh(alive);
        assert_eq!(keepaliveds.split_whitespace().count(), 2 * ROUTERS);
        let agent = system.sh("pgrep -x keepfast");

        // A client of each, and the wire.
        system.sh(&format!(
            "tcpdump -Z root -U -i lan -w /root/wire.pcap ip proto 112 2>/dev/null & \
             echo $! >/root/tcpdump.pid; sleep 1; mkdir /root/pings; \
             for n in $(seq {ROUTERS}); do \
               ip netns exec client ping -q -i 0.1 -w 3600 10.9.0.$n >/root/pings/$n & \
             done"
        ));
        std::thread::sleep(Duration::from_secs(2));
        system.sh(&format!("dpkg --install {new}"));
        assert_ne!(system.sh("pgrep -x keepfast"), agent, "the new agent runs");
        let found = "journalctl -u keepfast -o cat | grep -c 'found keepalived running' || true";
        system.wait(found, &ROUTERS.to_string(), LIMIT * 3);
        // Longer than a backup would wait for three lost adverts.
        std::thread::sleep(Duration::from_secs(4));
        system.sh("pkill -INT -x ping; sleep 1; kill $(cat /root/tcpdump.pid)");
        let pings = system.sh("grep -h 'packets transmitted' /root/pings/*");
        println!("{}", pings.lines().next().unwrap_or_default());
        assert_eq!(pings.lines().count(), ROUTERS);
        for line in pings.lines() {
            assert!(line.contains(" 0% packet loss"), "{line}");
        }
        assert_eq!(
            system.sh(alive),
            keepaliveds,
            "no keepalived was started anew"
        );
        let changes = system.sh(
            "tcpdump -nn -v -r /root/wire.pcap 2>/dev/null | \
             grep -oE 'vrid [0-9]+, prio [0-9]+' | sort | uniq -c | awk '{print $5}' | sort | uniq -c | xargs",
        );
        assert_eq!(
            changes.trim(),
            format!("{ROUTERS} 100"),
            "one priority for each router"
        );
        system.wait(states, &ROUTERS.to_string(), LIMIT);

        // The package goes, routers stay; with its files they go, too.
        let told = system.sh("dpkg --remove keepfast 2>&1");
        assert!(told.contains("the routers go on as they are"), "{told}");
        assert_eq!(system.sh(alive), keepaliveds);
        system.sh("ip netns exec client ping -c 1 -W 1 10.9.0.1");
        system.sh("dpkg --purge keepfast");
        assert_eq!(system.sh(alive).trim(), "");
        assert_eq!(
            system.sh("ls -d /var/lib/keepfast /etc/keepfast 2>/dev/null || true"),
            ""
        );
    });
}

/// A shell's lines that make a client and routers on one segment, each router alone and so
/// primary.
fn network() -> String {
    format!(
        "ip link add lan type bridge mcast_snooping 0; ip link set lan up; \
         ip netns add client; ip link add c0 type veth peer name eth0 netns client; \
         ip link set c0 master lan up; ip -n client link set eth0 up; \
         ip -n client address add 10.9.1.1/16 dev eth0; \
         for n in $(seq {ROUTERS}); do \
           ip netns add r$n; ip link add p$n type veth peer name ha0 netns r$n; \
           ip link set p$n master lan up; ip -n r$n link set ha0 up; ip -n r$n link set lo up; \
           printf '%s\\n' \"namespace = \\\"r$n\\\"\" '[vrrp]' 'interface = \"ha0\"' \
             \"addresses = [\\\"10.9.2.$n/16\\\"]\" \"vrid = $n\" 'priority = 100' \
             '[[address]]' 'interface = \"ha0\"' \"address = \\\"10.9.0.$n/16\\\"\" \
             >/etc/keepfast/routers.d/r$n.part; \
           mv /etc/keepfast/routers.d/r$n.part /etc/keepfast/routers.d/r$n.toml; \
         done"
    )
}
