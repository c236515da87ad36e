//! Neutron's own classes, of the last release with a monitor in Python and of the newest, with
//! keepfast in the place of their monitor.

use crate::{LIMIT, test, transitions};
use lab::daemon::Daemon;
use lab::neutron::{Agent, RELEASES};
use lab::process;
use lab::shim::{Router, StatePath};
use lab::wait;
use std::path::Path;

/// Which lines of the log say that the daemon leads.
const LEADS: &str = "looked after by keepfast";

/// A router's life, as Neutron leads it; `between` is called before each transition.
fn live(release: &str, keepfast_socket: &Path, mut between: impl FnMut(&Router, usize)) {
    let path = StatePath::new("real").unwrap();
    let mut agent = Agent::start(release, &path, keepfast_socket).unwrap();
    let router = Router::new(&path).unwrap();
    agent.spawn(&router).unwrap();
    wait::until("its being active", LIMIT, || match agent.active(&router) {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .unwrap();
    let told = agent.wait(1, LIMIT).unwrap();
    assert_eq!(
        (told[0].router.as_str(), told[0].state.as_str()),
        (router.id(), "backup")
    );
    assert_eq!(agent.state(&router).unwrap(), "backup");
    for number in 0..transitions() {
        between(&router, number);
        let (outcome, state) = if number.is_multiple_of(2) {
            (router.promote(), "primary")
        } else {
            (router.demote(), "backup")
        };
        outcome.unwrap();
        let told = agent.wait(number + 2, LIMIT).unwrap();
        assert_eq!(told.len(), number + 2, "{told:?}");
        assert_eq!(told[number + 1].router, router.id());
        assert_eq!(told[number + 1].state, state);
        assert_eq!(agent.state(&router).unwrap(), state);
    }
    assert!(agent.active(&router).unwrap());
    let pid = router.pid().unwrap();
    agent.destroy(&router).unwrap();
    process::wait_gone(pid).unwrap();
    assert!(!agent.active(&router).unwrap());
    let told = agent.notices().unwrap().len() - 1;
    assert_eq!(told, transitions());
    println!("neutron {release}: {told} transitions, each told once");
}

#[test]
fn neutron_is_told_each_transition_once() {
    test(|| {
        for release in RELEASES {
            live(release, Path::new("/nonexistent/no-daemon"), |_, _| {});
        }
    });
}

#[test]
fn neutron_is_told_each_transition_once_whatever_becomes_of_the_daemon() {
    test(|| {
        for release in RELEASES {
            let mut daemon = Daemon::new("daemon").unwrap();
            let socket = daemon.socket();
            let mut led = 0;
            let mut times = 0;
            // A start takes a second or two.
            let period = (transitions() / 30).max(7);
            live(release, &socket, |router, number| {
                let log = || router.log().matches(LEADS).count();
                if number.is_multiple_of(period) {
                    wait::until("its being led", LIMIT, || match log() {
                        count if count > led => Ok(()),
                        count => Err(count.to_string()),
                    })
                    .unwrap();
                    led = log();
                    times += 1;
                }
                match number % period {
                    3 => daemon.kill().unwrap(),
                    5 => daemon.start().unwrap(),
                    _ => {}
                }
            });
            assert_eq!(times, transitions().div_ceil(period));
        }
    });
}
