//! A daemon and those who ask it, on a socket in a directory of their own.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::client::ask;
use super::*;
use crate::exit::{self, BadInput};

/// Within which all must happen.
const LIMIT: Duration = Duration::from_secs(10);

/// A directory, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("keepfast-control-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    /// Below a directory that does not exist yet.
    fn socket(&self) -> PathBuf {
        self.0.join("run/control.sock")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// What a daemon does that answers with what it was asked for.
async fn echo(server: &mut Server) {
    loop {
        let incoming = server.next().await;
        assert_eq!(incoming.peer.pid, Some(std::process::id().cast_signed()));
        let reply = match &incoming.request {
            Request::Show { id } if id == "none" => {
                Reply::refused(ErrorKind::NotFound, "there is no router none".to_owned())
            }
            Request::Show { id } if id == "bad" => {
                let error = anyhow::Error::from(BadInput("bad".to_owned())).context("show");
                Reply::from(&error)
            }
            Request::Show { id } if id == "silent" => continue,
            request => Reply::done(serde_json::to_value(request).unwrap()),
        };
        incoming.answer.send(reply).unwrap();
    }
}

/// Runs `client` beside a daemon that echoes.
fn with_daemon<T: Send + 'static>(client: impl FnOnce(&Path) -> T + Send + 'static) -> T {
    let scratch = Scratch::new();
    let path = scratch.socket();
    let outcome = runtime().block_on(async {
        let mut server = Server::bind(&path, None).unwrap();
        let client_path = path.clone();
        let mut client = tokio::task::spawn_blocking(move || client(&client_path));
        tokio::time::timeout(LIMIT, async {
            tokio::select! {
                outcome = &mut client => outcome.unwrap(),
                () = echo(&mut server) => unreachable!(),
            }
        })
        .await
        .unwrap()
    });
    assert!(!path.exists());
    outcome
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// The reply to `bytes`, after which nothing more is sent.
fn raw(path: &Path, bytes: &[u8]) -> Reply {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    // It may be refused before all is said.
    stream.write_all(bytes).unwrap_or_default();
    stream
        .shutdown(std::net::Shutdown::Write)
        .unwrap_or_default();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn every_request_arrives_as_it_was_sent() {
    with_daemon(|path| {
        for request in [
            Request::Apply {
                text: "id = \"r1\"\n".repeat(1000),
                origin: "r1.toml".to_owned(),
                wait_for_interfaces: true,
            },
            Request::Delete {
                id: "r1".to_owned(),
            },
            Request::List,
            Request::Show {
                id: "r1".to_owned(),
            },
            Request::Diff {
                text: String::new(),
                origin: "stdin".to_owned(),
            },
        ] {
            let result = ask(path, &request).unwrap();
            assert_eq!(result, serde_json::to_value(&request).unwrap());
        }
    });
}

#[test]
fn errors_have_the_exit_code_of_their_kind() {
    with_daemon(|path| {
        let show = |id: &str| ask(path, &Request::Show { id: id.to_owned() }).unwrap_err();
        assert_eq!(exit::code(&show("none")), exit::USAGE);
        assert_eq!(show("none").to_string(), "there is no router none");
        assert_eq!(exit::code(&show("bad")), exit::USAGE);
        assert_eq!(show("bad").to_string(), "show: bad");
        assert_eq!(exit::code(&show("silent")), exit::FAILURE);
        assert_eq!(show("silent").to_string(), "the daemon gave no answer");
    });
}

#[test]
fn hostile_requests_are_answered_and_harm_nobody() {
    with_daemon(|path| {
        let long = vec![b' '; MOST_REQUEST + 1];
        let deep = format!("{{\"op\":{}\n", "[".repeat(100_000));
        for (bytes, expected) in [
            (&b""[..], "ends without an end of line"),
            (b"{\"op\":\"list\"}", "ends without an end of line"),
            (b"\n", "none that is known"),
            (b"\xff\xfe\n", "none that is known"),
            (b"{\"op\":\"reboot\"}\n", "unknown variant `reboot`"),
            (
                b"{\"op\":\"show\",\"id\":\"r\",\"force\":1}\n",
                "unknown field `force`",
            ),
            (b"{\"op\":\"show\"}\n", "missing field `id`"),
            (b"{\"op\":\"show\",\"id\":7}\n", "expected a string"),
            (b"{\"op\":\"list\"} {}\n", "trailing characters"),
            (deep.as_bytes(), "none that is known"),
            (&long, "goes on without an end of line"),
        ] {
            let reply = raw(path, bytes);
            let error = reply.error.unwrap();
            assert!(!reply.ok);
            assert_eq!(error.kind, ErrorKind::BadInput);
            assert!(error.message.contains(expected), "{}", error.message);
        }
        // Nor does one that is refused before all of it was read.
        let text = "x".repeat(MOST_REQUEST);
        let error = ask(
            path,
            &Request::Diff {
                text,
                origin: String::new(),
            },
        );
        assert_eq!(exit::code(&error.unwrap_err()), exit::USAGE);
        assert!(ask(path, &Request::List).is_ok());
    });
}

#[test]
fn those_who_say_nothing_are_let_go_and_others_wait_for_their_places() {
    with_daemon(|path| {
        let silent: Vec<UnixStream> = (0..256)
            .map(|_| UnixStream::connect(path).unwrap())
            .collect();
        let start = Instant::now();
        assert_eq!(ask(path, &Request::List).unwrap(), json!({"op": "list"}));
        assert!(start.elapsed() > Duration::from_secs(4));
        let mut answer = String::new();
        (&silent[0]).read_to_string(&mut answer).unwrap();
        let reply: Reply = serde_json::from_str(&answer).unwrap();
        let message = reply.error.unwrap().message;
        assert_eq!(message, "no complete request within 5s");
    });
}

#[test]
fn without_a_daemon_it_is_said_how_to_start_one() {
    let scratch = Scratch::new();
    let missing = scratch.0.join("missing.sock");
    let stale = scratch.0.join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    for path in [missing, stale] {
        let error = ask(&path, &Request::List).unwrap_err();
        let expected = format!(
            "no keepfast daemon listens at {}: `systemctl start keepfast` starts it",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(exit::code(&error), exit::FAILURE);
    }
}

#[test]
fn a_daemon_that_ends_or_babbles_is_an_error() {
    let scratch = Scratch::new();
    let path = scratch.0.join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    let babbler = thread::spawn(move || {
        for answer in ["", "{\"ok\":true", "hello\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    for expected in [
        "ended without a complete reply",
        "ended without a complete reply",
        "what the daemon at",
    ] {
        let error = ask(&path, &Request::List).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    babbler.join().unwrap();
}

/// Why binding fails in a directory that `prepare` has prepared.
fn refused(prepare: impl FnOnce(&Path)) -> String {
    let scratch = Scratch::new();
    prepare(&scratch.0);
    let path = scratch.0.join("run/control.sock");
    let runtime = runtime();
    let _entered = runtime.enter();
    let error = Server::bind(&path, None).unwrap_err();
    format!("{error:#}")
}

#[test]
fn the_socket_is_for_its_owner_and_group_in_a_directory_for_all_to_see() {
    let scratch = Scratch::new();
    let path = scratch.socket();
    let runtime = runtime();
    let _entered = runtime.enter();
    let server = Server::bind(&path, None).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o660);
    assert_eq!(mode(path.parent().unwrap()), 0o755);
    drop(server);
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_anothers_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.0.join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    let runtime = runtime();
    let _entered = runtime.enter();
    let server = Server::bind(&path, None).unwrap();
    let error = format!("{:#}", Server::bind(&path, None).unwrap_err());
    assert!(
        error.contains("another daemon listens there already"),
        "{error}"
    );
    // A daemon that lost its socket to another does not take that one's away.
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(server);
    assert!(path.exists());
    drop(other);
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let left_alone = |prepare: fn(&Path)| {
        refused(|root| {
            fs::create_dir(root.join("run")).unwrap();
            prepare(&root.join("run/control.sock"));
        })
    };
    for error in [
        left_alone(|path| fs::write(path, "precious").unwrap()),
        left_alone(|path| fs::create_dir(path).unwrap()),
        left_alone(|path| symlink("/dev/null", path).unwrap()),
    ] {
        assert!(error.contains("expected a socket or nothing"), "{error}");
    }
}

#[test]
fn a_directory_that_others_could_change_is_refused() {
    for (prepare, expected) in [
        (
            (|root| {
                let path = root.join("run");
                fs::create_dir(&path).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
            }) as fn(&Path),
            "has mode 0777",
        ),
        (
            |root| symlink("/tmp", root.join("run")).unwrap(),
            "directory",
        ),
        (|root| fs::write(root.join("run"), "").unwrap(), "directory"),
    ] {
        let error = refused(prepare);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn relative_paths_and_unknown_groups_are_bad_input() {
    let scratch = Scratch::new();
    let runtime = runtime();
    let _entered = runtime.enter();
    let path = scratch.socket();
    for error in [
        Server::bind(Path::new("control.sock"), None).unwrap_err(),
        Server::bind(&path, Some("no-such-group")).unwrap_err(),
    ] {
        assert_eq!(exit::code(&error), exit::USAGE, "{error:#}");
    }
    let socket = fs::symlink_metadata(&path);
    assert!(!socket.is_ok_and(|it| it.file_type().is_socket()));
}

#[test]
fn messages_are_what_the_module_says() {
    for (line, request) in [
        (
            r#"{"op":"apply","text":"...","origin":"r1.toml","wait_for_interfaces":false}"#,
            Request::Apply {
                text: "...".to_owned(),
                origin: "r1.toml".to_owned(),
                wait_for_interfaces: false,
            },
        ),
        (r#"{"op":"list"}"#, Request::List),
    ] {
        assert_eq!(serde_json::to_string(&request).unwrap(), line);
        assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
    }
    let reply = Reply::refused(ErrorKind::BadInput, "...".to_owned());
    assert_eq!(
        serde_json::to_string(&reply).unwrap(),
        r#"{"ok":false,"error":{"message":"...","kind":"bad_input"},"result":null}"#
    );
    let reply = Reply::done(Value::from(1));
    assert_eq!(
        serde_json::to_string(&reply).unwrap(),
        r#"{"ok":true,"error":null,"result":1}"#
    );
}
