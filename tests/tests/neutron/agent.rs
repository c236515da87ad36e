//! What the agent is told: each transition once, in order, whatever the agent does meanwhile.

use crate::{LIMIT, test, transitions};
use lab::link;
use lab::listener::{NeutronAgent, Notice};
use lab::shim::{ADDRESS, INTERFACE, Router, StatePath};
use lab::wait;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

/// The states that were told, in order.
fn states(told: &[Notice]) -> Vec<&str> {
    told.iter().map(|it| it.state.as_str()).collect()
}

#[test]
fn each_transition_is_told_once() {
    test(|| {
        let path = StatePath::new("each").unwrap();
        let router = Router::new(&path).unwrap();
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        let mut monitor = router.start().unwrap();
        agent.wait(1, LIMIT).unwrap();
        let mut waited: Vec<u64> = Vec::new();
        for number in 0..transitions() {
            let state = if number % 2 == 0 { "primary" } else { "backup" };
            let done = match state {
                "primary" => router.promote(),
                _ => router.demote(),
            }
            .unwrap();
            let told = agent.wait(number + 2, LIMIT).unwrap();
            assert_eq!(told.len(), number + 2);
            assert_eq!(told[number + 1].state, state);
            assert_eq!(router.state(), state, "the state file comes first");
            waited.push(told[number + 1].received_ns.saturating_sub(done));
        }
        waited.sort_unstable();
        let median = waited[waited.len() / 2];
        println!(
            "{} transitions, told {} us after `ip` ended",
            waited.len(),
            median / 1000
        );
        monitor.stop(Signal::SIGTERM).unwrap();
        assert_eq!(agent.notices().unwrap().len(), transitions() + 1);
    });
}

#[test]
fn the_state_file_is_written_before_the_agent_is_told() {
    const ROUNDS: usize = 40;
    /// Whether the state file was there by the time that the agent was connected to.
    fn listen(listener: &UnixListener, changes: &Inotify) -> bool {
        let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(LIMIT).unwrap();
        assert_eq!(poll(&mut waiting, limit).unwrap(), 1, "nobody connects");
        let seen = changes.read_events().unwrap_or_default();
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\n").unwrap();
        seen.iter()
            .any(|it| it.name.as_deref() == Some(OsStr::new("state")))
    }
    test(|| {
        let path = StatePath::new("order").unwrap();
        let router = Router::new(&path).unwrap();
        let changes = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
        changes
            .add_watch(router.conf_dir(), AddWatchFlags::IN_MOVED_TO)
            .unwrap();
        let listener = UnixListener::bind(path.agent_socket()).unwrap();
        thread::scope(|scope| {
            // Waiting already when a change is made, so that it is not late to look.
            let written = scope.spawn(|| {
                let rounds = (0..=ROUNDS).map(|_| listen(&listener, &changes));
                rounds.filter(|written| *written).count()
            });
            let _monitor = router.start().unwrap();
            router.wait_log("Notified", LIMIT).unwrap();
            for number in 0..ROUNDS {
                let done = if number % 2 == 0 {
                    router.promote()
                } else {
                    router.demote()
                };
                done.unwrap();
                let told = || router.log().matches("Notified").count();
                wait::until("its being told", LIMIT, || match told() {
                    count if count == number + 2 => Ok(()),
                    count => Err(count.to_string()),
                })
                .unwrap();
            }
            assert_eq!(written.join().unwrap(), ROUNDS + 1);
        });
    });
}

#[test]
fn many_changes_at_once_are_all_told_in_order() {
    test(|| {
        let path = StatePath::new("flips").unwrap();
        let router = Router::new(&path).unwrap();
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        let _monitor = router.start().unwrap();
        agent.wait(1, LIMIT).unwrap();
        let mut expected = vec!["backup"];
        for number in [2, 3, 20, 51] {
            let mut lines = String::new();
            for _ in 0..number {
                let (verb, state) = match expected.last() {
                    Some(&"backup") => ("add", "primary"),
                    _ => ("del", "backup"),
                };
                lines += &format!("address {verb} {ADDRESS} dev {INTERFACE}\n");
                expected.push(state);
            }
            link::ip(router.namespace(), &lines).unwrap();
            let told = agent.wait(expected.len(), LIMIT).unwrap();
            assert_eq!(states(&told), expected);
            assert_eq!(router.state(), expected[expected.len() - 1]);
        }
    });
}

#[test]
fn an_agent_that_comes_back_is_told_the_newest_state() {
    test(|| {
        let path = StatePath::new("absent").unwrap();
        let router = Router::new(&path).unwrap();
        let _monitor = router.start().unwrap();
        for round in 0..3 {
            // No socket, and one that nobody listens at.
            if round == 1 {
                fs::write(path.agent_socket(), "").unwrap();
            }
            for _ in 0..3 {
                router.promote().unwrap();
                router.wait_state("primary", LIMIT).unwrap();
                router.demote().unwrap();
                router.wait_state("backup", LIMIT).unwrap();
            }
            router.promote().unwrap();
            router.wait_state("primary", LIMIT).unwrap();
            if round == 1 {
                fs::remove_file(path.agent_socket()).unwrap();
            }
            let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
            let told = agent.wait(1, LIMIT).unwrap();
            assert_eq!(states(&told), ["primary"]);
            router.demote().unwrap();
            let told = agent.wait(2, LIMIT).unwrap();
            assert_eq!(states(&told), ["primary", "backup"]);
            drop(agent);
            fs::remove_file(path.agent_socket()).unwrap();
        }
    });
}

#[test]
fn fifty_routers_at_once_are_all_told() {
    const ROUTERS: usize = 50;
    test(|| {
        let path = StatePath::new("fifty").unwrap();
        let routers: Vec<Router> = (0..ROUTERS).map(|_| Router::new(&path).unwrap()).collect();
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        let _monitors: Vec<_> = routers.iter().map(|it| it.start().unwrap()).collect();
        agent.wait(ROUTERS, LIMIT).unwrap();
        thread::scope(|scope| {
            for router in &routers {
                scope.spawn(|| router.promote().unwrap());
            }
        });
        let told = agent.wait(2 * ROUTERS, LIMIT).unwrap();
        for router in &routers {
            assert_eq!(router.state(), "primary");
        }
        let mut by_router: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for notice in &told {
            by_router
                .entry(&notice.router)
                .or_default()
                .push(&notice.state);
        }
        assert_eq!(by_router.len(), ROUTERS);
        for (router, states) in by_router {
            assert_eq!(states, ["backup", "primary"], "{router}");
        }
    });
}

#[test]
fn connections_are_synchronised_between_the_state_file_and_the_agent() {
    /// Says what it is asked for, and what the state file and the agent say by then.
    const CONNTRACKD: &str = "#!/bin/sh\n\
        directory=${2%/*}\n\
        echo \"$3 $(cat $directory/state) $(ip -o link show ha-lab >&2 && echo inside)\" \
        >> $directory/asked\n\
        sleep 0.05\n";
    test(|| {
        let path = StatePath::new("conntrack").unwrap();
        let mut router = Router::new(&path).unwrap();
        router.more = vec!["--enable_conntrackd".into()];
        let programs = path.path().join("bin");
        fs::create_dir(&programs).unwrap();
        let program = programs.join("conntrackd");
        fs::write(&program, CONNTRACKD).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        let mut command = router.command(lab::shim::Form::Pairs);
        let search = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{search}", programs.display()));
        let output = router.conf_dir().join("output");
        let mut monitor = lab::process::Process::start("monitor", &mut command, &output).unwrap();

        let asked = || fs::read_to_string(router.conf_dir().join("asked")).unwrap_or_default();
        agent.wait(1, LIMIT).unwrap();
        let backup = "-t backup inside\n-n backup inside\n";
        assert_eq!(asked(), backup);
        router.promote().unwrap();
        agent.wait(2, LIMIT).unwrap();
        let primary = ["-c", "-f", "-R", "-B"].map(|it| format!("{it} primary inside\n"));
        assert_eq!(asked(), format!("{backup}{}", primary.concat()));
        let line = format!(
            "Synced connection tracking state on primary for router {}",
            router.id()
        );
        router.wait_log(&line, LIMIT).unwrap();
        // It does not wait for a program of its own.
        router.demote().unwrap();
        router.wait_state("backup", LIMIT).unwrap();
        thread::sleep(Duration::from_millis(5));
        monitor.stop(Signal::SIGTERM).unwrap();
    });
}
