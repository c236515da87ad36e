//! `keepfast teardown`: removes all routers on purpose, by the daemon that looks after them,
//! or in the place of one that is gone.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser as _};
use serde_json::Value;

use crate::cli::{Cli, Command};
use crate::config;
use crate::control::{self, Request, ask};
use crate::exit::BadInput;
use crate::run;

/// How long the daemon may take to remove all and to end: to take the kernel programs from
/// a thousand interfaces takes 14 s.
const LIMIT: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(50);

/// Arguments of `keepfast teardown`.
#[derive(Debug, Args)]
pub struct TeardownArgs {
    /// Do it. Without this it is only said what would be removed.
    #[arg(long)]
    pub yes: bool,

    /// Where routers are declared.
    #[arg(long, value_name = "DIRECTORY", default_value = config::DEFAULT_DIRECTORY)]
    pub routers: PathBuf,

    /// Where the routers' files are kept.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/keepfast")]
    pub state: PathBuf,

    /// The daemon's control socket.
    #[arg(long, value_name = "PATH", default_value = control::DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Runs `keepfast teardown`.
///
/// # Errors
///
/// It was not said that it shall be done, the daemon refuses, or something could not be
/// removed in time.
pub fn run(args: &TeardownArgs) -> Result<()> {
    let by_daemon = UnixStream::connect(&args.socket).is_ok();
    let names = if by_daemon {
        listed(&ask(&args.socket, &Request::List)?)
    } else {
        eprintln!(
            "no daemon listens at {}: looking for what one left in {}",
            args.socket.display(),
            args.state.display()
        );
        left(&args.state)?
    };
    let names = match names.as_slice() {
        [] => "no router".to_owned(),
        names => names.join(", "),
    };
    if !args.yes {
        return Err(BadInput(format!(
            "nothing was done. To be removed: {names}: expected --yes to do it"
        ))
        .into());
    }
    if by_daemon {
        ask(&args.socket, &Request::Teardown)?;
        wait_for_end(&args.socket)?;
    } else if args.state.exists() {
        in_its_place(args)?;
    }
    writeln!(
        std::io::stdout(),
        "removed: {names}\nwhat is declared in {} stays, and comes back with the next daemon",
        args.routers.display()
    )
    .context("write to stdout")
}

/// The names of the routers that the daemon lists.
fn listed(listed: &Value) -> Vec<String> {
    let routers = listed["routers"].as_array().into_iter().flatten();
    let names = routers.filter_map(|router| router["id"].as_str());
    names.map(str::to_owned).collect()
}

/// The names of the routers that have files.
fn left(state: &Path) -> Result<Vec<String>> {
    if !state.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    let list = || format!("list {}", state.display());
    for entry in std::fs::read_dir(state).with_context(list)? {
        let path = entry.with_context(list)?.path();
        if path.join("router.toml").exists()
            && let Some(name) = path.file_name()
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn wait_for_end(socket: &Path) -> Result<()> {
    let end = Instant::now() + LIMIT;
    while UnixStream::connect(socket).is_ok() {
        if Instant::now() > end {
            bail!("the daemon has not ended within {LIMIT:?}: its log says why");
        }
        sleep(STEP);
    }
    Ok(())
}

/// Does what a daemon would, and no more.
fn in_its_place(args: &TeardownArgs) -> Result<()> {
    let mut words = ["keepfast", "run", "--tear-down", "--fast-priority", "0"]
        .map(Into::into)
        .to_vec();
    for (option, path) in [
        ("--routers", &args.routers),
        ("--state", &args.state),
        ("--socket", &args.socket),
    ] {
        words.push(option.into());
        words.push(path.clone().into_os_string());
    }
    match Cli::try_parse_from(words)?.command {
        Command::Run(args) => run::run(&args),
        other => bail!("{other:?}: expected to run"),
    }
}
