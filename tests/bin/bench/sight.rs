//! Who notices that a router's state has changed, and when.
//!
//! Each witness has a thread that waits for nothing else; it goes with this program.

use anyhow::{Context, Result};
use lab::clock;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::Value;
use std::collections::HashMap;
use std::env;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;

/// The argument that makes this program a [`Witness::Hook`] or [`Witness::Script`].
pub(crate) const STAMP: &str = "stamp";

/// Who has noticed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Witness {
    /// Whoever watches keepfast's state file.
    File,
    /// The listener that keepfast tells.
    Socket,
    /// The program that keepfast starts.
    Hook,
    /// Whoever reads keepalived's `notify_fifo`.
    Fifo,
    /// The program that keepalived starts, its `notify`.
    Script,
}

/// Something noticed.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) by: Witness,
    /// The number of the router.
    pub(crate) router: usize,
    /// The state that it was told; nothing from a file, which is yet to be read.
    pub(crate) state: String,
    /// In nanoseconds of CLOCK_MONOTONIC.
    pub(crate) at_ns: u64,
}

/// Watches the state files in these routers' directories.
pub(crate) fn files(directories: &[PathBuf], sink: Sender<Sight>) -> Result<()> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC).context("watch directories")?;
    let mut routers = HashMap::new();
    for (number, directory) in directories.iter().enumerate() {
        let watch = inotify
            .add_watch(directory, AddWatchFlags::IN_MOVED_TO)
            .with_context(|| format!("watch {}", directory.display()))?;
        routers.insert(watch, number);
    }
    forever("state files", sink, move || {
        let events = inotify.read_events().context("read what changed")?;
        let at_ns = clock::monotonic_ns()?;
        let mut sights = Vec::new();
        for event in events {
            if event.name.is_none_or(|name| name != "state") {
                continue;
            }
            sights.push(Sight {
                by: Witness::File,
                router: *routers.get(&event.wd).context("events were lost")?,
                state: String::new(),
                at_ns,
            });
        }
        Ok(sights)
    });
    Ok(())
}

/// Listens for lines of JSON about router 0.
pub(crate) fn socket(path: &Path, sink: Sender<Sight>) -> Result<()> {
    let listener = UnixListener::bind(path).context("listen")?;
    forever("socket", sink, move || {
        let (stream, _) = listener.accept().context("accept")?;
        let mut line = String::new();
        BufReader::new(stream)
            .read_line(&mut line)
            .context("read a line")?;
        let at_ns = clock::monotonic_ns()?;
        let notice: Value = serde_json::from_str(&line).with_context(|| format!("read {line}"))?;
        let state = notice["state"].as_str();
        Ok(vec![Sight {
            by: Witness::Socket,
            router: 0,
            state: state.context("find the state")?.to_owned(),
            at_ns,
        }])
    });
    Ok(())
}

/// Reads what keepalived writes into `path`, which is there.
pub(crate) fn fifo(path: &Path, sink: Sender<Sight>) -> Result<()> {
    // For writing too: so it does not end when keepalived is not there.
    let file = OpenOptions::new().read(true).write(true).open(path);
    let mut lines = BufReader::new(file.context("open the FIFO")?);
    forever("notify_fifo", sink, move || {
        let mut line = String::new();
        lines.read_line(&mut line).context("read a line")?;
        let at_ns = clock::monotonic_ns()?;
        Ok(vec![Sight {
            by: Witness::Fifo,
            router: 0,
            state: state_of_keepalived(&line).to_owned(),
            at_ns,
        }])
    });
    Ok(())
}

/// Receives from the programs that `path` is given to, by [`stamp`].
pub(crate) fn stamps(path: &Path, sink: Sender<Sight>) -> Result<()> {
    let socket = UnixDatagram::bind(path).context("bind a socket")?;
    forever("stamps", sink, move || {
        let mut message = [0; 1024];
        let length = socket.recv(&mut message).context("receive")?;
        let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default()).into_owned();
        let (at_ns, words) = text.split_once(' ').context("read a stamp")?;
        let (by, state) = match words.strip_prefix("hook ") {
            Some(state) => (Witness::Hook, state),
            None => (Witness::Script, state_of_keepalived(words)),
        };
        Ok(vec![Sight {
            by,
            router: 0,
            state: state.to_owned(),
            at_ns: at_ns.parse()?,
        }])
    });
    Ok(())
}

/// What this program does as a hook's or keepalived's program: it says when it was started, to
/// the socket that is its first argument, and of what state.
pub(crate) fn stamp(arguments: &[String]) -> Result<()> {
    let now = clock::monotonic_ns()?;
    let (path, words) = arguments.split_first().context("expected a socket")?;
    let message = match env::var("KEEPFAST_STATE") {
        Ok(state) => format!("{now} hook {state}"),
        Err(_) => format!("{now} {}", words.join(" ")),
    };
    let socket = UnixDatagram::unbound().context("open a socket")?;
    socket.send_to(message.as_bytes(), path).context("send")?;
    Ok(())
}

/// The state in `INSTANCE "VI_1" MASTER 100`, as keepfast says it.
fn state_of_keepalived(line: &str) -> &'static str {
    match line.split_whitespace().nth(2) {
        Some("MASTER") => "primary",
        Some("BACKUP") => "backup",
        _ => "neither",
    }
}

/// Has a thread look again and again, for as long as somebody wants to know.
fn forever(
    name: &'static str,
    sink: Sender<Sight>,
    mut look: impl FnMut() -> Result<Vec<Sight>> + Send + 'static,
) {
    thread::spawn(move || {
        loop {
            match look() {
                Ok(sights) => {
                    if sights.into_iter().any(|sight| sink.send(sight).is_err()) {
                        return;
                    }
                }
                Err(error) => return eprintln!("{name}: {error:#}"),
            }
        }
    });
}
