//! The real agent: `keepfast watch --json`, and the events that it prints.

use crate::binary;
use crate::netns::Namespace;
use crate::process;
use crate::wait;
use crate::workdir::WorkDir;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// How long it has for what it does by itself: to start, to end.
const READY: Duration = Duration::from_secs(20);
/// Where its maps and links are.
const PINS: &str = "/sys/fs/bpf/keepfast";

/// One object that keepfast printed.
#[derive(Clone, Debug)]
pub struct Event(Value);

impl Event {
    /// Whether it is of this kind, as its `kind` names it.
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        self.text("/kind") == kind
    }

    /// A text in it, by JSON pointer; empty where there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number in it, by JSON pointer; none where it is null or missing.
    #[must_use]
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.0.pointer(pointer).and_then(Value::as_u64)
    }

    /// Yes or no in it, by JSON pointer; none where it is null or missing.
    #[must_use]
    pub fn flag(&self, pointer: &str) -> Option<bool> {
        self.0.pointer(pointer).and_then(Value::as_bool)
    }
}

/// A running keepfast, stopped when dropped. What it printed is shown if the test fails.
#[derive(Debug)]
pub struct Watcher {
    child: Child,
    events: Vec<Event>,
    /// How many of the events have been waited for.
    taken: usize,
    /// How much of what it printed is in `events`.
    read: u64,
    directory: WorkDir,
}

/// What a keepfast that has ended leaves to be read.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// All that it said about itself.
    pub messages: String,
    /// All events that it printed.
    pub events: Vec<Event>,
}

impl Watcher {
    /// Watches all interfaces of the namespaces.
    ///
    /// # Errors
    /// When it does not watch after twenty seconds; with what it said.
    pub fn start(namespaces: &[&Namespace]) -> Result<Self> {
        Self::start_with(namespaces, &[])
    }

    /// As [`Watcher::start`], with further arguments.
    ///
    /// # Errors
    /// As [`Watcher::start`].
    pub fn start_with(namespaces: &[&Namespace], arguments: &[&str]) -> Result<Self> {
        let mut command = binary::keepfast();
        command.args(["watch", "--json"]);
        for namespace in namespaces {
            command.args(["--netns", namespace.name()]);
        }
        let mut watcher = Self::spawn(command.args(arguments))?;
        watcher.wait_message(" interfaces in ")?;
        Ok(watcher)
    }

    /// Starts any command that becomes keepfast, without waiting for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let directory = WorkDir::new("watch")?;
        let file = |name| {
            let path = directory.file(name);
            File::create(&path).with_context(|| format!("make {}", path.display()))
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(file("events")?)
            .stderr(file("messages")?)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self {
            child,
            events: Vec::new(),
            taken: 0,
            read: 0,
            directory,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Its directory of pins.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        Path::new(PINS).join(format!("watch-{}", self.child.id()))
    }

    /// What it said about itself up to now.
    #[must_use]
    pub fn messages(&self) -> String {
        match fs::read(self.directory.file("messages")) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(read its messages: {error})"),
        }
    }

    /// Waits until it has said `text` about itself.
    ///
    /// # Errors
    /// After twenty seconds, or when it ends first; with what it said.
    pub fn wait_message(&mut self, text: &str) -> Result<()> {
        let said = wait::until(&format!("the message {text:?}"), READY, || {
            let ended = self.child.try_wait().ok().flatten();
            let messages = self.messages();
            if messages.contains(text) {
                return Ok(None);
            }
            match ended {
                Some(status) => Ok(Some(format!("{status}:\n{messages}"))),
                None => Err(messages),
            }
        })?;
        match said {
            None => Ok(()),
            Some(end) => bail!("keepfast ended before it said {text:?}: {end}"),
        }
    }

    /// Waits for an event that is `wanted`, from behind the last one waited for.
    ///
    /// # Errors
    /// When `limit` is over first; with the events passed over.
    pub fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        let mut looked = self.taken;
        wait::until(what, limit, || {
            self.read_new().map_err(|error| format!("{error:#}"))?;
            while let Some(event) = self.events.get(looked) {
                looked += 1;
                if wanted(event) {
                    self.taken = looked;
                    return Ok(event.clone());
                }
            }
            Err(self.shown())
        })
    }

    /// All events up to now.
    ///
    /// # Errors
    /// When a line is no JSON.
    pub fn events(&mut self) -> Result<&[Event]> {
        self.read_new()?;
        Ok(&self.events)
    }

    /// The BPF programs, links and maps that it holds open, as bpftool's arguments.
    ///
    /// # Errors
    /// When it is gone.
    pub fn holds(&self) -> Result<BTreeSet<[String; 3]>> {
        let folder = format!("/proc/{}/fdinfo", self.pid());
        let mut held = BTreeSet::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("list {folder}"))? {
            let Ok(info) = fs::read_to_string(entry?.path()) else {
                continue; // Closed meanwhile.
            };
            for line in info.lines().filter_map(|line| line.split_once(":\t")) {
                let kind = match line.0 {
                    "prog_id" => "prog",
                    "link_id" => "link",
                    "map_id" => "map",
                    _ => continue,
                };
                held.insert([kind.into(), "id".into(), line.1.trim().into()]);
            }
        }
        Ok(held)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).with_context(|| format!("send {signal} to keepfast"))
    }

    /// Interrupts it, as Ctrl-C does.
    ///
    /// # Errors
    /// When it does not end within twenty seconds.
    pub fn stop(self) -> Result<Ended> {
        self.signal(Signal::SIGINT)?;
        self.wait_end()
    }

    /// Waits until it has ended, by itself or by a signal already sent.
    ///
    /// # Errors
    /// When it has not after twenty seconds, or a line is no JSON.
    pub fn wait_end(mut self) -> Result<Ended> {
        let status = wait::until("the end of keepfast", READY, || {
            match self.child.try_wait() {
                Ok(Some(status)) => Ok(Ok(status)),
                Ok(None) => Err(self.messages()),
                Err(error) => Ok(Err(error)),
            }
        })??;
        self.read_new()?;
        Ok(Ended {
            status,
            messages: self.messages(),
            events: std::mem::take(&mut self.events),
        })
    }

    /// Reads whole lines only: the last one may be half written.
    fn read_new(&mut self) -> Result<()> {
        let mut file = File::open(self.directory.file("events")).context("open its events")?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut new = Vec::new();
        file.read_to_end(&mut new).context("read its events")?;
        for line in new
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| line.ends_with(b"\n"))
        {
            self.read += line.len() as u64;
            let line = str::from_utf8(line)?;
            let event = serde_json::from_str(line).with_context(|| format!("read {line}"))?;
            self.events.push(Event(event));
        }
        Ok(())
    }

    /// The events that were not waited for, in words; of many, the last ones.
    fn shown(&self) -> String {
        const MOST: usize = 50;
        let new = self.events.get(self.taken..).unwrap_or_default();
        let last = new
            .get(new.len().saturating_sub(MOST)..)
            .unwrap_or_default();
        let lines: Vec<_> = last.iter().map(|event| event.text("/message")).collect();
        format!("{} events\n{}", new.len(), lines.join("\n"))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        if thread::panicking() {
            if let Err(error) = self.read_new() {
                eprintln!("{error:#}");
            }
            eprintln!("---- keepfast ----\n{}\n{}", self.messages(), self.shown());
        }
        // Interrupted, it removes its pins; a frozen one does not see that before it is thawed.
        for signal in [Signal::SIGINT, Signal::SIGCONT] {
            if let Err(error) = self.signal(signal) {
                eprintln!("{error:#}");
            }
        }
        let ended = wait::until("the end of keepfast", READY, || {
            match self.child.try_wait() {
                Ok(None) => Err("it still running".into()),
                _ => Ok(()),
            }
        });
        if let Err(error) = ended {
            eprintln!("{error:#}");
            if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
                eprintln!("kill keepfast: {error}");
            }
        }
    }
}

/// Waits until the kernel has freed all `things` that a keepfast [held](Watcher::holds).
///
/// # Errors
/// When one is still there after twenty seconds.
pub fn wait_freed(things: &BTreeSet<[String; 3]>) -> Result<()> {
    wait::until("freed programs, links and maps", READY, || {
        let left: Vec<_> = things
            .iter()
            .filter(|thing| {
                let [kind, by, id] = thing;
                process::output(Command::new("bpftool").args([kind, "show", by, id])).is_ok()
            })
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
}
