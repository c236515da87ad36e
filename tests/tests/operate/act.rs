//! Handing over, draining and shadow, with two hosts.

use super::*;
use lab::prober::{PERIOD, Prober};
use lab::router::HA;
use std::fs;

/// How long a router that is handed over may keep a client waiting; it is 2 to 5 ms on a machine
/// of one's own.
const SOON: Duration = Duration::from_millis(50);

/// A client of the virtual address, all of whose probes are answered so far.
fn client(topology: &Topology) -> Prober {
    let prober = Prober::start(&topology.client, "10.0.0.1".parse().unwrap()).unwrap();
    prober.wait_answers(200, LIMIT).unwrap();
    prober
}

/// For how long those probes were sent that never were answered. Unlike the longest time between
/// two answers this leaves out that of a machine which was too busy to ask.
fn unanswered(prober: Prober) -> Duration {
    prober.wait_answers(200, LIMIT).unwrap();
    PERIOD * u32::try_from(prober.stop().unwrap().lost()).unwrap()
}

fn raise(daemon: &Daemon) -> String {
    fs::read_to_string(daemon.file("r", "raise"))
        .unwrap()
        .trim()
        .to_owned()
}

/// What a command says that fails.
fn refused(daemon: &Daemon, arguments: &[&str]) -> String {
    let mut command = lab::binary::keepfast();
    command.args(arguments).arg("--socket").arg(daemon.socket());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let [said, wrong] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    said + &wrong
}

#[test]
fn a_router_is_failed_over_and_the_outage_told() {
    alone(|| {
        let pair = Pair::armed();
        let prober = client(&pair.topology);
        let said = pair.first.ask(&["failover", "r"]).unwrap();
        print!("{said}");
        assert!(
            said.starts_with("r: moved to 169.254.192.2 within "),
            "{said}"
        );
        assert!(said.contains("outage seen from here: "), "{said}");
        // It has ended when the answer comes.
        assert_eq!(router(&pair.first)["state"], "backup");
        assert_eq!(router(&pair.second)["state"], "primary");
        let outage = unanswered(prober);
        println!("client: {outage:?}");
        assert!(outage < SOON, "{outage:?}");
        let said = refused(&pair.first, &["failover", "r"]);
        assert!(said.contains("router r is not primary here"), "{said}");
        assert!(pair.first.messages().contains("fail over \"r\" for uid 0"));
        // Nobody is left who could.
        pair.topology.hosts[0].ha.cut().unwrap();
        let prober = client(&pair.topology);
        wait_router(&pair.second, "no heir", |it| it["fast_path"]["heirs"] == 0);
        let said = refused(&pair.second, &["failover", "r"]);
        assert!(
            said.contains("stays primary here: no backup took over"),
            "{said}"
        );
        assert!(unanswered(prober) < SOON);
    });
}

#[test]
fn a_drained_host_gives_all_away_takes_none_and_remembers() {
    alone(|| {
        let mut pair = Pair::armed();
        let prober = client(&pair.topology);
        let said = pair.first.ask(&["drain"]).unwrap();
        print!("{said}");
        assert!(said.contains("r: moved to 169.254.192.2 within "), "{said}");
        let outage = unanswered(prober);
        println!("client: {outage:?}");
        assert!(outage < SOON, "{outage:?}");
        assert_eq!(raise(&pair.first), "-253");
        pair.first.restart().unwrap();
        let told = wait_router(&pair.first, "a session that is up", |router| {
            router["fast_path"]["session"]["phase"] == "up"
        });
        assert_eq!(told["drained"], true);
        assert_eq!(told["fast_path"]["why_not"], "this host is drained");
        assert_eq!(raise(&pair.first), "-253");
        // It is no heir, and does not take over what another one gives up.
        wait_router(&pair.second, "no heir", |it| it["fast_path"]["heirs"] == 0);
        let said = refused(&pair.second, &["failover", "r"]);
        assert!(said.contains("no backup took over"), "{said}");
        assert_eq!(pair.second.state_file("r").unwrap(), "primary");
        // As long as another one lives, however low its priority is.
        let said = pair.first.ask(&["undrain"]).unwrap();
        assert!(
            said.ends_with("undrained: this host takes over again\n"),
            "{said}"
        );
        wait::until("the priority as it was", LIMIT, || {
            match raise(&pair.first) {
                it if it == "0" => Ok(()),
                other => Err(other),
            }
        })
        .unwrap();
        pair.ready(2);
        pair.second.ask(&["failover", "r"]).unwrap();
        assert_eq!(router(&pair.first)["state"], "primary");
        let said = pair.first.ask(&["undrain"]).unwrap();
        assert_eq!(said, "this host was not drained\n");
    });
}

#[test]
fn a_lone_host_that_is_drained_stays_primary() {
    alone(|| {
        for tables in ["", "\n[fast_path]\nmode = \"armed\"\n"] {
            let topology = Topology::new(1).unwrap();
            let daemon = Daemon::new("lone").unwrap();
            let declaration = Declaration {
                tables: tables.to_owned(),
                interval: Duration::from_secs(1),
                ..Declaration::plain(&topology.hosts[0])
            };
            declaration.apply(&daemon).unwrap();
            daemon.wait_state("r", "primary", LIMIT).unwrap();
            wait_router(&daemon, "its adverts", |it| {
                it["adverts"]["sent"] != Value::Null
            });
            let prober = client(&topology);
            let said = refused(&daemon, &["drain"]);
            println!("{said}");
            assert!(said.contains("1 of 1 routers stay"), "{said}");
            assert!(
                said.contains("r: stays primary here: no other host took over"),
                "{said}"
            );
            assert_eq!(daemon.state_file("r").unwrap(), "primary");
            assert!(unanswered(prober) < SOON);
            daemon.ask(&["undrain"]).unwrap();
            assert_eq!(daemon.status().unwrap()["daemon"]["drained"], false);
        }
    });
}

#[test]
fn without_a_fast_path_keepalived_is_stopped_once_another_host_is_there() {
    alone(|| {
        let mut pair = Pair::start(|host| Declaration {
            interval: Duration::from_secs(1),
            ..Declaration::plain(host)
        });
        wait_router(&pair.first, "its adverts", |it| {
            it["adverts"]["sent"] != Value::Null
        });
        let prober = client(&pair.topology);
        let said = pair.first.ask(&["drain"]).unwrap();
        print!("{said}");
        assert!(said.contains("r: moved to 169.254.192.2 within "), "{said}");
        let outage = unanswered(prober);
        println!("client: {outage:?}");
        // The skew of its priority, 0.6 s.
        assert!(outage < Duration::from_secs(2), "{outage:?}");
        let stopped = |router: &Value| router["keepalived"]["phase"] == "stopped";
        let told = wait_router(&pair.first, "the end of keepalived", stopped);
        assert_eq!(
            told["note"],
            "this host is drained: its keepalived is kept stopped"
        );
        pair.first.restart().unwrap();
        // What is not to happen has no condition to wait for.
        std::thread::sleep(Duration::from_secs(2));
        assert!(stopped(&router(&pair.first)));
        pair.first.ask(&["undrain"]).unwrap();
        pair.first.wait_state("r", "backup", LIMIT).unwrap();
        wait_router(&pair.first, "its keepalived", |it| {
            it["keepalived"]["phase"] == "running"
        });
        // A backup is held back at once.
        let said = pair.first.ask(&["drain"]).unwrap();
        assert!(
            said.contains("its keepalived is stopped until undrain"),
            "{said}"
        );
    });
}

#[test]
fn somebody_elses_keepalived_is_listed_and_left_alone() {
    alone(|| {
        use lab::keepalived::{Config, Instance, Keepalived};
        let topology = Topology::new(1).unwrap();
        let host = &topology.hosts[0];
        lab::link::ip(
            &host.namespace,
            &format!("address add 169.254.192.1/18 dev {HA}\n"),
        )
        .unwrap();
        let keepalived = Keepalived::start(
            &host.namespace,
            Config::from(Instance {
                interface: HA.into(),
                vrid: 7,
                interval: Duration::from_millis(100),
                addresses: vec!["169.254.0.7/24".into()],
                ..Instance::default()
            }),
        )
        .unwrap();
        let daemon = Daemon::new("attached").unwrap();
        let toml = format!(
            "id = \"r\"\nnamespace = \"{}\"\n[attached]\nconfig_file = \"{}\"\n\
             instance = \"VI_1\"\npid_file = \"{}\"\n",
            host.namespace.name(),
            keepalived.directory().join("keepalived.conf").display(),
            keepalived.pid_file().display(),
        );
        daemon.apply(&toml).unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        let said = refused(&daemon, &["drain"]);
        assert!(said.contains("its keepalived is somebody else's"), "{said}");
        assert_eq!(daemon.state_file("r").unwrap(), "primary");
    });
}

#[test]
fn an_armed_router_is_put_into_shadow_and_back() {
    alone(|| {
        let mut pair = Pair::armed();
        pair.second.ask(&["shadow", "on", "r"]).unwrap();
        let shadowed = |router: &Value| router["fast_path"]["mode"] == "shadow";
        let told = wait_router(&pair.second, "shadow", shadowed);
        assert_eq!(told["fast_path"]["declared"], "armed");
        assert_eq!(told["fast_path"]["shadowed"], true);
        assert!(
            told["fast_path"]["why_not"]
                .as_str()
                .unwrap()
                .contains("in shadow")
        );
        wait_router(&pair.first, "no heir", |it| it["fast_path"]["heirs"] == 0);
        pair.second.restart().unwrap();
        wait_router(&pair.second, "shadow still", shadowed);
        wait_router(&pair.second, "a session that is up", |router| {
            router["fast_path"]["session"]["phase"] == "up"
        });
        pair.first.crash_keepalived("r").unwrap();
        pair.second.wait_state("r", "primary", LIMIT).unwrap();
        let names: Vec<_> = pair.second.events("r").unwrap();
        let count = |name: &str| names.iter().filter(|it| it["event"] == name).count();
        assert_eq!((count("would_take_over"), count("took_over")), (1, 0));
        pair.second.ask(&["shadow", "off", "r"]).unwrap();
        wait_router(&pair.second, "armed", |it| {
            it["fast_path"]["mode"] == "armed"
        });
        assert!(!pair.second.file("r", "shadow").exists());
        assert!(
            pair.second
                .messages()
                .contains("put \"r\" into shadow: false for uid 0")
        );
    });
}
