//! Connections through a router that outlive its primary, by the real conntrackd.

use crate::{ELECTION, LIMIT, Stage, alone, has_address, named, wait_becomes, wait_started};
use lab::daemon::Daemon;
use lab::listener::Listener;
use lab::netns::Namespace;
use lab::process::{self, Process};
use lab::router::{Declaration, Host, PRIMARY};
use lab::wait;
use lab::workdir::WorkDir;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;

/// Sends a number and waits until it comes back, over TCP and UDP, for ever; says so each time.
const CLIENT: &str = r#"
import socket, sys, time
udp = sys.argv[1] == "udp"
s = socket.socket(type=socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
s.settimeout(0.2 if udp else 60)
s.connect(("198.51.100.1", 7))
n = 0
while True:
    n += 1
    want = b"%08d" % n
    try:
        s.send(want)
        got = s.recv(8)
    except TimeoutError:
        continue
    if got == want:
        print("back", n, flush=True)
    elif not udp:
        sys.exit("got %r" % got)
    time.sleep(0.02)
"#;

/// Sends back what comes.
const SERVER: &str = r#"
import socket, threading
u = socket.socket(type=socket.SOCK_DGRAM)
u.bind(("198.51.100.1", 7))
t = socket.create_server(("198.51.100.1", 7))
def datagrams():
    while True:
        u.sendto(*u.recvfrom(8))
threading.Thread(target=datagrams, daemon=True).start()
print("listening", flush=True)
c, _ = t.accept()
while data := c.recv(8):
    c.send(data)
"#;

/// A TCP and a UDP flow from the client to the gateway, through the router.
struct Flows {
    clients: [Process; 2],
    _server: Process,
    _directory: WorkDir,
}

impl Flows {
    fn start(stage: &Stage) -> Self {
        let directory = WorkDir::new("flows").unwrap();
        let python = |namespace: &Namespace, script: &str, argument: &str| {
            let mut command = namespace.command("python3");
            command.args(["-c", script, argument]);
            let log = directory.file(&format!("{argument}.log"));
            Process::start(argument, &mut command, &log).unwrap()
        };
        let mut server = python(&stage.topology.gateway, SERVER, "server");
        let listening = |log: &str| log.contains("listening").then_some(());
        server.wait_log("the server", LIMIT, listening).unwrap();
        let clients = ["tcp", "udp"].map(|kind| python(&stage.topology.client, CLIENT, kind));
        let mut flows = Self {
            clients,
            _server: server,
            _directory: directory,
        };
        flows.wait_more();
        flows
    }

    /// Waits until numbers come back that were sent from now on.
    fn wait_more(&mut self) {
        for client in &mut self.clients {
            let came = |log: &str| log.matches("back").count();
            let before = came(&client.log());
            client
                .wait_log("ten numbers to come back", ELECTION, |log| {
                    (came(log) >= before + 10).then_some(())
                })
                .unwrap();
        }
    }
}

/// Lets only those connections through that this host knows.
fn only_known(namespace: &Namespace) {
    let rules = "flush ruleset\ntable ip lab {\n chain forward {\n type filter hook forward \
                 priority 0;\n ct state new,invalid drop\n }\n}\n";
    let mut command = namespace.command("nft");
    process::output_with_input(command.args(["-f", "-"]), rules).unwrap();
}

/// Has the kernel track connections, and take none in the middle for a new one.
fn track(namespace: &Namespace) {
    let rules = "table ip lab {\n chain forward {\n type filter hook forward priority 0;\n \
                 ct state invalid counter\n }\n}\n";
    let mut command = namespace.command("nft");
    process::output_with_input(command.args(["-f", "-"]), rules).unwrap();
    let loose = "net.netfilter.nf_conntrack_tcp_loose=0";
    process::output(namespace.command("sysctl").args(["-q", "-w", loose])).unwrap();
}

/// The flows that a host's kernel knows.
fn known(namespace: &Namespace) -> usize {
    let listed = process::output(namespace.command("conntrack").arg("-L")).unwrap();
    let flows = listed.lines().filter(|line| {
        let to_server = line.contains("dst=198.51.100.1 ") && line.contains("dport=7 ");
        to_server && !line.contains("UNREPLIED")
    });
    flows.count()
}

/// The flows that a host would take over.
fn held(daemon: &Daemon) -> usize {
    let mut command = std::process::Command::new("conntrackd");
    command.arg("-C").arg(daemon.file("r", "conntrackd.conf"));
    // It goes to its own daemon by a socket, in whatever namespace.
    let listed = process::output(command.arg("-e")).unwrap_or_default();
    listed
        .lines()
        .filter(|line| line.contains("dport=7"))
        .count()
}

fn declaration(host: &Host, daemon: &Daemon) -> Declaration {
    Declaration {
        interval: Duration::from_millis(200),
        tables: "\n[conntrackd]\n".into(),
        ..Declaration::plain(host)
    }
    .telling(&daemon.directory().join("hook"))
}

#[test]
fn a22_connections_outlive_a_stop_a_crash_and_a_cut() {
    alone(&["conntrackd", "conntrack", "nft", "python3"], || {
        let mut stage = Stage::prepare(2, declaration);
        let listeners: Vec<_> = stage
            .daemons
            .iter()
            .map(|daemon| Listener::start(&daemon.directory().join("hook")).unwrap())
            .collect();
        for number in 0..2 {
            track(stage.namespace(number));
            stage.declare(number);
            wait_started(&stage.daemons[number], "r", "conntrackd");
        }
        let mut flows = Flows::start(&stage);
        for number in 0..2 {
            only_known(stage.namespace(number));
        }
        for (from, to, how) in [(0, 1, "stop"), (1, 0, "crash"), (0, 1, "cut")] {
            flows.wait_more();
            let next = &stage.daemons[to];
            wait::until("both flows at the other host", LIMIT, || {
                let held = held(next);
                if held == 2 {
                    Ok(())
                } else {
                    Err(format!("{held}"))
                }
            })
            .unwrap();
            let told = listeners[to].notices().unwrap().len();
            let before = next.events("r").unwrap().len();
            match how {
                "stop" => stage.daemons[from].delete("r").unwrap(),
                "crash" => {
                    let conntrackd = named(&stage.daemons[from], "conntrackd");
                    let daemon = &mut stage.daemons[from];
                    daemon.kill().unwrap();
                    for pid in conntrackd {
                        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
                    }
                    daemon.crash_keepalived("r").unwrap();
                    // A host that crashed answers nobody.
                    for port in [
                        &stage.topology.hosts[from].inner,
                        &stage.topology.hosts[from].outer,
                    ] {
                        port.cut().unwrap();
                    }
                }
                _ => stage.topology.hosts[from].ha.cut().unwrap(),
            }
            wait_becomes(&stage.daemons[to], before, "primary");
            let notices = listeners[to].wait(told + 1, ELECTION).unwrap();
            assert_eq!(notices[told].state, "primary");
            let known = known(stage.namespace(to));
            flows.wait_more();
            println!("A22: {how}: {known} flows known when primary was told");
            assert_eq!(known, 2);
            match how {
                "stop" => {
                    crate::wait_gone(&stage.daemons[from], "r");
                    stage.declare(from);
                }
                "crash" => {
                    for port in [
                        &stage.topology.hosts[from].inner,
                        &stage.topology.hosts[from].outer,
                    ] {
                        port.restore().unwrap();
                    }
                    stage.daemons[from].start().unwrap();
                    stage.wait_state(from, "backup");
                }
                _ => assert!(!has_address(stage.namespace(from), PRIMARY)),
            }
        }
    });
}

#[test]
fn a22_without_conntrackd_there_is_none() {
    alone(&[], || {
        let stage = Stage::start(1, |host, _| Declaration::plain(host));
        let daemon = &stage.daemons[0];
        assert_eq!(named(daemon, "conntrackd"), Vec::<i32>::new());
        assert!(!daemon.file("r", "conntrackd.conf").exists());
        let told = daemon.messages() + &format!("{:?}", daemon.events("r").unwrap());
        assert!(!told.to_lowercase().contains("conntrackd"), "{told}");
    });
}
