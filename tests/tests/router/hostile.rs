//! What somebody else may have put where the daemon works: told, not followed.

use crate::{LIMIT, alone, wait_becomes};
use lab::daemon::Daemon;
use lab::router::{Declaration, Topology};
use lab::wait;
use lab::workdir::WorkDir;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;

/// What nobody may touch.
const PRECIOUS: &str = "precious";

/// A file and a directory that a link of somebody's leads to.
struct Victim(WorkDir);

impl Victim {
    fn new() -> Self {
        let directory = WorkDir::new("victim").unwrap();
        fs::write(directory.file("file"), PRECIOUS).unwrap();
        Self(directory)
    }

    /// It is as it was made.
    fn assert_whole(&self) {
        let names = fs::read_dir(self.0.path()).unwrap().count();
        let content = fs::read_to_string(self.0.file("file")).unwrap();
        assert_eq!((names, content.as_str()), (1, PRECIOUS));
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Waits until the daemon lists a problem that names all of this.
fn wait_problem(daemon: &Daemon, words: &[&str]) {
    wait::until(&format!("a problem with {words:?}"), LIMIT, || {
        let listed = daemon.list().map_err(|error| format!("{error:#}"))?;
        let problems = listed["problems"].as_array().into_iter().flatten();
        let fits = |problem: &&serde_json::Value| {
            let problem = problem.as_str().unwrap_or_default();
            words.iter().all(|word| problem.contains(word))
        };
        match problems.into_iter().find(fits) {
            Some(_) => Ok(()),
            None => Err(listed.to_string()),
        }
    })
    .unwrap();
}

#[test]
fn links_and_pipes_in_a_routers_directory_are_replaced_and_not_followed() {
    alone(&[], || {
        let topology = Topology::new(1).unwrap();
        let victim = Victim::new();
        let mut daemon = Daemon::prepare("daemon").unwrap();
        let declaration = Declaration::plain(&topology.hosts[0]);
        daemon.declare("r", &declaration.toml().unwrap()).unwrap();
        fs::create_dir(daemon.file("r", "")).unwrap();
        let file = victim.0.file("file");
        symlink(&file, daemon.file("r", "keepalived.conf")).unwrap();
        symlink(&file, daemon.file("r", ".state.new")).unwrap();
        mkfifo(&daemon.file("r", "state"), Mode::S_IRWXU).unwrap();
        symlink(&file, daemon.state().join("r.pid.keepalived-vrrp")).unwrap();
        daemon.start().unwrap();
        wait::until("an answer", LIMIT, || {
            let listed = daemon.list().map_err(|error| format!("{error:#}"))?;
            match listed["routers"].as_array().map(Vec::len) {
                Some(1) => Ok(()),
                _ => Err(listed.to_string()),
            }
        })
        .unwrap();
        wait::until("a state file", LIMIT, || {
            let kind = fs::symlink_metadata(daemon.file("r", "state"))
                .unwrap()
                .file_type();
            if kind.is_fifo() {
                Err("a pipe".into())
            } else {
                Ok(())
            }
        })
        .unwrap();
        victim.assert_whole();
        println!("hostile: {}", daemon.show("r").unwrap());
    });
}

#[test]
fn a_link_or_an_open_directory_in_place_of_a_routers_own_is_refused() {
    alone(&[], || {
        let topology = Topology::new(1).unwrap();
        let victim = Victim::new();
        let daemon = Daemon::new("daemon").unwrap();
        let declaration = Declaration::plain(&topology.hosts[0]);
        symlink(
            victim.0.path(),
            daemon.file("r", "").as_path().components().as_path(),
        )
        .unwrap();
        let refused = declaration.apply(&daemon).unwrap_err();
        println!("hostile: {refused:#}");
        assert!(format!("{refused:#}").contains("state/r"), "{refused:#}");
        victim.assert_whole();
        fs::remove_file(daemon.state().join("r")).unwrap();
        fs::create_dir(daemon.file("r", "")).unwrap();
        set_mode(&daemon.file("r", ""), 0o777);
        let refused = declaration.apply(&daemon).unwrap_err();
        println!("hostile: {refused:#}");
        assert!(format!("{refused:#}").contains("state/r"), "{refused:#}");
        set_mode(&daemon.file("r", ""), 0o755);
        declaration.apply(&daemon).unwrap();
        wait_becomes(&daemon, 0, "primary");

        for id in ["../r", "..", "a/b", "", ".r"] {
            let hostile = Declaration {
                id: id.into(),
                ..declaration.clone()
            };
            let refused = hostile.apply(&daemon).unwrap_err();
            let told = format!("{refused:#}");
            assert!(
                told.contains("exit status: 64") && told.contains("id"),
                "{told}"
            );
        }
    });
}

#[test]
fn directories_that_others_may_write_to_are_not_worked_in() {
    alone(&[], || {
        let topology = Topology::new(1).unwrap();
        let mut daemon = Daemon::prepare("daemon").unwrap();
        set_mode(&daemon.state(), 0o777);
        let refused = daemon.start().unwrap_err();
        println!("hostile: {refused:#}");
        let told = format!("{refused:#}") + &daemon.messages();
        assert!(told.contains("state") && told.contains("777"), "{told}");
        // What the failed start left of the guard.
        assert!(daemon.stop().is_err() || daemon.pid().is_err());
        set_mode(&daemon.state(), 0o755);
        set_mode(&daemon.routers(), 0o777);
        let toml = Declaration::plain(&topology.hosts[0]).toml().unwrap();
        daemon.declare("r", &toml).unwrap();
        daemon.start().unwrap();
        wait_problem(&daemon, &["routers"]);
        let listed = daemon.list().unwrap();
        assert_eq!(
            listed["routers"].as_array().map(Vec::len),
            Some(0),
            "{listed}"
        );
    });
}

#[test]
fn ten_files_that_declare_nothing_disturb_no_router() {
    alone(&[], || {
        let topology = Topology::new(1).unwrap();
        let victim = Victim::new();
        let mut daemon = Daemon::prepare("daemon").unwrap();
        let good = Declaration::plain(&topology.hosts[0]).toml().unwrap();
        daemon.declare("r", &good).unwrap();
        daemon.start().unwrap();
        wait_becomes(&daemon, 0, "primary");
        // It may be primary by its addresses before its adverts are seen.
        let is_told = |event: &serde_json::Value| event["event"] == "local_master";
        daemon
            .wait_event("r", 0, "its adverts", LIMIT, is_told)
            .unwrap();
        let pids = crate::keepalived(&daemon, "r");
        let events = daemon.events("r").unwrap().len();
        let vrid = |wrong: &str| good.replace("vrid = 7", wrong);
        let bad: [(&str, String); 7] = [
            ("syntax", "[vrrp\n".into()),
            ("zero", vrid("vrid = 0")),
            ("text", vrid("vrid = \"seven\"")),
            ("unknown", vrid("vrid = 8\nvrrid = 8")),
            ("priority", good.replace("priority = 100", "priority = 255")),
            ("address", good.replace("10.0.0.1/24", "10.0.0.1/33")),
            ("same", vrid("vrid = 7")),
        ];
        for (name, text) in &bad {
            let text = text.replace("id = \"r\"", &format!("id = \"{name}\""));
            daemon.declare(name, &text).unwrap();
        }
        let routers = daemon.routers();
        mkfifo(&routers.join("pipe.toml"), Mode::S_IRWXU).unwrap();
        symlink(victim.0.file("file"), routers.join("link.toml")).unwrap();
        fs::write(routers.join("latin.toml"), b"id = \"\xfc\"\n").unwrap();
        let names = bad.iter().map(|(name, _)| *name);
        for name in names.chain(["pipe", "link", "latin"]) {
            wait_problem(&daemon, &[&format!("{name}.toml")]);
        }
        println!("hostile: {}", daemon.list().unwrap()["problems"]);
        assert_eq!(daemon.keepalived("r").unwrap(), pids);
        assert_eq!(daemon.events("r").unwrap().len(), events);
        assert!(!daemon.list().unwrap().to_string().contains(PRECIOUS));
        victim.assert_whole();
    });
}
