//! keepalived's priority raised by the file that a fast path has for it.

use crate::{LIMIT, Stage, alone, events, ms};
use keepfast::files::Dir;
use keepfast::keepalived::raise::{self, raise};
use lab::capture::{Capture, VRRP};
use lab::clock::monotonic_ns;
use lab::router::Declaration;
use lab::segment::BRIDGE;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

fn fast_path(declaration: Declaration, mode: &str) -> Declaration {
    Declaration {
        tables: format!("\n[fast_path]\nmode = \"{mode}\"\n"),
        interval: Duration::from_secs(1),
        ..declaration
    }
}

/// The priorities of the next adverts, those that are the same in a row once.
fn priorities(stage: &Stage, adverts: u64) -> Vec<String> {
    let mut capture = Capture::start(stage.topology.ha.switch(), BRIDGE, VRRP).unwrap();
    capture.wait_more(adverts, LIMIT).unwrap();
    let recording = capture.stop().unwrap();
    let rows = recording.fields("vrrp", &["vrrp.prio"]).unwrap();
    let mut priorities: Vec<_> = rows.iter().map(|row| row.concat()).collect();
    priorities.dedup();
    priorities
}

#[test]
fn a_fast_path_has_a_file_that_raises_keepalived_and_is_armed_without_a_reload() {
    alone(&[], || {
        let stage = Stage::start(1, |host, _| fast_path(Declaration::neutron(host), "shadow"));
        let daemon = &stage.daemons[0];
        let declaration = &stage.declarations[0];
        let file = daemon.file("r", raise::FILE);
        let conf = daemon.file("r", "keepalived.conf");
        let before = daemon.events("r").unwrap().len();
        assert_eq!(fs::read_to_string(&file).unwrap(), "0   \n");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o644);
        let named = format!("file \"{}\"", file.display());
        assert!(fs::read_to_string(&conf).unwrap().contains(&named));
        assert_eq!(priorities(&stage, 2), ["50"]);

        let folder = Dir::open(&daemon.file("r", "")).unwrap();
        let began_ns = monotonic_ns().unwrap();
        raise(&folder, 254).unwrap();
        let raised_ms = ms(began_ns, monotonic_ns().unwrap());
        println!("raise: written in {raised_ms:.3} ms");
        assert_eq!(priorities(&stage, 2), ["254"]);

        let inode = fs::metadata(&conf).unwrap().ino();
        fast_path(declaration.clone(), "armed")
            .apply(daemon)
            .unwrap();
        assert_eq!(priorities(&stage, 3), ["254"]);
        assert_eq!(events(daemon, before, "reloaded").len(), 0);
        assert_eq!(fs::metadata(&conf).unwrap().ino(), inode);

        // What another reload finds there it leaves there; without the fast path it goes.
        let mut more = fast_path(declaration.clone(), "armed");
        more.priority = 60;
        for (declaration, content, priority) in [
            (more, Some("254 \n"), "254"),
            (fast_path(declaration.clone(), "off"), None, "50"),
            (
                fast_path(declaration.clone(), "armed"),
                Some("0   \n"),
                "50",
            ),
        ] {
            let before = daemon.events("r").unwrap().len();
            declaration.apply(daemon).unwrap();
            let reloaded = |event: &serde_json::Value| event["event"] == "reloaded";
            daemon
                .wait_event("r", before, "the reload", LIMIT, reloaded)
                .unwrap();
            assert_eq!(fs::read_to_string(&file).ok().as_deref(), content);
            let seen = priorities(&stage, 2);
            assert_eq!(seen.last().map(String::as_str), Some(priority), "{seen:?}");
        }
        assert_eq!(daemon.state_file("r").unwrap(), "primary");
    });
}
