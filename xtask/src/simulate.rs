//! Hosts in virtual time.

use anyhow::Result;

use crate::process::run;
use crate::project::Project;

/// Runs the simulation, optimised where that counts.
pub(crate) fn simulate(project: &Project, arguments: &[String]) -> Result<()> {
    let mut cargo = project.cargo();
    cargo.args(["run", "--quiet", "--profile", "simulate"]);
    cargo.args(["--package", "keepfast-sim", "--bin", "simulate", "--"]);
    run(cargo.args(arguments))
}
