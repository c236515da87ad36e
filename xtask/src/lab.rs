//! What runs in the lab of network namespaces.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::process::run;
use crate::project::Project;

/// Tells the lab which agent to start.
pub(crate) const AGENT_VARIABLE: &str = "KEEPFAST_BIN";

/// A build profile of the agent.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// Quick to build, for tests of behaviour.
    Debug,
}

/// Builds the agent and returns its path.
pub(crate) fn build_agent(project: &Project, profile: Profile) -> Result<PathBuf> {
    let mut cargo = project.cargo();
    cargo.args(["build", "--package", "keepfast"]);
    let folder = match profile {
        Profile::Debug => "debug",
    };
    run(&mut cargo).context("build the agent")?;
    Ok(project.target.join(folder).join("keepfast"))
}
