//! A failover, as Prometheus sees it.

use super::*;
use crate::prometheus::Prometheus;
use lab::router::{Declaration, Host, Topology};

fn armed(host: &Host) -> Declaration {
    Declaration {
        interval: Duration::from_secs(1),
        tables: "\n[fast_path]\nmode = \"armed\"\n".to_owned(),
        ..Declaration::plain(host)
    }
}

#[test]
fn prometheus_sees_a_takeover() {
    alone(|| {
        let topology = Topology::new(2).unwrap();
        let daemons = [daemon("first"), daemon("second")];
        for ((daemon, host), state) in daemons
            .iter()
            .zip(&topology.hosts)
            .zip(["primary", "backup"])
        {
            armed(host).apply(daemon).unwrap();
            daemon.wait_state("r", state, LIMIT).unwrap();
        }
        let [first, second] = daemons.each_ref().map(endpoint);
        let prometheus = Prometheus::start(&[first, second]);
        let state = |instance: SocketAddr, state: &str| {
            format!(
                "keepfast_router_state{{instance=\"{instance}\",router=\"r\",state=\"{state}\"}}"
            )
        };
        prometheus.wait(&state(first, "primary"), 1.0);
        prometheus.wait(&state(second, "backup"), 1.0);
        prometheus.wait(
            &format!("keepfast_sessions{{phase=\"up\",instance=\"{second}\"}}"),
            1.0,
        );
        prometheus.wait(
            "sum(keepfast_router_fast_path_working{router=\"r\",mode=\"armed\"})",
            2.0,
        );
        let taken = format!(
            "keepfast_takeovers_total{{instance=\"{second}\",router=\"r\",outcome=\"took_over\"}}"
        );
        prometheus.wait(&taken, 0.0);
        topology.hosts[0].cut().unwrap();
        daemons[1].wait_state("r", "primary", LIMIT).unwrap();
        prometheus.wait(&state(second, "primary"), 1.0);
        prometheus.wait(&taken, 1.0);
        prometheus.wait(&format!("sum(increase({}[30s])) > bool 0", &taken), 1.0);
        let outage = format!(
            "keepfast_failover_outage_seconds_count{{instance=\"{second}\",cause=\"peer_silent\"}}"
        );
        prometheus.wait(&outage, 1.0);
        let told = daemons[1].status().unwrap();
        let last = &told["routers"][0]["last_failover"];
        assert_eq!(last["cause"], "peer_silent", "{last}");
        assert!(last["outage_us"].as_u64().unwrap() > 0, "{last}");
        assert!(
            last["stock_us"].as_u64() > last["outage_us"].as_u64(),
            "{last}"
        );
        let probes = format!("keepfast_probes_sent_total{{instance=\"{second}\"}} > bool 100");
        prometheus.wait(&probes, 1.0);
        let woke = format!(
            "keepfast_fast_path_wake_lateness_seconds_count{{instance=\"{second}\"}} > bool 100"
        );
        prometheus.wait(&woke, 1.0);
    });
}
