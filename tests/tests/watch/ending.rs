//! How a watch ends, or does not begin.

use crate::{Hosts, LIMIT, alone};
use lab::netns::Namespace;
use lab::sender::{Advert, Sender};
use lab::watcher::{Ended, Watcher, wait_freed};
use lab::workdir::WorkDir;
use lab::{binary, process};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Command;

fn end(command: &mut Command) -> Ended {
    Watcher::spawn(command).unwrap().wait_end().unwrap()
}

fn watch(arguments: &[&str]) -> Command {
    let mut command = binary::keepfast();
    command.arg("watch").args(arguments);
    command
}

/// The tc filters on what eth0 sends.
fn filters(namespace: &Namespace) -> String {
    let mut command = namespace.command("tc");
    command.args(["filter", "show", "dev", "eth0", "egress"]);
    // Without their qdisc there are none, and tc calls that an error.
    process::output(&mut command).unwrap_or_default()
}

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    alone(|| {
        let hosts = Hosts::new(["sender", "watched"]);
        let watched = &hosts.hosts[1];
        let sender = Sender::new(&hosts.hosts[0], "eth0").unwrap();
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let mut watcher = Watcher::start(&[watched]).unwrap();
            sender.send(&Advert::default()).unwrap();
            let appeared = watcher
                .wait_for("a master", LIMIT, |event| event.is("master_appeared"))
                .unwrap();
            assert_eq!(appeared.text("/new/address"), "10.99.0.1");
            assert_eq!(appeared.text("/netns"), watched.name());
            assert_eq!(appeared.text("/interface"), "eth0");
            let (pins, held) = (watcher.pins(), watcher.holds().unwrap());
            assert!(pins.join("VIRTUAL_ROUTERS").exists(), "{}", pins.display());
            let links = held.iter().filter(|thing| thing[0] == "link").count();
            // Before Linux 6.6 what is sent is seen by a filter, and that is no link.
            let expected = if filters(watched).is_empty() { 2 } else { 1 };
            assert_eq!(links, expected, "{held:?}");
            watcher.signal(signal).unwrap();
            let ended = watcher.wait_end().unwrap();
            assert_eq!(ended.status.code(), Some(0), "{signal}: {}", ended.messages);
            assert!(!pins.exists(), "{signal} left {}", pins.display());
            wait_freed(&held).unwrap();
            let interface = process::output(watched.command("ip").args(["link", "show", "eth0"]));
            let interface = interface.unwrap();
            assert!(!interface.contains("xdp"), "{signal}: {interface}");
            assert_eq!(filters(watched), "", "{signal}");
        }
    });
}

#[test]
fn what_a_killed_watch_leaves_is_removed_by_the_next() {
    alone(|| {
        let hosts = Hosts::new(["watched"]);
        let killed = Watcher::start(&[&hosts.hosts[0]]).unwrap();
        let (pins, held) = (killed.pins(), killed.holds().unwrap());
        killed.signal(Signal::SIGKILL).unwrap();
        let ended = killed.wait_end().unwrap();
        assert_eq!(ended.status.signal(), Some(Signal::SIGKILL as i32));
        assert!(pins.exists(), "{}", pins.display());
        let mut next = Watcher::start(&[&hosts.hosts[0]]).unwrap();
        next.wait_message(&format!("removed {}", pins.display()))
            .unwrap();
        assert!(!pins.exists(), "{}", pins.display());
        wait_freed(&held).unwrap();
        // What was left was not in the way of the new programs.
        assert!(!next.messages().contains("fallback"), "{}", next.messages());
        let ended = next.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.messages);
    });
}

#[test]
fn names_of_nothing_are_wrong_usage() {
    alone(|| {
        let hosts = Hosts::new(["watched"]);
        let name = hosts.hosts[0].name();
        let ended = end(&mut watch(&["--netns", name, "--interface", "nosuch0"]));
        assert_eq!(ended.status.code(), Some(64), "{}", ended.messages);
        let expected = format!(
            "interface \"nosuch0\" does not exist in network namespace {name}: \
             expected one of lo, eth0"
        );
        assert!(ended.messages.contains(&expected), "{}", ended.messages);
        let ended = end(&mut watch(&["--netns", name, "--netns", "kf-no-such"]));
        assert_eq!(ended.status.code(), Some(64), "{}", ended.messages);
        let expected = "network namespace \"kf-no-such\" does not exist";
        assert!(ended.messages.contains(expected), "{}", ended.messages);
    });
}

#[test]
fn without_privilege_it_says_so() {
    alone(|| {
        let watched = Namespace::new("watched").unwrap();
        // Where the program was built, nobody may have no way to it.
        let directory = WorkDir::new("open").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = directory.file("keepfast");
        fs::copy(binary::path(), &program).unwrap();
        const NOBODY: u32 = 65_534;
        let arguments = ["watch", "--netns", watched.name()];
        let mut nobody = Command::new(&program);
        nobody.args(arguments).uid(NOBODY).gid(NOBODY);
        // Root without capabilities gets as far as the kernel's own check.
        let mut powerless = Command::new("setpriv");
        powerless.args(["--bounding-set=-all", "--inh-caps=-all"]);
        powerless.arg(&program).args(arguments);
        for mut command in [nobody, powerless] {
            let ended = end(&mut command);
            assert_eq!(
                ended.status.code(),
                Some(77),
                "{command:?}: {}",
                ended.messages
            );
            let said = ended.messages.contains("error: ");
            assert!(said, "{command:?}: {}", ended.messages);
            assert!(ended.events.is_empty());
        }
    });
}
