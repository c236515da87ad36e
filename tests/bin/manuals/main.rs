//! Writes what is made from the command line's declaration: a manual page for each command,
//! and completions. `cargo xtask dist` runs it; the agent itself needs none of that.

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::{Shell, generate_to};
use keepfast::cli::Cli;
use std::fs;
use std::path::PathBuf;

const PROGRAM: &str = "keepfast";

fn main() -> Result<()> {
    let folder: PathBuf = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .context("expected the folder to write to")?;
    let [manuals, completions] = ["man", "completions"].map(|name| folder.join(name));
    for folder in [&manuals, &completions] {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    // `help` is no command with a page of its own.
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, &manuals)
        .with_context(|| format!("write to {}", manuals.display()))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Cli::command(), PROGRAM, &completions)
            .with_context(|| format!("write to {}", completions.display()))?;
    }
    Ok(())
}
