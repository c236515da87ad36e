//! Where programs of the lab write what they are to leave behind.

use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder `name` of the target folder, made where missing.
///
/// # Errors
/// When it cannot be made.
pub fn of_target(name: &str) -> Result<PathBuf> {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(own, PathBuf::from);
    let folder = target.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    folder
        .canonicalize()
        .with_context(|| format!("find {}", folder.display()))
}
