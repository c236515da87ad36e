//! What was kept outlives the agent that kept it.

use crate::alone;
use crate::pair::{LIMIT, Pair, report};
use lab::daemon::Daemon;
use lab::wait;
use serde_json::Value;
use std::path::Path;

/// The takeover as it is told, without what is still to come.
fn told(daemon: &Daemon) -> Value {
    let report = report(daemon, &[]).unwrap();
    let fields = ["side", "cause", "turned_ns", "outage_ns", "stock_ns"];
    let mut told: Vec<Value> = fields.iter().map(|it| report[it].clone()).collect();
    let steps = &report["steps"];
    told.extend(
        [
            "last_answer_ns",
            "took_over_ns",
            "announced_ns",
            "first_packet_ns",
        ]
        .map(|it| {
            assert!(steps[it].is_u64(), "no {it}: {report:#}");
            steps[it].clone()
        }),
    );
    Value::Array(told)
}

#[test]
fn an_agent_that_is_killed_in_a_failover_takes_nothing_with_it() {
    alone(|| {
        let mut pair = Pair::start();
        pair.wait_ready(0, 1);
        let client = pair.client();
        pair.host(0).cut().unwrap();
        pair.daemon(1)
            .wait_event("r", 0, "the takeover", LIMIT, |event| {
                event["event"] == "takeover_begins"
            })
            .unwrap();
        let pid = pair.daemon(1).pid().unwrap();
        pair.daemons[1].kill().unwrap();
        client.wait_answers(50, LIMIT).unwrap();
        drop(client);
        // Nobody but the kernel has seen the end of it.
        let alone = told(pair.daemon(1));
        assert_eq!(alone[0], "new_primary");
        assert_eq!(alone[1], "peer_silent");
        let pins = format!("/sys/fs/bpf/keepfast/run-{pid}");
        assert!(Path::new(&pins).exists());
        pair.daemons[1].start().unwrap();
        wait::until("the end of the dead agent's pins", LIMIT, || {
            let there = Path::new(&pins).exists();
            (!there).then_some(()).ok_or_else(|| pins.clone())
        })
        .unwrap();
        wait_boxed(pair.daemon(1), 1);
        assert_eq!(told(pair.daemon(1)), alone);
        // One that is ended as it should be has a file for it, as long as nobody runs.
        pair.daemons[1].stop().unwrap();
        let file = pair.daemon(1).state().join("blackbox.before");
        assert!(file.exists());
        assert_eq!(told(pair.daemon(1)), alone);
        pair.daemons[1].start().unwrap();
        wait_boxed(pair.daemon(1), 2);
        assert!(!file.exists());
        assert_eq!(told(pair.daemon(1)), alone);
        pair.host(0).restore().unwrap();
    });
}

/// Waits until a daemon that was started so many times again keeps what happens once more.
fn wait_boxed(daemon: &Daemon, again: usize) {
    wait::until("a watched interface", LIMIT, || {
        let messages = daemon.messages();
        let count = messages.matches("INFO watching ha-lab").count();
        (count > again).then_some(()).ok_or(messages)
    })
    .unwrap();
}
