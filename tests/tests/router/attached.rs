//! A keepalived that is somebody else's: looked at, and left as it is.

use crate::{LIMIT, alone, has_address, wait_becomes};
use lab::addresses::Addresses;
use lab::daemon::Daemon;
use lab::keepalived::{Config, Instance};
use lab::listener::Listener;
use lab::process::{self, Process};
use lab::router::{HA, Topology};
use lab::wait;
use lab::workdir::WorkDir;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

const ADDRESS: &str = "169.254.0.7/24";

#[test]
fn an_attached_keepalived_is_followed_and_not_touched() {
    alone(&[], || {
        let topology = Topology::new(1).unwrap();
        let namespace = &topology.hosts[0].namespace;
        lab::link::ip(namespace, "address add 169.254.192.1/18 dev ha-lab\n").unwrap();
        let directory = WorkDir::new("foreign").unwrap();
        let (conf, pid_file) = (directory.file("keepalived.conf"), directory.file("pid"));
        let config = Config::from(Instance {
            interface: HA.into(),
            interval: Duration::from_millis(100),
            addresses: vec![ADDRESS.into()],
            ..Instance::default()
        });
        fs::write(&conf, config.to_string()).unwrap();
        let start = |number: u8| {
            let mut command = namespace.command("keepalived");
            command.args(["--vrrp", "--dont-fork", "--log-console", "--no-syslog"]);
            command.args(["--log-detail", "--use-file"]).arg(&conf);
            command.arg("--pid").arg(&pid_file);
            command.arg("--vrrp_pid").arg(directory.file("vrrp.pid"));
            let log = directory.file(&format!("log.{number}"));
            Process::start("keepalived", &mut command, &log).unwrap()
        };
        let mut foreign = start(1);
        let identity = |path: &std::path::Path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.modified().unwrap(), metadata.len())
        };
        let before = identity(&conf);

        let mut daemon = Daemon::new("daemon").unwrap();
        let socket = daemon.directory().join("hook");
        let listener = Listener::start(&socket).unwrap();
        let toml = format!(
            "id = \"r\"\nnamespace = \"{}\"\n[attached]\nconfig_file = \"{}\"\n\
             instance = \"VI_1\"\npid_file = \"{}\"\n[[hook]]\nname = \"h\"\nsocket = \"{}\"\n",
            namespace.name(),
            conf.display(),
            pid_file.display(),
            socket.display()
        );
        daemon.apply(&toml).unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        wait_becomes(&daemon, 0, "primary");
        let shown = wait::until("its keepalived followed", LIMIT, || {
            let shown = daemon.show("r").map_err(|error| format!("{error:#}"))?;
            match shown["keepalived"].as_str() {
                Some("running") => Ok(shown),
                _ => Err(shown.to_string()),
            }
        });
        assert_eq!(shown.unwrap()["mode"], "attached");
        let addresses = Addresses::listen(namespace).unwrap();

        // Frozen, then killed, so that nobody removes its addresses.
        let mut pids = vec![foreign.pid()];
        pids.extend(process::children(foreign.pid()));
        assert_eq!(pids.len(), 2);
        let events = daemon.events("r").unwrap().len();
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            pids.iter()
                .for_each(|pid: &Pid| kill(*pid, signal).unwrap());
        }
        foreign.wait_end().unwrap();
        daemon
            .wait_event("r", events, "its end", LIMIT, |event| {
                event["event"] == "ended"
            })
            .unwrap();
        daemon.wait_state("r", "backup", LIMIT).unwrap();
        // What it left is not for us to remove.
        assert!(has_address(namespace, ADDRESS));
        assert!(addresses.moments().is_empty(), "{:?}", addresses.moments());

        // It is back, and so is its address.
        let events = daemon.events("r").unwrap().len();
        // Its dead may not be buried yet: another one would take them for living.
        for file in [&pid_file, &directory.file("vrrp.pid")] {
            fs::remove_file(file).unwrap();
        }
        let mut again = start(2);
        wait_becomes(&daemon, events, "primary");
        // Restarted and deleted, the daemon leaves it alone.
        daemon.restart().unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        daemon.delete("r").unwrap();
        crate::wait_gone(&daemon, "r");
        assert!(has_address(namespace, ADDRESS));
        assert_eq!(identity(&conf), before);
        let log = again.log();
        for word in ["Reload", "SIGHUP", "Stopping", "Got SIG"] {
            assert!(!log.contains(word), "{log}");
        }
        let told: Vec<_> = listener
            .notices()
            .unwrap()
            .into_iter()
            .map(|notice| notice.state)
            .collect();
        println!("attached: told {told:?}");
        let mut states = told.clone();
        states.dedup();
        assert!(
            states.ends_with(&["primary".into(), "backup".into(), "primary".into()]),
            "{told:?}"
        );
        again.stop(Signal::SIGTERM).unwrap();
    });
}
