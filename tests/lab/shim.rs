//! An HA router as Neutron's agent makes one, and `neutron-keepalived-state-change` for it.

use crate::link;
use crate::netns::Namespace;
use crate::process::Process;
use crate::wait;
use crate::workdir::{WorkDir, unique_name};
use crate::{binary, clock};
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The interface of the router's primary address.
pub const INTERFACE: &str = "ha-lab";
/// The router's primary address.
pub const ADDRESS: &str = "169.254.0.5/24";
/// The program's name.
pub const NAME: &str = "neutron-keepalived-state-change";

/// How Neutron's agent writes options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `--name value`, from release 29 on; the program stays in the foreground.
    Pairs,
    /// `--name=value`, up to release 28; the program goes to the background.
    Equals,
}

/// What the routers of one agent share: its state path. Removed when dropped.
#[derive(Debug)]
pub struct StatePath(WorkDir);

impl StatePath {
    /// Makes the directories.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new(role: &str) -> Result<Self> {
        let path = Self(WorkDir::new(role)?);
        for folder in [path.pids(), path.0.file("ha_confs")] {
            fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        }
        Ok(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The agent's socket.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        self.0.file("keepalived-state-change")
    }

    fn pids(&self) -> PathBuf {
        self.0.file("external").join("pids")
    }
}

/// A router: its namespace with an interface, and its directory.
#[derive(Debug)]
pub struct Router {
    id: String,
    namespace: Namespace,
    state_path: PathBuf,
    conf_dir: PathBuf,
    pid_file: PathBuf,
    /// The control socket of a daemon; by default there is none.
    pub keepfast_socket: PathBuf,
    /// Further words of the command line.
    pub more: Vec<String>,
    /// In place of the built program: another one, for comparison.
    pub program: Option<PathBuf>,
}

impl Router {
    /// Makes a router that is backup.
    ///
    /// # Errors
    /// Without root.
    pub fn new(state_path: &StatePath) -> Result<Self> {
        let namespace = Namespace::new("qrouter")?;
        link::ip(
            &namespace,
            &format!(
                "link add {INTERFACE} type veth peer name other\nlink set {INTERFACE} up\nlink set other up\n"
            ),
        )?;
        let id = unique_name("router");
        let conf_dir = state_path.0.file("ha_confs").join(&id);
        fs::create_dir(&conf_dir).with_context(|| format!("make {}", conf_dir.display()))?;
        let pid_file = format!("{id}.monitor.pid.neutron-keepalived-state-change-monitor");
        Ok(Self {
            namespace,
            state_path: state_path.path().to_owned(),
            pid_file: state_path.pids().join(pid_file),
            keepfast_socket: state_path.0.file("no-daemon"),
            conf_dir,
            id,
            more: Vec::new(),
            program: None,
        })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its namespace.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its directory.
    #[must_use]
    pub fn conf_dir(&self) -> &Path {
        &self.conf_dir
    }

    /// The monitor's pid file.
    #[must_use]
    pub fn pid_file(&self) -> &Path {
        &self.pid_file
    }

    /// The monitor's log file.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.conf_dir.join("neutron-keepalived-state-change.log")
    }

    /// The monitor's command line, without the program.
    #[must_use]
    pub fn arguments(&self, form: Form) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let mut options = vec![
            ("router_id", self.id.clone()),
            ("namespace", self.namespace.name().to_owned()),
            ("conf_dir", path(&self.conf_dir)),
            ("log-file", path(&self.log_file())),
            ("monitor_interface", INTERFACE.to_owned()),
            ("monitor_cidr", ADDRESS.to_owned()),
            ("pid_file", path(&self.pid_file)),
            ("state_path", path(&self.state_path)),
            ("user", "0".to_owned()),
            ("group", "0".to_owned()),
        ];
        if self.program.is_none() {
            options.push(("keepfast_socket", path(&self.keepfast_socket)));
        }
        let words = options.into_iter().flat_map(|(name, value)| match form {
            Form::Pairs => vec![format!("--{name}"), value],
            Form::Equals => vec![format!("--{name}={value}")],
        });
        words.chain(self.more.iter().cloned()).collect()
    }

    /// The monitor's command.
    #[must_use]
    pub fn command(&self, form: Form) -> Command {
        let mut command = match &self.program {
            Some(program) => Command::new(program),
            None => {
                let mut command = binary::keepfast();
                command.arg(NAME);
                command
            }
        };
        command.args(self.arguments(form));
        command
    }

    /// Starts the monitor in the foreground.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self) -> Result<Process> {
        let output = self.conf_dir.join("output");
        Process::start("the monitor", &mut self.command(Form::Pairs), &output)
    }

    /// Makes it primary.
    ///
    /// # Errors
    /// When it is already.
    pub fn promote(&self) -> Result<u64> {
        self.change("add")
    }

    /// Makes it backup.
    ///
    /// # Errors
    /// When it is already.
    pub fn demote(&self) -> Result<u64> {
        self.change("del")
    }

    /// When it was done, in nanoseconds of CLOCK_MONOTONIC.
    fn change(&self, verb: &str) -> Result<u64> {
        link::ip(
            &self.namespace,
            &format!("address {verb} {ADDRESS} dev {INTERFACE}\n"),
        )?;
        clock::monotonic_ns()
    }

    /// What the state file says; empty where there is none.
    #[must_use]
    pub fn state(&self) -> String {
        fs::read_to_string(self.conf_dir.join("state")).unwrap_or_default()
    }

    /// Waits until the state file says `state`.
    ///
    /// # Errors
    /// When `limit` is over first; with the log.
    pub fn wait_state(&self, state: &str, limit: Duration) -> Result<()> {
        let said = || match self.state() {
            said if said == state => Ok(()),
            said => Err(format!("{said:?}")),
        };
        wait::until(&format!("state {state}"), limit, said).with_context(|| self.log())
    }

    /// What the monitor logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Waits until the monitor has logged `words`.
    ///
    /// # Errors
    /// When `limit` is over first; with the log.
    pub fn wait_log(&self, words: &str, limit: Duration) -> Result<()> {
        wait::until(&format!("{words:?} in the log"), limit, || {
            let log = self.log();
            if log.contains(words) {
                Ok(())
            } else {
                Err(log)
            }
        })
    }

    /// The process id in the pid file.
    ///
    /// # Errors
    /// When there is none.
    pub fn pid(&self) -> Result<Pid> {
        let text = fs::read_to_string(&self.pid_file).context("read the pid file")?;
        let pid = text.parse().with_context(|| format!("read {text:?}"))?;
        Ok(Pid::from_raw(pid))
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // Of a monitor that went to the background; a foreground one has its guard.
        if let Ok(pid) = self.pid()
            && is_of(pid, &self.id)
            && let Err(error) = kill(pid, Signal::SIGKILL)
        {
            eprintln!("kill the monitor {pid}: {error}");
        }
    }
}

/// Whether a process has `word` in its command line.
#[must_use]
pub fn is_of(pid: Pid, word: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(word)
}
