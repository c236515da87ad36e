//! Who may speak with the daemon: root, and its group, and nobody else.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast::control::{Reply, Request, Server};
use lab::binary;
use lab::require::{Need, require};
use lab::wait;
use lab::workdir::WorkDir;
use nix::unistd::{Gid, Group, Uid, setgid, setgroups, setuid};
use serde_json::json;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tokio::runtime::Builder;

const NOBODY: u32 = 65534;
/// A group that every Debian has, and nobody is in.
const GROUP: &str = "daemon";
/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(10);

/// `keepfast router list`, as whoever it is run by.
struct Client {
    directory: WorkDir,
    socket: PathBuf,
}

impl Client {
    fn new() -> Self {
        // Where nobody may run it, wherever it was built.
        let directory = WorkDir::new("control").unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        fs::copy(binary::path(), directory.file("keepfast")).unwrap();
        let socket = directory.file("run").join("control.sock");
        Self { directory, socket }
    }

    /// As user `nobody`, in `group` and the supplementary `groups`.
    fn run(&self, group: u32, groups: &[u32]) -> Output {
        let mut command = self.command();
        let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
        let become_nobody = move || {
            setgroups(&groups)?;
            setgid(Gid::from_raw(group))?;
            setuid(Uid::from_raw(NOBODY)).map_err(io::Error::from)
        };
        // SAFETY: between fork and exec the closure makes system calls only.
        unsafe { command.pre_exec(become_nobody) };
        command.output().unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.directory.file("keepfast"));
        command.args(["router", "list", "--json", "--socket"]);
        command.arg(&self.socket);
        command
    }
}

/// Answers while `clients` ask.
fn with_daemon(socket: &Path, group: Option<&str>, clients: impl FnOnce() + Send + 'static) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut server = Server::bind(socket, group).unwrap();
        let mut clients = tokio::task::spawn_blocking(clients);
        loop {
            tokio::select! {
                outcome = &mut clients => break outcome.unwrap(),
                incoming = server.next() => {
                    assert_eq!(incoming.request, Request::List);
                    incoming.answer.send(Reply::done(json!([]))).unwrap();
                }
            }
        }
    });
}

#[track_caller]
fn check(output: &Output, code: i32, said: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(said), "{error}");
    let expected = if code == 0 { "[]\n" } else { "" };
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn others_do_not_get_as_far_as_the_socket() {
    if !require(&[Need::Root]) {
        return;
    }
    let client = Client::new();
    let socket = client.socket.clone();
    with_daemon(&socket, None, move || {
        check(&client.run(NOBODY, &[]), 77, "Permission denied");
        check(&client.command().output().unwrap(), 0, "");
    });
}

#[test]
fn others_are_refused_even_where_the_socket_is_open_to_them() {
    if !require(&[Need::Root]) {
        return;
    }
    let group = Group::from_name(GROUP).unwrap().unwrap().gid.as_raw();
    let client = Client::new();
    let socket = client.socket.clone();
    with_daemon(&socket, None, move || {
        fs::set_permissions(&client.socket, Permissions::from_mode(0o666)).unwrap();
        let refused = client.run(NOBODY, &[group, 0]);
        check(&refused, 77, "uid 65534, gid 65534");
        check(&refused, 77, "may not ask: expected root");
    });
}

#[test]
fn members_of_the_group_may_ask() {
    if !require(&[Need::Root]) {
        return;
    }
    let group = Group::from_name(GROUP).unwrap().unwrap().gid.as_raw();
    let client = Client::new();
    let socket = client.socket.clone();
    with_daemon(&socket, Some(GROUP), move || {
        let metadata = fs::metadata(&client.socket).unwrap();
        let told = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        assert_eq!(told, (0, group, 0o660));
        check(&client.run(group, &[]), 0, "");
        // More groups than fit into the first look at them.
        let many: Vec<u32> = (10_000..10_100).chain([group]).collect();
        check(&client.run(NOBODY, &many), 0, "");
        check(&client.run(NOBODY, &[]), 77, "Permission denied");
        fs::set_permissions(&client.socket, Permissions::from_mode(0o666)).unwrap();
        check(&client.run(NOBODY, &[10_000]), 77, "may not ask");
    });
}

/// Connects so often as `nobody` in this group, and says nothing.
fn connect_as_member(socket: PathBuf, group: u32, count: usize) -> Vec<UnixStream> {
    // Of a thread of its own: by system calls, unlike those of the library, which change all.
    let thread = std::thread::spawn(move || {
        let keep = -1_i64;
        // SAFETY: takes no pointers; the thread ends with what it has become.
        let (gid, uid) = unsafe {
            (
                nix::libc::syscall(nix::libc::SYS_setresgid, keep, i64::from(group), keep),
                nix::libc::syscall(nix::libc::SYS_setresuid, keep, i64::from(NOBODY), keep),
            )
        };
        assert_eq!((gid, uid), (0, 0), "{}", io::Error::last_os_error());
        let connect = |_| UnixStream::connect(&socket).unwrap();
        (0..count).map(connect).collect()
    });
    thread.join().unwrap()
}

#[test]
fn silent_members_of_the_group_do_not_keep_root_out() {
    if !require(&[Need::Root]) {
        return;
    }
    let group = Group::from_name(GROUP).unwrap().unwrap().gid.as_raw();
    let client = Client::new();
    let socket = client.socket.clone();
    with_daemon(&socket, Some(GROUP), move || {
        let silent = connect_as_member(client.socket.clone(), group, 200);
        check(&client.command().output().unwrap(), 0, "");
        // Those within the limit are listened to still, the others were sent away.
        let mut sent_away = 0;
        for mut stream in &silent {
            stream.set_nonblocking(true).unwrap();
            let mut answer = [0; 256];
            match stream.read(&mut answer) {
                Ok(length) => {
                    let said = String::from_utf8_lossy(&answer[..length]);
                    assert!(said.contains("160 connections are open already"), "{said}");
                    sent_away += 1;
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(sent_away, 40);
        drop(silent);
        // The daemon notices their ends one by one.
        let served = wait::until("room for another one", LIMIT, || {
            let output = client.run(group, &[]);
            if output.status.code() == Some(0) {
                Ok(output)
            } else {
                Err(String::from_utf8_lossy(&output.stderr).into_owned())
            }
        });
        check(&served.unwrap(), 0, "");
    });
}
