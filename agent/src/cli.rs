//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, value_parser};

use crate::config::command::ConfigArgs;
use crate::control::act::{DrainArgs, FailoverArgs, ShadowArgs};
use crate::control::command::RouterArgs;
use crate::events::EventsArgs;
use crate::keepalived::render::Gateway;
use crate::metrics::Listen;
use crate::postmortem::command::PostmortemArgs;
use crate::service::log;
use crate::service::teardown::TeardownArgs;
use crate::status::command::StatusArgs;
use crate::top::TopArgs;
use crate::{config, control};

/// Looks after VRRP routers by keepalived, and tells who is master of each, the
/// moment that changes.
///
/// `run` looks after declared routers. `watch` only listens, inside the kernel,
/// where keepalived (or any other VRRP router) advertises, and to ARP and neighbour
/// discovery for the gateways and virtual addresses: it sends nothing, drops nothing
/// and changes no address.
#[derive(Debug, Parser)]
#[command(
    name = "keepfast",
    version,
    after_help = "Exit status: 0 all went well, 1 failure, 64 wrong usage or bad input, \
                  77 a privilege is missing (root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Say more on stderr about what keepfast itself does; -vv adds debug lines
    /// of the kernel programs.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

impl Cli {
    /// How messages about keepfast itself are to be written.
    #[must_use]
    pub const fn log(&self) -> log::Format {
        match &self.command {
            Command::Run(args) => args.log,
            _ => log::Format::Text,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch the interfaces and print a line for every change, until interrupted.
    Watch(WatchArgs),
    /// Look after the declared routers: keepalived, state files, network, helpers.
    ///
    /// Ended or killed, it leaves all as it is, and takes it up when it starts again.
    Run(RunArgs),
    /// Say whether this host can be watched, and what would be in the way.
    Check(CheckArgs),
    /// Read a capture and print the lines that watching would have printed.
    ///
    /// Needs no privilege. Times are those of the capture. Adverts that the
    /// capturing host itself sent are told apart only where the capture says so:
    /// taken on the device "any", or as pcapng with packet directions.
    Replay(ReplayArgs),
    /// Print a router file for each instance of a keepalived that runs already.
    ///
    /// Reads its configuration and listens for adverts. What was heard, and where it
    /// differs, is printed as comments, and so is a router file for what no instance
    /// belongs to. Changes nothing and sends nothing.
    Discover(DiscoverArgs),
    /// Say how the daemon and its routers are.
    ///
    /// A router in fault is an answer, too: the exit status is 0.
    Status(StatusArgs),
    /// Show all routers and peers on the terminal, as they are right now.
    Top(TopArgs),
    /// Print what happened to the routers, from their event logs; needs no daemon.
    Events(EventsArgs),
    /// Have another host serve a router, now; says what outage that was.
    ///
    /// Exits with 1 if this host serves it still. One that preempts comes back.
    Failover(FailoverArgs),
    /// Move all routers to other hosts, and take none over until `keepfast undrain`.
    ///
    /// That stays so when the daemon or the host starts anew. A router that no other host
    /// takes over stays; the exit status is then 1.
    Drain(DrainArgs),
    /// End what `keepfast drain` began.
    Undrain(DrainArgs),
    /// Put an armed router into shadow, or end that; it stays so when the daemon starts
    /// anew.
    Shadow(ShadowArgs),
    /// Speak with the daemon (`keepfast run`) about its routers.
    Router(RouterArgs),
    /// Say what a failover was made of, and why there was one.
    ///
    /// Reads what the kernel programs keep and the event logs; needs no daemon.
    Postmortem(PostmortemArgs),
    /// Check router files, or print what they may contain.
    Config(ConfigArgs),
    /// Remove all routers of this host, with all that keepfast made for them, and end the
    /// daemon.
    ///
    /// keepalived resigns, so that other hosts take over. Without a daemon, what one left
    /// is removed. Declarations stay: a daemon that is started brings them about again.
    Teardown(TeardownArgs),
    /// Say whether the gateways of a router answer; keepalived runs this.
    ///
    /// Exits with 0 if all do, and if this host is not the primary and was not
    /// demoted because they did not. To be run in the router's namespace.
    GatewayCheck(GatewayCheckArgs),
}

/// Arguments of `keepfast watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Watch in this network namespace (a name as of `ip netns`); may be repeated.
    /// Without it: in the one where keepfast runs.
    #[arg(long, value_name = "NAME")]
    pub netns: Vec<String>,

    /// Watch only this interface; may be repeated. Without it: every Ethernet
    /// interface.
    #[arg(long, value_name = "NAME")]
    pub interface: Vec<String>,

    /// Watch this gateway's address too; may be repeated. The gateways of the
    /// routing table are watched anyway.
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Vec<IpAddr>,

    /// Print one JSON object per line instead of words.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `keepfast run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Where routers are declared, one TOML file each.
    #[arg(long, value_name = "DIRECTORY", default_value = config::DEFAULT_DIRECTORY)]
    pub routers: PathBuf,

    /// Where the routers' files are kept: configurations, states, event logs, pids.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/keepfast")]
    pub state: PathBuf,

    /// The control socket.
    #[arg(long, value_name = "PATH", default_value = control::DEFAULT_SOCKET)]
    pub socket: PathBuf,

    /// The group that may use the control socket, besides root.
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,

    /// The priority (SCHED_FIFO) of the thread that probes peers and takes over; 0:
    /// it is scheduled like everything else.
    #[arg(long, value_name = "0-99", default_value_t = crate::fast::standing::PRIORITY, value_parser = clap::value_parser!(u8).range(0..=99))]
    pub fast_priority: u8,

    /// Where metrics for Prometheus are to be had, by HTTP at /metrics; off: nowhere. Without a
    /// password: whoever reaches the address can read them.
    #[arg(long, value_name = "ADDRESS:PORT|off", default_value_t = Listen::Off)]
    pub metrics: Listen,

    /// Read all declarations as the daemon would, say what is wrong with them, and start
    /// nothing.
    #[arg(long)]
    pub check_config: bool,

    /// Take up what a daemon left, remove it and end (`keepfast teardown`).
    #[arg(long, hide = true)]
    pub tear_down: bool,

    /// How messages are written to stderr.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log: log::Format,
}

/// Arguments of `keepfast check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Check in this network namespace (a name as of `ip netns`) instead of where
    /// keepfast runs.
    #[arg(long, value_name = "NAME")]
    pub netns: Option<String>,

    /// Check only this interface; may be repeated. Without it: every Ethernet
    /// interface.
    #[arg(long, value_name = "NAME")]
    pub interface: Vec<String>,

    /// Print JSON instead of words.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `keepfast replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The capture: pcap or pcapng, as tcpdump, tshark and dumpcap write them.
    pub file: PathBuf,

    /// Watch this gateway's address too, on every interface; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Vec<IpAddr>,

    /// Print one JSON object per line instead of words.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `keepfast gateway-check`.
#[derive(Debug, Args)]
pub struct GatewayCheckArgs {
    /// Keep the outcome in this file until the next time.
    #[arg(long, value_name = "FILE")]
    pub state_file: PathBuf,

    /// The address that only the primary holds, and its interface.
    #[arg(long, value_name = "ADDRESS%INTERFACE")]
    pub holder: Gateway,

    /// A gateway, and the interface to ask it on; may be repeated.
    #[arg(long, value_name = "ADDRESS%INTERFACE")]
    pub gateway: Vec<Gateway>,
}

/// Arguments of `keepfast discover`.
#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// The configuration of keepalived. Without it:
    /// /etc/keepalived/keepalived.conf, if there is one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The network namespace (a name as of `ip netns`) that keepalived runs in.
    /// Without it: the one that its configuration names, or where keepfast runs.
    #[arg(long, value_name = "NAME")]
    pub netns: Option<String>,

    /// How long to listen for adverts; 0 does without, and without privileges.
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = value_parser!(u64).range(..=600))]
    pub listen: u64,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_may_be_repeated_and_verbosity_may_follow() {
        let cli = Cli::try_parse_from(
            "keepfast watch --netns a --netns b --interface eth0 --gateway fe80::1 -vv"
                .split_whitespace(),
        )
        .unwrap();
        assert_eq!(cli.verbose, 2);
        let Command::Watch(args) = cli.command else {
            panic!("{:?}", cli.command)
        };
        assert_eq!(args.netns, ["a", "b"]);
        assert_eq!(args.gateway, ["fe80::1".parse::<IpAddr>().unwrap()]);
    }
}
