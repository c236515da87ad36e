//! `keepfast top` on a terminal, which is as it was when that ends.

use super::*;
use lab::pty::Pty;
use nix::sys::signal::Signal;

/// Enters and leaves the other screen of a terminal.
const ENTERS: &str = "\u{1b}[?1049h";
const LEAVES: &str = "\u{1b}[?1049l";

fn start(daemon: &Daemon) -> Pty {
    let mut command = lab::binary::keepfast();
    command.arg("top").arg("--socket").arg(daemon.socket());
    Pty::start(&mut command, 140, 40).unwrap()
}

#[test]
fn it_shows_routers_peers_and_events_and_leaves_the_terminal_as_it_was() {
    alone(|| {
        let pair = Pair::armed();
        let mut top = start(&pair.second);
        top.wait_written(0, ENTERS, LIMIT).unwrap();
        top.wait_written(0, "1 routers: 0 primary, 1 backup", LIMIT)
            .unwrap();
        top.wait_written(0, "169.254.192.1 (100)", LIMIT).unwrap();
        assert!(!top.is_cooked().unwrap());
        let from = top.written().len();
        top.write("p").unwrap();
        top.wait_written(from, "02:4b:46:00:00:01", LIMIT).unwrap();
        let from = top.written().len();
        top.write("p").unwrap();
        pair.first.ask(&["failover", "r"]).unwrap();
        // By its log, and by its status. Only what changes is written.
        top.wait_written(from, "took_over", LIMIT).unwrap();
        top.wait_written(from, "this host", LIMIT).unwrap();
        top.write("q").unwrap();
        assert!(top.wait_end().unwrap().success());
        assert!(top.written().contains(LEAVES));
        assert!(top.is_cooked().unwrap());
    });
}

#[test]
fn a_signal_and_ctrl_c_end_it_and_a_daemon_that_goes_is_told() {
    alone(|| {
        let mut daemon = Daemon::new("watched").unwrap();
        for ending in ["\u{3}", "SIGTERM", "SIGHUP", "SIGINT"] {
            let mut top = start(&daemon);
            top.wait_written(0, "0 routers", LIMIT).unwrap();
            match ending.parse::<Signal>() {
                Ok(signal) => top.signal(signal).unwrap(),
                Err(_) => top.write(ending).unwrap(),
            }
            let ended = top.wait_end().unwrap();
            assert!(ended.success(), "{ending:?}: {ended}, {}", top.written());
            assert!(top.written().contains(LEAVES), "{ending:?}");
            assert!(top.is_cooked().unwrap(), "{ending:?}");
        }
        let mut top = start(&daemon);
        top.wait_written(0, "0 routers", LIMIT).unwrap();
        daemon.stop().unwrap();
        top.wait_written(0, "no keepfast daemon listens", LIMIT)
            .unwrap();
        top.write("q").unwrap();
        assert!(top.wait_end().unwrap().success());
    });
}

#[test]
fn without_a_terminal_it_says_so() {
    let mut command = lab::binary::keepfast();
    let output = command.arg("top").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("expected to be a terminal"), "{said}");
}
