//! Captures the corpus: real frames of real programs, one file each, with a table of them.
//!
//! `cargo run -p keepfast-tests --bin capture-corpus [folder]`, as root; the default folder is
//! `common/corpus`. Frames are chosen by tshark, so no code of this project has to understand
//! them first. Hardware addresses and order are the same in each run; ports, identifications
//! and sequence numbers are the programs' own.

use anyhow::{Context, Result, bail};
use lab::capture::Recording;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::{env, fs};

mod frr;
mod keepalived;
mod traffic;

/// One frame of the corpus.
struct Sample {
    name: &'static str,
    what: &'static str,
    made_by: &'static str,
    bytes: Vec<u8>,
}

/// Which frame of a recording becomes a sample: the first that the tshark filter selects.
struct Pick {
    name: &'static str,
    what: &'static str,
    made_by: &'static str,
    filter: &'static str,
}

impl Pick {
    fn from(&self, recording: &Recording) -> Result<Sample> {
        let Self {
            name,
            what,
            made_by,
            filter,
        } = *self;
        let mut frames = recording.frames(filter)?;
        if frames.is_empty() {
            bail!(
                "find {name}: no frame is {filter} in\n{}",
                recording.summary()?
            );
        }
        Ok(Sample {
            name,
            what,
            made_by,
            bytes: frames.swap_remove(0),
        })
    }
}

fn pick_all(picks: &[Pick], recording: &Recording) -> Result<Vec<Sample>> {
    picks.iter().map(|pick| pick.from(recording)).collect()
}

fn main() -> Result<()> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../common/corpus");
    let folder = env::args_os().nth(1).map_or(default, PathBuf::from);
    let mut samples = capture()?;
    samples.sort_by_key(|sample| sample.name);
    for Sample { name, bytes, .. } in &samples {
        let file = folder.join(name).with_extension("bin");
        fs::write(&file, bytes).with_context(|| format!("write {}", file.display()))?;
    }
    fs::write(folder.join("README.md"), table(&samples)?).context("write the table")?;
    println!("{} frames in {}", samples.len(), folder.display());
    Ok(())
}

/// Runs all scenarios at once: each has a network of its own and most of them only wait.
fn capture() -> Result<Vec<Sample>> {
    let mut scenarios = keepalived::scenarios();
    scenarios.extend(frr::scenarios());
    scenarios.extend(traffic::scenarios());
    thread::scope(|scope| {
        let running: Vec<_> = scenarios.into_iter().map(|run| scope.spawn(run)).collect();
        let mut samples = Vec::new();
        for scenario in running {
            let joined = scenario.join().ok().context("a scenario panicked")?;
            samples.extend(joined?);
        }
        Ok(samples)
    })
}

/// Something that captures a few samples.
type Scenario = Box<dyn FnOnce() -> Result<Vec<Sample>> + Send>;

fn table(samples: &[Sample]) -> Result<String> {
    let mut text = String::from(
        "# Captured frames\n\n\
         Whole Ethernet frames as they were on the wire, without frame check sequence, one in\n\
         each file. `cargo run -p keepfast-tests --bin capture-corpus` makes them and this table\n\
         anew (root, Linux, keepalived, FRR, tcpdump, tshark, iputils). These were made by the\n\
         packages of Debian 12: keepalived 2.2.7, FRR 8.4.4.\n\n\
         | file | what | made by | bytes |\n|---|---|---|---|\n",
    );
    for Sample {
        name,
        what,
        made_by,
        bytes,
    } in samples
    {
        writeln!(
            text,
            "| `{name}.bin` | {what} | {made_by} | {} |",
            bytes.len()
        )?;
    }
    Ok(text)
}
