//! bpf-linker, built from crates.io against the LLVM inside rustc.
//!
//! A bpf-linker from elsewhere is never used: it may carry another LLVM, which
//! then reads this compiler's bitcode wrongly or not at all.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{capture, run, step};
use crate::project::Project;
use crate::toolchain::Rustc;

/// The release whose features cover the LLVM of today's stable Rust.
pub(crate) const VERSION: &str = "0.13.0";

/// Returns the linker's path; `folder` belongs to this compiler alone.
pub(super) fn provision(project: &Project, folder: &Path, rustc: &Rustc) -> Result<PathBuf> {
    let root = folder.join(format!("bpf-linker-{VERSION}"));
    let linker = root.join("bin/bpf-linker");
    if works(&linker) {
        return Ok(linker);
    }
    step(format!(
        "building bpf-linker {VERSION} with rustc's LLVM {}",
        rustc.llvm
    ));
    install(project, folder, &root, rustc).with_context(|| {
        format!(
            "build bpf-linker {VERSION}: crates.io must be reachable, \
             or {} be copied from a machine with the same Rust at the same path",
            linker.display()
        )
    })?;
    Ok(linker)
}

/// Whether the linker starts, which it does not once its LLVM has moved.
fn works(linker: &Path) -> bool {
    capture(
        Command::new(linker)
            .arg("--version")
            .env_remove("LD_LIBRARY_PATH"),
    )
    .is_ok_and(|version| version.split_whitespace().any(|word| word == VERSION))
}

fn install(project: &Project, folder: &Path, root: &Path, rustc: &Rustc) -> Result<()> {
    let prefix = folder.join("llvm");
    link_llvm(&prefix.join("lib"), rustc)?;
    let build = folder.join("bpf-linker-build");
    let rpath = rustc.sysroot.join("lib");
    let mut cargo = project.cargo();
    cargo.args([
        "install",
        "bpf-linker",
        "--version",
        VERSION,
        "--locked",
        "--force",
    ]);
    cargo.args([
        "--no-default-features",
        "--features",
        &format!("llvm-{}", rustc.llvm),
    ]);
    cargo
        .arg("--root")
        .arg(root)
        .env("CARGO_TARGET_DIR", &build);
    cargo.env("LLVM_PREFIX", &prefix);
    cargo.env(
        "CARGO_ENCODED_RUSTFLAGS",
        format!("-Clink-arg=-Wl,-rpath,{}", rpath.display()),
    );
    run(&mut cargo)?;
    fs::remove_dir_all(&build).with_context(|| format!("remove {}", build.display()))
}

/// llvm-sys looks for a plain `libLLVM.so`; rustc's has a version in its name.
fn link_llvm(lib: &Path, rustc: &Rustc) -> Result<()> {
    let link = lib.join("libLLVM.so");
    fs::create_dir_all(lib).with_context(|| format!("create {}", lib.display()))?;
    if link.is_symlink() {
        fs::remove_file(&link).with_context(|| format!("remove {}", link.display()))?;
    }
    symlink(rustc.llvm_library()?, &link).with_context(|| format!("link {}", link.display()))
}
