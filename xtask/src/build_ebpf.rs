//! Compiles the kernel programs with the stable compiler.
//!
//! Two checkouts give the same bytes: no path of the machine gets into the
//! object, and nothing that the caller's environment says about Rust flags.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{run, step};
use crate::project::Project;
use crate::provision::{BPF_LINKER_VERSION, EbpfTools};
use crate::toolchain::Rustc;

const PACKAGE: &str = "keepfast-ebpf";
const TARGET: &str = "bpfel-unknown-none";
/// In the workspace's manifest; it says why it differs from `release`.
const PROFILE: &str = "ebpf";

const FLAGS: [&str; 4] = [
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
    // Otherwise LLVM turns each short fill into a call to a loop, which the
    // verifier takes for an infinite one.
    "-Clink-arg=--disable-expand-memcpy-in-order",
    "--cfg=bpf_target_arch=\"x86_64\"",
];

/// The section that says which compiler wrote the object.
pub(crate) const PRODUCER_SECTION: &str = ".comment";

/// Variables that would change the code if they were handed on.
const FOREIGN_VARIABLES: [&str; 5] = [
    "CARGO_BUILD_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_BPFEL_",
    "CARGO_UNSTABLE_",
    "RUSTFLAGS",
];

/// The compiler and the tools around it, ready to work on the kernel programs.
pub(crate) struct EbpfBuild<'a> {
    project: &'a Project,
    rustc: Rustc,
    tools: EbpfTools,
}

impl<'a> EbpfBuild<'a> {
    /// Finds or makes what the build needs.
    pub(crate) fn prepare(project: &'a Project) -> Result<Self> {
        let rustc = Rustc::query()?;
        let tools = EbpfTools::provision(project, &rustc)?;
        Ok(Self {
            project,
            rustc,
            tools,
        })
    }

    /// Builds the programs from source and writes the object to `output`.
    pub(crate) fn compile(&self, output: &Path) -> Result<()> {
        let mut build = self.cargo("build")?;
        build.args(["--bin", PACKAGE]);
        run(&mut build).context("build the kernel programs")?;
        let built = self.target_dir().join(TARGET).join(PROFILE).join(PACKAGE);
        self.finish(&built, output)
    }

    /// A cargo subcommand with all that the kernel programs need.
    pub(crate) fn cargo(&self, subcommand: &str) -> Result<Command> {
        let mut cargo = self.project.cargo();
        for (name, _) in env::vars_os() {
            let foreign = |prefix: &str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
            if FOREIGN_VARIABLES.iter().any(|prefix| foreign(prefix)) {
                cargo.env_remove(name);
            }
        }
        self.tools.library.apply(&mut cargo, &self.rustc);
        cargo
            .arg(subcommand)
            .args([
                "--profile",
                PROFILE,
                "--package",
                PACKAGE,
                "--target",
                TARGET,
                "-Zbuild-std=core",
            ])
            .env("CARGO_TARGET_DIR", self.target_dir())
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags()?)
            // Empty rather than removed: this also overrides configuration files.
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "")
            // Lets the stable compiler build the core library for this target.
            .env("RUSTC_BOOTSTRAP", "1");
        Ok(cargo)
    }

    fn target_dir(&self) -> PathBuf {
        self.project.target.join("ebpf")
    }

    fn flags(&self) -> Result<OsString> {
        let mut linker = OsString::from("-Clinker=");
        linker.push(&self.tools.linker);
        let mut flags = vec![linker];
        flags.extend(FLAGS.map(OsString::from));
        // The last match counts, so the root, which may hold the others, is first.
        // It stays a readable path: the linker copies the programs' source lines
        // into the BTF, and the verifier prints them.
        flags.push(remap(&self.project.root, "."));
        for registry in registries()? {
            flags.extend(self.remap_outside(&registry, "/cargo"));
        }
        flags.extend(self.remap_outside(&self.tools.library.source(), "/rustc"));
        Ok(flags.join(OsString::from("\x1f").as_os_str()))
    }

    /// Remaps code that is not the project's, wherever it lies: cargo names what
    /// is below the root, as a target folder often is, by its relative path.
    fn remap_outside(&self, from: &Path, to: &str) -> Vec<OsString> {
        let relative = from.strip_prefix(&self.project.root).ok();
        [Some(from), relative]
            .into_iter()
            .flatten()
            .map(|path| remap(path, to))
            .collect()
    }

    /// Drops the DWARF, of which the kernel reads nothing, and signs the object
    /// with the names of the tools.
    fn finish(&self, built: &Path, output: &Path) -> Result<()> {
        let producer = self.target_dir().join("producer");
        let names = format!("{}, bpf-linker {BPF_LINKER_VERSION}\n", self.rustc.version);
        fs::write(&producer, names).with_context(|| format!("write {}", producer.display()))?;

        let mut section = OsString::from(format!("--add-section={PRODUCER_SECTION}="));
        section.push(&producer);
        let partial = output.with_extension("partial");
        let mut objcopy = self.rustc.objcopy()?;
        run(objcopy
            .arg("--strip-debug")
            .arg(section)
            .arg(built)
            .arg(&partial))?;
        fs::rename(&partial, output).with_context(|| format!("write {}", output.display()))
    }
}

/// Writes the object that the agent embeds.
pub(crate) fn build_ebpf(project: &Project) -> Result<()> {
    let output = project.committed_object();
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    EbpfBuild::prepare(project)?.compile(&output)?;
    step(format!("wrote {}", output.display()));
    Ok(())
}

fn remap(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// The folders of unpacked crates, one for each registry in use.
fn registries() -> Result<Vec<PathBuf>> {
    let home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => env::home_dir()
            .context("find the home folder")?
            .join(".cargo"),
    };
    let sources = home.join("registry/src");
    let entries = match fs::read_dir(&sources) {
        // All crates may come from a vendored folder below the root.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("list {}", sources.display()))?,
    };
    entries
        .map(|entry| {
            Ok(entry
                .with_context(|| format!("list {}", sources.display()))?
                .path())
        })
        .collect()
}
