//! `keepfast status`: asks the daemon how it and its routers are.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use super::{Status, schema, text};
use crate::config::RouterId;
use crate::control::{DEFAULT_SOCKET, Request, ask};

/// Between two looks of `--watch`.
const PAUSE: Duration = Duration::from_secs(1);

/// Clears a terminal, and begins at its top.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Arguments of `keepfast status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The router to tell of in full. Without it: all, one a line.
    #[arg(value_name = "ROUTER")]
    pub router: Option<RouterId>,

    /// Print JSON instead of words.
    #[arg(long)]
    pub json: bool,

    /// Print it anew every second, until interrupted; with --json one document a line.
    #[arg(long)]
    pub watch: bool,

    /// Print the JSON schema of what --json prints, and ask nobody.
    #[arg(long, conflicts_with_all = ["router", "json", "watch"])]
    pub schema: bool,

    /// Where the daemon listens.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Runs `keepfast status`. That a router is in fault is an answer, not a failure.
///
/// # Errors
///
/// No daemon listens, it refuses, there is no such router, or stdout cannot be written.
pub fn run(args: &StatusArgs) -> Result<()> {
    if args.schema {
        let schema = serde_json::to_string_pretty(&schema::schema()).context("write as JSON")?;
        return print(&format!("{schema}\n"));
    }
    loop {
        let shown = show(args, &get(&args.socket, args.router.as_ref())?)?;
        if !args.watch {
            return print(&shown);
        }
        let clear = if !args.json && io::stdout().is_terminal() {
            CLEAR
        } else {
            ""
        };
        print(&format!("{clear}{shown}"))?;
        thread::sleep(PAUSE);
    }
}

/// Asks the daemon that listens at `socket` about one router or all.
///
/// # Errors
///
/// No daemon listens, it refuses, or what it answers is no status.
pub fn get(socket: &Path, router: Option<&RouterId>) -> Result<Status> {
    let request = Request::Status {
        id: router.map(ToString::to_string),
    };
    serde_json::from_value(ask(socket, &request)?).context("read what the daemon answered")
}

fn show(args: &StatusArgs, status: &Status) -> Result<String> {
    if args.json {
        let json = if args.watch {
            serde_json::to_string(status)
        } else {
            serde_json::to_string_pretty(status)
        };
        return Ok(json.context("write as JSON")? + "\n");
    }
    Ok(match (&args.router, status.routers.as_slice()) {
        (Some(_), [router]) => text::one(router),
        _ => text::all(status),
    })
}

fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("write to stdout")
}
