//! Debian's rust-src package, fetched without changing the system's apt.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::mirror::Mirror;
use super::suite::Suite;
use crate::process::step;

/// Tried in turn: backports keep several versions, the others the newest.
const SUITES: [&str; 4] = ["trixie-backports", "sid", "forky", "trixie"];

/// Puts the `library` folder of this release into `destination`.
pub(super) fn unpack_library(folder: &Path, release: &str, destination: &Path) -> Result<()> {
    let mirror = Mirror::of_system().context("find the Debian mirror that this system uses")?;
    let (suite, version) = SUITES
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
    let unpacked = folder.join("unpacked");
    suite.unpack(&[&format!("rust-src={version}")], &unpacked)?;

    fs::create_dir_all(destination).with_context(|| format!("create {}", destination.display()))?;
    let library = unpacked.join(format!("usr/src/rustc-{release}/library"));
    fs::rename(&library, destination.join("library"))
        .with_context(|| format!("move {} to {}", library.display(), destination.display()))?;
    fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))
}

/// The full version of rust-src for this release, if the suite has one.
fn offered(folder: &Path, mirror: &Mirror, name: &str, release: &str) -> Result<(Suite, String)> {
    let suite = Suite::open(folder, mirror, name)?;
    let versions = suite.versions("rust-src")?;
    match versions.into_iter().find(|it| is_of(it, release)) {
        Some(version) => Ok((suite, version)),
        None => bail!("no rust-src {release}"),
    }
}

/// Whether a package's version is this release: `1.95.0+dfsg1-2` is 1.95.0.
fn is_of(version: &str, release: &str) -> bool {
    version
        .strip_prefix(release)
        .is_some_and(|rest| rest.starts_with(['+', '-', '~']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_release_is_taken() {
        assert!(is_of("1.95.0+dfsg1-2~bpo13+1", "1.95.0"));
        assert!(is_of("1.9.5-1", "1.9.5"));
        assert!(!is_of("1.9.5-1", "1.9"));
        assert!(!is_of("1.95.0+dfsg1-2~bpo13+1", "1.95"));
    }
}
