//! The one command that tests everything, and says at its end how it went.

use std::fmt;
use std::io::{self, Read, Write};
use std::ops::AddAssign;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::ahead::Ahead;
use crate::audit::audit;
use crate::check_ebpf::check_ebpf;
use crate::kernel::{self, Kernel};
use crate::lab::{AGENT_VARIABLE, Profile, build_agent};
use crate::lint::lint;
use crate::machine;
use crate::process::{line, step};
use crate::project::Project;

/// How long output may still come once the tests have ended.
const OUTPUT_LIMIT: Duration = Duration::from_secs(10);

/// A part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Format, lints, manifests.
    Lint,
    /// The committed object is what the source builds.
    Ebpf,
    /// Tests that need nothing.
    Unit,
    /// Tests in the lab: root, namespaces, peers from packages.
    Integration,
    /// Some of those on other kernels, with the keepalived of their releases.
    Kernels,
    /// Licences and sources of what is built in, by cargo-deny.
    Audit,
}

impl Part {
    /// Whether it needs root, Debian's packages and systems.
    pub(crate) const fn needs_lab(self) -> bool {
        matches!(self, Self::Integration | Self::Kernels)
    }

    fn run(self, project: &Project, counts: &mut Counts) -> Result<()> {
        match self {
            Self::Lint => lint(project),
            Self::Ebpf => check_ebpf(project),
            Self::Unit => run_unit(project, counts),
            Self::Integration => run_integration(project, counts),
            Self::Kernels => run_kernels(project, counts),
            Self::Audit => audit(project),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lint => "lint",
            Self::Ebpf => "ebpf",
            Self::Unit => "unit",
            Self::Integration => "integration",
            Self::Kernels => "kernels",
            Self::Audit => "audit",
        })
    }
}

/// How many tests passed and failed.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs the parts, all of them if none is named, and says how long each took. One that fails does
/// not keep the others from running.
pub(crate) fn test(project: &Project, parts: &[Part]) -> ExitCode {
    let parts = if parts.is_empty() {
        Part::value_variants()
    } else {
        parts
    };
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    thread::scope(|scope| {
        let mut ahead = Ahead::begin(scope, project, parts);
        for part in parts {
            step(format!("test {part}"));
            let begun = Instant::now();
            if part.needs_lab() {
                ahead.end();
            }
            if let Err(error) = part.run(project, &mut counts) {
                failures.push(format!("{part} failed: {error:#}"));
            }
            step(format!("{part}: {} s", begun.elapsed().as_secs()));
        }
    });
    conclude(counts, &failures)
}

/// Runs tests on one kernel: some of each area, or only these.
pub(crate) fn test_on(project: &Project, kernel: Kernel, only: &[String]) -> ExitCode {
    let mut counts = Counts::default();
    let failure = kernel::test(project, kernel, only, &mut counts).err();
    let failures: Vec<_> = failure.iter().map(|error| format!("{error:#}")).collect();
    conclude(counts, &failures)
}

fn conclude(counts: Counts, failures: &[String]) -> ExitCode {
    // On the same stream, so that the counts are the last line of all.
    for failure in failures {
        println!("{failure}");
    }
    println!("{counts}");
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run_unit(project: &Project, counts: &mut Counts) -> Result<()> {
    let mut cargo = project.cargo();
    cargo.args(["test", "--no-fail-fast"]);
    run_tests(cargo, counts)
}

fn run_integration(project: &Project, counts: &mut Counts) -> Result<()> {
    machine::provide_lab()?;
    let agent = build_agent(project, Profile::Debug)?;
    let mut cargo = project.cargo();
    cargo.args(["test", "--no-fail-fast", "--package", "keepfast-tests"]);
    cargo.args(["--", "--test-threads=1"]);
    cargo.args(kernel::only_there().flat_map(|name| ["--skip", name]));
    // A test that lacks something here must fail: all it needs was provided.
    cargo
        .env(AGENT_VARIABLE, agent)
        .env("KEEPFAST_REQUIRE", "1");
    run_tests(cargo, counts)
}

/// All supported ones, even if one of them fails.
fn run_kernels(project: &Project, counts: &mut Counts) -> Result<()> {
    let failures: Vec<_> = Kernel::SUPPORTED
        .into_iter()
        .filter_map(|kernel| kernel::test(project, kernel, &[], counts).err())
        .map(|error| format!("{error:#}"))
        .collect();
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// Runs `cargo test`, passes its output through and counts.
fn run_tests(cargo: Command, counts: &mut Counts) -> Result<()> {
    let name = line(&cargo);
    let watched = watch(cargo)?;
    *counts += watched.counts;
    if !watched.status.success() {
        bail!("{name}: {}", watched.status);
    }
    ensure!(watched.counts != Counts::default(), "{name}: no test ran");
    Ok(())
}

/// What a program has printed that runs tests.
pub(crate) struct Watched {
    pub(crate) output: String,
    pub(crate) counts: Counts,
    pub(crate) status: ExitStatus,
}

/// Runs a program that runs tests, passes its output through and counts.
pub(crate) fn watch(mut command: Command) -> Result<Watched> {
    let name = line(&command);
    // One pipe for both streams: command's messages stay between the lines.
    let (reader, writer) = io::pipe().context("make a pipe")?;
    command
        .stderr(writer.try_clone().context("copy a pipe")?)
        .stdout(writer);
    let mut child = command.spawn().with_context(|| format!("start {name}"))?;
    // It holds our writing ends, and the reader waits for the last of them.
    drop(command);
    let (sender, receiver) = mpsc::channel();
    // The receiver goes only when this function has returned with an error.
    thread::spawn(move || sender.send(pass_through(reader)).ok());
    let status = child.wait().with_context(|| format!("wait for {name}"))?;
    let output = receiver
        .recv_timeout(OUTPUT_LIMIT)
        .context("a process that the tests left behind still holds their output")?
        .with_context(|| format!("read the output of {name}"))?;

    let mut counts = Counts::default();
    output
        .lines()
        .filter_map(parse_result)
        .for_each(|result| counts += result);
    Ok(Watched {
        output,
        counts,
        status,
    })
}

/// Copies a stream to ours as it comes, so that a test that hangs is the last
/// name to be seen, and returns the whole of it.
fn pass_through(mut stream: impl Read) -> io::Result<String> {
    let mut whole = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = stream.read(&mut chunk)?;
        let Some(read) = chunk.get(..length).filter(|read| !read.is_empty()) else {
            break;
        };
        io::stdout().write_all(read)?;
        io::stdout().flush()?;
        whole.extend_from_slice(read);
    }
    Ok(String::from_utf8_lossy(&whole).into_owned())
}

/// Reads `test result: ok. 3 passed; 0 failed; 0 ignored; ...`.
fn parse_result(line: &str) -> Option<Counts> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |name: &str| {
        let mut parts = counts.split("; ");
        parts.find_map(|part| part.strip_suffix(name)?.trim_end().parse().ok())
    };
    Some(Counts {
        passed: count("passed")?,
        failed: count("failed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_result_line_of_a_test_run() {
        let ok = "test result: ok. 13 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; \
                  finished in 0.10s";
        assert_eq!(
            parse_result(ok),
            Some(Counts {
                passed: 13,
                failed: 0
            })
        );
        let failed = "test result: FAILED. 19 passed; 2 failed; 0 ignored; 0 measured; \
                      0 filtered out; finished in 0.23s";
        assert_eq!(
            parse_result(failed),
            Some(Counts {
                passed: 19,
                failed: 2
            })
        );
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in [
            "",
            "test a::b ... ok",
            "running 3 tests",
            "test result: ok. 3 apples",
        ] {
            assert_eq!(parse_result(line), None);
        }
    }

    #[test]
    fn the_summary_has_one_form() {
        let mut counts = Counts {
            passed: 13,
            failed: 0,
        };
        counts += Counts {
            passed: 2,
            failed: 1,
        };
        assert_eq!(counts.to_string(), "15 passed, 1 failed");
    }
}
