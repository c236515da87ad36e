//! `keepfast watch --json` as a child, and its lines in words as they come.

use crate::interrupt;
use anyhow::{Context, Result, anyhow, bail, ensure};
use keepfast::kernel::PIN_ROOT;
use lab::binary;
use lab::netns::Namespace;
use lab::process::Process;
use lab::workdir::WorkDir;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A running agent.
pub(crate) struct Watch {
    // Before the directory, which holds its log.
    process: Process,
    /// How much of the log has been told.
    told: Cell<usize>,
    _directory: WorkDir,
}

impl Watch {
    /// Watches one namespace.
    pub(crate) fn start(namespace: &Namespace) -> Result<Self> {
        let directory = WorkDir::new("watch")?;
        let mut command = binary::keepfast();
        command.args(["watch", "--netns", namespace.name(), "--json"]);
        println!(
            "keepfast watch --netns {} --json, here in words:",
            namespace.name()
        );
        Ok(Self {
            process: Process::start("keepfast", &mut command, &directory.file("log"))?,
            told: Cell::new(0),
            _directory: directory,
        })
    }

    /// Tells what comes until it is an event that is `wanted`, and returns that.
    ///
    /// # Errors
    /// After `limit`, at an interrupt, and when keepfast ends.
    pub(crate) fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        let told = &self.told;
        self.process.wait_log(what, limit, |log| {
            if interrupt::came() {
                return Some(Err(anyhow!("interrupted")));
            }
            tell_new(log, told, &wanted).transpose()
        })?
    }

    /// Tells what comes until an interrupt comes, or `limit` is over.
    pub(crate) fn follow(&mut self, limit: Duration) -> Result<()> {
        match self.wait("Ctrl-C", limit, |_| false) {
            Err(_) if interrupt::came() => Ok(()),
            Err(error) => Err(error),
            Ok(event) => bail!("nothing was wanted, but got {event:?}"),
        }
    }

    /// Where its maps are.
    pub(crate) fn pins(&self) -> PathBuf {
        Path::new(PIN_ROOT).join(format!("watch-{}", self.process.pid()))
    }

    /// Stops it and checks that its maps are gone.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pins = self.pins();
        self.process.stop(Signal::SIGTERM)?;
        ensure!(
            !pins.exists(),
            "keepfast has left {}:\n{}",
            pins.display(),
            self.process.log()
        );
        Ok(())
    }
}

/// Prints the events after the first `told` bytes of the log, up to one that is `wanted`.
fn tell_new(
    log: &str,
    told: &Cell<usize>,
    wanted: impl Fn(&Event) -> bool,
) -> Result<Option<Event>> {
    let new = log.get(told.get()..).unwrap_or_default();
    for line in new
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        told.set(told.get() + line.len());
        // What keepfast says about itself is no object.
        if !line.starts_with('{') {
            continue;
        }
        let event = Event(serde_json::from_str(line).with_context(|| format!("read {line}"))?);
        println!("{}", event.words()?);
        if wanted(&event) {
            return Ok(Some(event));
        }
    }
    Ok(None)
}

/// One object of `keepfast watch --json`.
#[derive(Debug)]
pub(crate) struct Event(Value);

impl Event {
    /// Whether it is of this kind.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.text("/kind") == kind
    }

    /// A text in it; empty where it has none.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number in it.
    pub(crate) fn number(&self, pointer: &str) -> Result<u64> {
        self.0
            .pointer(pointer)
            .and_then(Value::as_u64)
            .with_context(|| format!("find {pointer} in {}", self.0))
    }

    /// The time of day in UTC, and what happened.
    fn words(&self) -> Result<String> {
        let time = self.text("/time");
        let (_, time) = time
            .split_once('T')
            .with_context(|| format!("find the time of day in {}", self.0))?;
        let time = time.get(..15).unwrap_or(time);
        Ok(format!("  {time}  {}", self.text("/message")))
    }
}
