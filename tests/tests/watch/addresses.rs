//! Gateways that change or fall silent, and addresses that strangers claim.

use crate::{Hosts, LIMIT, alone};
use lab::netns::Namespace;
use lab::sender::{Advert, Sender};
use lab::watcher::{Event, Watcher};
use lab::{link, process, wait};
use std::time::Duration;

/// One question by the kernel that the gateway may leave unanswered.
fn ask(namespace: &Namespace, address: &str) {
    let flush = format!("neighbour flush dev eth0\nneighbour delete {address} dev eth0\n");
    // There is nothing to delete where nobody was asked before.
    if link::ip(namespace, &flush).is_err() {
        link::ip(namespace, "neighbour flush dev eth0\n").unwrap();
    }
    let mut ping = namespace.command("ping");
    // No answer is an answer too.
    let _answered = process::output(ping.args(["-n", "-c", "1", "-W", "1", address])).is_ok();
}

fn follow_gateway(address: &str) {
    alone(|| {
        let hosts = Hosts::new(["gateway", "host"]);
        let [gateway, host] = &hosts.hosts[..] else {
            unreachable!()
        };
        link::ip(host, &format!("route add default via {address}\n")).unwrap();
        let mut watcher = Watcher::start(&[host]).unwrap();
        let mut next = |kind: &str| -> Event {
            watcher
                .wait_for(kind, LIMIT, |event| {
                    event.text("/kind").starts_with("gateway")
                })
                .inspect(|event| {
                    assert_eq!(event.text("/kind"), kind);
                    assert_eq!(event.text("/new/address"), address);
                })
                .unwrap()
        };
        let mac = "02:4b:46:00:00:01";
        ask(host, address);
        assert_eq!(next("gateway_seen").text("/new/mac"), mac);
        let other = "02:4b:46:00:00:aa";
        link::ip(gateway, &format!("link set eth0 address {other}\n")).unwrap();
        ask(host, address);
        let changed = next("gateway_mac_changed");
        assert_eq!(changed.text("/old/mac"), mac);
        assert_eq!(changed.text("/new/mac"), other);
        hosts.ports[0].block().unwrap();
        ask(host, address);
        let silent = next("gateway_silent");
        assert_eq!(silent.text("/old/mac"), other);
        let late = silent.number("/monotonic_ns").unwrap() - silent.number("/due_ns").unwrap();
        assert!(late < 100_000_000, "told {late} ns after the deadline");
        hosts.ports[0].unblock().unwrap();
        ask(host, address);
        assert_eq!(next("gateway_seen").text("/new/mac"), other);
        let ended = watcher.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.messages);
    });
}

#[test]
fn an_ipv4_gateway_is_followed() {
    follow_gateway("10.99.0.1");
}

#[test]
fn an_ipv6_gateway_is_followed() {
    follow_gateway("fd99::1");
}

#[test]
fn a_strangers_claims_are_told() {
    alone(|| {
        let hosts = Hosts::new(["master", "host", "stranger"]);
        let [master, host, stranger] = &hosts.hosts[..] else {
            unreachable!()
        };
        let sender = Sender::new(master, "eth0").unwrap();
        let mut watcher = Watcher::start(&[host]).unwrap();
        sender
            .send(&Advert {
                interval_cs: 4_000,
                ..Advert::default()
            })
            .unwrap();
        watcher
            .wait_for("a master", LIMIT, |event| event.is("master_appeared"))
            .unwrap();
        for (address, kind) in [
            ("10.99.0.100", "address_claimed"),
            ("10.99.0.2", "address_conflict"),
        ] {
            link::ip(stranger, &format!("address add {address}/32 dev eth0\n")).unwrap();
            // Which addresses an advert lists, the agent tells the kernel a moment later.
            let told = wait::until(kind, LIMIT, || {
                let mut announce = stranger.command("arping");
                announce.args(["-U", "-c", "1", "-w", "1", "-I", "eth0", "-s", address]);
                process::output(announce.arg(address)).map_err(|error| error.to_string())?;
                watcher
                    .wait_for(kind, Duration::from_millis(200), |event| event.is(kind))
                    .map_err(|error| error.to_string())
            });
            let told = told.unwrap();
            assert_eq!(told.text("/new/mac"), "02:4b:46:00:00:03", "{kind}");
            assert_eq!(told.text("/new/address"), address);
        }
        let ended = watcher.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.messages);
    });
}
