//! The systemd unit, as far as systemd's own tools judge it without running it.

use super::project_file;
use lab::require::{Need, require};
use std::process::Command;

/// What `systemd-analyze security` may come to, tenths: the unit says what keeps it there.
const EXPOSURE: u32 = 60;

const UNIT: &str = "agent/package/keepfast.service";

#[test]
fn the_unit_is_hardened_as_far_as_it_says() {
    if !require(&[Need::Tool("systemd-analyze")]) {
        return;
    }
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(format!("--threshold={EXPOSURE}"))
        .arg(project_file(UNIT))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let score = told.lines().find(|line| line.contains("Overall exposure"));
    println!("{}", score.unwrap_or(&told));
    assert!(output.status.success(), "{told}");
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    if !require(&[Need::Tool("systemd-analyze")]) {
        return;
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(project_file(UNIT))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    // The program is not installed here; where it is, its package's test looks again.
    let others: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("keepfast.service"))
        .filter(|line| !line.contains("/usr/bin/keepfast is not executable"))
        .collect();
    assert_eq!(others, Vec::<&str>::new());
}
