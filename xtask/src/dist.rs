//! What is given to users: a tarball and a Debian package, in the target folder.
//!
//! The agent is linked with the system's C library and nothing else. A static glibc would
//! need the very same one at run time to look up a group by name (NSS); a static musl
//! would look into /etc/group only, where groups of a directory service are not.

pub(crate) mod package;
mod stage;
mod tarball;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::lab::{Profile, build_agent};
use crate::process::{capture, run, step};
use crate::project::Project;

/// What is packed, and where.
struct Dist<'a> {
    project: &'a Project,
    profile: Profile,
    agent: PathBuf,
    /// Beside the agent: what is made for this and packed, too.
    made: PathBuf,
    /// Where the results go.
    output: PathBuf,
    version: String,
    /// Of the commit, seconds since 1970: the time of all that is packed, so that the same
    /// source packs the same bytes.
    time: String,
}

/// Builds the agent, its manual pages and completions, and packs them.
pub(crate) fn dist(project: &Project, profile: Profile) -> Result<()> {
    let agent = build_agent(project, profile)?;
    let folder = agent.parent().context("find the agent's folder")?;
    let dist = Dist {
        project,
        profile,
        made: folder.join("dist"),
        output: project.target.join("dist"),
        version: version(project)?,
        time: time(project)?,
        agent,
    };
    // What an earlier version left there would be given to users, too.
    if dist.output.exists() {
        fs::remove_dir_all(&dist.output)
            .with_context(|| format!("remove {}", dist.output.display()))?;
    }
    fs::create_dir_all(&dist.output).with_context(|| format!("make {}", dist.output.display()))?;
    stage::make(&dist)?;
    for file in [tarball::pack(&dist)?, package::pack(&dist)?] {
        println!("{}", file.display());
    }
    Ok(())
}

/// The agent's version, as its manifest has it.
fn version(project: &Project) -> Result<String> {
    let mut cargo = project.cargo();
    let id = capture(cargo.args(["pkgid", "--package", "keepfast"]))?;
    // path+file:///.../agent#keepfast@0.1.0
    let version = id.trim().rsplit(['#', '@']).next();
    Ok(version.context("read the agent's version")?.to_owned())
}

/// That of the last commit, or what the environment asks for.
fn time(project: &Project) -> Result<String> {
    if let Ok(time) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(time);
    }
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]);
    let time = capture(git.current_dir(&project.root));
    Ok(time
        .inspect_err(|error| step(format!("no commit, files are of 1970: {error:#}")))
        .unwrap_or_else(|_| "0".to_owned())
        .trim()
        .to_owned())
}

impl Dist<'_> {
    /// The name of cargo's folder for this build.
    fn is_release(&self) -> bool {
        matches!(self.profile, Profile::Release)
    }
}

/// Copies a file without what helps only a debugger.
fn strip(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    run(Command::new("strip").arg("-o").arg(to).arg(from))
}
