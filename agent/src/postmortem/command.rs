//! `keepfast postmortem`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use jiff::Timestamp;

use super::{Evidence, Report, Turn, gather, text, turns};
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
    let base = Dir::open(&args.state)?;
    let clock = ClockMapping::now()?;
    let (evidence, turn) = choose(args, &base, &clock)?;
    let report = Report::build(&evidence, &turn, &clock);
    let said = if args.json {
        format!(
            "{}\n",
            serde_json::to_string_pretty(&report).context("write the report")?
        )
    } else {
        text::render(&report)
    };
    io::stdout()
        .write_all(said.as_bytes())
        .context("write to stdout")
}

/// The change of hands that is meant.
fn choose(args: &PostmortemArgs, base: &Dir, clock: &ClockMapping) -> Result<(Evidence, Turn)> {
    let names = match &args.router {
        Some(name) => vec![name.clone()],
        None => gather::routers(base)?,
    };
    let mut found: Option<(Evidence, Turn)> = None;
    for name in names {
        let Some(evidence) = gather::gather(base, &name)? else {
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
