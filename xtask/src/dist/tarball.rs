//! The tarball, for systems without dpkg: `bin/keepfast` and what goes with it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::stage::copy;
use super::{Dist, strip};
use crate::process::run;

/// Files of the source, and where they are in the tarball.
const FILES: [(&str, &str); 8] = [
    ("LICENSE", "LICENSE"),
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("agent/package/keepfast.service", "systemd/keepfast.service"),
    (
        "agent/package/keepfast.sysusers",
        "systemd/sysusers.d/keepfast.conf",
    ),
    (
        "agent/package/keepfast.tmpfiles",
        "systemd/tmpfiles.d/keepfast.conf",
    ),
    ("agent/package/keepfast.default", "systemd/default/keepfast"),
    ("agent/package/routers.README", "routers.d/README"),
];

/// Packs it: sorted, everything root's, with the time of the commit.
pub(super) fn pack(dist: &Dist<'_>) -> Result<PathBuf> {
    let machine = std::env::consts::ARCH;
    let name = format!("keepfast-{}-{machine}-linux", dist.version);
    let tree = dist.made.join("tarball");
    let root = tree.join(&name);
    for folder in [
        "bin",
        "systemd/sysusers.d",
        "systemd/tmpfiles.d",
        "systemd/default",
        "routers.d",
    ] {
        fs::create_dir_all(root.join(folder)).with_context(|| format!("make {folder}"))?;
    }
    strip(&dist.agent, &root.join("bin/keepfast"))?;
    for (from, to) in FILES {
        fs::copy(dist.project.root.join(from), root.join(to))
            .with_context(|| format!("copy {from}"))?;
    }
    for folder in ["man", "completions"] {
        copy(&dist.made.join(folder), &root.join(folder))?;
    }
    copy(&dist.made.join("doc"), &root)?;
    let file = dist.output.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ]);
    tar.args(["--mode=u=rwX,go=rX", "--use-compress-program=gzip -9n"]);
    tar.arg(format!("--mtime=@{}", dist.time));
    tar.arg("--file")
        .arg(&file)
        .arg("--directory")
        .arg(&tree)
        .arg(&name);
    run(&mut tar)?;
    Ok(file)
}
