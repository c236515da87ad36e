//! What the installed rustc says about itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::capture;

/// The compiler that builds both the agent and the kernel programs.
pub(crate) struct Rustc {
    /// `1.95.0`
    pub(crate) release: String,
    /// `x86_64-unknown-linux-gnu`
    pub(crate) host: String,
    /// `rustc 1.95.0 (59807616e 2026-04-14)`
    pub(crate) version: String,
    /// `22`; the linker must read the bitcode that this LLVM writes.
    pub(crate) llvm: String,
    /// The folder that holds the compiler's own `bin` and `lib`.
    pub(crate) sysroot: PathBuf,
    commit: String,
}

impl Rustc {
    /// Asks the rustc on the path, which under `cargo xtask` is cargo's own.
    pub(crate) fn query() -> Result<Self> {
        let verbose = capture(Command::new("rustc").arg("--version").arg("--verbose"))?;
        let field = |name: &str| {
            verbose
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .with_context(|| format!("find {name} in the version of rustc"))
        };
        let llvm = field("LLVM version")?;
        let sysroot = capture(Command::new("rustc").arg("--print=sysroot"))?;
        Ok(Self {
            release: field("release")?.to_owned(),
            host: field("host")?.to_owned(),
            version: verbose.lines().next().unwrap_or_default().to_owned(),
            llvm: llvm.split('.').next().unwrap_or(llvm).to_owned(),
            sysroot: PathBuf::from(sysroot.trim_end()),
            commit: field("commit-hash")?.to_owned(),
        })
    }

    /// A folder name that changes whenever the compiler does.
    pub(crate) fn key(&self) -> String {
        format!(
            "rustc-{}-{}",
            self.release,
            &self.commit[..self.commit.len().min(9)]
        )
    }

    /// The compiler itself, not the proxy that picks a toolchain.
    pub(crate) fn program(&self) -> PathBuf {
        self.sysroot.join("bin/rustc")
    }

    /// The LLVM library that the compiler is linked with.
    pub(crate) fn llvm_library(&self) -> Result<PathBuf> {
        let lib = self.sysroot.join("lib");
        let entries = fs::read_dir(&lib).with_context(|| format!("list {}", lib.display()))?;
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                path.file_name()
                    .is_some_and(|name| name.as_encoded_bytes().starts_with(b"libLLVM.so"))
            })
            .with_context(|| {
                format!(
                    "find libLLVM.so* in {}: install Rust with rustup",
                    lib.display()
                )
            })
    }

    /// LLVM's objcopy, which ships with the compiler.
    pub(crate) fn objcopy(&self) -> Result<Command> {
        let path = self
            .sysroot
            .join("lib/rustlib")
            .join(&self.host)
            .join("bin/rust-objcopy");
        ensure!(
            path.exists(),
            "find {}: install Rust with rustup",
            path.display()
        );
        let mut objcopy = Command::new(path);
        objcopy.env("LD_LIBRARY_PATH", self.sysroot.join("lib"));
        Ok(objcopy)
    }
}
