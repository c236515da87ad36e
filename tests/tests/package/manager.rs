//! What the service manager is told, by a manager that the test plays.

use super::{LIMIT, alone};
use lab::daemon::Daemon;
use lab::require::Need;
use lab::wait;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// The manager's limit, and how often in it a daemon that is well is fed.
const WATCHDOG: Duration = Duration::from_secs(8);
const MEALS: u32 = 4;

/// A service manager, and the daemon that it started.
struct Managed {
    daemon: Daemon,
    socket: UnixDatagram,
}

impl Managed {
    fn start() -> Self {
        let name = lab::workdir::unique_name("notify");
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let mut daemon = Daemon::prepare("managed").unwrap();
        daemon
            .start_dressed(&[], |command| {
                command.env("NOTIFY_SOCKET", format!("@{name}"));
                command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
            })
            .unwrap();
        Self { daemon, socket }
    }

    /// The next message; `None`: none came in time.
    fn heard(&self, limit: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let mut buffer = [0; 512];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// What is heard until a message begins with `wanted`, that one included.
    fn heard_until(&self, wanted: &str, limit: Duration) -> Vec<String> {
        let end = Instant::now() + limit;
        let mut all = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let next = (!left.is_zero()).then(|| self.heard(left)).flatten();
            all.push(next.unwrap_or_else(|| "nothing more".to_owned()));
            let last = all.last().map(String::as_str);
            assert_ne!(last, Some("nothing more"), "waited for {wanted}: {all:?}");
            if all.last().is_some_and(|it| it.starts_with(wanted)) {
                return all;
            }
        }
    }
}

#[test]
fn a_manager_is_told_of_start_reload_and_end() {
    alone(&[Need::Root, Need::Tool("keepalived")], || {
        let mut managed = Managed::start();
        let start = managed.heard_until("READY=1", LIMIT);
        assert_eq!(start, ["STATUS=no routers\n", "READY=1\n"]);
        assert!(
            managed
                .daemon
                .messages()
                .contains("looking after 0 routers")
        );

        managed.daemon.declare("x", "not TOML").unwrap();
        let status = managed.heard_until("STATUS=", LIMIT).pop().unwrap();
        assert_eq!(status, "STATUS=no routers; 1 wrong with the router files\n");

        managed.daemon.signal(Signal::SIGHUP).unwrap();
        let reload = managed.heard_until("RELOADING=1", LIMIT).pop().unwrap();
        let since = reload.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        let since: u64 = since.trim_end().parse().unwrap();
        let now = lab::clock::monotonic_ns().unwrap() / 1000;
        assert!(since <= now && since > managed.daemon.started_ns() / 1000);
        assert_eq!(managed.heard_until("READY=1", LIMIT), ["READY=1\n"]);

        managed.daemon.stop().unwrap();
        managed.heard_until("STOPPING=1", LIMIT);
        assert_eq!(managed.heard(Duration::from_millis(1)), None);
    });
}

#[test]
fn a_watchdog_is_fed_unless_the_fast_path_hangs() {
    alone(&[Need::Root, Need::Tool("keepalived")], || {
        let managed = Managed::start();
        managed.heard_until("WATCHDOG=1", WATCHDOG);
        managed.heard_until("WATCHDOG=1", WATCHDOG);

        // Stopped alone, as a loop without an end would keep it: the daemon goes on.
        let hung = Hung::new(thread_called("fast-path", managed.daemon.pid().unwrap()));
        // For turns that it made before.
        let end = Instant::now() + WATCHDOG / MEALS + Duration::from_secs(1);
        while Instant::now() < end {
            drop(managed.heard(Duration::from_millis(100)));
        }
        assert_eq!(managed.heard(WATCHDOG / MEALS * 2), None);
        managed.daemon.list().unwrap();
        drop(hung);
        managed.heard_until("WATCHDOG=1", WATCHDOG);
    });
}

#[test]
fn a_watchdog_of_a_hung_daemon_is_not_fed() {
    alone(&[Need::Root, Need::Tool("keepalived")], || {
        let managed = Managed::start();
        managed.heard_until("WATCHDOG=1", WATCHDOG);
        managed.daemon.signal(Signal::SIGSTOP).unwrap();
        wait::until("nothing more to hear", LIMIT, || {
            match managed.heard(WATCHDOG / MEALS * 2) {
                None => Ok(()),
                Some(heard) => Err(heard),
            }
        })
        .unwrap();
        managed.daemon.signal(Signal::SIGCONT).unwrap();
        managed.heard_until("WATCHDOG=1", WATCHDOG);
    });
}

/// A thread that makes no step while this lives.
struct Hung(Pid);

impl Hung {
    fn new(thread: Pid) -> Self {
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        let hung = Self(thread);
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        hung
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // Else its process could not even be killed to the end.
        ptrace::detach(self.0, None).unwrap();
    }
}

/// The thread of that name of a process.
fn thread_called(name: &str, pid: Pid) -> Pid {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let found = threads.map(|thread| thread.unwrap()).find(|thread| {
        let called = fs::read_to_string(thread.path().join("comm")).unwrap();
        called.trim_end() == name
    });
    let found = found.unwrap().file_name().into_string().unwrap();
    Pid::from_raw(found.parse().unwrap())
}
