use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::sys::signal::{SigHandler, SigSet, Signal as Number, signal};
use nix::unistd::{Uid, dup};

use super::*;
use crate::files::Dir;
use crate::netns::Namespace;

const LIMIT: Duration = Duration::from_secs(10);

/// Runs `test` as the daemon runs: on one thread.
fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

fn program<'a>(program: &'a str, arguments: &[&str]) -> Start<'a> {
    Start {
        program,
        arguments: arguments.iter().map(Into::into).collect(),
        namespace: None,
        environment: &[],
    }
}

fn shell(script: &str) -> Start<'_> {
    program("sh", &["-c", script])
}

/// What a script says that a test runs.
fn said(script: &str) -> String {
    let finished = block_on(run(&shell(script), LIMIT)).unwrap();
    assert!(finished.status.success(), "{finished:?}");
    finished.output
}

/// A process that ends with its test.
struct Guard(Process);

impl Guard {
    fn start(what: &Start<'_>) -> Self {
        Self(start(what).unwrap())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.signal(Signal::KILL).unwrap();
    }
}

/// A directory of one test, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let name = format!("kf-process-{}-{test}", std::process::id());
        let path = std::env::temp_dir().join(name);
        Dir::create(&path, 0o700).unwrap();
        Self(path)
    }

    fn dir(&self) -> Dir {
        Dir::open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Waits until a script has written its number to a file.
async fn number(file: &Path) -> i32 {
    let number = async {
        loop {
            if let Ok(text) = fs::read_to_string(file)
                && let Some(text) = text.strip_suffix('\n')
            {
                return text.parse().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LIMIT, number).await.expect("a number in the file")
}

/// Waits until a process has ended.
async fn ended(pid: i32) {
    if let Some(process) = Process::hold(pid, false).unwrap() {
        timeout(LIMIT, process.exited())
            .await
            .expect("its end")
            .unwrap();
    }
}

#[test]
fn a_run_tells_how_it_ended_and_what_was_said() {
    let finished = block_on(run(&shell("echo out; echo err >&2; exit 3"), LIMIT)).unwrap();
    assert_eq!(finished.status.code(), Some(3));
    assert_eq!(finished.output, "out\nerr");
    let finished = block_on(run(&shell("kill -9 $$"), LIMIT)).unwrap();
    assert_eq!(finished.status.signal(), Some(9));
}

#[test]
fn only_the_end_of_much_output_is_kept() {
    let output = said("head -c 200000 /dev/zero | tr '\\0' a; echo the end");
    assert!(output.ends_with("athe end"));
    assert_eq!(output.len(), 16 * 1024 - 1);
}

#[test]
fn whoever_inherits_the_output_is_not_waited_for() {
    let pid = said("sleep 60 & echo $!").parse().unwrap();
    let _guard = Guard(Process::hold(pid, false).unwrap().expect("it still runs"));
}

#[test]
fn a_run_that_takes_too_long_is_killed_with_what_it_started() {
    block_on(async {
        let script = shell("sleep 60 & echo $!; wait");
        let error = run(&script, Duration::from_millis(300)).await.unwrap_err();
        let error = error.to_string();
        let said = error.strip_prefix("sh took longer than 300ms and was killed; it said: ");
        let pid = said.expect(&error).trim_matches('"').parse().unwrap();
        ended(pid).await;
    });
}

#[test]
fn a_run_that_nobody_awaits_is_killed() {
    let scratch = Scratch::new("dropped");
    let file = scratch.0.join("pid");
    let environment = [("FILE", file.to_str().unwrap())];
    let script = Start {
        environment: &environment,
        ..shell("echo $$ > $FILE; sleep 60")
    };
    block_on(async {
        let pid = tokio::select! {
            _ = run(&script, LIMIT) => panic!("it ended"),
            pid = number(&file) => pid,
        };
        ended(pid).await;
    });
}

#[test]
fn a_child_has_nothing_of_the_agent() {
    // SAFETY: ignoring is no code of ours, and no test uses this signal.
    let before = unsafe { signal(Number::SIGUSR2, SigHandler::SigIgn) }.unwrap();
    let mut blocked = SigSet::empty();
    blocked.add(Number::SIGUSR1);
    blocked.thread_block().unwrap();
    // A duplicate is passed on at exec.
    let inherited = dup(File::open("/dev/null").unwrap()).unwrap();
    let output = said(
        "umask; pwd; ulimit -Sn; readlink /proc/$$/fd/0; ls /proc/$$/fd | tr '\\n' ' '; echo
         read -r _ _ _ _ group session _ < /proc/$$/stat
         [ $group = $$ ] && [ $session = $$ ] && echo leader
         env | grep -v ^_= | sort",
    );
    // Shells change these themselves. The lower 31 bits are those without the
    // signals of the C library.
    let masks = program("grep", &["-E", "Sig(Blk|Ign)", "/proc/self/status"]);
    let masks = block_on(run(&masks, LIMIT)).unwrap().output;
    drop(inherited);
    blocked.thread_unblock().unwrap();
    // SAFETY: what was there before.
    unsafe { signal(Number::SIGUSR2, before) }.unwrap();
    assert_eq!(
        output,
        "0022\n/\n1024\n/dev/null\n0 1 2 \n\
         leader\n\
         LANG=C\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/"
    );
    assert_eq!(masks.lines().count(), 2, "{masks}");
    for line in masks.lines() {
        let (_, mask) = line.split_once('\t').unwrap();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        assert_eq!(mask & 0x7fff_ffff, 0, "{line}");
    }
}

#[test]
fn what_cannot_be_started_is_named() {
    for (name, expected) in [
        ("kf-no-such", "start kf-no-such: No such file"),
        ("/kf/no-such", "start /kf/no-such: No such file"),
        ("bin/sh", "expected an absolute path or a name"),
    ] {
        let error = format!("{:#}", start(&program(name, &[])).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn several_may_wait_for_the_end_and_ask_again() {
    block_on(async {
        let process = start(&shell("exit 7")).unwrap();
        let (one, two) = tokio::join!(process.exited(), process.exited());
        let three = process.exited().await;
        for status in [one, two, three] {
            assert_eq!(status.unwrap().and_then(|status| status.code()), Some(7));
        }
        assert!(!process.signal(Signal::TERM).unwrap());
        assert!(!process.is_running().unwrap());
        assert_eq!(process.parent().unwrap(), None);
    });
}

#[test]
fn a_child_that_nobody_holds_leaves_no_zombie() {
    block_on(async {
        let process = start(&program("true", &[])).unwrap();
        let directory = PathBuf::from(format!("/proc/{}", process.pid()));
        drop(process);
        let gone = async {
            while directory.exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(LIMIT, gone).await.expect("its end");
    });
}

#[test]
fn a_process_is_asked_to_end_before_it_is_killed() {
    block_on(async {
        let willing = Guard::start(&program("sleep", &["60"]));
        assert_eq!(stop(&willing.0, LIMIT).await.unwrap(), Stopped::Ended);
        assert_eq!(stop(&willing.0, LIMIT).await.unwrap(), Stopped::Ended);
        let status = willing.0.exited().await.unwrap().unwrap();
        assert_eq!(status.signal(), Some(15));

        let scratch = Scratch::new("stubborn");
        let file = scratch.0.join("pid");
        let environment = [("FILE", file.to_str().unwrap())];
        let stubborn = Guard::start(&Start {
            environment: &environment,
            ..shell("trap '' TERM; echo $$ > $FILE; exec sleep 60")
        });
        assert_eq!(number(&file).await, stubborn.0.pid());
        let grace = Duration::from_millis(100);
        assert_eq!(stop(&stubborn.0, grace).await.unwrap(), Stopped::Killed);
        assert!(!stubborn.0.is_running().unwrap());
    });
}

#[test]
fn only_the_process_that_is_meant_is_adopted() {
    let sleeper = Guard::start(&program("sleep", &["60.25", "0"]));
    let own = Namespace::current().unwrap().inode();
    let user = Some(Uid::current().as_raw());
    let check = |name, argument, namespace, expected| {
        let identity = Identity {
            name,
            argument,
            namespace,
            user,
        };
        let adopted = adopt(sleeper.0.pid(), &identity).unwrap();
        assert_eq!(adopted.is_some(), expected, "{identity:?}");
    };
    check("sleep", Some("60.25"), None, true);
    check("sleep", Some("60.25"), Some(own), true);
    check("sleep", Some("60.25"), Some(own - 1), false);
    check("slee", Some("60.25"), None, false);
    check("sleep", Some("60.2"), None, false);
    check("sleep", Some(""), None, false);
    check("sleep", None, None, true);
    check("slee", None, None, false);
    let others = Identity {
        name: "sleep",
        argument: None,
        namespace: None,
        user: user.map(|user| user + 1),
    };
    assert!(adopt(sleeper.0.pid(), &others).unwrap().is_none());
    let adopted = Process::hold(sleeper.0.pid(), false).unwrap().unwrap();
    let parent = i32::try_from(std::process::id()).unwrap();
    assert_eq!(adopted.parent().unwrap(), Some(parent));
}

#[test]
fn an_adopted_process_ends_without_a_status() {
    block_on(async {
        let sleeper = Guard::start(&program("sleep", &["60"]));
        let adopted = Process::hold(sleeper.0.pid(), false).unwrap().unwrap();
        assert_eq!(stop(&adopted, LIMIT).await.unwrap(), Stopped::Ended);
        assert_eq!(adopted.exited().await.unwrap(), None);
    });
}

#[test]
fn a_pid_file_leads_to_its_process_only() {
    let sleeper = Guard::start(&program("sleep", &["60.5"]));
    let pid = sleeper.0.pid();
    let scratch = Scratch::new("pid-file");
    let dir = scratch.dir();
    let check = |content: &str, argument, expected: &str| {
        dir.replace("pid", content.as_bytes(), 0o644).unwrap();
        let identity = Identity {
            name: "sleep",
            argument: Some(argument),
            namespace: None,
            user: None,
        };
        let found = match adopt_by_pid_file(&dir, "pid", &identity).unwrap() {
            Adoption::Running(process) => format!("running {}", process.pid()),
            Adoption::Foreign(pid) => format!("foreign {pid}"),
            Adoption::Gone => "gone".to_owned(),
            Adoption::NoFile => "no file".to_owned(),
        };
        assert_eq!(found, expected, "{content:?}");
    };
    check(&pid.to_string(), "60.5", &format!("running {pid}"));
    check(&format!("{pid}\n"), "60.5", &format!("running {pid}"));
    check(&pid.to_string(), "61", &format!("foreign {pid}"));
    let minus = format!("-{pid}");
    let plus = format!("+{pid}");
    let two = format!("{pid} {pid}");
    for nobody in [
        "",
        "\n",
        "0",
        "keepalived",
        "4194305",
        "99999999999",
        &minus,
        &plus,
        &two,
    ] {
        check(nobody, "60.5", "gone");
    }
    // Dead, though its parent has not taken note: a zombie.
    let adopted = Process::hold(pid, false).unwrap().unwrap();
    block_on(kill(&adopted)).unwrap();
    check(&pid.to_string(), "60.5", "gone");
    let identity = Identity {
        name: "sleep",
        argument: Some("60.5"),
        namespace: None,
        user: None,
    };
    let found = adopt_by_pid_file(&dir, "none", &identity).unwrap();
    assert!(matches!(found, Adoption::NoFile), "{found:?}");
}
