//! The control socket of a real daemon, and those who abuse it.

use super::*;
use nix::unistd::{Gid, Pid, Uid, setgid, setgroups, setuid};
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

const NOBODY: u32 = 65534;

/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What is answered until the daemon closes the connection.
fn answer(mut stream: &UnixStream) -> String {
    let mut text = String::new();
    if let Err(error) = stream.read_to_string(&mut text) {
        // It has closed what it would not read to the end.
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    text
}

/// What is answered to these bytes; a daemon that will not listen may close first.
fn say(daemon: &Daemon, bytes: &[u8]) -> String {
    let mut stream = connect(daemon);
    match stream.write_all(bytes) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
    }
    // It may have closed already.
    drop(stream.shutdown(Shutdown::Write));
    answer(&stream)
}

/// The router's events, but for those that look back at others, seconds later.
fn happened(daemon: &Daemon) -> Vec<Value> {
    let mut events = daemon.events("r").unwrap();
    events.retain(|event| event["event"] != "failover");
    events
}

/// A daemon that looks after a primary, and how it was.
struct Asked {
    // Before what it looks after.
    daemon: Daemon,
    pid: Pid,
    changes: usize,
    _topology: Topology,
}

impl Asked {
    fn start(role: &str) -> Self {
        let topology = Topology::new(1).unwrap();
        let daemon = Daemon::new(role).unwrap();
        Declaration::plain(&topology.hosts[0])
            .apply(&daemon)
            .unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        wait_router(&daemon, "its adverts", |it| !it["adverts"].is_null());
        Self {
            pid: daemon.pid().unwrap(),
            changes: happened(&daemon).len(),
            daemon,
            _topology: topology,
        }
    }

    /// It answers as it did, and its router is what it was.
    fn check_unharmed(&self) {
        assert_eq!(self.daemon.pid().unwrap(), self.pid);
        let told = router(&self.daemon);
        assert_eq!(told["state"], "primary");
        let events = happened(&self.daemon);
        assert_eq!(events.len(), self.changes, "{events:?}");
        let rss = self.daemon.rss().unwrap();
        assert!(rss < 200 << 20, "{rss}");
    }
}

#[test]
fn garbage_and_floods_are_answered_or_closed_and_do_no_harm() {
    alone(|| {
        let asked = Asked::start("abused");
        let daemon = &asked.daemon;

        let deep = [&b"["[..]; 100_000].concat();
        let deep = [&deep[..], b"\n"].concat();
        let long = vec![b'a'; 3 << 20];
        for (bytes, kind) in [
            (&b"\n"[..], "bad_input"),
            (b"GET / HTTP/1.1\r\n\r\n", "bad_input"),
            (b"\xff\xfe\x00\n", "bad_input"),
            (b"{\"op\":\"delete\"}\n", "bad_input"),
            (b"{\"op\":\"status\",\"id\":7}\n", "bad_input"),
            (b"{\"op\":\"drain\",\"id\":\"r\"}\n", "bad_input"),
            (b"{\"op\":\"failover\",\"id\":\"../r\"}\n", "not_found"),
            (
                b"{\"op\":\"shadow\",\"id\":\"r\",\"on\":true}\n",
                "bad_input",
            ),
            (b"{\"op\":\"list\"}", "bad_input"),
            (b"", "bad_input"),
            (&deep, "bad_input"),
            (&long, ""),
        ] {
            let said = say(daemon, bytes);
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
            assert!(said.contains(kind), "{shown:?}: {said:?}");
            assert!(!said.contains("\"ok\":true"), "{shown:?}: {said:?}");
        }
        // Those who go away before they are answered.
        for _ in 0..200 {
            drop(connect(daemon));
            connect(daemon).write_all(b"{\"op\":\"list\"}\n").unwrap();
        }
        // Half a request, and then silence.
        let mut half = connect(daemon);
        half.write_all(b"{\"op\":").unwrap();
        let said = answer(&half);
        assert!(said.contains("no complete request within"), "{said}");
        asked.check_unharmed();
    });
}

#[test]
fn a_hundred_clients_beside_silent_ones_are_served() {
    alone(|| {
        let asked = Asked::start("asked");
        let daemon = &asked.daemon;
        let silent: Vec<UnixStream> = (0..32).map(|_| connect(daemon)).collect();
        thread::scope(|scope| {
            let one = |_| scope.spawn(|| say(daemon, b"{\"op\":\"status\",\"id\":null}\n"));
            let clients: Vec<_> = (0..100).map(one).collect();
            for client in clients {
                let said: Value = serde_json::from_str(&client.join().unwrap()).unwrap();
                assert_eq!(said["ok"], true, "{said}");
                assert_eq!(said["result"]["routers"][0]["id"], "r");
            }
        });
        // Nobody had to wait until those were let go, which they are in the end.
        for stream in &silent {
            stream.set_nonblocking(true).unwrap();
            let error = (&mut &*stream).read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            stream.set_nonblocking(false).unwrap();
        }
        for stream in &silent {
            assert!(answer(stream).contains("no complete request within"));
        }
        asked.check_unharmed();
    });
}

#[test]
fn others_are_refused_whatever_they_ask_and_cannot_keep_root_out() {
    alone(|| {
        let asked = Asked::start("refusing");
        let daemon = &asked.daemon;
        // Where nobody may run it, wherever it was built.
        let program = daemon.directory().join("keepfast");
        fs::copy(lab::binary::path(), &program).unwrap();
        fs::set_permissions(daemon.directory(), Permissions::from_mode(0o755)).unwrap();
        let nobody = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command.args(arguments).arg("--socket").arg(daemon.socket());
            // SAFETY: between fork and exec the closure makes system calls only.
            unsafe { command.pre_exec(become_nobody) };
            let output = command.output().unwrap();
            (
                output.status.code(),
                String::from_utf8(output.stderr).unwrap(),
            )
        };
        let all: [&[&str]; 6] = [
            &["status"],
            &["failover", "r"],
            &["drain"],
            &["undrain"],
            &["shadow", "on", "r"],
            &["router", "delete", "r"],
        ];
        for arguments in all {
            let (code, said) = nobody(arguments);
            assert_eq!(code, Some(77), "{arguments:?}: {said}");
            assert!(said.contains("Permission denied"), "{said}");
        }
        // Even where an administrator has opened the socket to all.
        fs::set_permissions(daemon.socket(), Permissions::from_mode(0o666)).unwrap();
        for arguments in all {
            let (code, said) = nobody(arguments);
            assert_eq!(code, Some(77), "{arguments:?}: {said}");
            assert!(said.contains("uid 65534"), "{said}");
        }
        daemon.ask(&["status"]).unwrap();
        assert!(!daemon.state().join("_drained").exists());
        asked.check_unharmed();
    });
}

fn become_nobody() -> io::Result<()> {
    setgroups(&[])?;
    setgid(Gid::from_raw(NOBODY))?;
    setuid(Uid::from_raw(NOBODY)).map_err(io::Error::from)
}
