//! What must hold for the source as it stands.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::build_ebpf::EbpfBuild;
use crate::process::run;
use crate::project::Project;
use crate::safety;

/// Checks the format, the lints on both sides, and the rules about manifests and unsafe
/// code.
pub(crate) fn lint(project: &Project) -> Result<()> {
    check_members(&project.root)?;
    check_common(&project.root)?;
    safety::check(&project.root)?;
    run(project.cargo().args(["fmt", "--all", "--check"]))
        .context("check the format; `cargo fmt --all` mends it")?;
    run(project
        .cargo()
        .args([
            "clippy",
            "--workspace",
            "--exclude",
            "keepfast-ebpf",
            "--all-targets",
        ])
        .args(["--", "--deny", "warnings"]))
    .context("lint the host side")?;
    run(EbpfBuild::prepare(project)?
        .cargo("clippy")?
        .args(["--", "--deny", "warnings"]))
    .context("lint the kernel programs")
}

/// The workspace's lints bind only the members that inherit them, and nothing
/// else says so when a member does not.
fn check_members(root: &Path) -> Result<()> {
    let workspace = read(&root.join("Cargo.toml"))?;
    for member in members(&workspace).context("find the members in Cargo.toml")? {
        let manifest = read(&root.join(member).join("Cargo.toml"))?;
        if !inherits_lints(&manifest) {
            bail!("{member}/Cargo.toml must say `[lints]`, then `workspace = true`");
        }
    }
    Ok(())
}

/// With this attribute, which no inner one can lift, the compiler itself
/// rejects unsafe code anywhere in the crate.
fn check_common(root: &Path) -> Result<()> {
    let library = read(&root.join("common/src/lib.rs"))?;
    ensure!(
        library
            .lines()
            .any(|line| line == "#![forbid(unsafe_code)]"),
        "common/src/lib.rs must say #![forbid(unsafe_code)]"
    );
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// The quoted names of the `members` array.
fn members(workspace: &str) -> Option<Vec<&str>> {
    let (_, list) = workspace.split_once("\nmembers = [")?;
    let (list, _) = list.split_once(']')?;
    Some(list.split('"').skip(1).step_by(2).collect())
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_members_on_one_line_or_many() {
        let one = "[workspace]\nmembers = [\"agent\", \"common\"]\ndefault-members = [\"x\"]\n";
        let many = "[workspace]\nmembers = [\n  \"agent\",\n  \"common\",\n]\n";
        for workspace in [one, many] {
            assert_eq!(members(workspace), Some(vec!["agent", "common"]));
        }
        assert_eq!(members("[workspace]\ndefault-members = [\"x\"]\n"), None);
    }

    #[test]
    fn only_a_lints_table_that_inherits_counts() {
        assert!(inherits_lints(
            "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"
        ));
        assert!(!inherits_lints("[package]\nversion.workspace = true\n"));
        assert!(!inherits_lints(
            "[lints]\n[dependencies]\nworkspace = true\n"
        ));
        assert!(!inherits_lints("[lints.rust]\nunsafe_code = \"deny\"\n"));
    }
}
