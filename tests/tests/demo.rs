//! The demonstration: it shows what it promises, stands until interrupted, and leaves nothing but
//! its picture.

use lab::binary;
use lab::process::Process;
use lab::require::{Need, require};
use lab::workdir::WorkDir;
use nix::sys::signal::Signal;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// It waits for a master, a takeover and two returns, each of which takes almost four seconds.
const LIMIT: Duration = Duration::from_secs(90);

/// What comes before each table.
const TABLE: &str = "Seconds since the cut";
/// What the tables say, in the order of time: that of keepalived alone, and that of the fast path.
const STEPS: [&[&str]; 2] = [
    &[
        "power cut",
        "advert_late",
        "master_down",
        "local_master",
        "gratuitous ARP",
        "client's first answer",
    ],
    &[
        "power cut",
        "takeover_begins",
        "gratuitous ARP",
        "client's first answer",
    ],
];

const NEEDS: [Need; 6] = [
    Need::Root,
    Need::Tool("ip"),
    Need::Tool("keepalived"),
    Need::Tool("ping"),
    Need::Tool("tcpdump"),
    Need::Tool("tshark"),
];

#[test]
fn the_demonstration_stands_until_interrupted_and_leaves_nothing() {
    if !require(&NEEDS) {
        return;
    }
    let directory = WorkDir::new("demo").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.arg("--keep").env("KEEPFAST_BIN", binary::path());
    let mut demo = Process::start("demo", &mut command, &directory.file("log")).unwrap();
    demo.wait_log("the network standing", LIMIT, |log| {
        log.contains("What happens:").then_some(())
    })
    .unwrap();
    demo.signal(Signal::SIGINT).unwrap();
    // It looks itself whether anything is left.
    let status = demo.wait_end().unwrap();
    assert!(status.success(), "{status}");

    let log = demo.log();
    assert!(log.contains("\nRemoved: "), "{log}");
    let mut tables = log.split(TABLE).skip(1);
    for steps in STEPS {
        let table = tables.next();
        let mut rest = table.unwrap_or_else(|| panic!("a table is missing:\n{log}"));
        for step in steps {
            let found = rest.split_once(step);
            (_, rest) = found.unwrap_or_else(|| panic!("no {step} in its turn:\n{log}"));
        }
    }
    let (_, picture) = log.split_once("Both as a picture: ").unwrap();
    let picture = fs::read_to_string(picture.lines().next().unwrap()).unwrap();
    assert!(picture.starts_with("<svg "), "{picture}");
}
