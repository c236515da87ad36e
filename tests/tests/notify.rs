//! Hooks against a listener as Neutron's agent has it: `socketserver.ThreadingUnixStreamServer`,
//! with its backlog of 5.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keepfast::config::{Hook, HookTarget};
use keepfast::engine::Published;
use keepfast::notify::{HookStatus, Notifier, Shared, Transition};
use lab::process::Process;
use lab::require::{Need, require};
use lab::workdir::WorkDir;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

/// Where it listens, and the router that it is slow to answer, as arguments; says `ready`, and
/// then each router and its state.
const LISTENER: &str = r#"
import socketserver, sys, time

REPLY = (b"HTTP/1.1 200 OK\nContent-Type: text/plain; charset=UTF-8\n"
         b"Connection: close\nContent-Location': http://127.0.0.1/")

class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        request = self.request.recv(4096).decode()
        assert request.startswith("POST / HTTP/1.1\r\n") and request.endswith("\r\n\r\n"), request
        lines = request.split("\r\n")[1:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        router = headers["X-Neutron-Router-Id"]
        if router == sys.argv[2]:
            time.sleep(1)
        sys.stdout.write("%s %s\n" % (router, headers["X-Neutron-State"]))
        sys.stdout.flush()
        self.request.sendall(REPLY)

class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

assert Server.request_queue_size == 5
with Server(sys.argv[1], Handler) as server:
    print("ready", flush=True)
    server.serve_forever()
"#;

const NEEDS: [Need; 1] = [Need::Tool("python3")];

/// As many routers as a network node has.
const ROUTERS: u64 = 400;

/// Within which all must be told.
const ALL_TOLD: Duration = Duration::from_secs(1);

const LIMIT: Duration = Duration::from_secs(20);

/// A listener, its socket's directory, and what it took.
struct Listener {
    process: Process,
}

impl Listener {
    fn start(directory: &WorkDir, slow: &str) -> Self {
        let mut command = Command::new("python3");
        command.arg("-c").arg(LISTENER);
        command.arg(directory.file("socket")).arg(slow);
        let log = directory.file("log");
        let mut process = Process::start("listener", &mut command, &log).unwrap();
        process
            .wait_log("its being ready", LIMIT, |log| {
                log.starts_with("ready\n").then_some(())
            })
            .unwrap();
        Self { process }
    }

    /// The states that each router told, in order.
    fn taken(&self) -> BTreeMap<String, Vec<String>> {
        let mut taken: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in self.process.log().lines().skip(1) {
            let (router, state) = line.split_once(' ').unwrap();
            taken
                .entry(router.to_owned())
                .or_default()
                .push(state.to_owned());
        }
        taken
    }
}

/// A router that has one hook.
struct Router {
    name: String,
    notifier: Notifier,
    told: u64,
}

impl Router {
    fn new(number: u64, socket: &Path, shared: &Shared) -> Self {
        let name = format!("router-{number}");
        let hook = Hook {
            name: "neutron".to_owned(),
            target: HookTarget::NeutronSocket(socket.to_owned()),
            timeout: Duration::from_secs(5),
            settle: Duration::ZERO,
        };
        let notifier = Notifier::new(&name.parse().unwrap(), &[hook], shared);
        Self {
            name,
            notifier,
            told: 0,
        }
    }

    fn tell(&mut self, state: Published) {
        self.told += 1;
        self.notifier.tell(Transition {
            router: self.name.as_str().into(),
            state,
            sequence: self.told,
            at: "2026-03-04T05:06:07Z".parse().unwrap(),
            reason: String::new(),
            previous: None,
        });
    }

    fn status(&self) -> HookStatus {
        self.notifier.status().remove(0)
    }
}

fn routers(directory: &WorkDir) -> Vec<Router> {
    let shared = Shared::default();
    let socket = directory.file("socket");
    let numbers = 0..ROUTERS;
    numbers
        .map(|number| Router::new(number, &socket, &shared))
        .collect()
}

/// Waits until nothing is on its way any more, and returns how long that took.
async fn all_told(routers: &[Router]) -> Duration {
    let start = Instant::now();
    while routers.iter().any(|router| router.status().pending != 0) {
        assert!(start.elapsed() < LIMIT);
        sleep(Duration::from_millis(2)).await;
    }
    start.elapsed()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a5_four_hundred_routers_at_once_overwhelm_no_backlog_of_five() {
    if !require(&NEEDS) {
        return;
    }
    let directory = WorkDir::new("notify").unwrap();
    let listener = Listener::start(&directory, "");
    runtime().block_on(async {
        let mut routers = routers(&directory);
        for router in &mut routers {
            router.tell(Published::Primary);
        }
        let took = all_told(&routers).await;
        println!("{ROUTERS} routers told within {took:?}");
        assert!(took < ALL_TOLD, "{took:?}");
        // And as often as they like.
        for router in &mut routers {
            router.tell(Published::Backup);
            router.tell(Published::Primary);
            router.tell(Published::Backup);
        }
        let took = all_told(&routers).await;
        println!("{} transitions told within {took:?}", 3 * ROUTERS);
        for router in &routers {
            let status = router.status();
            assert_eq!((status.delivered, status.failed, status.skipped), (4, 0, 0));
        }
    });
    let taken = listener.taken();
    assert_eq!(taken.len() as u64, ROUTERS);
    for (router, states) in taken {
        let expected = ["primary", "backup", "primary", "backup"];
        assert_eq!(states, expected, "{router}");
    }
}

#[test]
fn a6_an_agent_that_is_back_gets_exactly_the_newest_state_of_each_router() {
    if !require(&NEEDS) {
        return;
    }
    let directory = WorkDir::new("notify").unwrap();
    runtime().block_on(async {
        let mut routers = routers(&directory);
        for state in [Published::Primary, Published::Backup, Published::Primary] {
            for router in &mut routers {
                router.tell(state);
            }
            while routers
                .iter()
                .any(|router| router.status().failed < router.told)
            {
                sleep(Duration::from_millis(2)).await;
            }
        }
        let listener = Listener::start(&directory, "");
        let took = all_told(&routers).await;
        println!("{ROUTERS} routers told within {took:?} of the agent's return");
        assert!(took < ALL_TOLD * 2, "{took:?}");
        let taken = listener.taken();
        assert_eq!(taken.len() as u64, ROUTERS);
        assert!(
            taken.values().all(|states| states == &["primary"]),
            "{taken:?}"
        );
        for router in &routers {
            let status = router.status();
            assert_eq!((status.delivered, status.skipped), (1, 2));
        }
    });
}

#[test]
fn a_handler_that_is_slow_for_one_router_delays_no_other() {
    if !require(&NEEDS) {
        return;
    }
    let directory = WorkDir::new("notify").unwrap();
    let _listener = Listener::start(&directory, "router-0");
    runtime().block_on(async {
        let mut routers = routers(&directory);
        for router in &mut routers {
            router.tell(Published::Primary);
        }
        let slow = routers.remove(0);
        let took = all_told(&routers).await;
        assert!(took < ALL_TOLD, "{took:?}");
        assert_eq!(slow.status().pending, 1);
        all_told(&[slow]).await;
    });
}
