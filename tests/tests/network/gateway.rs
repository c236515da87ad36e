//! `keepfast gateway-check`.

use lab::binary;
use lab::capture::Capture;
use lab::link;
use lab::require::{Need, require};
use lab::segment::BRIDGE;
use lab::workdir::WorkDir;
use std::fs;
use std::time::Duration;
use std::time::Instant;

use super::announcing::{MAC, Pair};

/// `keepfast gateway-check` with its state file.
struct Check<'a> {
    pair: &'a Pair,
    directory: WorkDir,
}

impl Check<'_> {
    /// Whether it says "healthy", and what it says.
    fn run(&self, gateways: &[&str]) -> (bool, String) {
        let mut command = self.pair.here.command(binary::path().to_str().unwrap());
        command
            .arg("gateway-check")
            .arg("--state-file")
            .arg(self.state_file());
        command.args(["--holder", "169.254.0.7%eth0"]);
        for gateway in gateways {
            command.args(["--gateway", gateway]);
        }
        let begin = Instant::now();
        let output = command.output().unwrap();
        let took = begin.elapsed();
        assert!(took < Duration::from_millis(1_500), "{took:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
        (output.status.success(), said)
    }

    fn state_file(&self) -> std::path::PathBuf {
        self.directory.file("gateway")
    }

    fn state(&self) -> Option<String> {
        fs::read_to_string(self.state_file()).ok()
    }
}

#[test]
fn the_gateway_check_answers_by_state_and_never_oscillates() {
    if !require(&[Need::Root, Need::Tool("tcpdump"), Need::Tool("tshark")]) {
        return;
    }
    let pair = Pair::new();
    let check = Check {
        pair: &pair,
        directory: WorkDir::new("check").unwrap(),
    };
    let live = ["192.0.2.2%eth0", "fe80::2%eth0", "2001:db8::2%eth0"];
    let state = |expected: Option<&str>| assert_eq!(check.state().as_deref(), expected);
    // A backup says yes, and sends nothing.
    let capture = Capture::start(pair.segment.switch(), BRIDGE, "arp or icmp6").unwrap();
    assert!(check.run(&["192.0.2.77%eth0"]).0);
    state(None);
    assert_eq!(capture.stop().unwrap().summary().unwrap(), "");
    // The primary asks.
    link::ip(&pair.here, "address add 169.254.0.7/24 dev eth0\n").unwrap();
    let (healthy, said) = check.run(&live);
    assert!(healthy, "{said}");
    state(Some("ok"));
    let (healthy, said) = check.run(&["192.0.2.2%eth0", "192.0.2.77%eth0"]);
    assert!(
        !healthy && said.contains("192.0.2.77%eth0 does not answer"),
        "{said}"
    );
    state(Some("failed"));
    // And so is primary no longer, but still asks, as nobody.
    link::ip(&pair.here, "address del 169.254.0.7/24 dev eth0\n").unwrap();
    let capture = Capture::start(pair.segment.switch(), BRIDGE, "arp").unwrap();
    assert!(!check.run(&["192.0.2.77%eth0"]).0);
    state(Some("failed"));
    let recording = capture.stop().unwrap();
    let asked = recording
        .fields("arp.opcode == 1", &["arp.src.proto_ipv4"])
        .unwrap();
    assert_eq!(asked, vec![vec!["0.0.0.0"]; 3]);
    let own = format!("eth.src == {MAC}");
    assert_eq!(recording.fields(&own, &["frame.number"]).unwrap().len(), 0);
    // Until they answer; then it is a backup like others.
    assert!(check.run(&live).0);
    state(Some("ok"));
    assert!(check.run(&["192.0.2.77%eth0"]).0);
    // An interface that is not there cannot reach anybody.
    link::ip(&pair.here, "address add 169.254.0.7/24 dev eth0\n").unwrap();
    let (healthy, said) = check.run(&["192.0.2.2%gone0"]);
    assert!(!healthy && said.contains("no such interface"), "{said}");
    state(Some("failed"));
    // A link in the place of the state file is replaced, not followed.
    let precious = check.directory.file("precious");
    fs::write(&precious, "precious").unwrap();
    fs::remove_file(check.state_file()).unwrap();
    std::os::unix::fs::symlink(&precious, check.state_file()).unwrap();
    assert!(check.run(&live).0);
    state(Some("ok"));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert!(fs::symlink_metadata(check.state_file()).unwrap().is_file());
}
