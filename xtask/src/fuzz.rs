//! Arbitrary bytes for all that keepfast reads from others, by libFuzzer.

use std::fs::{self, File};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{line, run, step};
use crate::project::Project;
use crate::toolchain::Rustc;

/// Coverage as libFuzzer wants it, and the sanitizer of memory.
const FLAGS: [&str; 7] = [
    "--cfg fuzzing",
    "-Zsanitizer=address",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// The longest input, bytes.
const LONGEST: u32 = 16 * 1024;

/// What the project has for examples, by target, besides the corpora.
const EXAMPLES: [(&str, &str); 4] = [
    ("frame", "common/corpus"),
    ("router", "agent/examples"),
    ("keepalived", "agent/golden/neutron"),
    ("keepalived", "agent/golden/plain"),
];

/// Gives each of the targets, all of them if none is named, arbitrary bytes for so long.
pub(crate) fn fuzz(project: &Project, names: &[String], seconds: u32) -> Result<()> {
    let all = targets(&project.root)?;
    let unknown = names.iter().find(|name| !all.contains(name));
    if let Some(name) = unknown {
        bail!("there is no target {name:?}: expected {}", all.join(", "));
    }
    let fuzzer = build(project)?;
    let mut findings = Vec::new();
    for name in all
        .iter()
        .filter(|name| names.is_empty() || names.contains(name))
    {
        step(format!("fuzzing {name} for {seconds} s"));
        let outcome = Run::prepare(project, name)?.perform(&fuzzer, seconds)?;
        println!("{name:12} {outcome}");
        if outcome.contains(FOUND) {
            findings.push(name.as_str());
        }
    }
    ensure!(findings.is_empty(), "findings in {}", findings.join(", "));
    Ok(())
}

/// The folders of the corpora are named like the targets.
fn targets(root: &Path) -> Result<Vec<String>> {
    let corpus = root.join("tests/fuzz/corpus");
    let entries = fs::read_dir(&corpus).with_context(|| format!("list {}", corpus.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Builds the fuzzer with the stable compiler, whose unstable flags are needed for this
/// alone.
fn build(project: &Project) -> Result<PathBuf> {
    let target = project.target.join("fuzzing");
    let host = Rustc::query()?.host;
    let mut cargo = project.cargo();
    cargo
        .args([
            "build",
            "--package",
            "keepfast-fuzz",
            "--features",
            "libfuzzer",
        ])
        .args(["--bin", "fuzz", "--profile", "fuzz"])
        // With a target named, build scripts and macros are spared the flags.
        .args(["--target", &host])
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", FLAGS.join(" "));
    run(&mut cargo).context("build the fuzzer")?;
    Ok(target.join(host).join("fuzz/fuzz"))
}

const FOUND: &str = "FOUND";

/// A target that is being run.
struct Run {
    name: String,
    /// What libFuzzer finds of interest, kept for the next time.
    found: PathBuf,
    /// What fails.
    failing: PathBuf,
    log: PathBuf,
    seeds: Vec<PathBuf>,
}

impl Run {
    fn prepare(project: &Project, name: &str) -> Result<Self> {
        let folder = project.target.join("fuzzing/runs").join(name);
        let own = format!("tests/fuzz/corpus/{name}");
        let examples = EXAMPLES.iter().filter(|(of, _)| *of == name);
        let seeds = iter::once(own).chain(examples.map(|(_, path)| (*path).to_owned()));
        let run = Self {
            name: name.to_owned(),
            found: folder.join("found"),
            failing: folder.join("failing"),
            log: folder.join("log"),
            seeds: seeds.map(|path| project.root.join(path)).collect(),
        };
        for folder in [&run.found, &run.failing] {
            fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        Ok(run)
    }

    /// Runs it; how it went in words, with [`FOUND`] among them if there is a finding.
    fn perform(&self, fuzzer: &Path, seconds: u32) -> Result<String> {
        let log =
            File::create(&self.log).with_context(|| format!("create {}", self.log.display()))?;
        let mut command = Command::new(fuzzer);
        command
            .env("KEEPFAST_FUZZ", &self.name)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={LONGEST}"))
            .arg("-timeout=10")
            .arg("-rss_limit_mb=2048")
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}/", self.failing.display()))
            .arg(&self.found)
            .args(&self.seeds)
            .stdout(log.try_clone().context("copy a descriptor")?)
            .stderr(log);
        let name = line(&command);
        let status = command.status().with_context(|| format!("start {name}"))?;
        let text = fs::read(&self.log).with_context(|| format!("read {}", self.log.display()))?;
        let words = summary(&String::from_utf8_lossy(&text)).with_context(|| {
            format!(
                "{name}: {status}: find what was done in {}",
                self.log.display()
            )
        })?;
        if status.success() {
            return Ok(format!("{words}, no finding"));
        }
        Ok(format!(
            "{words}, {FOUND} ({status}): see {} and {}",
            self.log.display(),
            self.failing.display()
        ))
    }
}

/// How many inputs were read and how much of the code they reach, from libFuzzer's output:
///
/// ```text
/// #2048  DONE   cov: 812 ft: 2913 corp: 370/24Kb lim: 4096 exec/s: 0 rss: 74Mb
/// stat::number_of_executed_units: 2048
/// ```
fn summary(log: &str) -> Option<String> {
    let inputs = log
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    let reached = log
        .lines()
        .rev()
        .find_map(|line| line.split_once("cov: ")?.1.split(' ').next())?;
    Some(format!(
        "{} inputs, {reached} places reached",
        inputs.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_fuzzer_says_at_its_end() {
        let log = "\
INFO: Seed: 1
#2	INITED cov: 700 ft: 900 corp: 1/1b exec/s: 0 rss: 60Mb
#2048	DONE   cov: 812 ft: 2913 corp: 370/24Kb lim: 4096 exec/s: 0 rss: 74Mb
stat::number_of_executed_units: 2048
stat::average_exec_per_sec:     0
";
        let expected = "2048 inputs, 812 places reached".to_owned();
        assert_eq!(summary(log), Some(expected));
        assert_eq!(summary("INFO: Seed: 1\n"), None);
    }
}
