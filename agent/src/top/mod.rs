//! `keepfast top`: all routers and peers on a terminal, as they are right now.
//!
//! What is shown is decided by a [`Model`] without I/O: status documents, events and keys
//! go in, [`draw`] makes a frame of it. [`terminal`] is the rest.
//!
//! Reading order: [`model`], [`gaps`], [`peers`], [`draw`], [`terminal`].

mod draw;

mod gaps;

mod model;

mod peers;

mod terminal;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, value_parser};

use crate::control::DEFAULT_SOCKET;
use crate::exit::BadInput;

pub use model::{Input, Key, Model};

/// Arguments of `keepfast top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = value_parser!(u64).range(1..=60))]
    pub interval: u64,

    /// Where the daemon listens.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Runs `keepfast top` until `q` is pressed or a signal ends it.
///
/// # Errors
///
/// There is no terminal, or it cannot be used. That no daemon answers is shown.
pub fn run(args: &TopArgs) -> Result<()> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(BadInput(
            "stdin and stdout are expected to be a terminal; `keepfast status --watch` prints \
             to anything"
                .to_owned(),
        )
        .into());
    }
    terminal::run(&args.socket, Duration::from_secs(args.interval))
}
