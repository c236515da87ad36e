//! Routers that `keepfast run` looks after, each in a namespace of its own, whose keepalived is
//! played by this program: it adds and removes the primary address.

use crate::held;
use crate::network::{INTERFACE, Network};
use anyhow::{Context, Result};
use lab::addresses::Switch;
use lab::daemon::Daemon;
use lab::keepalived::{Config, Instance};
use lab::wait;
use nix::sys::signal::{Signal, kill};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

const PRIMARY: &str = "169.254.0.7/24";
const WATCHING: Duration = Duration::from_secs(120);
const ENDING: Duration = Duration::from_secs(120);
/// Looking through thousands of descriptors takes time that the daemon needs too.
const PAUSE: Duration = Duration::from_millis(20);

/// The routers and the daemon.
pub(crate) struct Attached {
    // Before the namespaces that it holds open.
    pub(crate) daemon: Daemon,
    pub(crate) ids: Vec<String>,
    pub(crate) network: Network,
    switches: Vec<Switch>,
}

impl Attached {
    /// Declares routers, all with these `[[hook]]` tables, to a daemon that is yet to start.
    pub(crate) fn new(count: usize, hooks: &str) -> Result<Self> {
        let daemon = Daemon::prepare("attached")?;
        let network = Network::new(count)?;
        let ids: Vec<String> = (0..count).map(|number| format!("r{number}")).collect();
        let configurations = daemon.directory().join("keepalived");
        fs::create_dir(&configurations).context("make a directory")?;
        for (number, (id, namespace)) in ids.iter().zip(&network.namespaces).enumerate() {
            let config = Config::from(Instance {
                interface: INTERFACE.into(),
                vrid: vrid(number),
                addresses: vec![PRIMARY.into()],
                ..Instance::default()
            });
            let file = configurations.join(id);
            fs::write(&file, config.to_string()).context("write a keepalived.conf")?;
            let toml = format!(
                "namespace = \"{}\"\n[attached]\nconfig_file = \"{}\"\ninstance = \"VI_1\"\n{hooks}",
                namespace.name(),
                file.display()
            );
            daemon.declare(id, &toml)?;
            // So that it can be watched before the daemon starts.
            let directory = daemon.state().join(id);
            fs::create_dir(directory).context("make a router's directory")?;
        }
        let switches = network
            .namespaces
            .iter()
            .map(|namespace| Switch::new(namespace, INTERFACE))
            .collect::<Result<_>>()?;
        Ok(Self {
            daemon,
            ids,
            network,
            switches,
        })
    }

    /// Adds or removes a router's primary address.
    pub(crate) fn set(&self, number: usize, primary: bool) -> Result<()> {
        let switch = self.switches.get(number).context("find the router")?;
        switch.set(PRIMARY, primary)
    }

    /// The routers' directories.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let state = self.daemon.state();
        self.ids.iter().map(|id| state.join(id)).collect()
    }

    /// The routers whose state file does not say what it should.
    pub(crate) fn wrong(&self, state: impl Fn(usize) -> &'static str) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for (number, id) in self.ids.iter().enumerate() {
            let (said, expected) = (self.daemon.state_file(id)?, state(number));
            if said != expected {
                wrong.push(format!("{id} says {said:?} in place of {expected}"));
            }
        }
        Ok(wrong)
    }

    /// Waits until the kernel programs watch all interfaces.
    pub(crate) fn wait_watched(&self) -> Result<()> {
        wait_watched(&self.daemon, self.ids.len())
    }
}

/// Waits until the kernel programs watch so many interfaces.
pub(crate) fn wait_watched(daemon: &Daemon, interfaces: usize) -> Result<()> {
    let pid = daemon.pid()?.as_raw().cast_unsigned();
    wait::until("all programs to be attached", WATCHING, || {
        thread::sleep(PAUSE);
        match held::links(pid) {
            // One for each direction.
            Ok(links) if links < 2 * interfaces => Err(format!("{links} links")),
            Ok(_) => Ok(Ok(())),
            Err(error) => Ok(Err(error)),
        }
    })?
}

/// Ends the daemon, and says how long that took: longer than a guard has patience for.
pub(crate) fn end(daemon: &Daemon) -> Result<Duration> {
    let pid = daemon.pid()?;
    let begin = Instant::now();
    kill(pid, Signal::SIGTERM).context("end the daemon")?;
    wait::until("the daemon's end", ENDING, || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.contains(") Z ") {
            Ok(())
        } else {
            Err(stat)
        }
    })?;
    Ok(begin.elapsed())
}

/// The virtual router identifier of the n-th router.
pub(crate) const fn vrid(number: usize) -> u8 {
    (number % 255) as u8 + 1
}
