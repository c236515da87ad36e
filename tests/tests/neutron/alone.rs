//! The contract with the agent: command line, pid file, state file, signals.

use crate::{LIMIT, test};
use lab::link;
use lab::listener::NeutronAgent;
use lab::process;
use lab::shim::{ADDRESS, Form, INTERFACE, Router, StatePath, is_of};
use lab::wait;
use nix::sys::signal::{Signal, kill};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::time::Instant;

/// The user that Neutron's agent would run as.
const NOBODY: u32 = 65534;

#[test]
fn the_initial_state_is_written_and_told_at_once() {
    test(|| {
        let path = StatePath::new("initial").unwrap();
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        for (number, state) in [(1, "backup"), (2, "primary")] {
            let router = Router::new(&path).unwrap();
            if state == "primary" {
                router.promote().unwrap();
            }
            chown(router.conf_dir(), Some(NOBODY), Some(NOBODY)).unwrap();
            fs::write(router.conf_dir().join("state"), "master").unwrap();
            let mut monitor = router.start().unwrap();
            let told = agent.wait(number, LIMIT).unwrap();
            assert_eq!(told.len(), number);
            assert_eq!(told[number - 1].router, router.id());
            assert_eq!(told[number - 1].state, state);
            let file = router.conf_dir().join("state");
            assert_eq!(router.state(), state);
            let metadata = fs::metadata(&file).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o7777, 0o644);
            // The agent writes it, too.
            assert_eq!(metadata.uid(), NOBODY);
            // Of its own process, for Neutron looks for its name there.
            assert_eq!(router.pid().unwrap(), monitor.pid());
            assert!(is_of(monitor.pid(), &format!("{}.monitor", router.id())));
            router.wait_log("Notified agent router", LIMIT).unwrap();
            for line in [
                format!("Initial status of router {} is {state}", router.id()),
                format!("Wrote router {} state {state}", router.id()),
            ] {
                assert!(router.log().contains(&line), "{}", router.log());
            }

            let begun = Instant::now();
            monitor.stop(Signal::SIGTERM).unwrap();
            println!("ended by SIGTERM after {:?}", begun.elapsed());
            assert!(!router.pid_file().exists());
            assert_eq!(monitor.log(), "", "it must be silent");
            assert_eq!(router.state(), state);
        }
    });
}

#[test]
fn with_equals_signs_it_goes_to_the_background() {
    test(|| {
        let path = StatePath::new("detached").unwrap();
        let router = Router::new(&path).unwrap();
        let said = process::output(&mut router.command(Form::Equals)).unwrap();
        assert_eq!(said, "");
        // It had written the pid file when the command returned.
        let pid = router.pid().unwrap();
        assert!(is_of(pid, &format!("{}.monitor", router.id())));
        router.wait_state("backup", LIMIT).unwrap();
        router.promote().unwrap();
        router.wait_state("primary", LIMIT).unwrap();
        kill(pid, Signal::SIGTERM).unwrap();
        process::wait_gone(pid).unwrap();
        assert!(!router.pid_file().exists());
    });
}

#[test]
fn what_is_missing_is_logged_and_the_exit_status_is_one() {
    test(|| {
        let path = StatePath::new("missing").unwrap();
        let mut router = Router::new(&path).unwrap();
        for form in [Form::Pairs, Form::Equals] {
            router.more = vec!["--router_id=".into(), "--unknown".into(), "word".into()];
            let output = router.command(form).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert!(
                output.stdout.is_empty() && output.stderr.is_empty(),
                "{output:?}"
            );
            router.wait_log("Missing --router_id", LIMIT).unwrap();
            fs::remove_file(router.log_file()).unwrap();
            assert!(!router.pid_file().exists());

            // Nor does it replace what is no pid file.
            router.more = vec!["--pid_file=/etc/hostname".into()];
            let before = fs::read("/etc/hostname").unwrap();
            let output = router.command(form).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            router
                .wait_log("/etc/hostname holds something else", LIMIT)
                .unwrap();
            fs::remove_file(router.log_file()).unwrap();
            assert_eq!(fs::read("/etc/hostname").unwrap(), before);
        }
    });
}

#[test]
fn only_that_address_on_that_interface_counts() {
    test(|| {
        let path = StatePath::new("others").unwrap();
        let router = Router::new(&path).unwrap();
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        let _monitor = router.start().unwrap();
        agent.wait(1, LIMIT).unwrap();
        let ip = |line: &str| link::ip(router.namespace(), &format!("{line}\n")).unwrap();
        for place in [
            format!("{ADDRESS} dev other"),
            format!("169.254.0.5/32 dev {INTERFACE}"),
            format!("169.254.0.6/24 dev {INTERFACE}"),
            format!("fd00::5/64 dev {INTERFACE}"),
        ] {
            ip(&format!("address add {place}"));
        }
        ip(&format!("address add {ADDRESS} dev {INTERFACE}"));
        // A change of its lifetime is no transition.
        ip(&format!(
            "address change {ADDRESS} dev {INTERFACE} valid_lft 1000 preferred_lft 1000"
        ));
        ip(&format!("address del {ADDRESS} dev other"));
        // An interface that goes takes its addresses with it.
        ip(&format!("link del {INTERFACE}"));
        let told = agent.wait(3, LIMIT).unwrap();
        let states: Vec<&str> = told.iter().map(|it| it.state.as_str()).collect();
        assert_eq!(states, ["backup", "primary", "backup"]);
        assert_eq!(router.state(), "backup");
    });
}

#[test]
fn an_address_of_ipv6_is_followed() {
    test(|| {
        let path = StatePath::new("ipv6").unwrap();
        let mut router = Router::new(&path).unwrap();
        router.more = vec!["--monitor_cidr".into(), "fd00::5/64".into()];
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        let _monitor = router.start().unwrap();
        agent.wait(1, LIMIT).unwrap();
        for (count, verb, state) in [(2, "add", "primary"), (3, "del", "backup")] {
            let line = format!("address {verb} fd00::5/64 dev {INTERFACE} nodad\n");
            link::ip(router.namespace(), &line).unwrap();
            let told = agent.wait(count, LIMIT).unwrap();
            assert_eq!((told.len(), told[count - 1].state.as_str()), (count, state));
        }
    });
}

#[test]
fn a_change_while_it_starts_is_not_missed() {
    test(|| {
        let path = StatePath::new("race").unwrap();
        let router = Router::new(&path).unwrap();
        for round in 0..20 {
            let state = if round % 2 == 0 { "primary" } else { "backup" };
            let mut monitor = router.start().unwrap();
            // Somewhere between its start and its subscription, or after.
            std::thread::sleep(std::time::Duration::from_micros(round * 700));
            match state {
                "primary" => router.promote(),
                _ => router.demote(),
            }
            .unwrap();
            router.wait_state(state, LIMIT).unwrap();
            monitor.stop(Signal::SIGTERM).unwrap();
        }
    });
}

#[test]
fn at_rest_it_gives_its_memory_back() {
    test(|| {
        let path = StatePath::new("memory").unwrap();
        let router = Router::new(&path).unwrap();
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        let monitor = router.start().unwrap();
        agent.wait(1, LIMIT).unwrap();
        let rest = || {
            wait::until("half of its memory being given back", LIMIT, || {
                let file = format!("/proc/{}/status", monitor.pid());
                let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
                let kilobytes = |name: &str| {
                    let line = text.lines().find_map(|line| line.strip_prefix(name));
                    let number = line.and_then(|line| line.split_whitespace().next());
                    number.and_then(|number| number.parse().ok())
                };
                match (kilobytes("VmRSS:"), kilobytes("VmHWM:")) {
                    (Some(now), Some(most)) if now * 2 < most => Ok((now, most)),
                    _ => Err(text),
                }
            })
            .unwrap()
        };
        let (now, most): (u32, u32) = rest();
        println!("{now} KiB at rest, {most} KiB at most");
        // What was given back is there again when it is needed.
        router.promote().unwrap();
        assert_eq!(agent.wait(2, LIMIT).unwrap()[1].state, "primary");
        rest();
    });
}

#[test]
fn it_waits_for_a_namespace_that_is_not_there_and_ends_all_the_same() {
    test(|| {
        let path = StatePath::new("nowhere").unwrap();
        let mut router = Router::new(&path).unwrap();
        router.more = vec!["--namespace".into(), "kf-no-such-namespace".into()];
        fs::write(router.conf_dir().join("state"), "primary").unwrap();
        let mut monitor = router.start().unwrap();
        router.wait_state("backup", LIMIT).unwrap();
        router.wait_log("kf-no-such-namespace", LIMIT).unwrap();
        wait::until("its pid file", LIMIT, || {
            router.pid().map_err(|it| it.to_string())
        })
        .unwrap();
        monitor.stop(Signal::SIGTERM).unwrap();
    });
}
