//! `keepfast check`: what this kernel, these privileges and these interfaces
//! allow, and what watching would use.
//!
//! Nothing is guessed that can be tried: the programs are loaded, and attached to
//! each interface for a moment by the very code that watching runs. They only
//! listen, but some network drivers restart their queues, and so lose frames for
//! an instant, whenever an XDP program comes or goes; watching does that too.
//!
//! With `--json`, one object. Schema 1; members may be added within a schema,
//! none changes its meaning:
//!
//! | member             | value |
//! |--------------------|-------|
//! | `schema`           | 1 |
//! | `watchable`        | whether nothing is missing |
//! | `netns`            | name of the network namespace; `null` for the agent's own |
//! | `netns_inode`      | its inode number |
//! | `tells_namespaces` | whether the loaded programs tell namespaces apart; `null` if they were not loaded |
//! | `load_ns`          | how long loading them took, nanoseconds; `null` if they were not loaded |
//! | `checks`           | what concerns the whole host: objects of `check`, `mark`, `message` |
//! | `interfaces`       | the interfaces: objects as below |
//!
//! | member         | value |
//! |----------------|-------|
//! | `interface`    | name of the interface |
//! | `ifindex`      | its index |
//! | `mark`         | as of a check |
//! | `ingress`      | what would watch received frames: `native_xdp`, `generic_xdp`, `tcx`, `clsact`; `null` if nothing can |
//! | `egress`       | what would watch sent frames, likewise |
//! | `xdp_program`  | id of the XDP program that was there already; `null` for none |
//! | `message`      | what the line of words says |
//!
//! A `check` is one of `kernel`, `privileges`, `lockdown`, `bpf_jit`,
//! `bpf_file_system`, `kernel_btf`, `ring_buffer`, `timers`, `spin_locks`,
//! `xdp_links`, `tcx`, `programs`, `interfaces` (only where they cannot be listed
//! or there are none). A `mark` is one of `ok`, `fallback` (watching works, in
//! another way than the best), `missing` (it does not), `unknown` (could not be
//! found out). A `message` is for people and may change at any time.

mod host;
mod interfaces;

use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind, Write as _};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::cli::CheckArgs;
use crate::exit::{self, BadInput};
use crate::kernel::{Kernel, LoadOptions};
use crate::netns::Namespace;
use crate::report::clock::duration;

/// Of the JSON object; another number where a member changed its meaning or went.
const SCHEMA: u8 = 1;

/// Runs `keepfast check`: the findings go to stdout.
///
/// # Errors
///
/// The namespace or a named interface does not exist, stdout cannot be written,
/// or something is missing that watching needs; then the findings are written all
/// the same.
pub fn run(args: &CheckArgs) -> Result<()> {
    let report = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(Report::make(args))?;
    let text = if args.json {
        serde_json::to_string(&report).context("write the findings as JSON")? + "\n"
    } else {
        report.to_string()
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).context("write to stdout")?;
    out.flush().context("write to stdout")?;
    report.verdict()
}

/// What a finding means for watching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mark {
    /// As it should be.
    Ok,
    /// Watching works, in another way than the best.
    Fallback,
    /// Watching does not work.
    Missing,
    /// Could not be found out.
    Unknown,
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ok => "ok",
            Self::Fallback => "fallback",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        })
    }
}

/// What was found out about the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    mark: Mark,
    message: String,
}

impl Finding {
    fn new(check: &'static str, mark: Mark, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            check,
            mark,
            message,
        }
    }
}

/// All that was found out.
#[derive(Serialize)]
struct Report {
    schema: u8,
    watchable: bool,
    netns: Option<String>,
    netns_inode: u32,
    tells_namespaces: Option<bool>,
    load_ns: Option<u64>,
    checks: Vec<Finding>,
    interfaces: Vec<interfaces::Finding>,
    /// Whether it is a privilege that watching lacks.
    #[serde(skip)]
    refused: bool,
}

impl Report {
    async fn make(args: &CheckArgs) -> Result<Self> {
        let namespace = match &args.netns {
            None => Namespace::current()?,
            Some(name) => interfaces::namespace(name)?,
        };
        let there = match interfaces::list(&namespace, &args.interface).await {
            Err(error) if error.is::<BadInput>() => return Err(error),
            there => there,
        };
        let mut report = Self {
            schema: SCHEMA,
            watchable: false,
            netns: namespace.name().map(str::to_owned),
            netns_inode: namespace.inode(),
            tells_namespaces: None,
            load_ns: None,
            checks: host::look(namespace.name().is_some()),
            interfaces: Vec::new(),
            refused: false,
        };
        let mut kernel = report.load();
        match there {
            Ok(there) if there.is_empty() => report.checks.push(Finding::new(
                "interfaces",
                Mark::Fallback,
                "no Ethernet interface yet; watching waits for one",
            )),
            Ok(there) => {
                let findings = there
                    .iter()
                    .map(|interface| interfaces::attempt(kernel.as_mut(), &namespace, interface));
                report.interfaces = findings.collect();
            }
            Err(error) => {
                report.refused |= exit::code(&error) == exit::NO_PERMISSION;
                let message = format!("{error:#}");
                let finding = Finding::new("interfaces", Mark::Missing, message);
                report.checks.push(finding);
            }
        }
        report.refused |= report
            .missing()
            .iter()
            .any(|subject| subject == "privileges");
        report.watchable = report.missing().is_empty();
        Ok(report)
    }

    /// Loads the programs and notes how that went.
    fn load(&mut self) -> Option<Kernel> {
        let start = Instant::now();
        let loaded = Kernel::load(&LoadOptions::default(), None);
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let (mark, message) = match &loaded {
            Ok(kernel) => {
                self.load_ns = Some(took);
                self.tells_namespaces = Some(kernel.tells_namespaces());
                let message = format!("loaded and verified in {}", duration(took));
                (Mark::Ok, message)
            }
            Err(error) => {
                self.refused |= exit::code(error) == exit::NO_PERMISSION;
                (Mark::Missing, format!("{error:#}"))
            }
        };
        self.checks.push(Finding::new("programs", mark, message));
        loaded.ok()
    }

    /// Subject, mark and message of every finding.
    fn lines(&self) -> impl Iterator<Item = (String, Mark, &str)> {
        let host = self
            .checks
            .iter()
            .map(|it| (title(it.check), it.mark, it.message.as_str()));
        let interfaces = self
            .interfaces
            .iter()
            .map(|it| (it.interface.clone(), it.mark, it.message.as_str()));
        host.chain(interfaces)
    }

    /// The subjects of what is missing.
    fn missing(&self) -> Vec<String> {
        self.lines()
            .filter(|(_, mark, _)| *mark == Mark::Missing)
            .map(|(subject, ..)| subject)
            .collect()
    }

    /// An error if watching would fail.
    fn verdict(&self) -> Result<()> {
        if self.watchable {
            return Ok(());
        }
        let what = format!("cannot watch, missing: {}", self.missing().join(", "));
        if self.refused {
            let hint = "run as root or with the capabilities named above";
            return Err(io::Error::new(ErrorKind::PermissionDenied, hint)).context(what);
        }
        Err(anyhow::Error::msg(what))
    }
}

/// One line per finding, in columns; what follows in a message of several lines is
/// put below its beginning.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .lines()
            .map(|(subject, ..)| subject.chars().count())
            .max()
            .unwrap_or(0);
        for (subject, mark, message) in self.lines() {
            let mut parts = message.lines();
            let first = parts.next().unwrap_or_default();
            writeln!(formatter, "{mark:<8}  {subject:<width$}  {first}")?;
            for part in parts {
                writeln!(formatter, "{:indent$}{part}", "", indent = width + 12)?;
            }
        }
        Ok(())
    }
}

/// A check's name in words.
fn title(check: &str) -> String {
    let word = |word: &str| match word {
        "bpf" | "btf" | "jit" | "tcx" | "xdp" => word.to_uppercase(),
        _ => word.to_owned(),
    };
    check.split('_').map(word).collect::<Vec<_>>().join(" ")
}

/// `names` for a message: all of them, or the first ones and how many there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        // Writing to a string cannot fail.
        write!(text, " and {more} more").unwrap_or_default();
    }
    if text.is_empty() {
        text.push_str("none");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_names_are_cut() {
        let names: Vec<String> = (0..14).map(|number| format!("q{number}")).collect();
        assert_eq!(listed(&names[..0]), "none");
        assert_eq!(listed(&names[..2]), "q0, q1");
        assert!(listed(&names[..12]).ends_with("q10, q11"));
        assert!(listed(&names).ends_with("q10, q11 and 2 more"));
    }

    #[test]
    fn lines_stand_in_columns_and_the_verdict_names_what_is_missing() {
        let mut report = Report {
            schema: SCHEMA,
            watchable: false,
            netns: None,
            netns_inode: 1,
            tells_namespaces: None,
            load_ns: None,
            checks: vec![
                Finding::new("bpf_jit", Mark::Ok, "on"),
                Finding::new("programs", Mark::Missing, "refused:\nR1 is a scalar"),
            ],
            interfaces: Vec::new(),
            refused: false,
        };
        assert_eq!(
            report.to_string(),
            "ok        BPF JIT   on\n\
             missing   programs  refused:\n\
             \x20                   R1 is a scalar\n"
        );
        let error = report.verdict().unwrap_err();
        assert_eq!(error.to_string(), "cannot watch, missing: programs");
        assert_eq!(exit::code(&error), exit::FAILURE);
        report.refused = true;
        let error = report.verdict().unwrap_err();
        assert_eq!(exit::code(&error), exit::NO_PERMISSION);
    }
}
