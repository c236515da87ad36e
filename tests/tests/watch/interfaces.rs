//! Interfaces that come, go, move, or belong to somebody else too.

use crate::{Hosts, LIMIT, alone};
use aya::programs::{Xdp, XdpMode};
use keepfast::kernel::{Kernel, LoadOptions};
use keepfast_common::maps::XDP_EMPTY;
use lab::netns::Namespace;
use lab::segment::{Plug, Port};
use lab::sender::{Advert, Sender};
use lab::watcher::{Event, Watcher};
use lab::{link, process, wait};
use std::time::Duration;

/// Sends adverts of a virtual router that was not heard before, for a new port of the switch does
/// not forward at once; returns what tells of it.
fn hear(watcher: &mut Watcher, sender: &Sender, vrid: u8, at: &str) -> Event {
    let advert = Advert {
        vrid,
        ..Advert::default()
    };
    let told = wait::until(&format!("VRID {vrid} at {at}"), LIMIT, || {
        let text = |error: anyhow::Error| format!("{error:#}");
        sender.send(&advert).map_err(text)?;
        let wanted = |event: &Event| {
            event.is("master_appeared")
                && event.number("/vrid") == Some(vrid.into())
                && event.text("/interface") == at
        };
        watcher
            .wait_for("it", Duration::from_millis(100), wanted)
            .map_err(text)
    });
    told.unwrap()
}

/// The number of the XDP program on eth0.
fn xdp_program(namespace: &Namespace) -> Option<u64> {
    let shown = process::output(
        namespace
            .command("ip")
            .args(["-json", "link", "show", "eth0"]),
    );
    let shown: serde_json::Value = serde_json::from_str(&shown.unwrap()).unwrap();
    shown.pointer("/0/xdp/prog/id")?.as_u64()
}

#[test]
fn an_interface_that_goes_is_told_and_the_others_are_watched_on() {
    alone(|| {
        let hosts = Hosts::new(["sender", "watched"]);
        let [from, watched] = &hosts.hosts[..] else {
            unreachable!()
        };
        let attach = |interface: &str| hosts.segment.attach(watched, interface, &[]).unwrap();
        attach("eth1");
        let sender = Sender::new(from, "eth0").unwrap();
        let mut watcher = Watcher::start(&[watched]).unwrap();
        hear(&mut watcher, &sender, 1, "eth0");
        link::ip(watched, "link delete eth0\n").unwrap();
        let gone = format!("eth0 is gone from network namespace {}", watched.name());
        watcher.wait_message(&gone).unwrap();
        hear(&mut watcher, &sender, 2, "eth1");
        attach("eth2");
        watcher
            .wait_message(&format!("watching eth2 in {}", watched.name()))
            .unwrap();
        hear(&mut watcher, &sender, 3, "eth2");
        link::ip(
            watched,
            "link set eth1 down\nlink set eth1 name lan1\nlink set lan1 up\n",
        )
        .unwrap();
        watcher.wait_message("eth1 is called lan1 now").unwrap();
        hear(&mut watcher, &sender, 4, "lan1");
        let ended = watcher.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.messages);
    });
}

#[test]
fn an_interface_is_followed_from_one_watched_namespace_to_another() {
    alone(|| {
        let hosts = Hosts::new(["sender", "watched", "other"]);
        let [from, watched, other] = &hosts.hosts[..] else {
            unreachable!()
        };
        hosts.segment.attach(watched, "wan0", &[]).unwrap();
        let sender = Sender::new(from, "eth0").unwrap();
        let mut watcher = Watcher::start(&[watched, other]).unwrap();
        let before = hear(&mut watcher, &sender, 1, "wan0");
        assert_eq!(before.text("/netns"), watched.name());
        link::ip(watched, &format!("link set wan0 netns {}\n", other.name())).unwrap();
        let gone = format!("wan0 is gone from network namespace {}", watched.name());
        watcher.wait_message(&gone).unwrap();
        watcher
            .wait_message(&format!("watching wan0 in {}", other.name()))
            .unwrap();
        link::ip(other, "link set wan0 up\n").unwrap();
        let after = hear(&mut watcher, &sender, 2, "wan0");
        assert_eq!(after.text("/netns"), other.name());
        let ended = watcher.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.messages);
    });
}

#[test]
fn an_interface_that_moves_out_of_sight_is_let_go() {
    alone(|| {
        let hosts = Hosts::new(["watched", "unwatched"]);
        let unwatched = &hosts.hosts[1];
        let watched = Namespace::new("lone").unwrap();
        hosts.segment.attach(&watched, "eth7", &[]).unwrap();
        let mut watcher = Watcher::start(&[&watched, &hosts.hosts[0]]).unwrap();
        let step = format!("link set eth7 netns {}\n", unwatched.name());
        link::ip(&watched, &step).unwrap();
        watcher
            .wait_message(&format!(
                "eth7 is gone from network namespace {}",
                watched.name()
            ))
            .unwrap();
        let show = || {
            let mut command = unwatched.command("ip");
            process::output(command.args(["link", "show", "eth7"])).unwrap()
        };
        wait::until("an interface without a program", LIMIT, || {
            let shown = show();
            if shown.contains("xdp") {
                Err(shown)
            } else {
                Ok(())
            }
        })
        .unwrap();
        let ended = watcher.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.messages);
    });
}

/// Whether the switch's end of a link is still there.
fn port_exists(hosts: &Hosts, port: &Port) -> bool {
    let mut command = hosts.segment.switch().command("ip");
    process::output(command.args(["link", "show", port.interface()])).is_ok()
}

#[test]
fn a_deleted_namespace_is_let_go() {
    alone(|| {
        let hosts = Hosts::new(["sender", "watched"]);
        let short = Namespace::new("short").unwrap();
        let port = hosts.segment.attach(&short, "eth0", &[]).unwrap();
        let sender = Sender::new(&hosts.hosts[0], "eth0").unwrap();
        let mut watcher = Watcher::start(&[&short, &hosts.hosts[1]]).unwrap();
        let gone = format!("network namespace {} is gone", short.name());
        assert!(port_exists(&hosts, &port));
        // As `ip netns delete`: its name goes, and nothing of the lab keeps it.
        drop(short);
        watcher.wait_message(&gone).unwrap();
        wait::until("the end of the namespace's link", LIMIT, || {
            if port_exists(&hosts, &port) {
                Err(watcher.messages())
            } else {
                Ok(())
            }
        })
        .unwrap();
        let event = hear(&mut watcher, &sender, 1, "eth0");
        assert_eq!(event.text("/netns"), hosts.hosts[1].name());
        let ended = watcher.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.messages);
    });
}

#[test]
fn somebody_elses_xdp_program_stays_and_adverts_are_seen_by_tc() {
    alone(|| {
        let hosts = Hosts::new(["sender", "watched"]);
        let watched = &hosts.hosts[1];
        let mut foreign = Kernel::load(&LoadOptions::default(), None).unwrap();
        let program = foreign.ebpf().program_mut(XDP_EMPTY).unwrap();
        let program: &mut Xdp = program.try_into().unwrap();
        program.load().unwrap();
        watched
            .run(|| Ok(program.attach("eth0", XdpMode::default())?))
            .unwrap();
        let id = u64::from(program.info().unwrap().id());
        assert_eq!(xdp_program(watched), Some(id));
        let mut watcher = Watcher::start(&[watched]).unwrap();
        let taken = format!("XDP is taken by another program (id {id})");
        watcher.wait_message(&taken).unwrap();
        assert_eq!(xdp_program(watched), Some(id));
        let sender = Sender::new(&hosts.hosts[0], "eth0").unwrap();
        let event = hear(&mut watcher, &sender, 1, "eth0");
        assert_eq!(event.text("/new/mac"), "02:4b:46:01:00:01");
        assert_eq!(watcher.stop().unwrap().status.code(), Some(0));
        assert_eq!(xdp_program(watched), Some(id));
    });
}

#[test]
fn where_the_driver_has_no_xdp_the_fallback_is_announced() {
    alone(|| {
        let hosts = Hosts::new(["sender"]);
        let watched = Namespace::new("watched").unwrap();
        let plug = Plug {
            namespace: &watched,
            interface: "eth0",
            addresses: &[],
        };
        hosts.segment.attach_all(&[plug]).unwrap();
        link::ip(
            &watched,
            "link add br7 type bridge stp_state 0 mcast_snooping 0\n\
             link set eth0 master br7\nlink set br7 up\n",
        )
        .unwrap();
        let mut watcher = Watcher::start_with(&[&watched], &["--interface", "br7"]).unwrap();
        watcher
            .wait_message(&format!(
                "watching br7 in {} by a fallback: generic XDP in",
                watched.name()
            ))
            .unwrap();
        let sender = Sender::new(&hosts.hosts[0], "eth0").unwrap();
        hear(&mut watcher, &sender, 1, "br7");
        assert_eq!(watcher.stop().unwrap().status.code(), Some(0));
    });
}
