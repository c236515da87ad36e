//! The source of the core library, in exactly the compiler's version.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::debian;
use crate::process::{capture, step};
use crate::toolchain::Rustc;

/// Where a sysroot keeps the source; cargo's `build-std` looks only there.
const SOURCE: &str = "lib/rustlib/src/rust";

/// Runs the real compiler with a sysroot that has the source, so that the
/// installed toolchain stays as it is.
const WRAPPER: &str =
    "#!/bin/sh\nexec \"$KEEPFAST_RUSTC\" --sysroot \"$KEEPFAST_SYSROOT\" \"$@\"\n";

/// A sysroot with the library's source in it.
pub(crate) struct Library {
    sysroot: PathBuf,
    wrapper: Option<PathBuf>,
}

impl Library {
    /// The folder whose `library` subfolder is the source.
    pub(crate) fn source(&self) -> PathBuf {
        self.sysroot.join(SOURCE)
    }

    /// Makes a cargo command compile the core library from this source.
    pub(crate) fn apply(&self, cargo: &mut Command, rustc: &Rustc) {
        match &self.wrapper {
            None => cargo.env("RUSTC", rustc.program()),
            Some(wrapper) => cargo
                .env("RUSTC", wrapper)
                .env("KEEPFAST_RUSTC", rustc.program())
                .env("KEEPFAST_SYSROOT", &self.sysroot)
                // Clippy's driver runs in place of the wrapper and looks here.
                .env("SYSROOT", &self.sysroot),
        };
    }
}

/// Takes the source from the toolchain, else from rustup, else from Debian.
pub(super) fn provision(folder: &Path, rustc: &Rustc) -> Result<Library> {
    let own = Library {
        sysroot: rustc.sysroot.clone(),
        wrapper: None,
    };
    if complete(&own) {
        return Ok(own);
    }
    let shadow = Library {
        sysroot: folder.join("sysroot"),
        wrapper: Some(folder.join("rustc")),
    };
    if complete(&shadow) {
        return Ok(shadow);
    }
    step(format!(
        "looking for the library source of Rust {}",
        rustc.release
    ));
    let Err(rustup) = add_component(&own) else {
        return Ok(own);
    };
    step("rustup has none; trying Debian's rust-src package");
    match make_shadow(&shadow, folder, rustc) {
        Ok(()) => Ok(shadow),
        Err(debian) => bail!(
            "get the source of Rust {}: run `rustup component add rust-src`, \
             or make Debian's rust-src package of that version reachable\n  {rustup:#}\n  {debian:#}",
            rustc.release
        ),
    }
}

fn complete(library: &Library) -> bool {
    library.source().join("library/core/src/lib.rs").exists()
}

fn add_component(own: &Library) -> Result<()> {
    let mut rustup = Command::new("rustup");
    // A backtrace of rustup helps nobody here.
    rustup
        .args(["component", "add", "rust-src"])
        .env_remove("RUST_BACKTRACE");
    capture(&mut rustup).context("add the rust-src component")?;
    ensure!(
        complete(own),
        "rustup added rust-src to a toolchain other than the active one"
    );
    step("added rustup's rust-src component");
    Ok(())
}

/// Mirrors the toolchain's sysroot with links and puts Debian's source in it.
fn make_shadow(shadow: &Library, folder: &Path, rustc: &Rustc) -> Result<()> {
    // The final name appears last, so that a half-made sysroot is never used.
    let partial = folder.join("sysroot.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("remove {}", partial.display()))?;
    }
    link_entries(&rustc.sysroot.join("lib"), &partial.join("lib"), "rustlib")?;
    link_entries(
        &rustc.sysroot.join("lib/rustlib"),
        &partial.join("lib/rustlib"),
        "src",
    )?;
    debian::unpack_library(&folder.join("apt"), &rustc.release, &partial.join(SOURCE))?;

    if let Some(wrapper) = &shadow.wrapper {
        fs::write(wrapper, WRAPPER).with_context(|| format!("write {}", wrapper.display()))?;
        fs::set_permissions(wrapper, PermissionsExt::from_mode(0o755))
            .with_context(|| format!("make {} executable", wrapper.display()))?;
    }
    fs::rename(&partial, &shadow.sysroot).with_context(|| {
        format!(
            "rename {} to {}",
            partial.display(),
            shadow.sysroot.display()
        )
    })
}

/// Links all entries of one folder into another, but for the one named.
fn link_entries(from: &Path, to: &Path, except: &str) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry.with_context(|| format!("list {}", from.display()))?;
        if entry.file_name() != except {
            let link = to.join(entry.file_name());
            symlink(entry.path(), &link).with_context(|| format!("link {}", link.display()))?;
        }
    }
    Ok(())
}
