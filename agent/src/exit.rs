//! What the process exits with.
//!
//! | code | meaning |
//! |------|---------|
//! | 0    | all went well |
//! | 1    | failure |
//! | 64   | wrong usage or bad input (EX_USAGE) |
//! | 77   | a privilege is missing (EX_NOPERM) |

use std::fmt;
use std::io::{self, ErrorKind};

use nix::errno::Errno;

use crate::config::Problems;

/// Failure.
pub const FAILURE: u8 = 1;
/// Wrong usage or bad input, `EX_USAGE` of sysexits.h.
pub const USAGE: u8 = 64;
/// A privilege is missing, `EX_NOPERM` of sysexits.h.
pub const NO_PERMISSION: u8 = 77;

/// The user gave something that cannot be worked with; says what and what was
/// expected.
#[derive(Debug)]
pub struct BadInput(pub String);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// The exit code for `error`, by what is at the bottom of it.
pub fn code(error: &anyhow::Error) -> u8 {
    error
        .chain()
        .map(code_of)
        .find(|code| *code != FAILURE)
        .unwrap_or(FAILURE)
}

/// Whether `error` is that nobody reads our output any longer.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> u8 {
    if cause.is::<BadInput>() || cause.is::<Problems>() {
        return USAGE;
    }
    if let Some(errno) = cause.downcast_ref::<Errno>() {
        return of_io(&io::Error::from(*errno));
    }
    cause.downcast_ref::<io::Error>().map_or(FAILURE, of_io)
}

fn of_io(error: &io::Error) -> u8 {
    match error.kind() {
        ErrorKind::PermissionDenied => NO_PERMISSION,
        // Only what the user named as a file can be a directory.
        ErrorKind::IsADirectory => USAGE,
        _ => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;
    use crate::config::file;

    #[test]
    fn the_cause_decides_whatever_is_said_about_it() {
        let refused = || io::Error::from(ErrorKind::PermissionDenied);
        for (error, expected) in [
            (anyhow!("broken"), FAILURE),
            (anyhow!(BadInput("garbage".to_owned())), USAGE),
            (anyhow!(file::parse("", "a.toml", None).unwrap_err()), USAGE),
            (anyhow!(refused()), NO_PERMISSION),
            (anyhow!(io::Error::from(ErrorKind::IsADirectory)), USAGE),
            (anyhow!(Errno::EPERM), NO_PERMISSION),
            (anyhow!(Errno::ENOENT), FAILURE),
        ] {
            let error = Err::<(), _>(error)
                .context("do this")
                .context("do that")
                .unwrap_err();
            assert_eq!(code(&error), expected, "{error:#}");
        }
    }
}
