//! `neutron-keepalived-state-change`: the state monitor that OpenStack Neutron's L3 agent
//! starts for each HA router, as the same program under that name.
//!
//! Neutron looks for a process for each router, so there has to be one; it is as small as
//! it can be. Neither clap nor tokio nor tracing is there yet when [`run`] begins, and
//! [`memory`] gives back what the start has touched.
//!
//! - It reads the router's primary address by [`netlink`]: it subscribes, then lists.
//! - While a daemon (`keepfast run`) answers at the control socket, the router is registered
//!   with it ([`leader`]): the daemon looks after it as an attached one, and says when its
//!   keepalived has ended, which no address tells. When the daemon goes, the monitor tries to
//!   register again with a growing pause.
//! - The monitor alone writes the state file, has connections synchronised, and tells the
//!   agent, in this order ([`monitor`]). So a daemon that starts or is killed, at whatever
//!   moment, neither loses a transition nor has one told twice.
//!
//! # What a hostile user `neutron` can make of it
//!
//! Neutron's agent starts it as root with arguments that it chooses, below directories that
//! it owns. So:
//!
//! - The state and the pid file are replaced by rename within a directory that is held open,
//!   and only if what is there looks like one ([`place`]); so `--pid_file /etc/passwd` is
//!   refused. What is written is a number or one of two words.
//! - The log is appended to only if it is a regular file with one name that is empty or
//!   begins with a date, never through a symbolic link, and made only if it is called
//!   `*.log`; lines hold no control characters.
//! - The daemon touches nothing in those directories but reads keepalived.conf, and of what
//!   it finds wrong there it tells its own log, not the monitor's.
//! - It can have files made where there are none, with a number or one of the two words in
//!   them (`/etc/nologin`), and can have `conntrackd -C FILE` run in the router's namespace
//!   with a file of its own: Neutron's own monitor offers all that, too.

mod arguments;

mod place;

mod log;

mod netlink;

mod outbox;

mod courier;

mod conntrack;

mod leader;

mod monitor;

mod memory;

mod detach;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

pub use leader::line as leading_line;

use arguments::Arguments;
use detach::Parent;
use log::Log;
use monitor::Monitor;
use place::Place;

/// The name that Neutron starts it by.
pub const NAME: &str = "neutron-keepalived-state-change";

/// The arguments of the monitor, if this process was started as that: under its name, or
/// with its name as the first argument.
#[must_use]
pub fn arguments(all: impl IntoIterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut all = all.into_iter();
    let program = all.next()?;
    if Path::new(&program).file_name() == Some(OsStr::new(NAME)) {
        return Some(all.collect());
    }
    (all.next()? == NAME).then(|| all.collect())
}

/// Monitors a router until SIGTERM. Says nothing on standard output or standard error: Neutron
/// never reads them.
#[must_use]
pub fn run(arguments: &[OsString]) -> ExitCode {
    let (arguments, log) = match Arguments::read(arguments) {
        Ok(arguments) => {
            let log = Log::new(
                &arguments.log_file,
                arguments.router.as_str(),
                arguments.debug,
            );
            (arguments, log)
        }
        Err(wrong) => {
            Log::new(&wrong.log_file, "", false).error(&wrong.message);
            return ExitCode::FAILURE;
        }
    };
    match monitor(&arguments, &log) {
        Ok(code) => code,
        Err(error) => {
            log.error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn monitor(arguments: &Arguments, log: &Log) -> Result<ExitCode> {
    let place = Place::open(&arguments.conf_dir, &arguments.pid_file)?;
    // Blocked before there is anything to be cleaned up.
    let signals = detach::signals().context("wait for signals")?;
    let caller = match detach::detach(arguments.detached).context("leave the caller")? {
        Parent::Caller(code) => return Ok(code),
        Parent::Left(caller) => caller,
    };
    place.write_pid()?;
    if let Some(mut caller) = caller {
        caller.write_all(b"+").context("let the caller go")?;
    }
    let outcome = Monitor::new(arguments, &place, log, signals).and_then(Monitor::run);
    place.remove_pid();
    outcome.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let all = line.split_whitespace().map(OsString::from);
        let found = arguments(all)?;
        Some(
            found
                .into_iter()
                .filter_map(|it| it.into_string().ok())
                .collect(),
        )
    }

    #[test]
    fn it_is_called_by_its_name_or_by_its_first_argument() {
        let found = words("/usr/bin/neutron-keepalived-state-change --debug");
        assert_eq!(found, Some(vec!["--debug".to_owned()]));
        let found = words("keepfast neutron-keepalived-state-change --debug");
        assert_eq!(found, Some(vec!["--debug".to_owned()]));
        assert_eq!(words("keepfast run neutron-keepalived-state-change"), None);
        assert_eq!(words("keepfast"), None);
    }
}
