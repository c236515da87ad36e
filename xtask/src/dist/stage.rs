//! What is made to be packed: manual pages, completions, and what operators may load into
//! other programs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Dist;
use crate::process::run;

/// Folders of the source that operators take from, and their names when packed.
const FOLDERS: [(&str, &str); 3] = [
    ("agent/examples", "examples"),
    ("agent/package/grafana", "grafana"),
    ("agent/package/prometheus", "prometheus"),
];

/// Makes all of it anew.
pub(super) fn make(dist: &Dist<'_>) -> Result<()> {
    let folder = &dist.made;
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    let mut cargo = dist.project.cargo();
    cargo.args([
        "run",
        "--quiet",
        "--package",
        "keepfast-tests",
        "--bin",
        "manuals",
    ]);
    if dist.is_release() {
        cargo.arg("--release");
    }
    run(cargo.arg("--").arg(folder)).context("make manual pages and completions")?;
    for (from, name) in FOLDERS {
        let source = dist.project.root.join(from);
        if source.is_dir() {
            copy(&source, &folder.join("doc").join(name))?;
        }
    }
    Ok(())
}

/// Copies a folder with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("list {}", from.display()))?;
    for entry in entries {
        let source = entry
            .with_context(|| format!("list {}", from.display()))?
            .path();
        let target = to.join(source.file_name().context("find a file's name")?);
        if source.is_dir() {
            copy(&source, &target)?;
        } else {
            fs::copy(&source, target).with_context(|| format!("copy {}", source.display()))?;
        }
    }
    Ok(())
}
