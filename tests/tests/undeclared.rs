//! What became of router files while no agent ran is brought about when one starts.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use lab::daemon::Daemon;
use lab::leftovers::Snapshot;
use lab::require::{Need, require};
use lab::router::{Declaration, Topology};
use lab::wait;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(15);

/// A router that is primary, with a child, under a daemon that is then stopped; what `change`
/// makes of its file is there when the daemon starts again.
fn check(change: impl FnOnce(&Daemon), then: impl FnOnce(&Daemon, [Pid; 2], Pid)) {
    if !require(&[Need::Root, Need::Tool("keepalived"), Need::Tool("ip")]) {
        return;
    }
    let before = Snapshot::of_this_process().unwrap();
    {
        let topology = Topology::new(1).unwrap();
        let mut daemon = Daemon::new("undeclared").unwrap();
        declaration(&topology, true).apply(&daemon).unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        let child = wait::until("the child's pid file", LIMIT, || {
            let read = fs::read_to_string(daemon.file("r", "child.sleeper.pid"));
            let pid = read.map_err(|error| error.to_string())?;
            pid.trim().parse().map_err(|_| pid)
        });
        let child = Pid::from_raw(child.unwrap());
        let keepalived = daemon.keepalived("r").unwrap();
        daemon.stop().unwrap();
        kill(child, None).unwrap();
        change(&daemon);
        daemon.start().unwrap();
        then(&daemon, keepalived, child);
    }
    before.check().unwrap();
}

fn declaration(topology: &Topology, child: bool) -> Declaration {
    let mut declaration = Declaration::plain(&topology.hosts[0]);
    if child {
        declaration.tables.push_str(
            "\n[[child]]\nname = \"sleeper\"\ncommand = [\"/bin/sleep\", \"600.25\"]\n\
             run = \"always\"\n",
        );
    }
    declaration
}

fn wait_gone(pid: Pid) {
    wait::until("the end of a process", LIMIT, || match kill(pid, None) {
        Ok(()) => Err(format!("{pid} still there")),
        Err(_) => Ok(()),
    })
    .unwrap();
}

#[test]
fn a_router_whose_file_is_gone_is_taken_down() {
    check(
        |daemon| fs::remove_file(daemon.routers().join("r.toml")).unwrap(),
        |daemon, keepalived, child| {
            keepalived.into_iter().chain([child]).for_each(wait_gone);
            wait::until("an empty state directory", LIMIT, || {
                let left = fs::read_dir(daemon.state()).unwrap().count();
                if left == 0 {
                    Ok(())
                } else {
                    Err(format!("{left} entries"))
                }
            })
            .unwrap();
        },
    );
}

#[test]
fn a_child_that_is_declared_no_longer_is_ended_and_keepalived_goes_on() {
    check(
        |daemon| {
            let file = daemon.routers().join("r.toml");
            let text = fs::read_to_string(&file).unwrap();
            let (without, _) = text.split_once("\n[[child]]").unwrap();
            fs::write(&file, without).unwrap();
        },
        |daemon, keepalived, child| {
            wait_gone(child);
            assert_eq!(daemon.keepalived("r").unwrap(), keepalived);
            daemon.wait_state("r", "primary", LIMIT).unwrap();
        },
    );
}

#[test]
fn a_router_whose_file_is_wrong_goes_on_as_it_was() {
    check(
        |daemon| fs::write(daemon.routers().join("r.toml"), "vrid = ").unwrap(),
        |daemon, keepalived, child| {
            let problems = daemon.list().unwrap()["problems"].to_string();
            assert!(problems.contains("r.toml:1"), "{problems}");
            for pid in keepalived.into_iter().chain([child]) {
                kill(pid, None).unwrap();
            }
            assert_eq!(daemon.state_file("r").unwrap(), "primary");
            assert_eq!(daemon.show("r").unwrap()["keepalived"], "running");
        },
    );
}
