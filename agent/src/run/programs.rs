//! Starting, finding and stopping the programs of a router.

use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::config::{Child, Keepalived};
use crate::engine::{Plan, Program, Published};
use crate::files::Dir;
use crate::helper::conntrackd;
use crate::keepalived::process as keepalived;
use crate::netns::Namespace;
use crate::process::{self, Adoption, Finished, Identity, Process, Signal, Start};

use super::jobs::{Job, Outcome};
use super::member::managed;

/// How long one command for conntrackd may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(2);

/// How often it is looked whether conntrackd can be spoken with.
const SOCKET_STEP: Duration = Duration::from_millis(10);

/// How long keepalived and conntrackd have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// What is needed to run a router's programs.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) plan: Plan,
    pub(super) namespace: Rc<Namespace>,
    /// Where all routers' directories and keepalived's pid files are.
    pub(super) base: Rc<Dir>,
    /// The router's own directory.
    pub(super) directory: Rc<Dir>,
    /// Turns at keepalived's check of a configuration.
    pub(super) turns: Rc<Semaphore>,
    /// The check script: its name and text.
    pub(super) script: Option<(String, String)>,
}

impl Stage {
    pub(super) fn paths(&self) -> keepalived::Paths {
        keepalived::Paths::new(self.base.path(), &self.plan.router.id)
    }

    /// A configuration with a password is for root only; another one may be read by
    /// all, as Neutron's own may.
    pub(super) fn mode(&self) -> u32 {
        let secret = managed(&self.plan).is_some_and(|it| it.vrrp.authentication.is_some());
        if secret { 0o600 } else { 0o644 }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Starts nothing: there is no namespace to start it in.
pub(super) fn homeless(program: Program) -> Job {
    let why = "its network namespace is gone".to_owned();
    Box::pin(std::future::ready(Outcome::Started(program, Err(why))))
}

/// Starts another program than keepalived.
pub(super) fn start(stage: &Stage, program: Program) -> Job {
    let stage = stage.clone();
    Box::pin(async move {
        let started = match program {
            Program::Radvd => start_radvd(&stage),
            Program::Conntrackd => start_conntrackd(&stage).await,
            Program::Child(number) => start_child(&stage, number),
            Program::Keepalived => Err(anyhow::Error::msg("keepalived is started otherwise")),
        };
        Outcome::Started(program, started.map(Rc::new).map_err(in_words))
    })
}

fn start_radvd(stage: &Stage) -> Result<Process> {
    let text = stage
        .plan
        .radvd
        .as_deref()
        .context("no radvd is declared")?;
    // It refuses a file that somebody could write to.
    stage
        .directory
        .replace("radvd.conf", text.as_bytes(), 0o444)?;
    let mut arguments = words(&["--nodaemon", "--logmethod", "syslog"]);
    arguments.extend([OsString::from("--config"), stage.file("radvd.conf").into()]);
    arguments.extend([
        OsString::from("--pidfile"),
        stage.file("radvd.own.pid").into(),
    ]);
    let radvd = managed(&stage.plan).and_then(|managed| managed.radvd.as_ref());
    if let Some(user) = radvd.map(|it| it.user.as_str()).filter(|it| !it.is_empty()) {
        arguments.extend(words(&["--username", user]));
    }
    begin(stage, Program::Radvd, "radvd", arguments)
}

async fn start_conntrackd(stage: &Stage) -> Result<Process> {
    let text = stage.plan.conntrackd.as_deref();
    let text = text.context("no conntrackd is declared")?;
    stage
        .directory
        .replace("conntrackd.conf", text.as_bytes(), 0o644)?;
    // A killed one leaves both, and then would not start.
    stage.directory.remove("conntrackd.lock")?;
    stage.directory.remove("conntrackd.ctl")?;
    let configuration = stage.file("conntrackd.conf").into();
    let arguments = vec![OsString::from("-C"), configuration];
    let process = begin(stage, Program::Conntrackd, "conntrackd", arguments)?;
    // What the other routers know is asked for once it can be spoken with.
    let end = Instant::now() + COMMAND_LIMIT;
    while !stage.file("conntrackd.ctl").exists() && Instant::now() < end {
        sleep(SOCKET_STEP).await;
    }
    if let Err(error) = command_conntrackd(stage, conntrackd::AFTER_START).await {
        // As a reason not to have it run, that would be too little.
        warn!(router = %stage.plan.router.id, "{error:#}");
    }
    Ok(process)
}

/// Has the running conntrackd do something.
async fn command_conntrackd(stage: &Stage, flag: &str) -> Result<()> {
    let configuration = stage.file("conntrackd.conf").into();
    let start = Start {
        program: "conntrackd",
        arguments: vec![OsString::from("-C"), configuration, OsString::from(flag)],
        namespace: Some(&stage.namespace),
        environment: &[],
    };
    let finished = process::run(&start, COMMAND_LIMIT).await?;
    let Finished { status, output } = finished;
    ensure!(
        status.success(),
        "conntrackd {flag}: {status}: {}",
        output.trim()
    );
    Ok(())
}

fn start_child(stage: &Stage, number: usize) -> Result<Process> {
    let child = child(stage, number)?;
    let (program, arguments) = child.command.split_first().context("an empty command")?;
    let arguments = arguments.iter().map(OsString::from).collect();
    begin(stage, Program::Child(number), program, arguments)
}

fn child(stage: &Stage, number: usize) -> Result<&Child> {
    let child = stage.plan.router.children.get(number);
    child.with_context(|| format!("there is no child {number}"))
}

/// Starts a program in the foreground and notes its process id for an agent to come.
fn begin(
    stage: &Stage,
    program: Program,
    command: &str,
    arguments: Vec<OsString>,
) -> Result<Process> {
    let name = pid_file(&stage.plan, program);
    let process = process::start(&Start {
        program: command,
        arguments,
        namespace: Some(&stage.namespace),
        environment: &[],
    })?;
    let pid = process.pid().to_string();
    if let Err(error) = stage.directory.replace(&name, pid.as_bytes(), 0o644) {
        // Nobody would find it again.
        process.signal(Signal::KILL)?;
        return Err(error);
    }
    Ok(process)
}

/// The file with the process id of a program other than keepalived.
pub(super) fn pid_file(plan: &Plan, program: Program) -> String {
    match program {
        Program::Keepalived => "keepalived.pid".to_owned(),
        Program::Radvd => "radvd.pid".to_owned(),
        Program::Conntrackd => "conntrackd.pid".to_owned(),
        Program::Child(number) => {
            let child = plan.router.children.get(number);
            let name = child.map_or_else(|| number.to_string(), |child| child.name.clone());
            format!("child.{name}.pid")
        }
    }
}

/// Finds what an agent before this one has left running.
pub(super) fn find(stage: &Stage, program: Program) -> Result<Option<Process>> {
    if program == Program::Keepalived {
        return match &stage.plan.router.keepalived {
            Keepalived::Managed(_) => {
                keepalived::adopt(&stage.base, &stage.paths(), &stage.namespace)
            }
            Keepalived::Attached(attached) => super::keepalived::find_stranger(attached),
        };
    }
    let (name, argument) = match program {
        Program::Radvd => ("radvd".to_owned(), stage.file("radvd.conf")),
        Program::Conntrackd => ("conntrackd".to_owned(), stage.file("conntrackd.conf")),
        Program::Child(number) => {
            let command = &child(stage, number)?.command;
            let program = command.first().context("an empty command")?;
            let name = program.rsplit('/').next().unwrap_or(program);
            let argument = command.last().unwrap_or(program);
            // The kernel keeps fifteen bytes of a name.
            let name: String = name.chars().take(15).collect();
            (name, PathBuf::from(argument))
        }
        Program::Keepalived => return Ok(None),
    };
    let argument = argument.to_string_lossy();
    let identity = Identity {
        name: &name,
        argument: Some(&argument),
        namespace: Some(stage.namespace.inode()),
        // radvd and its like step down.
        user: None,
    };
    let file = pid_file(&stage.plan, program);
    let adoption = process::adopt_by_pid_file(&stage.directory, &file, &identity)?;
    Ok(held(adoption))
}

/// Waits until a process has ended.
pub(super) fn watch(program: Program, process: Rc<Process>) -> Job {
    Box::pin(async move {
        let how = match process.exited().await {
            Ok(Some(status)) => status.to_string(),
            Ok(None) => "it is gone".to_owned(),
            Err(error) => in_words(error),
        };
        Outcome::Ended(program, process.pid(), how)
    })
}

/// Asks a process to end, and makes it; radvd is not asked.
pub(super) fn stop(plan: &Plan, program: Program, process: Rc<Process>) -> Job {
    let (signal, grace) = match program {
        Program::Child(number) => {
            let child = plan.router.children.get(number);
            let grace = child.map_or(GRACE, |child| child.stop_timeout);
            (Signal::TERM, grace)
        }
        // Its last words would be that the router is none any longer, by an address
        // that the next primary has.
        Program::Radvd => (Signal::KILL, Duration::ZERO),
        Program::Keepalived | Program::Conntrackd => (Signal::TERM, GRACE),
    };
    Box::pin(async move {
        // One that is gone already is what was asked for.
        if let Ok(true) = process.signal(signal) {
            if timeout(grace, process.exited()).await.is_ok() {
                return Outcome::Signalled;
            }
            if let Err(error) = process.signal(Signal::KILL) {
                warn!(pid = process.pid(), "kill: {error:#}");
            }
        }
        Outcome::Signalled
    })
}

/// Has conntrackd take the connections of the other router, or give its own.
pub(super) fn synchronise(stage: Stage, state: Published) -> Job {
    Box::pin(async move {
        let mut wrong = Vec::new();
        for flag in conntrackd::commands(state) {
            if let Err(error) = command_conntrackd(&stage, flag).await {
                wrong.push(in_words(error));
            }
        }
        Outcome::Synced(wrong)
    })
}

/// The process that is meant, if there is one.
pub(super) fn held(adoption: Adoption) -> Option<Process> {
    match adoption {
        Adoption::Running(process) => Some(process),
        Adoption::Foreign(_) | Adoption::Gone | Adoption::NoFile => None,
    }
}

fn words(list: &[&str]) -> Vec<OsString> {
    list.iter().map(OsString::from).collect()
}

pub(super) fn in_words(error: anyhow::Error) -> String {
    format!("{error:#}")
}
