//! `keepfast events`: nothing is left out, with a daemon or without.

use super::*;
use std::fs;
use std::process::{Child, Command, Stdio};

/// `keepfast events --follow`, ended when dropped.
struct Follower {
    child: Child,
    file: std::path::PathBuf,
}

impl Follower {
    fn start(daemon: &Daemon) -> Self {
        let file = daemon.directory().join("followed");
        let mut command = lab::binary::keepfast();
        command.args(["events", "--follow", "--json", "--since", "1h", "--state"]);
        let child = command
            .arg(daemon.state())
            .stdout(fs::File::create(&file).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, file }
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.file).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What `keepfast events` prints.
fn print(daemon: &Daemon, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command: Command = lab::binary::keepfast();
    command.arg("events").args(arguments);
    lab::process::output(command.arg("--state").arg(daemon.state()))
}

#[test]
fn what_is_followed_is_what_the_logs_say() {
    alone(|| {
        let mut pair = Pair::armed();
        let follower = Follower::start(&pair.second);
        pair.first.crash_keepalived("r").unwrap();
        pair.second.wait_state("r", "primary", LIMIT).unwrap();
        // A second router, declared while it is followed.
        let other = Declaration {
            id: "other".into(),
            vrid: 9,
            ..Declaration::bare(&pair.topology.hosts[1].namespace, 9)
        };
        other.apply(&pair.second).unwrap();
        pair.second.wait_state("other", "primary", LIMIT).unwrap();
        let logged = || {
            let mut all = pair.second.events("r").unwrap();
            all.extend(pair.second.events("other").unwrap());
            all
        };
        let key = |event: &Value| (event["monotonic_ns"].as_u64(), event.to_string());
        wait::until("all events to be followed", LIMIT, || {
            let (mut logged, mut followed) = (logged(), follower.lines());
            logged.sort_by_key(key);
            followed.sort_by_key(key);
            if logged == followed {
                Ok(())
            } else {
                Err(format!("{} of {}", followed.len(), logged.len()))
            }
        })
        .unwrap();
        drop(follower);
        // The daemon is not needed.
        pair.second.stop().unwrap();
        let all = print(&pair.second, &["--json"]).unwrap();
        let times: Vec<u64> = all
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|event| event["monotonic_ns"].as_u64().unwrap())
            .collect();
        let mut sorted = times.clone();
        sorted.sort_unstable();
        assert_eq!(times, sorted);
        let words = print(&pair.second, &["--router", "r", "--since", "1h"]).unwrap();
        // Whoever made keepalived take over, itself or the fast path: all that was logged.
        for event in pair.second.events("r").unwrap() {
            let (state, name) = (&event["state"], &event["event"]);
            let [state, name] = [state, name].map(|it| it.as_str().unwrap());
            let told = |line: &str| line.contains(&format!("  r  {state}")) && line.contains(name);
            assert!(words.lines().any(told), "no {state} {name} in {words}");
        }
        assert!(words.contains("  r  primary  "), "{words}");
        assert!(!words.contains("  other  "), "{words}");
        assert_eq!(print(&pair.second, &["--since", "2100-01-01"]).unwrap(), "");
        print(&pair.second, &["--router", "nobody"]).unwrap_err();
    });
}
