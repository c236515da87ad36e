//! A port of a switch that loses chosen frames in chosen directions, and soon after no more.

use crate::segment::Port;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// All frames, in the language of nft.
pub const ALL: &str = "";
/// Probes of liveness, and what answers them.
pub const PROBES: &str = "udp dport 3785";
/// Adverts that are meant for one host, by which a living master is made to advertise.
pub const SOLICITATIONS: &str = "ether daddr != 01:00:5e:00:00:12 ip protocol 112";

/// Which way a frame goes through a port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// From the host into the switch.
    FromHost,
    /// From the switch to the host.
    ToHost,
}

/// What makes one port lose frames; the carrier stays.
///
/// It is an `nft` that is kept running: to start one takes longer than most faults last.
#[derive(Debug)]
pub struct Fault {
    nft: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The table in which its rules are.
    table: String,
}

impl Fault {
    /// Prepares a port, which loses nothing yet.
    ///
    /// # Errors
    /// When there is no `nft`, or the kernel cannot filter at an interface.
    pub fn new(port: &Port) -> Result<Self> {
        let mut command = port.switch().command("nft");
        command.arg("-i").stdin(Stdio::piped());
        let mut nft = command
            .stdout(Stdio::piped())
            .spawn()
            .context("start nft")?;
        let answers = nft.stdout.take().context("read what nft says")?;
        let (commands, table) = (nft.stdin.take(), format!("netdev {}", port.interface()));
        let mut fault = Self {
            nft,
            commands,
            answers: BufReader::new(answers),
            table,
        };
        let (table, port) = (&fault.table, port.interface());
        let chain = |name: &str, hook: &str| {
            format!(
                "add chain {table} {name} {{ type filter hook {hook} device {port} priority 0; }}"
            )
        };
        let lines = [
            format!("add table {table}"),
            chain("from", "ingress"),
            chain("to", "egress"),
        ];
        fault.run(&lines, 0)?;
        Ok(fault)
    }

    /// Has the port lose these frames, in the language of nft, until [`Fault::heal`].
    ///
    /// # Errors
    /// When nft does not do it; it has printed why.
    pub fn lose(&mut self, frames: &[(Way, &str)]) -> Result<()> {
        let rule = |(way, frames): &(Way, &str)| {
            let chain = match way {
                Way::FromHost => "from",
                Way::ToHost => "to",
            };
            format!("add rule {} {chain} {frames} drop", self.table)
        };
        let rules: Vec<_> = frames.iter().map(rule).collect();
        // In one line they come into force together.
        self.run(&[rules.join("; ")], rules.len())
    }

    /// Has the port lose nothing any more.
    ///
    /// # Errors
    /// When nft does not do it; it has printed why.
    pub fn heal(&mut self) -> Result<()> {
        self.run(&[format!("flush table {}", self.table)], 0)
    }

    /// Has nft do it, and waits until there are so many rules.
    fn run(&mut self, lines: &[String], rules: usize) -> Result<()> {
        let commands = self.commands.as_mut().context("nft was told to end")?;
        // It does one after the other: when it has listed the table, all is done.
        let asked = format!("{}\nlist table {}\n", lines.join("\n"), self.table);
        commands.write_all(asked.as_bytes()).context("tell nft")?;
        let mut listed = String::new();
        while !listed.ends_with("\n}\n") {
            let read = self.answers.read_line(&mut listed).context("hear nft")?;
            ensure!(read > 0, "nft has ended, having listed {listed}");
        }
        let there = listed.lines().filter(|line| line.ends_with("drop")).count();
        ensure!(there == rules, "{there} rules instead of {rules}: {listed}");
        Ok(())
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // It ends when there is nothing more to read.
        drop(self.commands.take());
        if let Err(error) = self.nft.wait() {
            eprintln!("end nft: {error}");
        }
    }
}
