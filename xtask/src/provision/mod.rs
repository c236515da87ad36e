//! What the kernel programs need beside stable Rust: the library's source and
//! the linker. What is missing is made in the target folder, once per
//! compiler; nothing is installed outside of it, except a rustup component.

mod debian;
mod library;
mod linker;
pub(crate) mod mirror;
pub(crate) mod root;
pub(crate) mod suite;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::project::Project;
use crate::toolchain::Rustc;

pub(crate) use library::Library;
pub(crate) use linker::VERSION as BPF_LINKER_VERSION;

/// Everything that the build of the kernel programs takes from outside.
pub(crate) struct EbpfTools {
    pub(crate) library: Library,
    pub(crate) linker: PathBuf,
}

impl EbpfTools {
    /// Finds or makes the tools.
    ///
    /// # Errors
    /// When a tool is missing and cannot be had, for example on a closed
    /// network. Both are tried first, so that one error names all there is
    /// to get.
    pub(crate) fn provision(project: &Project, rustc: &Rustc) -> Result<Self> {
        let folder = project.target.join("ebpf-tools").join(rustc.key());
        match (
            library::provision(&folder, rustc),
            linker::provision(project, &folder, rustc),
        ) {
            (Ok(library), Ok(linker)) => Ok(Self { library, linker }),
            (library, linker) => {
                let missing = [library.err(), linker.err()];
                let missing: Vec<_> = missing
                    .into_iter()
                    .flatten()
                    .map(|error| format!("- {error:#}"))
                    .collect();
                bail!(
                    "the kernel programs cannot be built here\n{}",
                    missing.join("\n")
                )
            }
        }
    }
}
