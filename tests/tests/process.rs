//! keepalived as the agent has it: started, found again, and ended, with whatever
//! may have happened to it or to its pid files meanwhile.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keepfast::files::Dir;
use keepfast::keepalived::process::{self as keepalived, Paths};
use keepfast::netns;
use keepfast::process::{self, Adoption, Identity, Process, Signal, Start, Stopped};
use lab::capture::{Capture, VRRP};
use lab::keepalived::{Authentication, Config, Instance, Version};
use lab::netns::Namespace;
use lab::process as tool;
use lab::require::{Need, require};
use lab::segment::{BRIDGE, Segment};
use lab::wait::until;
use lab::workdir::WorkDir;
use nix::sys::signal::Signal as Number;

const LIMIT: Duration = Duration::from_secs(10);
const NEEDS: [Need; 2] = [Need::Root, Need::Tool("keepalived")];
const ADDRESS: &str = "10.99.0.100/24";
/// Where a stand-in for the agent finds the router that it is to start.
const STAND_IN: &str = "KEEPFAST_TEST_STAND_IN";

/// A router alone on its segment, so that it becomes the primary. Its keepalived is
/// killed when dropped.
struct Router {
    namespace: netns::Namespace,
    lab: Namespace,
    directory: Dir,
    paths: Paths,
    segment: Segment,
    _work: WorkDir,
}

impl Router {
    fn new() -> Self {
        let segment = Segment::new("switch").unwrap();
        let lab = Namespace::new("router").unwrap();
        segment.attach(&lab, "eth0", &["10.99.0.1/24"]).unwrap();
        let work = WorkDir::new("router").unwrap();
        let directory = Dir::open(work.path()).unwrap();
        let router = Self {
            namespace: netns::Namespace::named(lab.name()).unwrap(),
            lab,
            paths: paths(directory.path()),
            directory,
            segment,
            _work: work,
        };
        router.configure(&Instance {
            interval: Duration::from_millis(100),
            ..Instance::default()
        });
        router
    }

    fn configure(&self, instance: &Instance) {
        let config = Config::from(instance.clone()).to_string();
        let folder = self.directory.subdirectory("r1", 0o700).unwrap();
        folder
            .replace("keepalived.conf", config.as_bytes(), 0o600)
            .unwrap();
    }

    fn start(&self) -> Process {
        keepalived::start(&self.namespace, &self.paths, true).unwrap()
    }

    fn adopt(&self) -> Option<Process> {
        keepalived::adopt(&self.directory, &self.paths, &self.namespace).unwrap()
    }

    fn wait_adopted(&self) -> Process {
        until("keepalived", LIMIT, || {
            let names = || format!("{:?}", self.directory.names());
            self.adopt().ok_or_else(names)
        })
        .unwrap()
    }

    fn vrrp_child(&self, parent: &Process) -> Option<Process> {
        keepalived::vrrp_process(&self.directory, &self.paths, &self.namespace)
            .unwrap()
            .filter(|child| child.parent().unwrap() == Some(parent.pid()))
    }

    /// Waits until keepalived has a VRRP process, and another than `before`.
    fn wait_vrrp_child(&self, parent: &Process, before: Option<i32>) -> Process {
        until("a VRRP process", LIMIT, || {
            let child = self.vrrp_child(parent);
            child
                .filter(|child| Some(child.pid()) != before)
                .ok_or_else(|| format!("{before:?}, {:?}", self.directory.names()))
        })
        .unwrap()
    }

    async fn kill_orphan(&self) -> bool {
        keepalived::kill_orphan(&self.directory, &self.paths, &self.namespace)
            .await
            .unwrap()
    }

    async fn stop(&self, process: &Process) -> Stopped {
        keepalived::stop(process, &self.directory, &self.paths, &self.namespace)
            .await
            .unwrap()
    }

    fn wait_address(&self, address: &str, there: bool) {
        until(&format!("{address}: {there}"), LIMIT, || {
            let mut command = self.lab.command("ip");
            command.args(["-brief", "address", "show", "dev", "eth0"]);
            let seen = tool::output(&mut command).map_err(|error| error.to_string())?;
            if seen.contains(address) == there {
                Ok(())
            } else {
                Err(seen)
            }
        })
        .unwrap();
    }

    /// Writes the id of `process` into both pid files.
    fn claim(&self, process: &Process) {
        for name in ["r1.pid.keepalived", "r1.pid.keepalived-vrrp"] {
            let pid = format!("{}\n", process.pid());
            self.directory.replace(name, pid.as_bytes(), 0o644).unwrap();
        }
    }

    fn pid_files(&self) -> Vec<String> {
        let mut names = self.directory.names().unwrap();
        names.retain(|name| name.contains(".pid."));
        names
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let killed = || {
            let parent = keepalived::adopt(&self.directory, &self.paths, &self.namespace)?;
            if let Some(parent) = parent {
                parent.signal(Signal::KILL)?;
            }
            let identity = Identity {
                name: "keepalived",
                argument: self.paths.conf.to_str(),
                namespace: Some(self.namespace.inode()),
                user: Some(0),
            };
            let name = "r1.pid.keepalived-vrrp";
            let child = process::adopt_by_pid_file(&self.directory, name, &identity)?;
            if let Adoption::Running(child) = child {
                child.signal(Signal::KILL)?;
            }
            anyhow::Ok(())
        };
        if let Err(error) = killed() {
            eprintln!("kill keepalived: {error:#}");
        }
    }
}

fn paths(directory: &Path) -> Paths {
    Paths::new(directory, &"r1".parse().unwrap())
}

/// Somebody's process, which ends with its test.
struct Foreign(Process);

impl Foreign {
    fn start() -> Self {
        let start = Start {
            program: "sleep",
            arguments: vec!["300".into()],
            namespace: None,
            environment: &[],
        };
        Self(process::start(&start).unwrap())
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if let Err(error) = self.0.signal(Signal::KILL) {
            eprintln!("{error:#}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn keepalived_in_the_foreground_reloads_and_resigns() {
    if !require(&NEEDS) || !require(&[Need::Tool("tcpdump"), Need::Tool("tshark")]) {
        return;
    }
    let router = Router::new();
    let capture = Capture::start(router.segment.switch(), BRIDGE, VRRP).unwrap();
    let parent = router.start();
    let child = router.wait_vrrp_child(&parent, None);
    router.wait_address(ADDRESS, true);

    let second = "10.99.0.101/24";
    router.configure(&Instance {
        interval: Duration::from_millis(100),
        addresses: vec![ADDRESS.into(), second.into()],
        ..Instance::default()
    });
    assert!(parent.signal(Signal::HUP).unwrap());
    router.wait_address(second, true);
    let after = router.vrrp_child(&parent).map(|child| child.pid());
    assert_eq!(after, Some(child.pid()));

    assert_eq!(router.stop(&parent).await, Stopped::Ended);
    assert!(!child.is_running().unwrap());
    router.wait_address("10.99.0.10", false);
    assert_eq!(router.pid_files(), [] as [&str; 0]);
    let recording = capture.stop().unwrap();
    let resigned = recording.fields("vrrp.prio == 0", &["vrrp.prio"]).unwrap();
    assert!(!resigned.is_empty(), "{}", recording.summary().unwrap());
}

#[tokio::test(flavor = "current_thread")]
async fn a_frozen_keepalived_is_killed_with_its_vrrp_process() {
    if !require(&NEEDS) {
        return;
    }
    let router = Router::new();
    let parent = router.start();
    let child = router.wait_vrrp_child(&parent, None);
    for process in [&parent, &child] {
        assert!(process.signal(Signal::STOP).unwrap());
    }
    assert_eq!(router.stop(&parent).await, Stopped::Killed);
    assert!(!parent.is_running().unwrap());
    assert!(!child.is_running().unwrap());
    assert_eq!(router.pid_files(), [] as [&str; 0]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_running_keepalived_is_found_again_whoever_started_it() {
    if !require(&NEEDS) {
        return;
    }
    let router = Router::new();
    assert!(router.adopt().is_none());
    // As Neutron starts it.
    let mut command = router.lab.command("keepalived");
    command.arg("-P").arg("-f").arg(&router.paths.conf);
    command.arg("-p").arg(&router.paths.pid);
    command.arg("-r").arg(&router.paths.vrrp_pid);
    tool::output(&mut command).unwrap();
    let parent = router.wait_adopted();
    let child = router.wait_vrrp_child(&parent, None);

    // It is no other namespace's and no other router's.
    let own = netns::Namespace::current().unwrap();
    let adopt = |paths, namespace| keepalived::adopt(&router.directory, paths, namespace).unwrap();
    assert!(adopt(&router.paths, &own).is_none());
    let mut other = router.paths.clone();
    other.conf = PathBuf::from("/etc/keepalived/keepalived.conf");
    assert!(adopt(&other, &router.namespace).is_none());

    // A lost pid file makes no orphan of its VRRP process.
    assert!(router.directory.remove("r1.pid.keepalived").unwrap());
    let again = router.adopt().map(|process| process.pid());
    assert_eq!(again, Some(parent.pid()));
    assert!(!router.kill_orphan().await);
    assert!(child.is_running().unwrap());

    assert_eq!(router.stop(&parent).await, Stopped::Ended);
    assert!(!child.is_running().unwrap());
    assert!(router.adopt().is_none());
}

#[tokio::test(flavor = "current_thread")]
async fn pid_files_of_a_foreign_process_are_removed_and_it_is_not() {
    if !require(&NEEDS) {
        return;
    }
    let router = Router::new();
    let foreign = Foreign::start();
    router.claim(&foreign.0);
    // keepalived gives way to it, which is why somebody must see to the files.
    let refused = router.start();
    let status = tokio::time::timeout(LIMIT, refused.exited()).await;
    assert!(status.is_ok_and(|status| status.is_ok()));

    router.claim(&foreign.0);
    assert!(router.adopt().is_none());
    assert!(!router.kill_orphan().await);
    let parent = router.start();
    router.wait_vrrp_child(&parent, None);
    assert!(foreign.0.is_running().unwrap());

    // A keepalived, but another router's.
    let other = Router::new();
    other.claim(&parent);
    assert!(other.adopt().is_none());
    assert!(!other.kill_orphan().await);
    assert_eq!(other.pid_files(), [] as [&str; 0]);
    assert!(parent.is_running().unwrap());
}

#[tokio::test(flavor = "current_thread")]
async fn a_vrrp_process_without_a_parent_is_ended() {
    if !require(&NEEDS) {
        return;
    }
    let router = Router::new();
    let parent = router.start();
    let child = router.wait_vrrp_child(&parent, None);
    assert!(!router.kill_orphan().await);
    // Frozen, it cannot obey the SIGTERM that its parent's death sends it.
    child.signal(Signal::STOP).unwrap();
    process::kill(&parent).await.unwrap();
    assert!(child.is_running().unwrap());
    assert!(router.adopt().is_none());
    assert!(router.kill_orphan().await);
    assert!(!child.is_running().unwrap());
    assert_eq!(router.pid_files(), [] as [&str; 0]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_vrrp_process_that_dies_alone_is_replaced_by_its_parent() {
    if !require(&NEEDS) {
        return;
    }
    let router = Router::new();
    let parent = router.start();
    let child = router.wait_vrrp_child(&parent, None);
    child.signal(Signal::KILL).unwrap();
    router.wait_vrrp_child(&parent, Some(child.pid()));
    assert!(parent.is_running().unwrap());
}

#[tokio::test(flavor = "current_thread")]
async fn keepalived_starts_again_after_all_of_it_was_killed() {
    if !require(&NEEDS) {
        return;
    }
    let router = Router::new();
    let parent = router.start();
    let child = router.wait_vrrp_child(&parent, None);
    router.wait_address(ADDRESS, true);
    for signal in [Signal::STOP, Signal::KILL] {
        for process in [&parent, &child] {
            process.signal(signal).unwrap();
        }
    }
    for process in [&parent, &child] {
        process.exited().await.unwrap();
    }
    // Nobody resigned: the address is left, and so are the pid files.
    router.wait_address(ADDRESS, true);
    assert_eq!(router.pid_files().len(), 2);
    assert!(router.adopt().is_none());
    assert!(!router.kill_orphan().await);
    // Started as a backup that never takes over, it clears what is left.
    router.configure(&Instance {
        interval: Duration::from_secs(100),
        version: Version::V2,
        ..Instance::default()
    });
    let parent = router.start();
    router.wait_vrrp_child(&parent, None);
    router.wait_address(ADDRESS, false);
}

#[tokio::test(flavor = "current_thread")]
async fn a_bad_configuration_is_refused_without_its_password() {
    if !require(&NEEDS) {
        return;
    }
    let version = keepalived::version().await.unwrap();
    assert!(version.starts_with("Keepalived v"), "{version}");
    let router = Router::new();
    let check = || keepalived::check(&router.namespace, &router.paths.conf);
    check().await.unwrap();
    let secret = |lines: &[&str]| {
        router.configure(&Instance {
            version: Version::V2,
            authentication: Authentication::Pass("hush hush {".into()),
            extra: lines.iter().map(|line| (*line).to_owned()).collect(),
            ..Instance::default()
        });
    };
    secret(&["no_such_word 1"]);
    let error = check().await.unwrap_err().to_string();
    assert!(error.contains("Unknown keyword 'no_such_word'"), "{error}");
    assert!(!error.contains("hush"), "{error}");
    // The interface is looked for where keepalived will run.
    router.configure(&Instance {
        interface: "eth1".into(),
        ..Instance::default()
    });
    let error = check().await.unwrap_err().to_string();
    assert!(error.contains("eth1"), "{error}");
}

#[tokio::test(flavor = "current_thread")]
async fn keepalived_outlives_a_killed_agent_and_a_helper_does_not() {
    if !require(&NEEDS) {
        return;
    }
    let router = Router::new();
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "stand_in"])
        .env(STAND_IN, router.lab.name())
        .env("DIRECTORY", router.directory.path());
    let log = router.directory.path().join("log");
    let mut agent = tool::Process::start("agent", &mut command, &log).unwrap();
    let helper = until("the helper", LIMIT, || {
        let pid = router.directory.read("helper", 32).unwrap();
        let pid = String::from_utf8(pid.unwrap_or_default()).unwrap();
        let process = pid.trim().parse().ok().and_then(|pid| {
            let identity = Identity {
                name: "sleep",
                argument: Some("300"),
                namespace: None,
                user: Some(0),
            };
            process::adopt(pid, &identity).unwrap()
        });
        process.ok_or(pid)
    })
    .unwrap();
    let before = router.wait_adopted();
    router.wait_vrrp_child(&before, None);
    agent.signal(Number::SIGKILL).unwrap();
    agent.wait_end().unwrap();
    tokio::time::timeout(LIMIT, helper.exited())
        .await
        .unwrap()
        .unwrap();
    let after = router.adopt().map(|process| process.pid());
    assert_eq!(after, Some(before.pid()));
}

/// Not a test by itself: the agent that another test kills.
#[tokio::test(flavor = "current_thread")]
async fn stand_in() {
    let Ok(namespace) = env::var(STAND_IN) else {
        return;
    };
    let directory = env::var("DIRECTORY").unwrap();
    let namespace = netns::Namespace::named(&namespace).unwrap();
    let paths = paths(Path::new(&directory));
    let _keepalived = keepalived::start(&namespace, &paths, false).unwrap();
    let script = Start {
        program: "sh",
        arguments: vec!["-c".into(), "echo $$ > $FILE; exec sleep 300".into()],
        namespace: None,
        environment: &[("FILE", &format!("{directory}/helper"))],
    };
    process::run(&script, Duration::from_secs(300))
        .await
        .unwrap();
}
