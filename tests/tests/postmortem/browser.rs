//! The HTML of post-mortems in a real browser that has no network.

use crate::alone;
use crate::failovers::{Kind, failover};
use crate::pair::{Pair, postmortem};
use anyhow::{Context, Result, ensure};
use lab::netns::Namespace;
use lab::require::{Need, require};
use lab::workdir::WorkDir;
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// How long the browser may take for a page, as `timeout` reads it.
const LIMIT: &str = "120";

/// What a page has become in the browser, and what that had to complain about.
struct Shown {
    document: String,
    complaints: Vec<String>,
}

/// Opens a file in a namespace without any link to elsewhere.
fn show(namespace: &Namespace, profile: &Path, file: &Path) -> Result<Shown> {
    let mut command = namespace.command("timeout");
    command.args([LIMIT, "chromium", "--headless", "--no-sandbox"]);
    command.args(["--disable-gpu", "--disable-dev-shm-usage"]);
    command.args(["--enable-logging=stderr", "--v=0", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command.arg(format!("file://{}", file.display()));
    command.stdin(Stdio::null()).env("HOME", profile);
    let output = command.output().context("start chromium")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {said}", output.status);
    let console = said.lines().filter(|line| line.contains(":CONSOLE"));
    Ok(Shown {
        document: String::from_utf8(output.stdout)?,
        complaints: console.map(str::to_owned).collect(),
    })
}

#[test]
fn pages_of_five_kinds_open_without_a_complaint_or_a_network() {
    if !require(&[Need::Tool("chromium")]) {
        return;
    }
    alone(|| {
        let pair = Pair::start();
        let directory = WorkDir::new("browser").unwrap();
        let browser = Namespace::new("browser").unwrap();
        let profile = directory.file("profile");
        for (turn, kind) in Kind::ALL.into_iter().enumerate() {
            let (primary, backup) = if turn % 2 == 0 { (0, 1) } else { (1, 0) };
            let (report, _) = failover(&pair, kind, primary, backup);
            let file = directory.file(&format!("{kind:?}.html"));
            let name = file.to_str().unwrap();
            postmortem(pair.daemon(backup), &["--html", name]).unwrap();
            let shown = show(&browser, &profile, &file).unwrap();
            assert_eq!(shown.complaints, [] as [String; 0], "{kind:?}");
            let words = report["words"].as_str().unwrap().to_owned();
            let outage = report["outage_ns"].as_u64().unwrap();
            let outage = keepfast::report::clock::duration(outage);
            // The browser writes an apostrophe as it is.
            for text in [words, format!("<strong>{outage}</strong>")] {
                assert!(shown.document.contains(&text), "{kind:?}: no {text}");
            }
            assert!(
                shown.document.contains("<circle class=\"mark\""),
                "{kind:?}"
            );
        }
        // What the browser would have complained about.
        let file = directory.file("Power.html");
        let page = fs::read_to_string(&file).unwrap();
        let spoilt = page.replace("<main>", "<main><img src=\"http://192.0.2.1/x.png\">");
        fs::write(&file, spoilt).unwrap();
        let shown = show(&browser, &profile, &file).unwrap();
        assert_ne!(shown.complaints, [] as [String; 0]);
    });
}
