//! Adverts that no real router would send: too many of them, or of two masters.

use crate::{Hosts, LIMIT, alone};
use lab::sender::{Advert, Sender};
use lab::wait;
use lab::watcher::Watcher;
use nix::sys::signal::Signal;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

/// More on one segment than its strangers may have told at once, by far.
const FLOOD: u32 = 20_000;
/// So many segments have more told at once than the ring buffer of 1 MiB has room for: an event
/// takes 136 bytes of it.
const SEGMENTS: usize = 6;

#[test]
fn events_held_back_are_told_and_the_state_is_caught_up() {
    is_made_up_for(1, "events held back");
}

#[test]
fn lost_events_are_told_and_the_state_is_caught_up() {
    is_made_up_for(SEGMENTS, "events lost");
}

/// The agent sleeps while so many segments are flooded.
fn is_made_up_for(segments: usize, told: &str) {
    alone(|| {
        let segments: Vec<_> = (0..segments)
            .map(|_| Hosts::new(["sender", "watched"]))
            .collect();
        let senders: Vec<_> = segments
            .iter()
            .map(|hosts| Sender::new(&hosts.hosts[0], "eth0").unwrap())
            .collect();
        let watched: Vec<_> = segments.iter().map(|hosts| &hosts.hosts[1]).collect();
        let sender = &senders[0];
        // So slow that no deadline passes during the test.
        let advert = |priority| Advert {
            priority,
            interval_cs: 4_000,
            ..Advert::default()
        };
        let mut watcher = Watcher::start(&watched).unwrap();
        for (sender, namespace) in senders.iter().zip(&watched) {
            sender.send(&advert(100)).unwrap();
            watcher
                .wait_for("a master", LIMIT, |event| {
                    event.is("master_appeared") && event.text("/netns") == namespace.name()
                })
                .unwrap();
        }
        watcher.signal(Signal::SIGSTOP).unwrap();
        for sender in &senders {
            for number in 0..FLOOD {
                sender.send(&advert(101 + (number % 2) as u8)).unwrap();
            }
        }
        sender.send(&advert(200)).unwrap();
        watcher.signal(Signal::SIGCONT).unwrap();
        // Again and again, for a flooded link drops frames. To hear the same again is no event:
        // that some were lost must be noticed without another one.
        let caught_up = wait::until("the last priority", LIMIT, || {
            sender
                .send(&advert(200))
                .map_err(|error| error.to_string())?;
            watcher
                .wait_for("it", Duration::from_millis(100), |event| {
                    event.is("priority_changed") && event.number("/new/priority") == Some(200)
                })
                .map_err(|error| error.to_string())
        });
        caught_up.unwrap();
        watcher.wait_message(told).unwrap();
        // From here on every event counts again.
        sender.send(&advert(150)).unwrap();
        let next = watcher
            .wait_for("the next event", LIMIT, |event| {
                event.text("/netns") == watched[0].name()
            })
            .unwrap();
        assert_eq!(next.text("/kind"), "priority_changed");
        assert_eq!(next.number("/old/priority"), Some(200));
        assert_eq!(next.number("/new/priority"), Some(150));
        let ended = watcher.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.messages);
    });
}

#[test]
fn two_masters_are_told_until_one_falls_silent() {
    alone(|| {
        let hosts = Hosts::new(["sender", "watched"]);
        let sender = Sender::new(&hosts.hosts[0], "eth0").unwrap();
        let advert = |host, priority| Advert {
            source: Ipv4Addr::new(10, 99, 0, host),
            priority,
            interval_cs: 50,
            ..Advert::default()
        };
        let (upper, lower) = (advert(11, 200), advert(12, 100));
        let mut watcher = Watcher::start(&[&hosts.hosts[1]]).unwrap();
        // As often as two hundred times: then thirty seconds are over.
        let told = (0..200).find_map(|_| {
            sender.send(&upper).unwrap();
            // The two must not cross on the way.
            thread::sleep(Duration::from_millis(5));
            sender.send(&lower).unwrap();
            let wait = Duration::from_millis(100);
            watcher
                .wait_for("two masters", wait, |event| event.is("multiple_masters"))
                .ok()
        });
        let told = told.unwrap();
        assert_eq!(told.text("/old/address"), "10.99.0.11");
        assert_eq!(told.text("/new/address"), "10.99.0.12");
        // The upper goes on alone, well within its interval.
        let told = (0..200).find_map(|_| {
            sender.send(&upper).unwrap();
            let wait = Duration::from_millis(100);
            watcher
                .wait_for("one master", wait, |event| event.is("single_master"))
                .ok()
        });
        let told = told.unwrap();
        assert_eq!(told.text("/new/address"), "10.99.0.12");
        // 3.6 intervals after the lower one's last advert.
        let due = told.number("/due_ns").unwrap() - told.number("/new/heard_ns").unwrap();
        assert_eq!(due, 500_000_000 * (3 * 256 + 156) / 256);
        let ended = watcher.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.messages);
        let mut all: Vec<_> = ended
            .events
            .iter()
            .map(|event| event.text("/kind"))
            .collect();
        all.retain(|kind| !["advert_late", "advert_resumed"].contains(kind));
        assert_eq!(
            all,
            ["master_appeared", "multiple_masters", "single_master"]
        );
    });
}
