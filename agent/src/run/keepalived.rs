//! A router's keepalived: what it is told, that it reads it, and its end.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Uid;
use tokio::time::sleep;

use crate::config::{Attached, Mode};
use crate::engine::Program;
use crate::files::Dir;
use crate::keepalived::{process as keepalived, raise};
use crate::process::{self, Identity, Process, Signal};

use super::jobs::{Job, Outcome};
use super::programs::{Stage, held, in_words};

/// How much of a configuration file is read.
const CONFIGURATION_LIMIT: usize = 4 << 20;

/// How many configurations are checked at once.
pub(super) const CHECKS: usize = 8;

/// keepalived's configuration while it is being checked.
const CANDIDATE: &str = "keepalived.conf.candidate";

/// What it was told before, until it was told otherwise. An agent that is killed in
/// between leaves it: then it is not known which of both keepalived has.
const BEFORE: &str = "keepalived.conf.before";

/// How long keepalived has to read what it is told to.
const READING: Duration = Duration::from_millis(50);

/// keepalived's configuration.
const CONFIGURATION: &str = "keepalived.conf";

/// Starts keepalived with this configuration, once that is accepted and nothing of
/// an older keepalived is left.
pub(super) fn start(stage: Stage, text: Arc<str>) -> Job {
    Box::pin(async move {
        let started = async {
            let paths = stage.paths();
            keepalived::kill_orphan(&stage.base, &paths, &stage.namespace).await?;
            install(&stage, &text).await?;
            let process = keepalived::start(&stage.namespace, &paths, false)?;
            stage.directory.remove(BEFORE)?;
            Ok(process)
        };
        let started = started.await.map(Rc::new).map_err(in_words);
        Outcome::Started(Program::Keepalived, started)
    })
}

/// Has the running keepalived read this configuration, once that is accepted.
pub(super) fn reload(stage: Stage, text: Arc<str>, process: Option<Rc<Process>>) -> Job {
    Box::pin(async move {
        let reloaded = async {
            install(&stage, &text).await?;
            let process = process.context("keepalived does not run")?;
            let sent = process.signal(Signal::HUP)?;
            ensure!(sent, "keepalived has ended");
            sleep(READING).await;
            stage.directory.remove(BEFORE).map(drop)
        };
        Outcome::Reloaded(reloaded.await.map_err(in_words))
    })
}

/// Puts a configuration in place that keepalived itself accepts.
async fn install(stage: &Stage, text: &str) -> Result<()> {
    if let Some((name, script)) = &stage.script {
        stage.directory.replace(name, script.as_bytes(), 0o520)?;
    }
    // Each check is a process: of a thousand at once none would be done in time.
    let _turn = stage.turns.acquire().await?;
    let mode = stage.mode();
    stage.directory.replace(CANDIDATE, text.as_bytes(), mode)?;
    let checked = keepalived::check(&stage.namespace, &stage.file(CANDIDATE)).await;
    stage.directory.remove(CANDIDATE)?;
    checked?;
    if stage.directory.read(BEFORE, CONFIGURATION_LIMIT)?.is_none()
        && let Some(before) = stage.directory.read(CONFIGURATION, CONFIGURATION_LIMIT)?
    {
        // It may hold a password that this one does not.
        stage.directory.replace(BEFORE, &before, 0o600)?;
    }
    if stage.plan.router.fast_path.mode == Mode::Off {
        // What it said must not hold again when it is wanted again.
        stage.directory.remove(raise::FILE)?;
    } else {
        raise::prepare(&stage.directory)?;
    }
    stage
        .directory
        .replace(CONFIGURATION, text.as_bytes(), mode)
}

/// The configuration that a running keepalived has; `None` where that is not certain.
pub(super) fn loaded(directory: &Dir) -> Result<Option<Arc<str>>> {
    let [before, now] = configurations(directory)?;
    Ok(now.filter(|_| before.is_none()).map(Arc::from))
}

/// The configurations one of which keepalived has: an older one, if it may not have
/// been told of the newer one, and that.
pub(super) fn configurations(directory: &Dir) -> Result<[Option<String>; 2]> {
    let read = |name| {
        let text = directory.read(name, CONFIGURATION_LIMIT)?;
        Ok::<_, anyhow::Error>(text.and_then(|text| String::from_utf8(text).ok()))
    };
    Ok([read(BEFORE)?, read(CONFIGURATION)?])
}

/// The VRRP process of a managed router's keepalived, whoever's child it is.
pub(super) fn vrrp_process(stage: &Stage) -> Result<Option<Process>> {
    keepalived::vrrp_process(&stage.base, &stage.paths(), &stage.namespace)
}

/// Kills both processes of a keepalived, the child first: its parent, which may not be
/// stopped, would start another.
pub(super) fn kill(stage: &Stage, parent: &Process) -> Result<()> {
    let child = vrrp_process(stage)?;
    parent.signal(Signal::STOP)?;
    if let Some(child) = child {
        child.signal(Signal::KILL)?;
    }
    parent.signal(Signal::KILL).map(drop)
}

/// Somebody else's keepalived, by the file with its process id.
pub(super) fn find_stranger(attached: &Attached) -> Result<Option<Process>> {
    let Some(file) = &attached.pid_file else {
        return Ok(None);
    };
    // The directory's name may well be a link: /var/run is one.
    let folder = file.parent().context("a pid file in no directory")?;
    let folder = folder
        .canonicalize()
        .with_context(|| format!("find {}", folder.display()))?;
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.context("a pid file without a name")?;
    let identity = Identity {
        name: "keepalived",
        argument: None,
        namespace: None,
        user: Some(Uid::current().as_raw()),
    };
    let folder = Dir::open(&folder)?;
    Ok(held(process::adopt_by_pid_file(&folder, name, &identity)?))
}
