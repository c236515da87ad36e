//! The demonstration: it shows what it promises, stands until interrupted, and leaves nothing.

use lab::binary;
use lab::process::Process;
use lab::require::{Need, require};
use lab::workdir::WorkDir;
use nix::sys::signal::Signal;
use std::process::Command;
use std::time::Duration;

/// It waits for a master, a takeover and a return, each of which takes almost four seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// What the table says, in the order of time.
const STEPS: [&str; 6] = [
    "power cut",
    "advert_late",
    "master_down",
    "local_master",
    "gratuitous ARP",
    "client's first answer",
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
    let (_, mut rest) = log.split_once("Seconds since the cut").unwrap();
    for step in STEPS {
        let found = rest.split_once(step);
        (_, rest) = found.unwrap_or_else(|| panic!("no {step} in its turn:\n{log}"));
    }
}
