//! The agent's program, as a test runs it.

use anyhow::{Context, Result, ensure};
use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Names a program to be tested in place of the one that is built here.
const VARIABLE: &str = "KEEPFAST_BIN";

/// A command that will run keepfast, without arguments yet.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn keepfast() -> Command {
    Command::new(path())
}

/// Where keepfast is: what KEEPFAST_BIN names, or what is built once with the profile of the
/// running test, in its target folder.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn path() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match env::var_os(VARIABLE) {
        Some(path) => path.into(),
        None => match build() {
            Ok(path) => path,
            #[expect(clippy::panic, reason = "no test can go on without the program")]
            Err(error) => panic!("build keepfast: {error:#}"),
        },
    })
}

fn build() -> Result<PathBuf> {
    // A test is target/<profile>/deps/<name>, a program target/<profile>/<name>.
    let test = env::current_exe().context("find the running test")?;
    let folder = test
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .context("find the test's target folder")?;
    let target = folder.parent().context("find the target folder")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--package", "keepfast", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "cargo ended with {status}");
    Ok(folder.join("keepfast"))
}
