//! keepfast beside what else makes a router fail over: `cargo xtask bench --peers`.
//!
//! Each fault is done `--cycles` times to each peer, one peer after the other: those that take
//! milliseconds by one pair of hosts, those that take seconds by `--pairs` at the same time, each
//! in namespaces of its own. Then all peers are watched side by side for `--minutes` under each
//! load, and each alone with `--routers`. Writes `target/bench/peers.json` and, with `--readme`,
//! the README's tables of what was measured, and the picture.

use crate::peers::cycle::Measured;
use crate::peers::peer::{PEERS, Peer};
use crate::peers::table::Found;
use crate::report;
use anyhow::{Context, Result, ensure};
use clap::Parser;
use lab::folder;
use lab::interrupt;
use lab::process::output;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Nobody strikes.
mod calm;

/// keepalived or FRR.
mod alone;

/// Many routers.
mod crowd;

/// A fault and its end.
mod cycle;

/// All that was found, as tables.
mod findings;

/// Networks of each router's own.
mod own;

/// Two hosts.
mod pair;

/// Who is compared.
mod peer;

/// The plot.
mod picture;

/// One host's part.
mod side;

/// The README's part.
mod table;

/// How the comparison is called on the command line.
pub(crate) const NAMES: [&str; 2] = ["peers", "--peers"];

/// Compare keepfast with keepalived alone and with FRR
#[derive(Debug, Parser)]
#[command(name = "bench --peers")]
struct Options {
    /// How often each fault is done to each peer; 0 leaves this out
    #[arg(long, default_value_t = 20)]
    cycles: usize,
    /// How long all are watched under each load; 0 leaves this out
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Pairs of hosts at the same time, of those that take seconds
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// How many routers a host has when its processes are measured
    #[arg(long, value_delimiter = ',', default_value = "1,50,400")]
    routers: Vec<usize>,
    /// For how long they are, in seconds; 0 leaves this out
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Only the peers whose keys contain this
    #[arg(long, default_value = "")]
    only: String,
    /// Write the README's tables of what is measured, and the picture
    #[arg(long)]
    readme: bool,
}

/// Does all of it.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let words = [&["bench --peers".to_owned()], arguments].concat();
    let options = match Options::try_parse_from(words) {
        Ok(options) => options,
        Err(error) => {
            error.print().context("print")?;
            return Ok(if error.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            });
        }
    };
    let peers: Vec<_> = PEERS
        .iter()
        .filter(|it| it.key.contains(&options.only))
        .collect();
    ensure!(
        !peers.is_empty(),
        "--only {:?}: no key contains that",
        options.only
    );
    let found = measure(&peers, &options)?;
    let findings = findings::of(&found);
    findings.print();
    let command = format!("cargo xtask bench --peers {}", arguments.join(" "));
    let facts = facts(command.trim())?;
    let file = folder::of_target("bench")?.join("peers.json");
    let document = json!({ "facts": facts, "found": findings.value() });
    fs::write(&file, format!("{document:#}\n")).context("write peers.json")?;
    println!("\nwritten to {}", file.display());
    let picture = picture::draw(&found.measured)?;
    fs::write(file.with_file_name("peers.svg"), &picture).context("write peers.svg")?;
    if options.readme {
        let readme = top().join("README.md");
        let text = fs::read_to_string(&readme).context("read README.md")?;
        let text = found.put(text, &peers, options.cycles, &told(&facts))?;
        fs::write(&readme, text).context("write README.md")?;
        if !found.measured.is_empty() {
            let file = top().join("tests/bin/bench/peers/outage.svg");
            fs::write(file, &picture).context("write the picture")?;
        }
    }
    Ok(if findings.faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn measure(peers: &[&'static Peer], options: &Options) -> Result<Found> {
    let mut found = Found {
        measured: Vec::new(),
        calm: Vec::new(),
        calm_error: None,
        crowds: Vec::new(),
    };
    for &peer in peers {
        for fault in pair::FAULTS.into_iter().filter(|_| options.cycles > 0) {
            interrupt::check()?;
            let pairs = if peer.slow { options.pairs } else { 1 };
            let measured = cycle::repeat(peer, fault, options.cycles, pairs);
            println!("{}", line(&measured));
            found.measured.push(measured);
        }
    }
    if options.minutes > 0.0 {
        let span = Duration::from_secs_f64(options.minutes * 60.0);
        found.calm_error = calm::watch(peers, span, &mut found.calm).err();
    }
    for &routers in options.routers.iter().filter(|_| options.seconds > 0) {
        ensure!(
            (1..=400).contains(&routers),
            "--routers {routers}: expected 1 to 400"
        );
        for &peer in peers {
            interrupt::check()?;
            if !crowd::possible(peer, routers) {
                println!(
                    "{}: {routers} routers: more than one interface can have",
                    peer.name
                );
                continue;
            }
            println!("{}: {routers} routers, {} s", peer.name, options.seconds);
            found.crowds.push(crowd::measure(
                peer,
                routers,
                Duration::from_secs(options.seconds),
            ));
        }
    }
    Ok(found)
}

/// Said at once: the whole takes long.
fn line(it: &Measured) -> String {
    let head = format!(
        "{}: {}, {} times:",
        it.peer.name,
        it.fault.name(),
        it.samples.len()
    );
    let figures = it.outage().map_or_else(
        |_| " no figure".to_owned(),
        |outage| format!(" median {:.1} ms, worst {:.1} ms", outage.p50, outage.max),
    );
    let error = it
        .error
        .as_ref()
        .map_or_else(String::new, |error| format!("; {error:#}"));
    format!("{head}{figures}{error}")
}

/// What the figures depend on.
fn facts(command: &str) -> Result<Value> {
    let version = |program: &str, argument: &str| -> Result<String> {
        // keepalived says it where others say what is wrong.
        let mut shell = Command::new(program);
        let said = shell
            .arg(argument)
            .output()
            .with_context(|| format!("ask {program}"))?;
        let said = [said.stdout, said.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        Ok(said.lines().next().unwrap_or_default().trim().to_owned())
    };
    Ok(json!({
        "machine": report::machine()?,
        "keepalived": version("keepalived", "--version")?,
        "frr": version("/usr/lib/frr/vrrpd", "--version")?,
        "keepfast": version(&lab::binary::path().display().to_string(), "--version")?,
        "date": output(Command::new("date").args(["-u", "+%F"]))?.trim(),
        "command": command,
    }))
}

/// What the figures were made on and by, in a line.
fn told(facts: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let machine = &facts["machine"];
    format!(
        "`{}`, {}: Linux {}, {} x {}; {}; {}; {}.",
        word(&facts["command"]),
        word(&facts["date"]),
        word(&machine["kernel"]),
        machine["processors"],
        word(&machine["processor"]),
        word(&facts["keepalived"]),
        word(&facts["frr"]),
        word(&facts["keepfast"]),
    )
}

/// The project's top folder.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
