//! `keepfast teardown`: nothing of the routers stays but what declares them.

use super::{LIMIT, alone};
use lab::binary;
use lab::daemon::Daemon;
use lab::process;
use lab::require::Need;
use lab::router::{Declaration, HA, PRIMARY, Topology};
use lab::wait;
use nix::unistd::Pid;
use std::path::Path;
use std::process::Output;

/// A primary, and the processes of its keepalived.
struct Primary {
    // Before what it looks after.
    daemon: Daemon,
    keepalived: [Pid; 2],
    topology: Topology,
}

impl Primary {
    fn start() -> Self {
        let topology = Topology::new(1).unwrap();
        let daemon = Daemon::new("teardown").unwrap();
        Declaration::plain(&topology.hosts[0])
            .apply(&daemon)
            .unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        Self {
            keepalived: daemon.keepalived("r").unwrap(),
            daemon,
            topology,
        }
    }

    fn tear_down(&self, more: &[&str]) -> Output {
        let mut command = binary::keepfast();
        command.arg("teardown").args(more);
        for (option, path) in [
            ("--routers", self.daemon.routers()),
            ("--state", self.daemon.state()),
            ("--socket", self.daemon.socket()),
        ] {
            command.arg(option).arg(path);
        }
        command.output().unwrap()
    }

    fn addresses(&self) -> String {
        let namespace = self.topology.hosts[0].namespace.name();
        let mut command = std::process::Command::new("ip");
        command.args(["-n", namespace, "-o", "address", "show", "dev", HA]);
        process::output(&mut command).unwrap()
    }

    /// Tears down and looks for anything that is left.
    fn leaves_nothing(&self) {
        let output = self.tear_down(&["--yes"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.starts_with("removed: r\n"), "{told}");
        for pid in self.keepalived {
            process::wait_gone(pid).unwrap();
        }
        assert!(!self.addresses().contains(PRIMARY), "{}", self.addresses());
        assert!(!self.daemon.state().exists());
        assert!(!self.daemon.socket().exists());
        assert!(self.daemon.routers().join("r.toml").exists());
        assert_eq!(self.daemon.left_running().unwrap(), []);
        // Once more there is nothing to do, which is well.
        let again = self.tear_down(&["--yes"]);
        assert_eq!(again.status.code(), Some(0), "{again:?}");
    }
}

#[test]
fn a_daemon_that_runs_removes_all_and_ends() {
    alone(&[Need::Root, Need::Tool("keepalived")], || {
        let primary = Primary::start();
        assert!(primary.addresses().contains(PRIMARY));
        let asked = primary.tear_down(&[]);
        assert_eq!(asked.status.code(), Some(64));
        let told = String::from_utf8_lossy(&asked.stderr);
        assert!(
            told.contains("nothing was done. To be removed: r"),
            "{told}"
        );
        primary.daemon.list().unwrap();
        assert_eq!(primary.daemon.keepalived("r").unwrap(), primary.keepalived);

        // No other host takes it, so that it stays; that the host is drained is remembered.
        primary.daemon.ask(&["drain"]).unwrap_err();
        assert!(primary.daemon.state().join("_drained").exists());

        let pid = primary.daemon.pid().unwrap();
        primary.leaves_nothing();
        process::wait_gone(pid).unwrap();
    });
}

#[test]
fn what_a_killed_daemon_left_is_removed_without_one() {
    alone(&[Need::Root, Need::Tool("keepalived")], || {
        let mut primary = Primary::start();
        let pins = format!("/sys/fs/bpf/keepfast/run-{}", primary.daemon.pid().unwrap());
        wait::until("the pins", LIMIT, || {
            Path::new(&pins)
                .exists()
                .then_some(())
                .ok_or_else(String::new)
        })
        .unwrap();
        primary.daemon.kill().unwrap();
        primary.leaves_nothing();
        assert!(!Path::new(&pins).exists());
    });
}
