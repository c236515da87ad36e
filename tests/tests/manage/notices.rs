//! Who is told of a state, and when: hooks that are slow, away or many.

use crate::{Flipped, LIMIT, alone, at_ns, becomes, ms};
use lab::daemon::Daemon;
use lab::keepalived::{Config, Instance, Keepalived};
use lab::listener::{Listener, NeutronAgent, Notice};
use lab::netns::Namespace;
use lab::router::{Declaration, HA, OUTER, PRIMARY};
use lab::segment::{Plug, Segment};
use lab::wait;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// As short as adverts of [`Flipped`]'s router.
const SHORT: Duration = Duration::from_millis(100);
/// Longer than a test.
const LONG: Duration = Duration::from_secs(40);

fn states(notices: &[Notice]) -> Vec<&str> {
    notices.iter().map(|notice| notice.state.as_str()).collect()
}

#[test]
fn a04_of_500_addresses_and_a_flip_the_last_state_is_told_at_once() {
    alone(|| {
        let flipped = Flipped::start(|host, daemon| {
            let mut declaration = Declaration::plain(host);
            let floating = (0..500).map(|n| (OUTER, format!("203.0.{}.{}/32", n / 250, n % 250)));
            declaration.addresses.extend(floating);
            declaration.telling(&daemon.directory().join("hook"))
        });
        let Flipped {
            daemon,
            rival,
            addresses,
            ..
        } = &flipped;
        let listener = Listener::start(&daemon.directory().join("hook")).unwrap();
        rival.take(Duration::from_secs(2)).unwrap();
        addresses.wait(PRIMARY, false, LIMIT).unwrap();
        daemon.wait_state("r", "backup", LIMIT).unwrap();
        let told = wait::until("the notice of backup", LIMIT, || {
            let told = listener.notices().map_err(|error| error.to_string())?;
            match told.last() {
                Some(last) if last.state == "backup" => Ok(told.len()),
                other => Err(format!("{other:?}")),
            }
        })
        .unwrap();
        addresses.forget();
        rival.resign(SHORT).unwrap();
        let came_ns = addresses.wait(PRIMARY, true, LIMIT).unwrap();
        rival.take(LONG).unwrap();
        let went_ns = addresses.wait(PRIMARY, false, LIMIT).unwrap();
        let notices = listener.wait(told + 2, LIMIT).unwrap();
        assert_eq!(states(&notices[told..]), ["primary", "backup"]);
        daemon.wait_state("r", "backup", LIMIT).unwrap();
        let sequence = |notice: &Notice| notice.whole["sequence"].as_u64().unwrap();
        let numbers: Vec<_> = notices[told - 1..].iter().map(sequence).collect();
        assert_eq!(numbers, [numbers[0], numbers[0] + 1, numbers[0] + 2]);
        // The last of 500 addresses went long after the primary one.
        wait::until("the end of 500 addresses", LIMIT, || {
            let moments = addresses.moments();
            let gone = moments.iter().filter(|moment| !moment.present).count();
            if gone >= 500 {
                Ok(())
            } else {
                Err(format!("{gone} gone"))
            }
        })
        .unwrap();
        assert_eq!(daemon.state_file("r").unwrap(), "backup");
        let told_ms = ms(went_ns, notices[told + 1].received_ns);
        let flip_ms = ms(came_ns, went_ns);
        println!("A4: primary for {flip_ms:.1} ms, backup told {told_ms:.2} ms after its end");
        assert!(told_ms < 500.0, "{told_ms} ms");
    });
}

/// 400 of them are a benchmark.
const ROUTERS: u8 = 60;

#[test]
fn a05_all_of_many_routers_that_change_at_once_are_told_of() {
    alone(|| {
        let segment = Segment::new("ha").unwrap();
        let master = Namespace::new("master").unwrap();
        segment
            .attach(&master, HA, &["169.254.192.200/18"])
            .unwrap();
        let hosts: Vec<_> = (1..=ROUTERS)
            .map(|vrid| Namespace::new(&format!("router{vrid}")).unwrap())
            .collect();
        let plugs: Vec<_> = hosts
            .iter()
            .map(|namespace| Plug {
                namespace,
                interface: HA,
                addresses: &[],
            })
            .collect();
        segment.attach_all(&plugs).unwrap();
        // Long enough that no busy machine makes a backup take over by itself.
        let interval = Duration::from_secs(1);
        let instance = |vrid| Instance {
            name: format!("VR_{vrid}"),
            interface: HA.into(),
            vrid,
            priority: 200,
            interval,
            starts_as_master: true,
            addresses: vec![format!("169.254.0.{vrid}/24")],
            ..Instance::default()
        };
        let config = Config {
            instances: (1..=ROUTERS).map(instance).collect(),
            ..Config::default()
        };
        let mut master = Keepalived::start(&master, config).unwrap();
        let mut daemon = Daemon::prepare("daemon").unwrap();
        let socket = daemon.directory().join("keepalived-state-change");
        let agent = NeutronAgent::start(&socket).unwrap();
        let mut ids = Vec::new();
        for (vrid, host) in (1..=ROUTERS).zip(&hosts) {
            let declaration = Declaration {
                interval,
                ..Declaration::bare(host, vrid)
            };
            ids.push(declaration.id.clone());
            let toml = declaration.telling_neutron(&socket).toml().unwrap();
            daemon.declare(&ids[ids.len() - 1], &toml).unwrap();
        }
        daemon.start().unwrap();
        for id in &ids {
            crate::wait_running(&daemon, id);
            daemon.wait_state(id, "backup", LIMIT).unwrap();
        }
        let before = agent.wait(ids.len(), LIMIT).unwrap();
        assert!(before.iter().all(|notice| notice.state == "backup"));
        // All resign at once, and none of the routers is better than another.
        master.stop().unwrap();
        let notices = agent.wait(2 * ids.len(), LIMIT).unwrap();
        assert_eq!(notices.len(), 2 * ids.len());
        let mut told = BTreeMap::<_, Vec<_>>::new();
        for notice in &notices {
            let of_router = told.entry(notice.router.as_str()).or_default();
            of_router.push(notice.state.as_str());
        }
        let mut changes_ns = Vec::new();
        for id in &ids {
            assert_eq!(told[id.as_str()], ["backup", "primary"], "{id}");
            assert_eq!(daemon.state_file(id).unwrap(), "primary");
            let events = daemon.events(id).unwrap();
            let change = events.iter().find(|event| becomes(event, "primary"));
            changes_ns.push(at_ns(change.unwrap()));
        }
        let first = changes_ns.iter().min().unwrap();
        let last = changes_ns.iter().max().unwrap();
        let told = notices.iter().map(|notice| notice.received_ns).max();
        let (within, told) = (ms(*first, *last), ms(*last, told.unwrap()));
        println!("A5: {ROUTERS} routers within {within:.1} ms, all told {told:.1} ms later");
        assert!(told < 10_000.0, "{told} ms");
    });
}

#[test]
fn a06_a_listener_that_was_away_is_told_the_newest_state_only() {
    alone(|| {
        let flipped = Flipped::start(|host, daemon| {
            Declaration::plain(host)
                .telling_neutron(&daemon.directory().join("agent"))
                .telling(&daemon.directory().join("hook"))
        });
        let Flipped { daemon, rival, .. } = &flipped;
        for _ in 0..5 {
            rival.take(Duration::from_secs(1)).unwrap();
            daemon.wait_state("r", "backup", LIMIT).unwrap();
            rival.resign(SHORT).unwrap();
            daemon.wait_state("r", "primary", LIMIT).unwrap();
        }
        rival.take(LONG).unwrap();
        daemon.wait_state("r", "backup", LIMIT).unwrap();
        let agent = NeutronAgent::start(&daemon.directory().join("agent")).unwrap();
        let listener = Listener::start(&daemon.directory().join("hook")).unwrap();
        assert_eq!(states(&agent.wait(1, LIMIT).unwrap()), ["backup"]);
        assert_eq!(states(&listener.wait(1, LIMIT).unwrap()), ["backup"]);
        // Whatever else they were to be told would come before this.
        rival.resign(SHORT).unwrap();
        let expected = ["backup", "primary"];
        assert_eq!(states(&agent.wait(2, LIMIT).unwrap()), expected);
        assert_eq!(states(&listener.wait(2, LIMIT).unwrap()), expected);
    });
}

#[test]
fn a13_a_primary_that_does_not_last_is_not_told_to_a_hook_that_waits() {
    const SETTLE: Duration = Duration::from_millis(500);
    alone(|| {
        let mut listeners = None;
        let flipped = Flipped::start(|host, daemon| {
            let [slow, quick] = ["agent", "hook"].map(|name| daemon.directory().join(name));
            let agent = NeutronAgent::start(&slow).unwrap();
            listeners = Some((agent, Listener::start(&quick).unwrap()));
            Declaration::plain(host)
                .hook("neutron_socket", &slow, "settle = \"500ms\"")
                .telling(&quick)
        });
        let Flipped { rival, .. } = &flipped;
        let (agent, listener) = listeners.unwrap();
        agent.wait(2, LIMIT).unwrap();
        rival.take(Duration::from_secs(2)).unwrap();
        agent.wait(3, LIMIT).unwrap();
        // Primary for a moment: the other hook is told so.
        rival.resign(SHORT).unwrap();
        listener.wait(4, LIMIT).unwrap();
        rival.take(Duration::from_secs(2)).unwrap();
        listener.wait(5, LIMIT).unwrap();
        // And for good.
        rival.resign(SHORT).unwrap();
        let all = listener.wait(6, LIMIT).unwrap();
        let settled = agent.wait(4, LIMIT).unwrap();
        let alternating = ["backup", "primary"].repeat(3);
        assert_eq!(states(&all), alternating);
        assert_eq!(states(&settled), alternating[..4]);
        let transient_ms = ms(all[3].received_ns, all[4].received_ns);
        let settled_ms = ms(all[5].received_ns, settled[3].received_ns);
        println!(
            "A13: {transient_ms:.1} ms were not told, the lasting one after {settled_ms:.1} ms"
        );
        assert!(
            transient_ms < ms(0, SETTLE.as_nanos() as u64),
            "{transient_ms} ms"
        );
        // Both are told of it at about the same time.
        assert!((450.0..5_000.0).contains(&settled_ms), "{settled_ms} ms");
    });
}

#[test]
fn a14_backup_and_primary_in_quick_succession_end_as_primary() {
    alone(|| {
        let flipped = Flipped::start(|host, daemon| {
            Declaration::plain(host)
                .telling_neutron(&daemon.directory().join("agent"))
                .hook(
                    "socket",
                    &daemon.directory().join("hook"),
                    "settle = \"10ms\"",
                )
        });
        let Flipped {
            daemon,
            rival,
            addresses,
            ..
        } = &flipped;
        let agent = NeutronAgent::start(&daemon.directory().join("agent")).unwrap();
        let listener = Listener::start(&daemon.directory().join("hook")).unwrap();
        agent.wait(1, LIMIT).unwrap();
        let mut spacings = Vec::new();
        for pause in 0..=20 {
            addresses.forget();
            rival.take(SHORT).unwrap();
            // So long must this be: it is what is tried here.
            thread::sleep(Duration::from_millis(pause));
            rival.resign(SHORT).unwrap();
            let went_ns = addresses.wait(PRIMARY, false, LIMIT).unwrap();
            let came_ns = addresses.wait(PRIMARY, true, LIMIT).unwrap();
            spacings.push(ms(went_ns, came_ns));
            let told = agent.wait(spacings.len() * 2 + 1, LIMIT).unwrap();
            assert_eq!(told.last().unwrap().state, "primary");
            daemon.wait_state("r", "primary", LIMIT).unwrap();
        }
        let shown: Vec<_> = spacings.iter().map(|ms| format!("{ms:.1}")).collect();
        println!("A14: backup for [{}] ms", shown.join(", "));
        let told = agent.notices().unwrap();
        let expected = ["primary", "backup"].into_iter().cycle().take(43);
        assert_eq!(states(&told), expected.collect::<Vec<_>>());
        wait::until("the hook that waits to be told the end", LIMIT, || {
            let told = listener.notices().map_err(|error| error.to_string())?;
            match told.last() {
                Some(last) if last.state == "primary" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .unwrap();
    });
}
