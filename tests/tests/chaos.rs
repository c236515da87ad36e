//! A short run of what `cargo xtask chaos` does for hours: some of each kind of fault, with a
//! fixed seed.

use lab::binary;
use lab::process::Process;
use lab::require::{Need, require};
use lab::workdir::WorkDir;
use std::process::Command;
use std::time::Duration;

/// Forty seconds of faults, the last of which is mended, and what is before and after.
const LIMIT: Duration = Duration::from_secs(180);

const NEEDS: [Need; 3] = [Need::Root, Need::Tool("ip"), Need::Tool("keepalived")];

#[test]
fn a_cluster_is_in_order_after_each_fault() {
    if !require(&NEEDS) {
        return;
    }
    let directory = WorkDir::new("chaos").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command
        .args(["--seconds", "40", "--seed", "1", "--routers", "4"])
        .env("KEEPFAST_BIN", binary::path());
    let mut chaos = Process::start("chaos", &mut command, &directory.file("log")).unwrap();
    chaos
        .wait_log("the last line", LIMIT, |log| {
            log.contains("; written to ").then_some(())
        })
        .unwrap();
    let status = chaos.wait_end().unwrap();
    let log = chaos.log();
    println!("{log}");
    assert!(status.success(), "{status}");
    assert!(log.contains(" steps with seed 1, 0 wrong; "), "{log}");
}
