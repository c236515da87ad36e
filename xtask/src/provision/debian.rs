//! Debian's rust-src package, fetched without changing the system's apt.
//!
//! The suites that carry recent compilers are not the one this machine runs,
//! so apt works here with a sources list, lists and cache of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::mirror::Mirror;
use crate::machine;
use crate::process::{capture, run, step};

/// Tried in turn: backports keep several versions, the others the newest.
const SUITES: [&str; 4] = ["trixie-backports", "sid", "forky", "trixie"];

/// Puts the `library` folder of this release into `destination`.
pub(super) fn unpack_library(folder: &Path, release: &str, destination: &Path) -> Result<()> {
    let mirror = Mirror::of_system().context("find the Debian mirror that this system uses")?;
    let version = SUITES
        .iter()
        .find_map(|suite| {
            offered(folder, &mirror, suite, release)
                .inspect_err(|error| step(format!("{suite}: {error:#}")))
                .ok()
        })
        .with_context(|| {
            format!(
                "find rust-src {release} on {} in {}",
                mirror.uri(),
                SUITES.join(", ")
            )
        })?;
    step(format!("downloading Debian's rust-src {version}"));
    run(apt(folder, "apt-get").current_dir(folder).args([
        "--quiet",
        "download",
        &format!("rust-src={version}"),
    ]))?;
    let package = find_package(folder)?;
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(&package)
        .arg(folder.join("unpacked")))?;

    fs::create_dir_all(destination).with_context(|| format!("create {}", destination.display()))?;
    let library = folder.join(format!("unpacked/usr/src/rustc-{release}/library"));
    fs::rename(&library, destination.join("library"))
        .with_context(|| format!("move {} to {}", library.display(), destination.display()))?;
    fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))
}

/// The full version of rust-src for this release, if the suite has one.
fn offered(folder: &Path, mirror: &Mirror, suite: &str, release: &str) -> Result<String> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    for part in ["lists/partial", "cache/archives/partial"] {
        let dir = folder.join(part);
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    }
    let sources = folder.join("debian.sources");
    fs::write(&sources, mirror.sources(suite))
        .with_context(|| format!("write {}", sources.display()))?;

    capture(apt(folder, "apt-get").arg("update")).context("read the package list")?;
    let table = capture(apt(folder, "apt-cache").args(["madison", "rust-src"]))?;
    match pick_version(&table, release) {
        Some(version) => Ok(version.to_owned()),
        None => bail!("no rust-src {release}"),
    }
}

/// Finds `1.95.0+dfsg1-2` for release `1.95.0` in the table of apt-cache.
fn pick_version<'a>(table: &'a str, release: &str) -> Option<&'a str> {
    table
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .map(str::trim)
        .find(|version| {
            version
                .strip_prefix(release)
                .is_some_and(|rest| rest.starts_with(['+', '-', '~']))
        })
}

fn apt(folder: &Path, program: &str) -> Command {
    let mut apt = Command::new(program);
    for (option, path) in [
        ("Dir::Etc::SourceList", "debian.sources"),
        ("Dir::State::Lists", "lists"),
        ("Dir::Cache", "cache"),
    ] {
        apt.arg("-o")
            .arg(format!("{option}={}", folder.join(path).display()));
    }
    apt.args(["-o", "Dir::Etc::SourceParts=/dev/null"]);
    // Without this, apt reports success with the lists it could not fetch.
    apt.args(["-o", "APT::Update::Error-Mode=any"]);
    if machine::is_root() {
        // The unprivileged download user cannot write below the target folder.
        apt.args(["-o", "APT::Sandbox::User=root"]);
    }
    apt
}

fn find_package(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("find the downloaded package in {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://mirror/debian trixie-backports/main amd64 Packages
  rust-src | 1.9.5-1 | http://mirror/debian trixie-backports/main amd64 Packages
";

    #[test]
    fn picks_the_exact_release() {
        assert_eq!(
            pick_version(TABLE, "1.95.0"),
            Some("1.95.0+dfsg1-2~bpo13+1")
        );
        assert_eq!(pick_version(TABLE, "1.9.5"), Some("1.9.5-1"));
    }

    #[test]
    fn a_longer_or_other_release_is_not_taken() {
        assert_eq!(pick_version(TABLE, "1.9"), None);
        assert_eq!(pick_version(TABLE, "1.95"), None);
        assert_eq!(pick_version("", "1.95.0"), None);
    }
}
