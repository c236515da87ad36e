//! The emulated machine, and the tests in it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::subset::Group;
use super::{Kernel, image};
use crate::lab::{Profile, build_agent};
use crate::process::{capture, run as run_program, step};
use crate::project::Project;
use crate::test::{Watched, watch};

/// The first process in a guest.
const INIT: &str = include_str!("init");
/// The last line of a guest that ran all.
const END: &str = "guest: end";
/// How long a guest may run, in seconds: several times what it takes on a busy machine.
const LIMIT: &str = "900";

/// One call of a test program.
pub(super) struct Run {
    binary: String,
    arguments: Vec<String>,
}

impl Run {
    /// Just these tests.
    pub(super) fn exact(group: &Group) -> Self {
        let names = group.tests.iter().map(|name| (*name).to_owned());
        Self {
            binary: group.binary.to_owned(),
            arguments: std::iter::once("--exact".to_owned()).chain(names).collect(),
        }
    }

    /// `watch`, or `watch::interfaces`.
    pub(super) fn matching(word: &str) -> Self {
        let (binary, filter) = word.split_once("::").unwrap_or((word, ""));
        Self {
            binary: binary.to_owned(),
            arguments: vec![filter.to_owned()],
        }
    }

    /// As a line of the guest's shell.
    fn line(&self) -> String {
        let arguments: Vec<_> = self
            .arguments
            .iter()
            .map(|it| format!("'{}'", it.replace('\'', "")))
            .collect();
        format!(
            "/tests/{} --color=never --test-threads=1 {}\n",
            self.binary,
            arguments.join(" ")
        )
    }
}

/// Boots the kernel, and has it run these.
pub(super) fn run(project: &Project, kernel: Kernel, runs: &[Run]) -> Result<Watched> {
    let image = image::provide(project, kernel)?;
    let folder = project.target.join("guest").join(kernel.name());
    let initrd = folder.join("initrd");
    add_tests(project, runs, &folder.join("tests"), &image.system, &initrd)?;
    step(format!("booting Linux {kernel}"));
    // Always emulated: where machines are nested, /dev/kvm may be there and hang or refuse.
    // It ends with xtask, and by the user's Ctrl-C.
    let mut qemu = Command::new("setpriv");
    qemu.args(["--pdeathsig=TERM", "timeout", "--foreground"])
        .args(["--kill-after=5", LIMIT, "qemu-system-x86_64"])
        .args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "3072"])
        .args(["-nodefaults", "-display", "none", "-serial", "stdio"])
        .args(["-no-reboot", "-append"])
        .arg("console=ttyS0 quiet loglevel=1 panic=-1")
        .arg("-kernel")
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(&initrd)
        .stdin(std::process::Stdio::null());
    let watched = watch(qemu)?;
    fs::remove_file(&initrd).with_context(|| format!("remove {}", initrd.display()))?;
    Ok(watched)
}

/// Whether the guest got to its end.
pub(super) fn ended(output: &str) -> bool {
    output.lines().any(|line| line.starts_with(END))
}

/// Writes the archive of the system and one of the agent and the tests, one after the other: the
/// kernel unpacks both.
fn add_tests(
    project: &Project,
    runs: &[Run],
    folder: &Path,
    system: &Path,
    initrd: &Path,
) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    let tests = folder.join("tests");
    fs::create_dir_all(&tests).with_context(|| format!("make {}", tests.display()))?;
    strip(
        &build_agent(project, Profile::Debug)?,
        &tests.join("keepfast"),
    )?;
    let binaries: BTreeSet<_> = runs.iter().map(|run| run.binary.as_str()).collect();
    for (name, built) in build_tests(project, &binaries)? {
        strip(&built, &tests.join(name))?;
    }
    let script: String = runs.iter().map(Run::line).collect();
    write(&tests.join("run"), &script)?;
    write(&folder.join("init"), INIT)?;
    run_program(Command::new("chmod").arg("0755").arg(folder.join("init")))?;
    let archive = folder.with_extension("cpio");
    image::pack(folder, &archive)?;
    let mut out = fs::File::create(initrd).with_context(|| format!("make {}", initrd.display()))?;
    for part in [system, &archive] {
        let mut part = fs::File::open(part).with_context(|| format!("open {}", part.display()))?;
        io::copy(&mut part, &mut out).with_context(|| format!("write {}", initrd.display()))?;
    }
    fs::remove_file(&archive).with_context(|| format!("remove {}", archive.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Debug information is most of a program, and all of a guest is in its memory.
fn strip(from: &Path, to: &Path) -> Result<()> {
    run_program(Command::new("strip").arg("-o").arg(to).arg(from))
}

/// Builds these files of `tests/tests`: each with its program.
fn build_tests<'a>(
    project: &Project,
    names: &BTreeSet<&'a str>,
) -> Result<Vec<(&'a str, PathBuf)>> {
    let mut cargo = project.cargo();
    cargo.args(["test", "--package", "keepfast-tests", "--no-run"]);
    cargo.args(["--message-format=json"]);
    for name in names {
        cargo.args(["--test", name]);
    }
    let messages = capture(&mut cargo)?;
    let find = |name: &&'a str| {
        let built = built(&messages, name).with_context(|| format!("find the test {name}"))?;
        Ok((*name, built))
    };
    names.iter().map(find).collect()
}

/// The program of a test, in cargo's messages.
fn built(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        let path = PathBuf::from(rest.split_once('"')?.0);
        let file = path.file_name()?.to_str()?;
        let (test, _) = file.rsplit_once('-')?;
        (test == name).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_found_by_its_name_in_cargos_messages() {
        let messages = "\
{\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/deps/watcher-12ab\",\"fresh\":true}
{\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/deps/watch-34cd\",\"fresh\":true}
{\"reason\":\"build-finished\",\"success\":true}
";
        let found = built(messages, "watch");
        assert_eq!(found, Some("/t/debug/deps/watch-34cd".into()));
        assert_eq!(built(messages, "other"), None);
    }

    #[test]
    fn what_is_chosen_becomes_a_line_of_the_shell() {
        assert_eq!(
            Run::matching("watch::ending").line(),
            "/tests/watch --color=never --test-threads=1 'ending'\n"
        );
        let group = Group {
            binary: "probe",
            tests: &["a::b", "c"],
        };
        assert_eq!(
            Run::exact(&group).line(),
            "/tests/probe --color=never --test-threads=1 '--exact' 'a::b' 'c'\n"
        );
    }
}
