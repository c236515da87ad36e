//! The Debian package, by cargo-deb; `agent/Cargo.toml` says what is in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Dist;
use crate::process::{capture, run, step};
use crate::project::Project;

/// The release that the manifest was written for.
const VERSION: &str = "3.8.0";

/// Packs what was built.
pub(super) fn pack(dist: &Dist<'_>) -> Result<PathBuf> {
    let tool = provide(dist.project)?;
    let mut deb = Command::new(tool);
    // Called as a cargo subcommand is.
    deb.args(["deb", "--package", "keepfast", "--no-build"]);
    if !dist.is_release() {
        deb.args(["--profile", "dev", "--fast"]);
    }
    deb.arg("--output").arg(&dist.output);
    deb.current_dir(&dist.project.root)
        .env("CARGO_TARGET_DIR", &dist.project.target)
        .env("SOURCE_DATE_EPOCH", &dist.time);
    let made = capture(&mut deb).context("make the Debian package")?;
    let file = made.lines().last().context("find the Debian package")?;
    Ok(PathBuf::from(file.trim()))
}

/// cargo-deb, built into the target folder once.
pub(crate) fn provide(project: &Project) -> Result<PathBuf> {
    let root = project.target.join(format!("tools/cargo-deb-{VERSION}"));
    let tool = root.join("bin/cargo-deb");
    if works(&tool) {
        return Ok(tool);
    }
    step(format!("building cargo-deb {VERSION}"));
    let mut cargo = project.cargo();
    cargo.args(["install", "cargo-deb", "--version", VERSION, "--locked"]);
    cargo.args(["--force", "--root"]);
    cargo
        .arg(&root)
        .env("CARGO_TARGET_DIR", project.target.join("tools/build"));
    run(&mut cargo)
        .with_context(|| format!("build cargo-deb {VERSION}: crates.io must be reachable"))?;
    Ok(tool)
}

fn works(tool: &Path) -> bool {
    capture(Command::new(tool).args(["deb", "--version"]))
        .is_ok_and(|told| told.split_whitespace().any(|word| word == VERSION))
}
