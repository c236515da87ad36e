//! Hooks that answer, hooks that do not, and hooks that come back.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::Published::{Backup, Primary};
use super::*;
use crate::config::HookTarget;

/// Within which all must happen.
const LIMIT: Duration = Duration::from_secs(10);

/// A delivery that takes no longer has not failed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A delivery that is meant to fail by its timeout.
const SHORT: Duration = Duration::from_millis(100);

/// As Neutron's agent writes it.
const NEUTRON_REPLY: &str = "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=UTF-8\n\
                             Connection: close\nContent-Location': http://127.0.0.1/";

/// A directory, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kf-notify-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async { timeout(LIMIT, test).await.unwrap() });
}

fn hook(target: HookTarget, timeout: Duration) -> Hook {
    Hook {
        name: "hook".to_owned(),
        target,
        timeout,
        settle: Duration::ZERO,
    }
}

fn shell(script: &str, timeout: Duration) -> Hook {
    let command = ["/bin/sh", "-c", script].map(str::to_owned);
    hook(HookTarget::Program(command.into()), timeout)
}

fn notifier(router: &str, hooks: &[Hook], shared: &Shared) -> Notifier {
    Notifier::new(&router.parse().unwrap(), hooks, shared)
}

fn transition(router: &str, sequence: u64, state: Published) -> Transition {
    Transition {
        router: router.into(),
        state,
        sequence,
        at: "2026-03-04T05:06:07.000000089Z".parse().unwrap(),
        reason: "it \"was\" so".to_owned(),
        previous: (sequence > 1).then_some(if state == Primary { Backup } else { Primary }),
    }
}

/// Waits until `condition` holds of the first hook.
async fn until(notifier: &Notifier, condition: impl Fn(&HookStatus) -> bool) -> HookStatus {
    loop {
        let status = notifier.status().remove(0);
        if condition(&status) {
            return status;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until a file has a line, and returns all that it has.
async fn written(file: &Path) -> String {
    loop {
        match fs::read_to_string(file) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Takes a request, which the sender ends, and answers nothing.
async fn take(listener: &UnixListener) -> Value {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut line = String::new();
    stream.read_to_string(&mut line).await.unwrap();
    assert!(line.ends_with('\n'));
    serde_json::from_str(&line).unwrap()
}

#[test]
fn a_socket_gets_one_line_for_each_transition_in_order() {
    run(async {
        let scratch = Scratch::new();
        let path = scratch.file("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let hook = hook(HookTarget::Socket(path), TIMEOUT);
        let notifier = notifier("r", &[hook], &Shared::default());
        for sequence in 1..=20 {
            let state = if sequence % 2 == 0 { Primary } else { Backup };
            notifier.tell(transition("r", sequence, state));
        }
        let first = json!({
            "router": "r", "state": "backup", "previous": null, "reason": "it \"was\" so",
            "sequence": 1, "time": "2026-03-04T05:06:07.000000089Z",
        });
        assert_eq!(take(&listener).await, first);
        for sequence in 2..=20 {
            let line = take(&listener).await;
            assert_eq!(line["sequence"], sequence);
            assert!(line["previous"].is_string());
        }
        let status = until(&notifier, |status| status.delivered == 20).await;
        assert_eq!((status.failed, status.skipped, status.pending), (0, 0, 0));
        assert!(status.last_delivered_ns.is_some());
    });
}

#[test]
fn neutrons_agent_gets_the_request_that_it_knows() {
    run(async {
        let scratch = Scratch::new();
        let path = scratch.file("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let hook = hook(HookTarget::NeutronSocket(path), TIMEOUT);
        let notifier = notifier("r-1", &[hook], &Shared::default());
        notifier.tell(transition("r-1", 1, Primary));
        let (mut stream, _) = listener.accept().await.unwrap();
        // It receives once.
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        request.truncate(length);
        assert_eq!(
            String::from_utf8(request).unwrap(),
            "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: keepfast\r\nAccept: */*\r\n\
             X-Neutron-Router-Id: r-1\r\nX-Neutron-State: primary\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(notifier.status()[0].delivered, 0);
        stream.write_all(NEUTRON_REPLY.as_bytes()).await.unwrap();
        until(&notifier, |status| status.delivered == 1).await;
    });
}

#[test]
fn only_a_status_line_with_200_is_success_for_neutron() {
    for (reply, expected) in [
        (NEUTRON_REPLY, None),
        ("HTTP/1.1 200 OK", None),
        ("HTTP/1.0 200\r\n\r\n", None),
        (
            "HTTP/1.1 500 Oops\n",
            Some("answered \"HTTP/1.1 500 Oops\""),
        ),
        ("HTTP/1.1 2000 OK\n", Some("answered")),
        ("200 OK\n", Some("answered")),
        ("\n", Some("closed without an answer")),
        ("", Some("closed without an answer")),
    ] {
        run(async {
            let scratch = Scratch::new();
            let path = scratch.file("socket");
            let listener = UnixListener::bind(&path).unwrap();
            let hook = hook(HookTarget::NeutronSocket(path), TIMEOUT);
            let notifier = notifier("r", &[hook], &Shared::default());
            notifier.tell(transition("r", 1, Primary));
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
            stream.write_all(reply.as_bytes()).await.unwrap();
            drop(stream);
            let status = until(&notifier, |it| it.delivered + it.failed == 1).await;
            let error = status.last_error.unwrap_or_default();
            assert_eq!(error.is_empty(), expected.is_none(), "{reply:?}: {error}");
            assert!(error.contains(expected.unwrap_or_default()), "{error}");
        });
    }
}

#[test]
fn a_listener_that_is_back_gets_exactly_the_newest_of_each_router() {
    run(async {
        let scratch = Scratch::new();
        let path = scratch.file("socket");
        let shared = Shared::default();
        let hook = hook(HookTarget::Socket(path.clone()), TIMEOUT);
        let routers: Vec<String> = (0..20).map(|number| format!("r{number}")).collect();
        let notifiers: Vec<Notifier> = routers
            .iter()
            .map(|router| notifier(router, std::slice::from_ref(&hook), &shared))
            .collect();
        for sequence in 1..=5 {
            for (router, notifier) in routers.iter().zip(&notifiers) {
                let state = if sequence % 2 == 0 { Primary } else { Backup };
                notifier.tell(transition(router, sequence, state));
                // Some of them while it waits, some while it tries.
                until(notifier, |status| status.failed >= sequence / 2).await;
            }
        }
        let listener = UnixListener::bind(&path).unwrap();
        let back = Instant::now();
        let mut told = BTreeMap::new();
        for _ in &routers {
            let line = take(&listener).await;
            let router = line["router"].as_str().unwrap().to_owned();
            assert_eq!(
                told.insert(router, line["sequence"].as_u64().unwrap()),
                None
            );
        }
        assert!(
            back.elapsed() < Duration::from_millis(1500),
            "{:?}",
            back.elapsed()
        );
        assert!(told.values().all(|sequence| *sequence == 5), "{told:?}");
        for notifier in &notifiers {
            let status = until(notifier, |status| status.pending == 0).await;
            assert_eq!((status.delivered, status.skipped), (1, 4));
            let error = status.last_error.unwrap();
            assert!(
                error.ends_with("No such file or directory (os error 2)"),
                "{error}"
            );
        }
    });
}

#[test]
fn one_that_is_not_answered_delays_no_other() {
    run(async {
        let scratch = Scratch::new();
        let path = scratch.file("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let shared = Shared::default();
        let hooks = [
            hook(HookTarget::Socket(path), SHORT * 5),
            shell("exit 0", TIMEOUT),
        ];
        let slow = notifier("slow", &hooks, &shared);
        slow.tell(transition("slow", 1, Primary));
        let (held, _) = listener.accept().await.unwrap();
        let quick = notifier("quick", &hooks, &shared);
        quick.tell(transition("quick", 1, Primary));
        assert_eq!(take(&listener).await["router"], "quick");
        // Nor its own other hook.
        while slow.status()[1].delivered == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(slow.status()[0].failed, 0);
        let status = until(&slow, |status| status.failed == 1).await;
        assert!(
            status
                .last_error
                .unwrap()
                .ends_with("no answer within 500ms")
        );
        drop(held);
        assert_eq!(take(&listener).await["router"], "slow");
    });
}

#[test]
fn a_full_backlog_is_no_failure() {
    run(async {
        let scratch = Scratch::new();
        let path = scratch.file("socket");
        let raw = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )
        .unwrap();
        bind(raw.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&raw, Backlog::new(1).unwrap()).unwrap();
        let listener = UnixListener::from_std(raw.into()).unwrap();
        let shared = Shared::default();
        let hook = hook(HookTarget::Socket(path.clone()), TIMEOUT);
        let notifiers: Vec<Notifier> = (0..20)
            .map(|number| {
                let router = format!("r{number}");
                let notifier = notifier(&router, std::slice::from_ref(&hook), &shared);
                notifier.tell(transition(&router, 1, Primary));
                notifier
            })
            .collect();
        // Until nobody can connect any more.
        let mut own = Vec::new();
        loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => own.push(stream),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
        drop(own);
        let mut told = 0;
        while told < notifiers.len() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut line = String::new();
            stream.read_to_string(&mut line).await.unwrap();
            told += usize::from(!line.is_empty());
        }
        for notifier in &notifiers {
            let status = until(notifier, |status| status.delivered == 1).await;
            assert_eq!(status.failed, 0);
        }
    });
}

#[test]
fn a_program_is_told_by_its_environment_and_nothing_else() {
    run(async {
        let scratch = Scratch::new();
        let file = scratch.file("environment");
        let script = format!(
            "tr '\\0' '\\n' < /proc/$$/environ > {0}.new; mv {0}.new {0}",
            file.display()
        );
        let notifier = notifier("r", &[shell(&script, TIMEOUT)], &Shared::default());
        for (sequence, previous) in [(1, ""), (2, "backup")] {
            notifier.tell(transition("r", sequence, Primary));
            until(&notifier, |status| status.delivered == sequence).await;
            let environment = written(&file).await;
            let mut lines: Vec<&str> = environment.lines().collect();
            lines.sort_unstable();
            let expected = [
                format!("KEEPFAST_PREVIOUS={previous}"),
                "KEEPFAST_REASON=it \"was\" so".to_owned(),
                "KEEPFAST_ROUTER=r".to_owned(),
                format!("KEEPFAST_SEQUENCE={sequence}"),
                "KEEPFAST_STATE=primary".to_owned(),
                "KEEPFAST_TIME=2026-03-04T05:06:07.000000089Z".to_owned(),
                "LANG=C".to_owned(),
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            ];
            assert_eq!(lines, expected);
        }
    });
}

#[test]
fn a_program_that_says_no_is_tried_four_times_and_told_the_next() {
    run(async {
        let scratch = Scratch::new();
        let file = scratch.file("runs");
        let script = format!(
            "echo $KEEPFAST_SEQUENCE >> {}; echo no >&2; test $KEEPFAST_STATE = backup",
            file.display()
        );
        let notifier = notifier("r", &[shell(&script, TIMEOUT)], &Shared::default());
        notifier.tell(transition("r", 1, Primary));
        let status = until(&notifier, |status| status.skipped == 1).await;
        assert_eq!((status.delivered, status.failed, status.pending), (0, 4, 0));
        assert_eq!(
            status.last_error.unwrap(),
            "/bin/sh: exit status: 1; it said last: \"no\""
        );
        notifier.tell(transition("r", 2, Backup));
        until(&notifier, |status| status.delivered == 1).await;
        assert_eq!(fs::read_to_string(&file).unwrap(), "1\n1\n1\n1\n2\n");
    });
}

#[test]
fn a_program_that_hangs_is_killed_and_told_the_newest_when_it_is_well() {
    run(async {
        let scratch = Scratch::new();
        let (pids, well) = (scratch.file("pids"), scratch.file("well"));
        let script = format!(
            "trap '' TERM; echo $$ >> {}; test -e {} || sleep 1000 & wait",
            pids.display(),
            well.display()
        );
        let notifier = notifier("r", &[shell(&script, SHORT)], &Shared::default());
        for sequence in 1..=3 {
            notifier.tell(transition("r", sequence, Primary));
            until(&notifier, |status| status.failed >= sequence).await;
        }
        notifier.tell(transition("r", 4, Backup));
        fs::write(&well, "").unwrap();
        let status = until(&notifier, |status| status.delivered == 1).await;
        assert_eq!((status.skipped, status.pending), (3, 0));
        assert!(
            status
                .last_error
                .unwrap()
                .contains("took longer than 100ms")
        );
        for pid in written(&pids).await.lines() {
            gone(pid).await;
        }
    });
}

#[test]
fn a_program_that_comes_to_be_there_is_run() {
    run(async {
        let scratch = Scratch::new();
        let program = scratch.file("program");
        let command = vec![program.display().to_string()];
        let hook = hook(HookTarget::Program(command), TIMEOUT);
        let notifier = notifier("r", &[hook], &Shared::default());
        notifier.tell(transition("r", 1, Primary));
        // More often than one that says no.
        until(&notifier, |status| status.failed == 5).await;
        std::os::unix::fs::symlink("/bin/true", &program).unwrap();
        until(&notifier, |status| status.delivered == 1).await;
    });
}

#[test]
fn what_a_program_says_is_read_and_mostly_forgotten() {
    run(async {
        let script = "head -c 5000000 /dev/zero | tr '\\0' x; exit 1";
        let notifier = notifier("r", &[shell(script, TIMEOUT)], &Shared::default());
        notifier.tell(transition("r", 1, Primary));
        let status = until(&notifier, |status| status.failed == 1).await;
        assert_eq!(status.last_error.unwrap().chars().count(), 300);
    });
}

#[test]
fn without_its_notifier_a_program_ends() {
    run(async {
        let scratch = Scratch::new();
        let pid = scratch.file("pid");
        let script = format!("echo $$ > {}; sleep 1000 & wait", pid.display());
        let notifier = notifier("r", &[shell(&script, LIMIT * 2)], &Shared::default());
        notifier.tell(transition("r", 1, Primary));
        let pid = written(&pid).await;
        drop(notifier);
        gone(pid.trim()).await;
    });
}

/// Waits until there is no such process.
async fn gone(pid: &str) {
    while Path::new("/proc").join(pid).exists() {
        sleep(Duration::from_millis(1)).await;
    }
}
