//! `keepfast events`: what happened to routers, from their event logs. Needs no daemon.
//!
//! Reading order: this file, [`reader`] (the logs of all routers as one), [`since`].

pub mod reader;

mod since;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::config::RouterId;
use crate::exit::BadInput;
use crate::printable::printable;

use reader::{Entry, Reader};

/// How often it is looked for more.
const PAUSE: Duration = Duration::from_millis(200);

/// How many lines `--follow` begins with, unless `--since` says more.
const BEFORE: usize = 10;

/// Arguments of `keepfast events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Only what happened since then: a duration ("10m", "2h 30m", "1d") before now, a
    /// time of today ("16:55"), or a date and time ("2026-01-31 16:55", RFC 3339).
    #[arg(long, value_name = "TIME|DURATION")]
    pub since: Option<String>,

    /// Go on with what happens, until interrupted. Without --since it begins with the
    /// last ten events.
    #[arg(short, long)]
    pub follow: bool,

    /// Only of this router; may be repeated.
    #[arg(long, value_name = "ID")]
    pub router: Vec<RouterId>,

    /// Print the lines of the logs as they are, one JSON object each.
    #[arg(long)]
    pub json: bool,

    /// Where the routers' files are.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/keepfast")]
    pub state: PathBuf,
}

/// Runs `keepfast events`.
///
/// # Errors
///
/// The directory or a log cannot be read, a router has none, or stdout cannot be written.
pub fn run(args: &EventsArgs) -> Result<()> {
    let since = args.since.as_deref();
    let since = since.map(|text| since::parse(text, &ZonedDateTime::now()));
    let since = since.transpose()?;
    let state = args.state.canonicalize().map_err(|error| {
        anyhow!(BadInput(format!(
            "{}: {error}: expected the directory of the routers' files",
            args.state.display()
        )))
    })?;
    let routers: Vec<String> = args.router.iter().map(ToString::to_string).collect();
    let mut reader = Reader::new(&state, routers)?;
    let zone = TimeZone::system();
    let mut entries = reader.read()?;
    if !args.follow {
        insist(args, &reader)?;
    }
    if let Some(since) = since {
        entries.retain(|entry| entry.time >= since);
    } else if args.follow {
        entries.drain(..entries.len().saturating_sub(BEFORE));
    }
    loop {
        print(&entries, args.json, &zone)?;
        if !args.follow {
            return Ok(());
        }
        for trouble in reader.troubles() {
            eprintln!("warning: {trouble}");
        }
        thread::sleep(PAUSE);
        entries = reader.read()?;
    }
}

/// Whoever asks for a router expects that there is something of it.
fn insist(args: &EventsArgs, reader: &Reader) -> Result<()> {
    for trouble in reader.troubles() {
        eprintln!("warning: {trouble}");
    }
    let missing = args.router.iter().find(|id| !reader.has(id.as_str()));
    match missing {
        None => Ok(()),
        Some(id) => Err(anyhow!(BadInput(format!(
            "there is no event log of router {id} in {}",
            args.state.display()
        )))),
    }
}

fn print(entries: &[Entry], json: bool, zone: &TimeZone) -> Result<()> {
    let mut text = String::new();
    for entry in entries {
        text += &if json {
            entry.line.to_string()
        } else {
            words(entry, zone)
        };
        text.push('\n');
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("write to stdout")
}

/// An event as a line for people: time, router, its state by then, name, detail.
#[must_use]
pub fn words(entry: &Entry, zone: &TimeZone) -> String {
    let field = |name: &str| entry.line.get(name).and_then(|it| it.as_str());
    let part = |name: &str| printable(field(name).unwrap_or("-"));
    let line = format!(
        "{}  {}  {:<7}  {:<22}  {}",
        wall(entry.time, zone),
        printable(&entry.router),
        part("state"),
        part("event"),
        part("detail")
    );
    line.trim_end().to_owned()
}

fn wall(time: Timestamp, zone: &TimeZone) -> String {
    let zoned = time.to_zoned_datetime(zone.clone());
    zoned.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}
