//! A Debian system of its own, booted: real systemd, in namespaces of all kinds.

use super::LIMIT;
use lab::process::{self, Process};
use lab::wait;
use lab::workdir::{WorkDir, unique_name};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long the system has to boot.
const BOOT: Duration = Duration::from_secs(60);
/// Where control groups are: of version 1 systemd's own hierarchy and the unified one beside
/// it, else the unified one alone.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
const UNIFIED: &str = "/sys/fs/cgroup";

/// A booted system. When dropped, it and all that runs in it is gone.
pub(super) struct Container {
    leader: Pid,
    // Before the directory, which holds its log.
    process: Process,
    cgroups: Vec<PathBuf>,
    directory: WorkDir,
}

impl Container {
    /// Copies the system and boots it. It has no network but what tests make in it.
    pub(super) fn boot() -> Self {
        let directory = WorkDir::new("system").unwrap();
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--reflink=auto"])
            .arg(xtask(&["debian-root"]));
        process::output(copy.arg(directory.file("root"))).unwrap();
        // It makes groups below its own, always of the same names.
        let name = unique_name("system");
        let bases = CGROUPS
            .map(Path::new)
            .into_iter()
            .filter(|base| base.is_dir());
        let mut cgroups: Vec<PathBuf> = bases.map(|base| base.join(&name)).collect();
        if cgroups.is_empty() {
            cgroups.push(Path::new(UNIFIED).join(&name));
        }
        for cgroup in &cgroups {
            fs::create_dir(cgroup).unwrap();
        }
        let joined = cgroups
            .iter()
            .map(|it| format!("echo $$ >{}/cgroup.procs; ", it.display()));
        let mut command = Command::new("sh");
        command
            .arg("-ec")
            .arg(format!("{}exec \"$@\"", joined.collect::<String>()));
        command.args([
            "sh",
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--console=pipe",
        ]);
        command.args([
            "--register=no",
            "--keep-unit",
            "--private-network",
            "--link-journal=no",
        ]);
        command.args([
            "--capability=all",
            "--system-call-filter=bpf perf_event_open",
        ]);
        command.arg(format!("--machine={name}"));
        command.arg("--directory").arg(directory.file("root"));
        // Sysctls of its network namespaces are to be written.
        command.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "1");
        let process = Process::start("the system", &mut command, &directory.file("log")).unwrap();
        let leader = wait::until("the system's first process", BOOT, || {
            // The first child only makes the namespaces.
            let children = process::children(process.pid());
            let init = children.into_iter().find(|child| {
                let name = fs::read_to_string(format!("/proc/{child}/comm"));
                name.is_ok_and(|name| name == "systemd\n")
            });
            init.ok_or_else(|| process.log())
        });
        let container = Self {
            leader: leader.unwrap(),
            process,
            cgroups,
            directory,
        };
        wait::until("a booted system", BOOT, || {
            let told = container.try_sh("systemctl is-system-running")?;
            (told.trim() == "running").then_some(()).ok_or(told)
        })
        .unwrap();
        // A host has it, with the kernel's own file systems.
        container.sh("mkdir -p /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf");
        container
    }

    /// What a shell in the system prints.
    pub(super) fn sh(&self, script: &str) -> String {
        self.try_sh(script).unwrap()
    }

    /// The same, or how it failed.
    pub(super) fn try_sh(&self, script: &str) -> Result<String, String> {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.leader.to_string()]);
        command.args(["sh", "-ec", script]).env_clear();
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.env("DEBIAN_FRONTEND", "noninteractive");
        process::output(&mut command).map_err(|error| format!("{error:#}"))
    }

    /// Its first process, as the machine counts; its namespaces are the system's.
    pub(super) fn leader(&self) -> Pid {
        self.leader
    }

    /// A program of the machine that sees the system's network.
    pub(super) fn beside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.leader.to_string(), program]);
        command
    }

    /// Where the machine sees a file of the system.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.directory.file("root").join(path)
    }

    /// Puts a file into /root.
    pub(super) fn put(&self, file: &Path) -> String {
        let name = file.file_name().unwrap().to_str().unwrap();
        fs::copy(file, self.directory.file("root/root").join(name)).unwrap();
        format!("/root/{name}")
    }

    /// Waits until a shell in the system prints `wanted`.
    pub(super) fn wait(&self, script: &str, wanted: &str, limit: Duration) {
        wait::until(script, limit, || {
            let told = self.try_sh(script)?;
            (told.trim() == wanted).then_some(()).ok_or(told)
        })
        .unwrap();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // With the first process go all others, and nspawn tidies up.
        if let Err(error) = kill(self.leader, Signal::SIGKILL) {
            eprintln!("end the system: {error}");
        }
        if let Err(error) = self.process.wait_end() {
            eprintln!("{error:#}");
        }
        for cgroup in &self.cgroups {
            let removed = wait::until("an empty control group", LIMIT, || {
                remove_groups(cgroup).map_err(|error| error.to_string())
            });
            if let Err(error) = removed {
                eprintln!("{error:#}");
            }
        }
    }
}

/// Removes a control group and those below it, in which nothing runs any more.
fn remove_groups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_groups(&path)?;
        }
    }
    fs::remove_dir(group)
}

/// The last line that one of the project's tasks prints.
pub(super) fn xtask(arguments: &[&str]) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--package", "xtask", "--"])
        .args(arguments)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    told.lines().last().unwrap().into()
}
