//! The numbers against what is known otherwise.

use super::*;
use lab::process;
use lab::router::{Declaration, Rival, Topology};
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn a_router_that_changes_its_state() {
    alone(|| {
        let topology = Topology::new(1).unwrap();
        let daemon = daemon("metrics");
        let declaration = Declaration {
            priority: 250,
            ..Declaration::plain(&topology.hosts[0])
        };
        declaration.apply(&daemon).unwrap();
        daemon.wait_state("r", "primary", LIMIT).unwrap();
        let primary = "keepfast_router_state{router=\"r\",state=\"primary\"}";
        wait_value(&daemon, primary, 1.0);
        wait_value(&daemon, "keepfast_router_mastered{router=\"r\"}", 1.0);
        let page = scrape(&daemon);
        assert_eq!(page.states("r"), ["primary"]);
        for (series, expected) in [
            ("keepfast_router_keepalived_running{router=\"r\"}", 1.0),
            ("keepfast_router_watched{router=\"r\"}", 1.0),
            ("keepfast_programs_running{program=\"keepalived\"}", 1.0),
            ("keepfast_fallbacks{kind=\"no_kernel_programs\"}", 0.0),
            ("keepfast_fallbacks{kind=\"no_fast_path\"}", 0.0),
            ("keepfast_declaration_problems", 0.0),
            (
                "keepfast_program_events_total{program=\"keepalived\",event=\"started\"}",
                1.0,
            ),
        ] {
            assert_eq!(page.value(series), Some(expected), "{series}");
        }
        let since = page
            .value("keepfast_router_state_since_timestamp_seconds{router=\"r\"}")
            .unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - since;
        assert!((0.0..LIMIT.as_secs_f64()).contains(&age), "{age} s");
        let backups =
            "keepfast_router_transitions_total{router=\"r\",to=\"backup\",reason=\"address\"}";
        let before = page.value(backups).unwrap_or(0.0);
        wait::until("twenty adverts", LIMIT, || match adverts(&daemon, "sent") {
            20.0.. => Ok(()),
            few => Err(few.to_string()),
        })
        .unwrap();
        let rival = Rival::new(&topology.ha).unwrap();
        rival.take(Duration::from_secs(10)).unwrap();
        daemon.wait_state("r", "backup", LIMIT).unwrap();
        wait_value(&daemon, primary, 0.0);
        wait_value(&daemon, backups, before + 1.0);
        let page = scrape(&daemon);
        assert_eq!(page.states("r"), ["backup"]);
        assert!(adverts(&daemon, "received") >= 1.0);
        let suspected = "keepfast_router_dual_primary_suspected_total{router=\"r\"}";
        assert!(page.value(suspected) >= Some(1.0));
        assert!(page.sum("keepfast_event_latency_seconds_count") >= 2.0);
        assert!(page.sum("keepfast_router_advert_gap_seconds_count") >= 10.0);
        let margin = page.sum("keepfast_router_advert_margin_ratio");
        assert!(margin > 0.0 && margin < 1.0, "{margin}");
        daemon.router(&["show", "no-such"], "").unwrap_err();
        let refused = "keepfast_control_requests_total{outcome=\"not_found\"}";
        wait_value(&daemon, refused, 1.0);
        daemon.delete("r").unwrap();
        wait_value(
            &daemon,
            "keepfast_programs_running{program=\"keepalived\"}",
            0.0,
        );
        wait::until("the end of the router's series", LIMIT, || {
            let page = http::get(endpoint(&daemon), "text/plain").unwrap();
            let line = page.lines().find(|line| line.contains("router=\"r\""));
            line.map_or(Ok(()), |line| Err(line.to_owned()))
        })
        .unwrap();
    });
}

fn adverts(daemon: &Daemon, direction: &str) -> f64 {
    let series = format!("keepfast_adverts_total{{direction=\"{direction}\"}}");
    scrape(daemon).value(&series).unwrap()
}

#[test]
fn without_being_asked_for_there_is_no_endpoint() {
    alone(|| {
        let daemon = Daemon::new("metrics").unwrap();
        daemon.list().unwrap();
        assert!(!daemon.messages().contains("metrics"));
        let sockets = std::fs::read_to_string(format!("/proc/{}/net/tcp", daemon.pid().unwrap()));
        let inodes = inodes_of(&daemon);
        for line in sockets.unwrap().lines().skip(1) {
            let inode = line.split_whitespace().nth(9).unwrap();
            assert!(!inodes.contains(&inode.to_owned()), "{line}");
        }
    });
}

/// The sockets that a daemon has.
fn inodes_of(daemon: &Daemon) -> Vec<String> {
    let files = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid().unwrap())).unwrap();
    let links = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    links
        .filter_map(|link| {
            let text = link.to_str()?;
            Some(text.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect()
}

#[test]
fn an_address_that_is_taken_is_told_and_the_daemon_goes_on() {
    alone(|| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let mut daemon = Daemon::prepare("metrics").unwrap();
        daemon = daemon.arguments(&["--metrics", &address]);
        daemon.start().unwrap();
        wait::until("a word about it", LIMIT, || {
            let messages = daemon.messages();
            let told = messages.contains(&format!(
                "no metrics, tried again every 10 s: listen at {address}"
            ));
            if told { Ok(()) } else { Err(messages) }
        })
        .unwrap();
        daemon.list().unwrap();
        drop(taken);
        scrape(&daemon);
    });
}

#[test]
fn prometheus_finds_nothing_wrong_with_the_text() {
    alone(|| {
        let topology = Topology::new(1).unwrap();
        let daemon = daemon("metrics");
        let host = &topology.hosts[0];
        Declaration::plain(host).apply(&daemon).unwrap();
        wait_value(&daemon, "keepfast_router_watched{router=\"r\"}", 1.0);
        let page = http::get(endpoint(&daemon), "text/plain").unwrap();
        let mut promtool = std::process::Command::new("promtool");
        let said = process::output_with_input(promtool.args(["check", "metrics"]), &page);
        assert_eq!(said.unwrap(), "");
    });
}

#[test]
fn a_daemon_that_is_started_anew_is_back_at_its_address() {
    alone(|| {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut daemon = Daemon::prepare("metrics").unwrap();
        daemon = daemon.arguments(&["--metrics", &address.to_string()]);
        daemon.start().unwrap();
        for _ in 0..3 {
            // The daemon ends each connection, so the kernel keeps its port for a while.
            scrape(&daemon);
            daemon.restart().unwrap();
        }
        scrape(&daemon);
        assert!(!daemon.messages().contains("no metrics"));
    });
}
