//! Two hosts with a service manager each, on one segment with a client, and all that their
//! operator types, with what is answered.

use super::LIMIT;
use super::container::Container;
use lab::link;
use lab::netns::Namespace;
use lab::prober::Prober;
use lab::process::{self, Process};
use lab::segment::{BRIDGE, Segment};
use lab::wait;
use lab::workdir::WorkDir;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What was typed, and what was answered.
#[derive(Default)]
pub(super) struct Transcript(RefCell<String>);

impl Transcript {
    /// A sentence between commands.
    pub(super) fn tell(&self, sentence: &str) {
        self.add(&format!("\n# {sentence}\n"));
    }

    fn add(&self, text: &str) {
        print!("{text}");
        self.0.borrow_mut().push_str(text);
    }

    /// Puts it into a file.
    pub(super) fn save(&self, file: &Path) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, &*self.0.borrow()).unwrap();
    }
}

/// The network of both hosts.
pub(super) struct Site {
    segment: Segment,
    client: Namespace,
}

impl Site {
    pub(super) fn new() -> Self {
        let segment = Segment::new("switch").unwrap();
        let client = Namespace::new("client").unwrap();
        segment
            .attach(&client, "eth0", &["192.0.2.100/24"])
            .unwrap();
        Self { segment, client }
    }

    /// A client that asks this virtual address from now on, and is answered.
    pub(super) fn asks(&self, address: &str) -> Prober {
        let prober = Prober::start(&self.client, address.parse().unwrap()).unwrap();
        prober.wait_answers(10, LIMIT).unwrap();
        prober
    }

    /// Boots a host with this address on eth0.
    pub(super) fn host<'a>(
        &'a self,
        name: &'static str,
        address: &str,
        transcript: &'a Transcript,
    ) -> Host<'a> {
        let system = Container::boot();
        let mut lines = String::new();
        writeln!(
            lines,
            "link add port-{name} type veth peer name eth0 netns {}\nlink set port-{name} master {BRIDGE} up",
            system.leader()
        )
        .unwrap();
        link::ip(self.segment.switch(), &lines).unwrap();
        system.sh(&format!(
            "hostname {name}; ip link set eth0 up; ip address add {address} dev eth0"
        ));
        Host {
            name,
            system,
            site: self,
            transcript,
        }
    }
}

/// A host, and its operator.
pub(super) struct Host<'a> {
    name: &'static str,
    pub(super) system: Container,
    site: &'a Site,
    transcript: &'a Transcript,
}

impl Host<'_> {
    /// Types a command that must succeed; what it says.
    pub(super) fn types(&self, command: &str) -> String {
        self.types_with(command, 0)
    }

    /// The same of one that ends with this exit status.
    pub(super) fn types_with(&self, command: &str, status: i32) -> String {
        let answer = self.ask(command);
        self.note(command, &answer.text);
        assert_eq!(answer.status, status, "{command}: {}", answer.text);
        answer.text
    }

    /// Types it until it says all of these.
    pub(super) fn types_until(&self, command: &str, wanted: &[&str], limit: Duration) -> String {
        let answer = wait::until(command, limit, || {
            let answer = self.ask(command);
            let all = wanted.iter().all(|it| answer.text.contains(it));
            if answer.status == 0 && all {
                Ok(answer.text)
            } else {
                Err(answer.text)
            }
        });
        let answer = answer.unwrap();
        self.note(command, &answer);
        answer
    }

    /// Writes a file by a command.
    pub(super) fn writes(&self, file: &str, text: &str) {
        self.types(&format!("cat >{file} <<'END'\n{text}END"));
    }

    /// Has a shell of the machine, in this host's network, do it: the host has no such programs.
    pub(super) fn types_beside(&self, command: &str) -> String {
        let answer = self.ask_beside(command).unwrap();
        self.note(command, &answer);
        answer
    }

    /// The same until it says all of these.
    pub(super) fn types_beside_until(&self, command: &str, wanted: &[&str]) {
        let answer = wait::until(command, LIMIT, || {
            let answer = self.ask_beside(command)?;
            let all = wanted.iter().all(|it| answer.contains(it));
            if all { Ok(answer) } else { Err(answer) }
        });
        self.note(command, &answer.unwrap());
    }

    /// Takes the power from its port of the switch, or gives it back.
    pub(super) fn power(&self, on: bool) {
        let state = if on { "up" } else { "down" };
        let line = format!("link set port-{} {state}\n", self.name);
        link::ip(self.site.segment.switch(), &line).unwrap();
    }

    /// A Prometheus on the host's loopback, with the package's rules.
    pub(super) fn prometheus(&self) -> (Process, WorkDir) {
        let directory = WorkDir::new("prometheus").unwrap();
        let rules = "usr/share/doc/keepfast/prometheus/keepfast.rules.yml";
        let text = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n  - job_name: keepfast\n    \
             static_configs: [{{targets: [\"127.0.0.1:19112\"]}}]\n",
            self.system.file(rules).display()
        );
        let configuration = directory.file("prometheus.yml");
        fs::write(&configuration, text).unwrap();
        let mut command: Command = self.system.beside("prometheus");
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.file("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:9090")
            .current_dir(directory.path());
        let process = Process::start("prometheus", &mut command, &directory.file("log")).unwrap();
        (process, directory)
    }

    fn ask(&self, command: &str) -> Answer {
        let script = format!("exec 2>&1\nset +e\n(\n{command}\n)\necho \"exit $?\"");
        let told = self.system.sh(&script);
        let (text, status) = told.trim_end().rsplit_once("exit ").unwrap();
        Answer {
            text: text.to_owned(),
            status: status.parse().unwrap(),
        }
    }

    fn ask_beside(&self, command: &str) -> Result<String, String> {
        let mut shell = self.system.beside("sh");
        let script = format!("exec 2>&1\n{command}");
        process::output(shell.args(["-ec", &script])).map_err(|error| format!("{error:#}"))
    }

    fn note(&self, command: &str, answer: &str) {
        self.transcript
            .add(&format!("{}# {command}\n{answer}", self.name));
    }
}

struct Answer {
    text: String,
    status: i32,
}
