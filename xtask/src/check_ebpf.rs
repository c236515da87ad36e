//! Proves that the committed object is what the source in the tree builds.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::build_ebpf::{EbpfBuild, PRODUCER_SECTION};
use crate::facts;
use crate::process::step;
use crate::project::Project;

/// Rebuilds the kernel programs beside the committed object and compares.
///
/// # Errors
/// When the objects differ, the error names each difference; or when the committed one
/// does what older kernels refuse.
pub(crate) fn check_ebpf(project: &Project) -> Result<()> {
    let path = project.committed_object();
    let committed = read(&path).context("run `cargo xtask build-ebpf` first")?;
    let scratch = project.target.join("ebpf/check.bpf.o");
    EbpfBuild::prepare(project)?.compile(&scratch)?;
    let rebuilt = read(&scratch)?;
    let old = facts::read(&committed).with_context(|| format!("read {}", path.display()))?;
    let calls = facts::calls_under_lock(&old);
    ensure!(
        calls.is_empty(),
        "{} calls functions while it holds a lock, which Linux 6.1 refuses; inline them\n  {}",
        path.display(),
        calls.join("\n  ")
    );
    if committed == rebuilt {
        step("the committed object is, byte for byte, what the source builds");
        return Ok(());
    }
    let new = facts::read(&rebuilt).with_context(|| format!("read {}", scratch.display()))?;
    let differences = facts::differences(&old, &new);
    if differences.is_empty() {
        step("the committed object means the same as what the source builds");
        return Ok(());
    }
    bail!(
        "{} is not what the source builds; run `cargo xtask build-ebpf` and commit it\n  {}\n{}",
        path.display(),
        differences.join("\n  "),
        producers(&committed, &rebuilt)
    )
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// Another compiler is the first thing to look for when code has changed.
fn producers(committed: &[u8], rebuilt: &[u8]) -> String {
    let [committed, rebuilt] = [committed, rebuilt].map(|bytes| {
        facts::producer(bytes, PRODUCER_SECTION).unwrap_or_else(|| "unknown tools".to_owned())
    });
    if committed == rebuilt {
        format!("both were built by {rebuilt}")
    } else {
        format!("the committed object was built by {committed}, this one by {rebuilt}")
    }
}
