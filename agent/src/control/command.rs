//! `keepfast router`: asks the daemon, and prints what it answers.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::ask;
use super::{DEFAULT_SOCKET, MOST_REQUEST, Request, words};
use crate::config::RouterId;
use crate::exit::BadInput;

/// Arguments of `keepfast router`.
#[derive(Debug, Args)]
pub struct RouterArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RouterCommand,

    /// Where the daemon listens.
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// What to do about a router.
#[derive(Debug, Subcommand)]
pub enum RouterCommand {
    /// Declare a router, or change one.
    Apply {
        /// The router's file; `-` for stdin.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,

        /// Take a router whose interfaces do not exist yet, and wait for them.
        #[arg(long)]
        wait: bool,
    },
    /// Remove routers, with all that keepfast made for them.
    Delete {
        /// The routers.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<RouterId>,
    },
    /// Say how all routers are.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Say how one router is.
    Show {
        /// The router.
        #[arg(value_name = "ID")]
        id: RouterId,

        /// Print JSON instead of words.
        #[arg(long)]
        json: bool,
    },
    /// Say what applying a file would change.
    Diff {
        /// The router's file; `-` for stdin.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
}

/// Runs `keepfast router`.
///
/// # Errors
///
/// No daemon listens, it refuses, a file cannot be read, or stdout cannot be
/// written.
pub fn run(args: &RouterArgs) -> Result<()> {
    let ask = |request| ask(&args.socket, &request);
    match &args.command {
        RouterCommand::Apply { file, wait } => {
            let (text, origin) = read(file)?;
            let result = ask(Request::Apply {
                text,
                origin: origin.clone(),
                wait_for_interfaces: *wait,
            })?;
            print(&format!("{origin}: applied\n{}", words::changes(&result)))
        }
        RouterCommand::Delete { ids } => ids.iter().try_for_each(|id| {
            ask(Request::Delete { id: id.to_string() }).with_context(|| format!("delete {id}"))?;
            print(&format!("{id}: deleted\n"))
        }),
        RouterCommand::List { json } => {
            let result = ask(Request::List)?;
            if *json {
                print(&pretty(&result)?)
            } else {
                for problem in result["problems"].as_array().into_iter().flatten() {
                    eprintln!("warning: {}", problem.as_str().unwrap_or_default());
                }
                print(&words::table(&result["routers"]))
            }
        }
        RouterCommand::Show { id, json } => {
            let result = ask(Request::Show { id: id.to_string() })?;
            if *json {
                print(&pretty(&result)?)
            } else {
                print(&words::object(&result))
            }
        }
        RouterCommand::Diff { file } => {
            let (text, origin) = read(file)?;
            print(&words::changes(&ask(Request::Diff { text, origin })?))
        }
    }
}

/// The text of a router's file, and what to call it.
fn read(file: &Path) -> Result<(String, String)> {
    if file == Path::new("-") {
        return Ok((text(&mut io::stdin().lock(), "stdin")?, "stdin".to_owned()));
    }
    let origin = file.display().to_string();
    let mut opened = File::open(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!(BadInput(format!("file {origin:?} does not exist"))),
        _ => anyhow!(error).context(format!("open {origin}")),
    })?;
    Ok((text(&mut opened, &origin)?, origin))
}

fn text(reader: &mut dyn Read, origin: &str) -> Result<String> {
    let mut bytes = Vec::new();
    reader
        .take(MOST_REQUEST as u64)
        .read_to_end(&mut bytes)
        .with_context(|| format!("read {origin}"))?;
    if bytes.len() == MOST_REQUEST {
        let wrong = format!("{origin}: expected a file of less than {MOST_REQUEST} bytes");
        return Err(BadInput(wrong).into());
    }
    String::from_utf8(bytes).map_err(|_| BadInput(format!("{origin}: expected UTF-8")).into())
}

fn pretty(value: &Value) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value).context("write JSON")?;
    text.push('\n');
    Ok(text)
}

pub(super) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("write to stdout")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::exit;

    #[track_caller]
    fn parse(line: &str) -> RouterArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Router(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_socket_may_be_named_anywhere() {
        let args = parse("keepfast router apply -f - --wait --socket /x");
        assert_eq!(args.socket, Path::new("/x"));
        assert!(matches!(
            args.command,
            RouterCommand::Apply { wait: true, .. }
        ));
        let args = parse("keepfast router --socket /x delete a b");
        assert_eq!(args.socket, Path::new("/x"));
        assert!(matches!(args.command, RouterCommand::Delete { ids } if ids.len() == 2));
        assert_eq!(
            parse("keepfast router list").socket,
            Path::new(DEFAULT_SOCKET)
        );
    }

    #[test]
    fn what_cannot_be_a_router_is_a_usage_error() {
        for line in [
            "keepfast router delete",
            "keepfast router delete ../x",
            "keepfast router show /etc",
            "keepfast router apply",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn files_that_cannot_be_router_files_are_bad_input() {
        let long = vec![b'#'; MOST_REQUEST * 2];
        for bytes in [&long[..], b"\xff"] {
            let error = text(&mut &*bytes, "r.toml").unwrap_err();
            assert_eq!(exit::code(&error), exit::USAGE, "{error:#}");
        }
        for file in ["/no/such", "/"] {
            let error = read(Path::new(file)).unwrap_err();
            assert_eq!(exit::code(&error), exit::USAGE, "{error:#}");
        }
        assert_eq!(text(&mut &b"a = 1"[..], "r.toml").unwrap(), "a = 1");
    }
}
