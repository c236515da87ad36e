//! Those whom routers' hooks tell: a socket that takes lines of JSON, and Neutron's agent.

use crate::clock;
use crate::process::Process;
use crate::wait;
use crate::workdir::WorkDir;
use anyhow::{Context, Result};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io};

/// How long a listener has to begin to listen.
const READY: Duration = Duration::from_secs(20);

/// What a listener was told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// About which router.
    pub router: String,
    /// Its state.
    pub state: String,
    /// When it was received, in nanoseconds of CLOCK_MONOTONIC.
    pub received_ns: u64,
    /// All of it; null from Neutron's agent, which is told no more.
    pub whole: Value,
}

/// A unix stream socket that takes one line of JSON per connection.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: bool,
    notices: Vec<Notice>,
    wrong: Vec<String>,
}

impl Listener {
    /// Listens at `path`, which is removed with it.
    ///
    /// # Errors
    /// When that is there already.
    pub fn start(path: &Path) -> Result<Self> {
        let socket =
            UnixListener::bind(path).with_context(|| format!("listen at {}", path.display()))?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let of_thread = Arc::clone(&shared);
        Ok(Self {
            path: path.to_owned(),
            shared,
            thread: Some(thread::spawn(move || listen(&socket, &of_thread))),
        })
    }

    /// What it was told up to now.
    ///
    /// # Errors
    /// When something was not as it should be.
    pub fn notices(&self) -> Result<Vec<Notice>> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(shared.wrong.is_empty(), "it was told {:?}", shared.wrong);
        Ok(shared.notices.clone())
    }

    /// Waits until it was told `count` things; all that it was told then.
    ///
    /// # Errors
    /// When `limit` is over first; with what it was told.
    pub fn wait(&self, count: usize, limit: Duration) -> Result<Vec<Notice>> {
        wait_for(count, limit, || self.notices())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.stop = true;
        drop(shared);
        // It waits for a connection, and looks whether it shall end when there is one.
        let woken = UnixStream::connect(&self.path).map(drop).is_ok();
        if woken
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("a listener's thread panicked");
        }
        if let Err(error) = fs::remove_file(&self.path) {
            eprintln!("remove {}: {error}", self.path.display());
        }
    }
}

fn listen(socket: &UnixListener, shared: &Mutex<Shared>) {
    for stream in socket.incoming() {
        let notice = receive(stream);
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.stop {
            return;
        }
        match notice {
            Ok(notice) => shared.notices.push(notice),
            Err(error) => shared.wrong.push(format!("{error:#}")),
        }
    }
}

fn receive(stream: io::Result<UnixStream>) -> Result<Notice> {
    let mut line = String::new();
    BufReader::new(stream?).read_line(&mut line)?;
    let received_ns = clock::monotonic_ns()?;
    let whole: Value = serde_json::from_str(&line).with_context(|| format!("read {line:?}"))?;
    let text = |key: &str| {
        let text = whole.get(key).and_then(Value::as_str).map(str::to_owned);
        text.with_context(|| format!("find {key} in {line:?}"))
    };
    Ok(Notice {
        router: text("router")?,
        state: text("state")?,
        received_ns,
        whole,
    })
}

/// What is told of `keepalived-state-change`, as Neutron's agent listens there: in Python, with
/// a backlog of 5.
#[derive(Debug)]
pub struct NeutronAgent {
    // Before the directory, which holds its log.
    process: Process,
    _directory: WorkDir,
}

impl NeutronAgent {
    /// Listens at `path`; one that is there already is removed first, as the agent does.
    ///
    /// # Errors
    /// When it does not listen within twenty seconds.
    pub fn start(path: &Path) -> Result<Self> {
        const SCRIPT: &str = include_str!("listener/neutron.py");
        let directory = WorkDir::new("neutron")?;
        let mut command = Command::new("python3");
        command.args(["-c", SCRIPT]).arg(path);
        let log = directory.file("log");
        let mut process = Process::start("the listener", &mut command, &log)?;
        let listening = |log: &str| log.contains("listening").then_some(());
        process.wait_log("the listener listening", READY, listening)?;
        Ok(Self {
            process,
            _directory: directory,
        })
    }

    /// What it was told up to now.
    ///
    /// # Errors
    /// When something was not as it should be.
    pub fn notices(&self) -> Result<Vec<Notice>> {
        let log = self.process.log();
        let lines = log.split_inclusive('\n').skip(1);
        lines
            .filter(|line| line.ends_with('\n'))
            .map(|line| {
                let mut words = line.split_ascii_whitespace();
                let [Some(received), Some(router), Some(state), None] =
                    std::array::from_fn(|_| words.next())
                else {
                    anyhow::bail!("it said {log}");
                };
                Ok(Notice {
                    router: router.to_owned(),
                    state: state.to_owned(),
                    received_ns: received.parse()?,
                    whole: Value::Null,
                })
            })
            .collect()
    }

    /// Waits until it was told `count` things; all that it was told then.
    ///
    /// # Errors
    /// When `limit` is over first; with what it was told.
    pub fn wait(&self, count: usize, limit: Duration) -> Result<Vec<Notice>> {
        wait_for(count, limit, || self.notices())
    }
}

fn wait_for(
    count: usize,
    limit: Duration,
    notices: impl Fn() -> Result<Vec<Notice>>,
) -> Result<Vec<Notice>> {
    wait::until(&format!("{count} notices"), limit, || {
        let notices = notices().map_err(|error| format!("{error:#}"))?;
        if notices.len() >= count {
            Ok(notices)
        } else {
            Err(format!("{notices:#?}"))
        }
    })
}
