//! Where things are in the working tree.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The working tree that `cargo xtask` was called in, and its target folder.
pub(crate) struct Project {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

impl Project {
    /// Finds the working tree from what cargo tells the programs it runs.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .context("find the working tree: call this program as `cargo xtask`")?;
        let root = Path::new(&manifest)
            .join("..")
            .canonicalize()
            .with_context(|| format!("resolve the folder above {}", manifest.display()))?;
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(&dir)
                .with_context(|| format!("resolve CARGO_TARGET_DIR={}", dir.display()))?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The object that the agent embeds.
    pub(crate) fn committed_object(&self) -> PathBuf {
        self.root.join("agent/bpf/keepfast.bpf.o")
    }

    /// The cargo that runs xtask, started in the root of the working tree.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        cargo
    }
}
