//! One or more suites of the Debian archive, read without changing the system's apt.
//!
//! They are not what this machine runs, so apt works here with a sources list, lists and cache
//! of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::mirror::Mirror;
use crate::machine;
use crate::process::{capture, run};

/// Suites whose package lists were read into a folder.
pub(crate) struct Suite {
    folder: PathBuf,
}

impl Suite {
    /// Empties the folder, and reads the lists of these suites, with a blank between their names.
    pub(crate) fn open(folder: &Path, mirror: &Mirror, names: &str) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
        }
        for part in ["lists/partial", "cache/archives/partial"] {
            let dir = folder.join(part);
            fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        }
        let sources = folder.join("debian.sources");
        fs::write(&sources, mirror.sources(names))
            .with_context(|| format!("write {}", sources.display()))?;
        let suite = Self {
            folder: folder.to_owned(),
        };
        capture(suite.apt("apt-get").arg("update")).context("read the package list")?;
        Ok(suite)
    }

    /// The versions of a package, the newest first.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let table = capture(self.apt("apt-cache").args(["madison", package]))?;
        Ok(column(&table))
    }

    /// What apt-cache says.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<String> {
        capture(self.apt("apt-cache").args(arguments))
    }

    /// Downloads packages, by name or by `name=version`, and unpacks them into one folder.
    pub(crate) fn unpack(&self, packages: &[&str], destination: &Path) -> Result<()> {
        let mut download = self.apt("apt-get");
        download.current_dir(&self.folder);
        run(download.args(["--quiet", "download"]).args(packages))?;
        let entries = fs::read_dir(&self.folder)
            .with_context(|| format!("list {}", self.folder.display()))?;
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        for package in files.filter(|path| path.extension().is_some_and(|it| it == "deb")) {
            run(Command::new("dpkg-deb")
                .arg("--extract")
                .arg(&package)
                .arg(destination))?;
        }
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        for (option, path) in [
            ("Dir::Etc::SourceList", "debian.sources"),
            ("Dir::State::Lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            apt.arg("-o")
                .arg(format!("{option}={}", self.folder.join(path).display()));
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
}

/// The versions in a table of `apt-cache madison`.
fn column(table: &str) -> Vec<String> {
    let versions = table.lines().filter_map(|line| line.split('|').nth(1));
    versions.map(|version| version.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_versions_of_a_table() {
        let table = "\
  rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://mirror/debian trixie-backports/main amd64 Packages
  rust-src |    1.9.5-1 | http://mirror/debian sid/main amd64 Packages
";
        assert_eq!(column(table), ["1.95.0+dfsg1-2~bpo13+1", "1.9.5-1"]);
        assert!(column("").is_empty());
    }
}
