//! Starting other programs: every failure names the whole command line.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Says what xtask is doing, apart from the output of the tools it starts.
pub(crate) fn step(message: impl AsRef<str>) {
    eprintln!("xtask: {}", message.as_ref());
}

/// Runs a command whose output goes to the terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {}", line(command)))?;
    if !status.success() {
        bail!("{}: {status}", line(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed; its messages become the error.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", line(command)))?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}\n{}", line(command), output.status, messages.trim());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("read the output of {}", line(command)))
}

/// The command line as a reader would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
