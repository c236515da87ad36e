//! `keepfast status`: what it says is so, and is what its schema says.

use super::*;
use lab::workdir::WorkDir;
use std::fs;
use std::process::Command;

/// Checks documents against the schema that `keepfast status --schema` prints, by Python's
/// `jsonschema`, which shares no code with what made them.
fn check_schema(documents: &[&Value]) {
    let directory = WorkDir::new("schema").unwrap();
    let schema = directory.file("schema.json");
    let printed = lab::process::output(lab::binary::keepfast().args(["status", "--schema"]));
    fs::write(&schema, printed.unwrap()).unwrap();
    for (number, document) in documents.iter().enumerate() {
        let file = directory.file(&format!("{number}.json"));
        fs::write(&file, document.to_string()).unwrap();
        let mut validator = Command::new("jsonschema");
        lab::process::output(validator.arg("-i").arg(&file).arg(&schema)).unwrap();
    }
    // One that lacks something is refused, or the check says nothing.
    let mut spoilt = documents[0].clone();
    spoilt["daemon"]
        .as_object_mut()
        .unwrap()
        .remove("fallbacks");
    let file = directory.file("spoilt.json");
    fs::write(&file, spoilt.to_string()).unwrap();
    let mut validator = Command::new("jsonschema");
    lab::process::output(validator.arg("-i").arg(&file).arg(&schema)).unwrap_err();
}

#[test]
fn what_it_says_of_a_primary_and_its_backup_is_so() {
    alone(|| {
        let pair = Pair::armed();
        let primary = router(&pair.first);
        let backup = wait_router(&pair.second, "a gap between two adverts", |router| {
            !router["adverts"]["margin"].is_null()
        });
        for (router, state, this_host, pid) in [
            (&primary, "primary", true, &pair.first),
            (&backup, "backup", false, &pair.second),
        ] {
            assert_eq!(router["state"], state, "{router}");
            assert_eq!(router["published"], state);
            assert_eq!(router["last_transition"]["to"], state);
            assert!(router["last_transition"]["reason"].is_string());
            assert_eq!(router["note"], Value::Null);
            assert_eq!(router["vrid"], 7);
            assert_eq!(router["interface"], "ha-lab");
            assert_eq!(router["detection"]["by"], "native_xdp");
            assert_eq!(router["detection"]["fallbacks"], Value::Array(Vec::new()));
            let master = &router["master"];
            assert_eq!(master["this_host"], this_host);
            assert_eq!(master["address"], "169.254.192.1");
            assert_eq!(master["priority"], 100);
            assert_eq!(master["version"], 3);
            assert_eq!(master["phase"], "active");
            assert_eq!(router["adverts"]["interval_ms"], 1_000);
            assert_eq!(router["adverts"]["down_after_us"], 3_609_375);
            assert_eq!(router["fast_path"]["mode"], "armed");
            assert_eq!(router["fast_path"]["why_not"], Value::Null, "{router}");
            assert_eq!(router["keepalived"]["owner"], "managed");
            let [parent, _] = pid.keepalived("r").unwrap();
            assert_eq!(router["keepalived"]["pid"], parent.as_raw());
        }
        assert_eq!(primary["addresses_present"], primary["addresses_declared"]);
        assert_eq!(backup["addresses_present"], 0);
        let gap = backup["adverts"]["worst_gap_us"].as_u64().unwrap();
        assert!(gap > 900_000, "{gap}");
        let used = backup["adverts"]["margin"]["used"].as_f64().unwrap();
        assert!((used - gap as f64 / 3_609_375.0).abs() < 0.002, "{used}");
        let gateways = backup["gateways"].as_array().unwrap();
        assert!(
            gateways.iter().any(|it| it["address"] == "198.51.100.1"),
            "{gateways:?}"
        );
        let session = &backup["fast_path"]["session"];
        assert_eq!(session["peer"], "02:4b:46:00:00:01");
        assert!(session["answered"].as_u64().unwrap() > 0);
        let [first, second] = [&pair.first, &pair.second].map(|it| it.status().unwrap());
        assert_eq!(first["daemon"]["pid"], pair.first.pid().unwrap().as_raw());
        assert_eq!(first["daemon"]["kernel_programs"], true);
        assert_eq!(first["daemon"]["events_lost"], 0);
        check_schema(&[&first, &second]);
        let table = pair.second.ask(&["status"]).unwrap();
        assert!(table.contains("routers: 1 backup"), "{table}");
        let row = table.lines().last().unwrap();
        assert!(row.starts_with("r       backup"), "{table}");
        assert!(row.contains("169.254.192.1 (100)"), "{table}");
        let sections = pair.second.ask(&["status", "r"]).unwrap();
        assert!(
            sections.contains("\n  session         up with"),
            "{sections}"
        );
        let unknown = pair.second.ask(&["status", "other"]).unwrap_err();
        assert!(format!("{unknown:#}").contains("there is no router"));
    });
}

#[test]
fn a_lost_interface_and_a_taken_hook_are_told() {
    alone(|| {
        let topology = Topology::new(1).unwrap();
        let host = &topology.hosts[0];
        // It takes the one XDP hook that there is.
        let watcher = lab::watcher::Watcher::start(&[&host.namespace]).unwrap();
        let daemon = Daemon::new("fallen").unwrap();
        fast(host, "mode = \"shadow\"").apply(&daemon).unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        let told = wait_router(&daemon, "a watched interface", |router| {
            router["detection"]["by"] == "tc"
        });
        let why = told["detection"]["fallbacks"][0].as_str().unwrap();
        assert!(why.starts_with("XDP is taken by another program"), "{why}");
        assert_eq!(told["fast_path"]["declared"], "shadow");
        drop(watcher);
        host.ha.cut().unwrap();
        let told = wait_router(&daemon, "a fault", |router| router["state"] == "fault");
        assert_eq!(told["note"], "interface ha-lab is down");
        let reason = told["last_transition"]["reason"].as_str().unwrap();
        println!("the reason of the fault: {reason}");
        assert!(!reason.is_empty());
        let status = daemon.status().unwrap();
        check_schema(&[&status]);
        // It is an answer, not a failure.
        daemon.ask(&["status", "r"]).unwrap();
    });
}
