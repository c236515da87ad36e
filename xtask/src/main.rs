//! The project's tasks: `cargo xtask help` lists them.

mod ahead;
mod audit;
mod build_ebpf;
mod check_ebpf;
mod dist;
mod facts;
mod fuzz;
mod kernel;
mod lab;
mod lint;
mod machine;
mod process;
mod project;
mod provision;
mod safety;
mod simulate;
mod test;
mod toolchain;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::project::Project;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check what others wrote and is built in: licences, sources, duplicates, advisories
    Audit,
    /// Build the kernel programs and write the object that the agent embeds
    BuildEbpf,
    /// Fail unless the committed object is what the source builds
    CheckEbpf,
    /// Check format, lints and manifests
    Lint,
    /// Give all that reads something arbitrary bytes
    Fuzz {
        /// The targets (tests/fuzz/README.md) to run instead of all
        targets: Vec<String>,
        /// How long each runs
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Test everything, or the named parts; as root
    Test {
        /// The parts to run
        #[arg(conflicts_with = "kernel")]
        parts: Vec<test::Part>,
        /// Run some of each area on this kernel of Debian's instead, in an emulated machine
        #[arg(long)]
        kernel: Option<kernel::Kernel>,
        /// Run just these there: a file of tests/tests, or more exactly `watch::interfaces`
        #[arg(long, requires = "kernel", value_name = "TESTS")]
        only: Vec<String>,
    },
    /// Show a failover as keepfast and a client see it; as root
    Demo {
        /// Leave the demonstration standing, to look at it
        #[arg(long)]
        keep: bool,
    },
    /// Pack the agent for users: a tarball and a Debian package in target/dist
    Dist {
        /// Pack the debug build: quicker, for tests
        #[arg(long)]
        debug: bool,
    },
    /// Make a small Debian system in target/debian-root, for tests; as root
    #[command(hide = true)]
    DebianRoot,
    /// Simulate hosts with the fast path in virtual time; `-- --help` for more
    Simulate {
        /// What the simulation is told
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        arguments: Vec<String>,
    },
    /// Break a cluster of real keepaliveds in all ways, and check it after each; as root
    Chaos {
        /// What the run is told: `--seconds`, `--seed`, `--routers`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure; as root
    Bench {
        /// The benchmarks to run instead of all, or --peers with its options: `--peers --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        names: Vec<String>,
    },
}

fn main() -> ExitCode {
    match perform(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<ExitCode> {
    let project = Project::find()?;
    match task {
        Task::Audit => audit::audit(&project)?,
        Task::BuildEbpf => build_ebpf::build_ebpf(&project)?,
        Task::CheckEbpf => check_ebpf::check_ebpf(&project)?,
        Task::Lint => lint::lint(&project)?,
        Task::Fuzz { targets, seconds } => fuzz::fuzz(&project, &targets, seconds)?,
        Task::Test {
            parts,
            kernel,
            only,
        } => {
            return Ok(match kernel {
                Some(kernel) => test::test_on(&project, kernel, &only),
                None => test::test(&project, &parts),
            });
        }
        Task::Demo { keep } => {
            let arguments: &[&str] = if keep { &["--keep"] } else { &[] };
            lab::run_program(&project, "demo", arguments)?;
        }
        Task::Dist { debug } => {
            let profile = if debug {
                lab::Profile::Debug
            } else {
                lab::Profile::Release
            };
            dist::dist(&project, profile)?;
        }
        Task::DebianRoot => println!("{}", provision::root::provide(&project)?.display()),
        Task::Simulate { arguments } => simulate::simulate(&project, &arguments)?,
        Task::Chaos { arguments } => lab::run_program(&project, "chaos", &arguments)?,
        Task::Bench { names } => lab::run_program(&project, "bench", &names)?,
    }
    Ok(ExitCode::SUCCESS)
}
