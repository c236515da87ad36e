//! 400 routers that change their state at once: when the last state file is right and the last
//! notification was received, by a listener as Neutron's agent has it, and whether all were.

use crate::attached::{self, Attached};
use crate::report::{Cell, Findings, Table, Target};
use crate::sight::{self, Sight};
use crate::spread::Spread;
use anyhow::{Context, Result, ensure};
use lab::clock;
use lab::listener::NeutronAgent;
use lab::workdir::WorkDir;
use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

const ROUTERS: usize = 400;
/// How often each router changes in a round, and how many such rounds there are.
const ROUNDS: [(usize, usize); 2] = [(1, 10), (3, 10)];
/// After this it is lost.
const LIMIT: Duration = Duration::from_secs(10);
/// Reading what the listener was told takes time that it needs too.
const PAUSE: Duration = Duration::from_millis(50);

/// Milliseconds from before the first change.
struct Round {
    /// Until the last address was changed.
    changed: f64,
    /// Until the last state file was written.
    written: f64,
    /// Until the last notification was received.
    told: f64,
}

pub(crate) fn measure() -> Result<Findings> {
    let mut storm = Storm::start()?;
    let mut rows = Vec::new();
    let mut worst: f64 = 0.0;
    let mut faults = Vec::new();
    for (changes, count) in ROUNDS {
        let mut rounds = Vec::new();
        for _ in 0..count {
            rounds.push(storm.round(changes)?);
            faults.extend(storm.faults()?);
        }
        let spread = |of: fn(&Round) -> f64| Spread::of(rounds.iter().map(of));
        let written = spread(|round| round.written)?;
        let told = spread(|round| round.told)?;
        if changes == 1 {
            worst = written.max.max(told.max);
        }
        let mut row = vec![Cell::count(changes), Cell::count(count)];
        let changed = spread(|round| round.changed)?;
        row.extend(
            [
                changed.p50,
                changed.max,
                written.p50,
                written.max,
                told.p50,
                told.max,
            ]
            .map(|value| Cell::Number(value, 1)),
        );
        rows.push(row);
    }
    attached::end(&storm.routers.daemon)?;
    Ok(Findings {
        tables: vec![Table {
            title: "400 routers change at once: from before the first change, a listener with a backlog of 5",
            columns: &[
                "changes each",
                "rounds",
                "changed p50 ms",
                "max",
                "last state file p50 ms",
                "max",
                "last notification p50 ms",
                "max",
            ],
            rows,
        }],
        targets: vec![Target {
            what: "400 state files and notifications of one change each",
            unit: "ms",
            measured: worst,
            limit: 1_000.0,
        }],
        faults,
    })
}

struct Storm {
    // Before the listener that its hooks tell.
    routers: Attached,
    agent: NeutronAgent,
    files: Receiver<Sight>,
    /// Whether all are primary.
    primary: bool,
    /// What each router's notifications should be.
    expected: Vec<&'static str>,
    _directory: WorkDir,
}

impl Storm {
    /// Starts the daemon, and waits until all are backups and told to be.
    fn start() -> Result<Self> {
        let directory = WorkDir::new("storm")?;
        let socket = directory.file("keepalived-state-change");
        let agent = NeutronAgent::start(&socket)?;
        let hook = format!(
            "[[hook]]\nname = \"agent\"\nneutron_socket = \"{}\"\n",
            socket.display()
        );
        let mut routers = Attached::new(ROUTERS, &hook)?;
        let (sink, files) = mpsc::channel();
        sight::files(&routers.directories(), sink)?;
        routers.daemon.start()?;
        routers.wait_watched()?;
        let storm = Self {
            routers,
            agent,
            files,
            primary: false,
            expected: vec!["backup"],
            _directory: directory,
        };
        storm.last_notification()?;
        storm.last_file()?;
        ensure!(
            storm.faults()?.is_empty(),
            "at the start: {:?}",
            storm.faults()?
        );
        Ok(storm)
    }

    /// Changes each router's state so many times; the changes of one are as close together as
    /// can be.
    fn round(&mut self, changes: usize) -> Result<Round> {
        let start = clock::monotonic_ns()?;
        for number in 0..ROUTERS {
            for change in 0..changes {
                self.routers
                    .set(number, self.primary == (change % 2 == 1))?;
            }
        }
        let changed = clock::monotonic_ns()?;
        for _ in 0..changes {
            self.primary = !self.primary;
            self.expected.push(self.state());
        }
        let since = |at_ns: u64| at_ns.saturating_sub(start) as f64 / 1e6;
        // Files are written before it is told of them.
        let told = since(self.last_notification()?);
        Ok(Round {
            changed: since(changed),
            written: since(self.last_file()?),
            told,
        })
    }

    const fn state(&self) -> &'static str {
        if self.primary { "primary" } else { "backup" }
    }

    /// When the last state file was written, of those since this was last asked.
    fn last_file(&self) -> Result<u64> {
        let mut written = vec![false; ROUTERS];
        let mut last = 0;
        for sight in self.files.try_iter() {
            *written.get_mut(sight.router).context("find the router")? = true;
            last = last.max(sight.at_ns);
        }
        let missing = written.iter().filter(|written| !**written).count();
        ensure!(missing == 0, "{missing} state files were not written");
        Ok(last)
    }

    /// Waits until there are as many notifications as there should be, or too much time is over.
    fn last_notification(&self) -> Result<u64> {
        let end = Instant::now() + LIMIT;
        loop {
            let notices = self.agent.notices()?;
            if notices.len() >= self.expected.len() * ROUTERS || Instant::now() > end {
                let times = notices.iter().map(|notice| notice.received_ns);
                return times.max().context("nothing was told");
            }
            thread::sleep(PAUSE);
        }
    }

    /// State files that are wrong, and routers of which something else was told than should be.
    fn faults(&self) -> Result<Vec<String>> {
        let mut faults = self.routers.wrong(|_| self.state())?;
        let mut told: HashMap<String, Vec<String>> = HashMap::new();
        let mut notices = self.agent.notices()?;
        // The listener has a thread for each connection.
        notices.sort_by_key(|notice| notice.received_ns);
        for notice in notices {
            told.entry(notice.router).or_default().push(notice.state);
        }
        for id in &self.routers.ids {
            let told = told.remove(id).unwrap_or_default();
            if told != self.expected {
                let count = (told.len(), self.expected.len());
                faults.push(format!("{id}: told {count:?} times: {told:?}"));
            }
        }
        Ok(faults)
    }
}
