//! `keepfast run`: checking the declarations only, and how messages are written.

use super::alone;
use lab::binary;
use lab::daemon::Daemon;
use lab::process::Process;
use lab::require::Need;
use lab::workdir::WorkDir;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Output;
use std::time::Duration;

const ROUTER: &str = "[vrrp]\ninterface = \"ha0\"\nvrid = 7\naddresses = [\"10.9.0.1/24\"]\n";

/// `keepfast run --check-config` on a directory with these files.
fn check(files: &[(&str, &str)]) -> (WorkDir, Output) {
    let directory = WorkDir::new("check").unwrap();
    for (name, text) in files {
        fs::write(directory.file(name), text).unwrap();
    }
    let mut command = binary::keepfast();
    command.args(["run", "--check-config", "--routers"]);
    command.arg(directory.path());
    // Nothing is made there, nor listened at.
    command.arg("--state").arg(directory.file("state"));
    command.arg("--socket").arg(directory.file("socket"));
    let output = command.output().unwrap();
    for name in ["state", "socket"] {
        assert!(!directory.file(name).exists(), "{name}");
    }
    (directory, output)
}

#[test]
fn declarations_that_can_be_used_pass() {
    alone(&[Need::Root], || {
        // Unlike `config check`: the daemon waits for interfaces and namespaces.
        let (directory, output) = check(&[("a.toml", ROUTER)]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let expected = format!("ok  {}\n", directory.file("a.toml").display());
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    });
}

#[test]
fn all_that_is_wrong_is_told_by_file_line_and_field() {
    alone(&[Need::Root], || {
        let secret = format!(
            "{}authentication = {{ type = \"PASS\", secret_file = \"/no/such\" }}\nversion = 2\n",
            ROUTER.replace("vrid = 7", "vrid = 8")
        );
        let (directory, output) = check(&[
            ("a.toml", ROUTER),
            ("b.toml", ROUTER),
            ("c.toml", "[vrrp]\ninterface = \"ha0\"\nvrid = 500\n"),
            ("d.toml", &secret),
        ]);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        let path = |name| directory.file(name).display().to_string();
        for expected in [
            format!("{}:3:8: vrrp.vrid: ", path("b.toml")),
            format!("{}:3:8: vrrp.vrid: 500 is no VRID", path("c.toml")),
            format!(
                "{}: router d: vrrp.authentication.secret_file: ",
                path("d.toml")
            ),
            "error: 3 of 4 router files cannot be used".to_owned(),
        ] {
            assert!(told.contains(&expected), "{expected}: {told}");
        }
    });
}

#[test]
fn messages_are_json_if_asked_for() {
    alone(&[Need::Root, Need::Tool("keepalived")], || {
        let mut daemon = Daemon::prepare("json").unwrap();
        daemon
            .start_dressed(&[], |command| {
                command.args(["--log", "json"]);
            })
            .unwrap();
        daemon.stop().unwrap();
        let messages = daemon.messages();
        let messages: Vec<Value> = messages
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let begins = messages
            .iter()
            .find(|it| it["message"] == "looking after 0 routers");
        let begins = begins.unwrap();
        assert_eq!(begins["level"], "INFO");
        assert!(begins["timestamp"].as_str().unwrap().ends_with('Z'));
    });
}

#[test]
fn the_journal_is_told_levels_and_no_times() {
    alone(&[Need::Root, Need::Tool("keepalived")], || {
        let directory = WorkDir::new("journal").unwrap();
        let log = directory.file("log");
        // The file stands for the journal: it is named by device and inode.
        let made = File::create(&log).unwrap().metadata().unwrap();
        let run = |stream: String| {
            let mut command = binary::keepfast();
            command.env("JOURNAL_STREAM", stream);
            command.arg("run");
            for option in ["--routers", "--state", "--socket"] {
                command.arg(option).arg(directory.file(option));
            }
            let mut process = Process::start("keepfast run", &mut command, &log).unwrap();
            let limit = Duration::from_secs(20);
            let ready = |log: &str| log.contains("looking after").then_some(());
            process.wait_log("its start", limit, ready).unwrap();
            process.stop(Signal::SIGTERM).unwrap();
            process.log()
        };
        let journal = run(format!("{}:{}", made.dev(), made.ino()));
        assert!(
            journal.contains("\n<6>looking after 0 routers\n"),
            "{journal}"
        );
        assert!(journal.lines().all(|it| it.starts_with('<')), "{journal}");
        assert!(journal.starts_with("<4>made "), "{journal}");
        // Inherited from somebody whose stderr was the journal.
        let other = run(format!("{}:{}", made.dev(), made.ino() + 1));
        assert!(other.contains(" INFO looking after 0 routers"), "{other}");
    });
}
