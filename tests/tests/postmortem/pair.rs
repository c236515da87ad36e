//! Two hosts that look after a router, and what its post-mortems say.

use anyhow::{Context, Result};
use lab::binary;
use lab::daemon::Daemon;
use lab::netns::Namespace;
use lab::prober::Prober;
use lab::process;
use lab::router::{Declaration, Host, INNER, Topology};
use lab::wait;
use serde_json::Value;
use std::time::Duration;

/// How long something may take that is not a takeover.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Two hosts with a daemon each that look after the router "r": the first one is the primary.
pub(crate) struct Pair {
    // Before what they look after.
    pub(crate) daemons: [Daemon; 2],
    pub(crate) topology: Topology,
}

impl Pair {
    /// Both armed, and asking their gateways.
    pub(crate) fn start() -> Self {
        let topology = Topology::new(2).unwrap();
        let pair = Self {
            daemons: ["first", "second"].map(|role| Daemon::new(role).unwrap()),
            topology,
        };
        for host in 0..2 {
            forward(&pair.host(host).namespace).unwrap();
            declare(pair.host(host)).apply(pair.daemon(host)).unwrap();
            let state = if host == 0 { "primary" } else { "backup" };
            pair.daemon(host).wait_state("r", state, LIMIT).unwrap();
        }
        pair
    }

    pub(crate) fn host(&self, number: usize) -> &Host {
        &self.topology.hosts[number]
    }

    pub(crate) fn daemon(&self, number: usize) -> &Daemon {
        &self.daemons[number]
    }

    /// Waits until these hosts are what they are called, and the backup would take over.
    pub(crate) fn wait_ready(&self, primary: usize, backup: usize) {
        let (primary, backup) = (self.daemon(primary), self.daemon(backup));
        primary.wait_state("r", "primary", LIMIT).unwrap();
        backup.wait_state("r", "backup", LIMIT).unwrap();
        for (daemon, word, wanted) in [
            (backup, "session", Value::from("up")),
            (primary, "heirs", 1.into()),
            (primary, "doing", "idle".into()),
            (backup, "doing", "idle".into()),
        ] {
            wait::until(&format!("the {word} {wanted}"), LIMIT, || {
                let shown = daemon.show("r").map_err(|error| format!("{error:#}"))?;
                let fast_path = &shown["fast_path"];
                let right = fast_path[word] == wanted;
                right.then_some(()).ok_or_else(|| fast_path.to_string())
            })
            .unwrap();
        }
    }

    /// A client of what is behind the router, all of whose probes are answered so far.
    pub(crate) fn client(&self) -> Prober {
        let gateway = "198.51.100.1".parse().unwrap();
        // More often, and a capture of a busy machine may have holes.
        let period = Duration::from_millis(2);
        let prober = Prober::start_every(&self.topology.client, gateway, period).unwrap();
        prober.wait_answers(50, LIMIT).unwrap();
        prober
    }
}

/// With an advert every second, armed, and asking its gateway every 10 ms.
fn declare(host: &Host) -> Declaration {
    Declaration {
        interval: Duration::from_secs(1),
        vrrp: format!("track_interfaces = [\"{INNER}\"]\n"),
        tables: "\n[fast_path]\nmode = \"armed\"\ngateway_interval = \"10ms\"\n\
                 gateway_multiplier = 3\n"
            .to_owned(),
        ..Declaration::plain(host)
    }
}

fn forward(namespace: &Namespace) -> Result<()> {
    namespace.run(|| Ok(std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?))
}

/// What `keepfast postmortem r` prints of a daemon's router, with these options.
pub(crate) fn postmortem(daemon: &Daemon, options: &[&str]) -> Result<String> {
    let mut command = binary::keepfast();
    command
        .args(["postmortem", "r", "--state"])
        .arg(daemon.state());
    process::output(command.args(options))
}

/// The same as JSON.
pub(crate) fn report(daemon: &Daemon, options: &[&str]) -> Result<Value> {
    let options = [&["--json"], options].concat();
    let printed = postmortem(daemon, &options)?;
    serde_json::from_str(&printed).with_context(|| format!("read {printed}"))
}
