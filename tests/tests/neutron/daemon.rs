//! With a daemon: it leads, and whatever becomes of it, each transition is told once.

use crate::{LIMIT, test, transitions};
use lab::daemon::Daemon;
use lab::keepalived::{Config, Instance};
use lab::listener::NeutronAgent;
use lab::process::Process;
use lab::shim::{ADDRESS, INTERFACE, Router, StatePath};
use lab::{link, process, wait};
use nix::sys::signal::{Signal, kill};
use std::fs;
use std::time::Duration;

/// The router's line of `keepfast router list`; `None` where it is not there.
fn listed(daemon: &Daemon, id: &str) -> Option<serde_json::Value> {
    let list = daemon.list().unwrap();
    let mut routers = list["routers"].as_array().unwrap().iter();
    routers.find(|it| it["id"] == id).cloned()
}

/// A router that knows the daemon.
fn router(path: &StatePath, daemon: &Daemon) -> Router {
    let mut router = Router::new(path).unwrap();
    router.keepfast_socket = daemon.socket();
    router
}

/// Makes it the other one of primary and backup; which.
fn flip(router: &Router, number: usize) -> &'static str {
    let (outcome, state) = if number.is_multiple_of(2) {
        (router.promote(), "primary")
    } else {
        (router.demote(), "backup")
    };
    outcome.unwrap();
    state
}

const LEADS: &str = "looked after by keepfast";

#[test]
fn the_daemon_looks_after_the_router_as_long_as_the_monitor_lives() {
    test(|| {
        let path = StatePath::new("led").unwrap();
        let mut daemon = Daemon::new("daemon").unwrap();
        let router = router(&path, &daemon);
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        let mut monitor = router.start().unwrap();
        router.wait_log(LEADS, LIMIT).unwrap();
        assert_eq!(agent.wait(1, LIMIT).unwrap()[0].state, "backup");
        for number in 0..transitions() {
            let state = flip(&router, number);
            let told = agent.wait(number + 2, LIMIT).unwrap();
            assert_eq!(
                (told.len(), told[number + 1].state.as_str()),
                (number + 2, state)
            );
            assert_eq!(router.state(), state);
        }
        let line = listed(&daemon, router.id()).unwrap();
        assert_eq!(
            (&line["mode"], &line["state"]),
            (&"attached".into(), &"backup".into())
        );
        let shown = daemon.show(router.id()).unwrap();
        assert_eq!(shown["registered_by"], monitor.pid().as_raw());
        // It has nothing to be deleted by, and its name is taken.
        daemon.delete(router.id()).unwrap_err();
        let toml = format!(
            "id = \"{}\"\n[attached]\nconfig_file = \"/none\"\ninstance = \"VI_1\"\n",
            router.id()
        );
        daemon.apply(&toml).unwrap_err();

        monitor.stop(Signal::SIGTERM).unwrap();
        wait::until("its being let go", LIMIT, || {
            match listed(&daemon, router.id()) {
                None if !daemon.state().join(router.id()).exists() => Ok(()),
                line => Err(format!("{line:?}")),
            }
        })
        .unwrap();
        assert_eq!(agent.notices().unwrap().len(), transitions() + 1);
        // Nor does it look for it when it starts again.
        daemon.restart().unwrap();
        assert!(listed(&daemon, router.id()).is_none());
    });
}

#[test]
fn whatever_becomes_of_the_daemon_each_transition_is_told_once() {
    // Of five one costs a start of the daemon or two, which take seconds.
    let count = transitions().min(100);
    test(|| {
        let path = StatePath::new("killed").unwrap();
        let mut daemon = Daemon::new("daemon").unwrap();
        let router = router(&path, &daemon);
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        let monitor = router.start().unwrap();
        let mut led = 1;
        let wait_led = |count: usize| {
            wait::until("its being led again", LIMIT, || {
                let log = router.log();
                if log.matches(LEADS).count() == count {
                    Ok(())
                } else {
                    Err(log)
                }
            })
            .unwrap();
        };
        wait_led(led);
        for number in 0..count {
            let state = match number % 5 {
                // In the same moment as the transition, before or after it.
                1 => {
                    let pid = daemon.pid().unwrap();
                    kill(pid, Signal::SIGKILL).unwrap();
                    flip(&router, number)
                }
                2 => {
                    // It was killed, so this only collects it.
                    daemon.kill().unwrap();
                    let state = flip(&router, number);
                    daemon.start().unwrap();
                    state
                }
                3 => {
                    led += 1;
                    wait_led(led);
                    let state = flip(&router, number);
                    if number % 2 == 0 {
                        daemon.restart().unwrap();
                        led += 1;
                        wait_led(led);
                    }
                    state
                }
                _ => flip(&router, number),
            };
            let told = agent.wait(number + 2, LIMIT).unwrap();
            let states: Vec<&str> = told.iter().map(|it| it.state.as_str()).collect();
            assert_eq!(states.len(), number + 2, "{states:?}");
            assert_eq!(states[number + 1], state, "{states:?}");
            assert_eq!(router.state(), state);
        }
        drop(monitor);
        let told = agent.notices().unwrap();
        assert_eq!(told.len(), count + 1);
        println!("{count} transitions, led {led} times");
    });
}

#[test]
fn a_daemon_that_refuses_leaves_the_monitor_alone() {
    test(|| {
        let path = StatePath::new("refused").unwrap();
        let daemon = Daemon::new("daemon").unwrap();
        let router = router(&path, &daemon);
        let conf = path.path().join("other.conf");
        let config = Config::from(Instance {
            interface: INTERFACE.into(),
            addresses: vec![ADDRESS.into()],
            ..Instance::default()
        });
        fs::write(&conf, config.to_string()).unwrap();
        let toml = format!(
            "id = \"{}\"\nnamespace = \"{}\"\n[attached]\nconfig_file = \"{}\"\n\
             instance = \"VI_1\"\n",
            router.id(),
            router.namespace().name(),
            conf.display()
        );
        daemon.apply(&toml).unwrap();
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        let _monitor = router.start().unwrap();
        router
            .wait_log("not registered with keepfast", LIMIT)
            .unwrap();
        router.promote().unwrap();
        let told = agent.wait(2, LIMIT).unwrap();
        let states: Vec<&str> = told.iter().map(|it| it.state.as_str()).collect();
        assert_eq!(states, ["backup", "primary"]);
        assert!(daemon.messages().contains("looked after already"));
    });
}

#[test]
fn a_keepalived_that_dies_is_no_primary() {
    test(|| {
        let path = StatePath::new("dies").unwrap();
        let daemon = Daemon::new("daemon").unwrap();
        let router = router(&path, &daemon);
        let agent = NeutronAgent::start(&path.agent_socket()).unwrap();
        let _monitor = router.start().unwrap();
        router.wait_log(LEADS, LIMIT).unwrap();
        // As Neutron does: after the monitor, and its pid file beside the directory.
        let address = "address add 169.254.192.1/18 dev ha-lab\n";
        link::ip(router.namespace(), address).unwrap();
        let conf = router.conf_dir().join("keepalived.conf");
        let config = Config::from(Instance {
            interface: INTERFACE.into(),
            interval: Duration::from_millis(100),
            addresses: vec![ADDRESS.into()],
            ..Instance::default()
        });
        fs::write(&conf, config.to_string()).unwrap();
        let beside = |suffix: &str| {
            let name = format!("{}.pid.keepalived{suffix}", router.id());
            router.conf_dir().with_file_name(name)
        };
        let mut command = router.namespace().command("keepalived");
        command.args([
            "--vrrp",
            "--dont-fork",
            "--log-console",
            "--no-syslog",
            "--use-file",
        ]);
        command.arg(&conf).arg("--pid").arg(beside(""));
        command.arg("--vrrp_pid").arg(beside("-vrrp"));
        let log = path.path().join("keepalived.log");
        let mut keepalived = Process::start("keepalived", &mut command, &log).unwrap();
        let told = agent.wait(2, LIMIT).unwrap();
        assert_eq!(told[1].state, "primary");
        let shown = wait::until("its keepalived followed and read", LIMIT, || {
            let shown = daemon
                .show(router.id())
                .map_err(|error| format!("{error:#}"))?;
            let is_read = shown["keepalived"] == "running" && shown["vrid"].is_number();
            if is_read {
                Ok(shown)
            } else {
                Err(shown.to_string())
            }
        })
        .unwrap();
        assert_eq!(
            shown["addresses_present"][0],
            format!("{ADDRESS} dev {INTERFACE}")
        );

        let mut pids = vec![keepalived.pid()];
        pids.extend(process::children(keepalived.pid()));
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            pids.iter().for_each(|pid| kill(*pid, signal).unwrap());
        }
        keepalived.wait_end().unwrap();
        // Its address stays, but who answers for it by now is another host.
        let told = agent.wait(3, LIMIT).unwrap();
        assert_eq!(told[2].state, "backup");
        assert_eq!(router.state(), "backup");
    });
}
