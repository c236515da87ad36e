//! Programs that run in the lab of network namespaces.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::machine;
use crate::process::run;
use crate::project::Project;

/// Tells the lab which agent to start.
pub(crate) const AGENT_VARIABLE: &str = "KEEPFAST_BIN";

/// A build profile of the agent.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// Quick to build, for tests of behaviour.
    Debug,
    /// What users run, for anything that is measured or shown.
    Release,
}

/// Builds the agent and returns its path.
pub(crate) fn build_agent(project: &Project, profile: Profile) -> Result<PathBuf> {
    let mut cargo = project.cargo();
    cargo.args(["build", "--package", "keepfast"]);
    let folder = match profile {
        Profile::Debug => "debug",
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    run(&mut cargo).context("build the agent")?;
    Ok(project.target.join(folder).join("keepfast"))
}

/// Runs a program of the lab against the agent as users run it.
pub(crate) fn run_program(
    project: &Project,
    program: &str,
    arguments: &[impl AsRef<OsStr>],
) -> Result<()> {
    machine::provide_lab()?;
    let agent = build_agent(project, Profile::Release)?;
    let mut cargo = project.cargo();
    cargo.args([
        "run",
        "--release",
        "--package",
        "keepfast-tests",
        "--bin",
        program,
        "--",
    ]);
    run(cargo.args(arguments).env(AGENT_VARIABLE, agent))
}
