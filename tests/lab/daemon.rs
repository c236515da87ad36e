//! The real agent as a service: `keepfast run`, what it keeps and what it answers.

use crate::binary;
use crate::clock;
use crate::process::{self, Process};
use crate::wait;
use crate::workdir::WorkDir;
use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long it has to start, and what it left behind to go.
const READY: Duration = Duration::from_secs(20);
/// Where the kernel programs of agents are pinned.
const PINS: &str = "/sys/fs/bpf/keepfast";

/// `keepfast run` with directories and a control socket of its own.
///
/// When dropped it is stopped, and so is all that it left running: it leaves its routers as they
/// are on purpose.
#[derive(Debug)]
pub struct Daemon {
    // Before the directory, which holds its log.
    process: Option<Process>,
    /// How often it was started.
    starts: usize,
    started_ns: u64,
    /// Killed ones cannot remove their pins.
    killed: Vec<Pid>,
    directory: WorkDir,
    /// Further ones of `keepfast run`.
    arguments: Vec<String>,
}

impl Daemon {
    /// Makes the directories, and does not start it yet.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn prepare(role: &str) -> Result<Self> {
        let daemon = Self {
            process: None,
            starts: 0,
            started_ns: 0,
            killed: Vec::new(),
            directory: WorkDir::new(role)?,
            arguments: Vec::new(),
        };
        for path in [daemon.routers(), daemon.state()] {
            fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        }
        Ok(daemon)
    }

    /// With further arguments, from its next start on.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
        self
    }

    /// Starts it with no router, and waits until it answers.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn new(role: &str) -> Result<Self> {
        let mut daemon = Self::prepare(role)?;
        daemon.start()?;
        Ok(daemon)
    }

    /// Starts it with what is in its directories, and waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer within twenty seconds; with what it said.
    pub fn start(&mut self) -> Result<()> {
        self.start_dressed(&[], |_| {})
    }

    /// As [`Daemon::start`], by `prefix`, programs that run others as somebody or something
    /// else, and with what `dress` adds to the command.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_dressed(
        &mut self,
        prefix: &[&str],
        dress: impl FnOnce(&mut Command),
    ) -> Result<()> {
        ensure!(self.process.is_none(), "the daemon runs already");
        let mut command = match prefix {
            [] => binary::keepfast(),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary::path());
                command
            }
        };
        command.arg("run");
        for (option, path) in [
            ("--routers", self.routers()),
            ("--state", self.state()),
            ("--socket", self.socket()),
        ] {
            command.arg(option).arg(path);
        }
        command.args(&self.arguments);
        dress(&mut command);
        self.starts += 1;
        self.started_ns = clock::monotonic_ns()?;
        let log = self.log(self.starts);
        let process = self
            .process
            .insert(Process::start("keepfast run", &mut command, &log)?);
        let ready = |log: &str| log.contains("looking after ").then_some(());
        process.wait_log("its control socket", READY, ready)?;
        self.list().map(drop)
    }

    /// Its directory, for things of a test that shall go with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where its routers are declared.
    #[must_use]
    pub fn routers(&self) -> PathBuf {
        self.directory.file("routers")
    }

    /// Where its routers' directories are.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.directory.file("state")
    }

    /// Its control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.file("control.sock")
    }

    /// When it was last started, in nanoseconds of CLOCK_MONOTONIC.
    #[must_use]
    pub fn started_ns(&self) -> u64 {
        self.started_ns
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<Pid> {
        Ok(self.running()?.pid())
    }

    /// What it said since it was first started.
    #[must_use]
    pub fn messages(&self) -> String {
        let logs = (1..=self.starts).map(|number| self.log(number));
        logs.filter_map(|log| fs::read_to_string(log).ok())
            .collect()
    }

    /// Where it tells its metrics, if it was started with `--metrics`.
    ///
    /// # Errors
    /// When it has not said so after twenty seconds.
    pub fn endpoint(&self) -> Result<SocketAddr> {
        wait::until("the endpoint's address", READY, || {
            let messages = self.messages();
            let said = messages.rsplit_once("metrics at http://");
            let address = said.and_then(|(_, after)| after.split_once("/metrics"));
            let (address, _) = address.ok_or("no address")?;
            address.parse().map_err(|_| address.to_owned())
        })
    }

    /// Puts a router's file where routers are declared.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn declare(&self, id: &str, toml: &str) -> Result<()> {
        // By rename: a running daemon must not see half of it.
        let part = self.directory.file("part");
        fs::write(&part, toml).with_context(|| format!("write {}", part.display()))?;
        let file = self.routers().join(format!("{id}.toml"));
        fs::rename(&part, &file).with_context(|| format!("write {}", file.display()))
    }

    /// Runs `keepfast router` against its socket, with `input` on stdin; what it printed.
    ///
    /// # Errors
    /// When that says no; with what it printed.
    pub fn router(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = binary::keepfast();
        command.arg("router").args(arguments);
        command.arg("--socket").arg(self.socket());
        process::output_with_input(&mut command, input)
    }

    /// Runs any other command of keepfast against its socket; what it printed.
    ///
    /// # Errors
    /// When that says no; with what it printed.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut command = binary::keepfast();
        command.args(arguments).arg("--socket").arg(self.socket());
        process::output(&mut command)
    }

    /// How it and all its routers are, by `keepfast status --json`.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self) -> Result<Value> {
        let told = self.ask(&["status", "--json"])?;
        serde_json::from_str(&told).with_context(|| format!("read {told}"))
    }

    /// Declares a router, or declares it anew.
    ///
    /// # Errors
    /// When it is refused.
    pub fn apply(&self, toml: &str) -> Result<()> {
        self.router(&["apply", "--file", "-"], toml).map(drop)
    }

    /// Has a router deleted, without waiting until it is gone.
    ///
    /// # Errors
    /// When there is none.
    pub fn delete(&self, id: &str) -> Result<()> {
        self.router(&["delete", id], "").map(drop)
    }

    /// How all routers are.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn list(&self) -> Result<Value> {
        let listed = self.router(&["list", "--json"], "")?;
        serde_json::from_str(&listed).with_context(|| format!("read {listed}"))
    }

    /// How one router is.
    ///
    /// # Errors
    /// When there is none.
    pub fn show(&self, id: &str) -> Result<Value> {
        let shown = self.router(&["show", id, "--json"], "")?;
        serde_json::from_str(&shown).with_context(|| format!("read {shown}"))
    }

    /// A file in a router's directory.
    #[must_use]
    pub fn file(&self, id: &str, name: &str) -> PathBuf {
        self.state().join(id).join(name)
    }

    /// A router's state file.
    ///
    /// # Errors
    /// When there is none.
    pub fn state_file(&self, id: &str) -> Result<String> {
        let file = self.file(id, "state");
        fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
    }

    /// Waits until a router's state file says `state`.
    ///
    /// # Errors
    /// When `limit` is over first; with the router's events.
    pub fn wait_state(&self, id: &str, state: &str, limit: Duration) -> Result<()> {
        let what = format!("router {id} in state {state}");
        wait::until(&what, limit, || {
            let said = self.state_file(id).map_err(|error| format!("{error:#}"));
            match said {
                Ok(said) if said == state => Ok(()),
                Ok(said) | Err(said) => Err(said),
            }
        })
        .with_context(|| self.told(id))
    }

    /// A router's event log, the oldest first.
    ///
    /// # Errors
    /// When there is none, or a whole line is no JSON.
    pub fn events(&self, id: &str) -> Result<Vec<Value>> {
        // Of the older generation there may be none.
        let older = fs::read_to_string(self.file(id, "events.jsonl.1")).unwrap_or_default();
        let file = self.file(id, "events.jsonl");
        let newer =
            fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let lines = [older.as_str(), newer.as_str()]
            .into_iter()
            .flat_map(|text| text.split_inclusive('\n'));
        // The last one may be half written.
        lines
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).with_context(|| format!("read {line}")))
            .collect()
    }

    /// Waits for an event of a router that is `wanted`, from the `from`-th one on.
    ///
    /// # Errors
    /// When `limit` is over first; with the router's events.
    pub fn wait_event(
        &self,
        id: &str,
        from: usize,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        wait::until(what, limit, || {
            let events = self.events(id).map_err(|error| format!("{error:#}"))?;
            let found = events.into_iter().skip(from).find(|event| wanted(event));
            found.ok_or_else(|| "no such event".to_owned())
        })
        .with_context(|| self.told(id))
    }

    /// The process ids of a router's keepalived and its VRRP process.
    ///
    /// # Errors
    /// When one of them has no pid file.
    pub fn keepalived(&self, id: &str) -> Result<[Pid; 2]> {
        let read = |kind: &str| {
            let file = self.state().join(format!("{id}.pid.{kind}"));
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            let pid = text.trim().parse();
            pid.map(Pid::from_raw)
                .with_context(|| format!("read {text:?}"))
        };
        Ok([read("keepalived")?, read("keepalived-vrrp")?])
    }

    /// Kills a router's keepalived as a crash would: nothing resigns, and its addresses stay.
    ///
    /// # Errors
    /// When it does not run.
    pub fn crash_keepalived(&self, id: &str) -> Result<()> {
        let [parent, child] = self.keepalived(id)?;
        // The child before its frozen parent: once that is gone the agent sees to the child.
        let pids = [child, parent];
        // Frozen first: the VRRP process asked the kernel for SIGTERM at its parent's death, and
        // would resign properly.
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for pid in pids {
                kill(pid, signal).with_context(|| format!("send {signal} to keepalived {pid}"))?;
            }
        }
        pids.into_iter().try_for_each(process::wait_gone)
    }

    /// The memory that it has, bytes.
    ///
    /// # Errors
    /// When it does not run.
    pub fn rss(&self) -> Result<u64> {
        let file = format!("/proc/{}/status", self.pid()?);
        let text = fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes: u64 = kilobytes.with_context(|| format!("read {text}"))?.parse()?;
        Ok(kilobytes * 1024)
    }

    /// Kills it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the daemon does not run")?;
        self.killed.push(process.pid());
        process.signal(Signal::SIGKILL)?;
        process.wait_end().map(drop)
    }

    /// Ends it as the service manager would.
    ///
    /// # Errors
    /// When it does not run, or has to be killed.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the daemon does not run")?;
        process.stop(Signal::SIGTERM)
    }

    /// It has ended by itself, and may have left its pins.
    ///
    /// # Errors
    /// When it runs still, or ended with an error.
    pub fn gone(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the daemon does not run")?;
        self.killed.push(process.pid());
        let status = process.wait_end()?;
        ensure!(status.success(), "the daemon ended: {status}");
        Ok(())
    }

    /// Ends it and starts it again.
    ///
    /// # Errors
    /// As [`Daemon::stop`] and [`Daemon::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start()
    }

    /// The processes that it started, itself not among them: those whose command line names its
    /// directory, which no other process has a reason to name.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn left_running(&self) -> Result<Vec<Pid>> {
        let own = self.process.as_ref().map(Process::pid);
        let directory = self.directory.path().as_os_str().as_encoded_bytes();
        let mut left = Vec::new();
        for entry in fs::read_dir("/proc").context("list /proc")? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(Ok(pid)) = name.map(str::parse) else {
                continue;
            };
            let pid = Pid::from_raw(pid);
            // One that has ended meanwhile has none.
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let names_it = line.windows(directory.len()).any(|part| part == directory);
            if names_it && Some(pid) != own {
                left.push(pid);
            }
        }
        Ok(left)
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().context("the daemon does not run")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.running()?.signal(signal)
    }

    /// What it says at its `start`-th start goes there.
    #[must_use]
    pub fn log(&self, start: usize) -> PathBuf {
        self.directory.file(&format!("log.{start}"))
    }

    /// A router's events, for an error that is about it.
    fn told(&self, id: &str) -> String {
        match self.events(id) {
            Ok(events) => {
                let lines: Vec<_> = events.iter().map(Value::to_string).collect();
                format!("its events:\n{}\n", lines.join("\n"))
            }
            Err(error) => format!("{error:#}"),
        }
    }

    /// Ends all that it left running. The parents go with the first round and so start no child
    /// again; what they did start is found in the next one.
    fn end_what_is_left(&self) -> Result<()> {
        wait::until("the end of what it left running", READY, || {
            let left = self.left_running().map_err(|error| format!("{error:#}"))?;
            if left.is_empty() {
                return Ok(());
            }
            for &pid in &left {
                match kill(pid, Signal::SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(error) => return Err(format!("kill {pid}: {error}")),
                }
            }
            Err(format!("{left:?}"))
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take()
            && let Err(error) = process.stop(Signal::SIGTERM)
        {
            eprintln!("{error:#}");
        }
        if let Err(error) = self.end_what_is_left() {
            eprintln!("{error:#}");
        }
        for pid in &self.killed {
            let pins = Path::new(PINS).join(format!("run-{pid}"));
            // The next one that started has removed them already, if there was one.
            if pins.exists()
                && let Err(error) = fs::remove_dir_all(&pins)
            {
                eprintln!("remove {}: {error}", pins.display());
            }
        }
    }
}
