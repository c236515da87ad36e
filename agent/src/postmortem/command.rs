//! `keepfast postmortem`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use jiff::Timestamp;

use super::gather::Archive;
use super::{Evidence, Report, Turn, html, text, turns};
use crate::exit::BadInput;
use crate::files::Dir;
use crate::report::clock::ClockMapping;

/// Arguments of `keepfast postmortem`.
#[derive(Debug, Args)]
pub struct PostmortemArgs {
    /// The router. Without it: the one that changed hands last.
    #[arg(value_name = "ROUTER")]
    pub router: Option<String>,

    /// The last time that the router changed hands; so it is without --at, too.
    #[arg(long, conflicts_with = "at")]
    pub last: bool,

    /// The change of hands nearest to this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,

    /// Print JSON instead of words.
    #[arg(long)]
    pub json: bool,

    /// Print the JSON schema of --json, and do nothing else.
    #[arg(long, exclusive = true)]
    pub schema: bool,

    /// Write the report into this file, as a page that a browser shows without a network.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Where the routers' files are kept.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/keepfast")]
    pub state: PathBuf,
}

/// Runs `keepfast postmortem`.
///
/// # Errors
///
/// There is no such router, it never changed hands as far as is known, or maps and
/// files cannot be read.
pub fn run(args: &PostmortemArgs) -> Result<()> {
    if args.schema {
        return print(&format!("{}\n", schema()?));
    }
    let archive = Archive::open(Dir::open(&args.state)?)?;
    let clock = ClockMapping::now()?;
    let (evidence, turn) = choose(args, &archive, &clock)?;
    let report = Report::build(&evidence, &turn, &clock);
    if let Some(file) = &args.html {
        write(file, &html::render(&report))?;
        if !args.json {
            return Ok(());
        }
    }
    let said = if args.json {
        format!(
            "{}\n",
            serde_json::to_string_pretty(&report).context("write the report")?
        )
    } else {
        text::render(&report)
    };
    print(&said)
}

/// The JSON schema of a report.
fn schema() -> Result<String> {
    serde_json::to_string_pretty(&schemars::schema_for!(Report)).context("write the schema")
}

fn print(text: &str) -> Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("write to stdout")
}

/// Writes a file that others may read, at once and whole. What else has that name, a
/// link for instance, is replaced and not written into.
fn write(file: &Path, content: &str) -> Result<()> {
    let mut part = file.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = Path::new(&part);
    let doing = || format!("write {}", file.display());
    let mut open = OpenOptions::new();
    let mut new = open
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(part)
        .with_context(doing)?;
    let written = new
        .write_all(content.as_bytes())
        .and_then(|()| fs::rename(part, file));
    if written.is_err() {
        // It is our own; that it stays is told by the first error.
        let _gone = fs::remove_file(part);
    }
    written.with_context(doing)
}

/// The change of hands that is meant.
fn choose(
    args: &PostmortemArgs,
    archive: &Archive,
    clock: &ClockMapping,
) -> Result<(Evidence, Turn)> {
    let names = match &args.router {
        Some(name) => vec![name.clone()],
        None => archive.routers()?,
    };
    let mut found: Option<(Evidence, Turn)> = None;
    for name in names {
        let Some(evidence) = archive.evidence(&name)? else {
            if args.router.is_some() {
                return Err(BadInput(format!(
                    "nothing is kept of a router {name} in {}: expected one that keepfast run has looked after",
                    args.state.display()
                ))
                .into());
            }
            continue;
        };
        let distance = |turn: &Turn| match args.at {
            Some(at) => clock.instant(turn.at_ns).duration_since(at).abs(),
            None => Timestamp::MAX.duration_since(clock.instant(turn.at_ns)),
        };
        let turns = turns(&evidence);
        // Of those that are equally near: the last.
        let Some(turn) = turns.iter().rev().min_by_key(|turn| distance(turn)) else {
            continue;
        };
        if found
            .as_ref()
            .is_none_or(|(_, best)| distance(turn) < distance(best))
        {
            found = Some((evidence, *turn));
        }
    }
    found.ok_or_else(|| {
        BadInput("no router has changed hands, as far as is known".to_owned()).into()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_schema_names_what_a_report_has() {
        let schema: Value = serde_json::from_str(&schema().unwrap()).unwrap();
        let report = super::super::tests::any_report();
        let report = serde_json::to_value(report).unwrap();
        let names = |value: &Value| -> BTreeSet<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(names(&schema["properties"]), names(&report));
        let steps = &schema["$defs"]["Steps"]["properties"];
        assert_eq!(names(steps), names(&report["steps"]));
        let causes = schema["$defs"]["Cause"].to_string();
        assert!(
            causes.contains(report["cause"].as_str().unwrap()),
            "{causes}"
        );
    }
}
