//! Frames between the routers that are lost for long, in one direction or in both.

use crate::cluster::Cluster;
use crate::*;
use lab::clock::monotonic_ns;
use lab::fault::{ALL, Way};
use std::thread;

/// How long a backup of priority 100 waits by itself, with an advert every second, and a bit.
const OWN_TIME: Duration = Duration::from_millis(3_609 + 400);

/// What is lost at the primary's port for twenty seconds; who is to have the address then, if
/// that is to be one.
fn lost(frames: &[(Way, &str)], owner: Option<usize>) {
    alone(|| {
        let mut cluster = Cluster::start(2, |host| fast(host, "mode = \"armed\""));
        let from_ns = monotonic_ns().unwrap();
        cluster.faults[0][0].lose(frames).unwrap();
        thread::sleep(OWN_TIME);
        if let Some(owner) = owner {
            assert_eq!(cluster.wait_one_owner(Duration::ZERO), owner);
        }
        thread::sleep(Duration::from_secs(20));
        cluster.faults[0][0].heal().unwrap();
        let last = cluster.wait_one_owner(OWN_TIME);
        assert!(
            owner.is_none_or(|owner| owner == last),
            "{}",
            cluster.told()
        );
        thread::sleep(OWN_TIME);
        assert_eq!(cluster.wait_one_owner(Duration::ZERO), last);
        let came = [0, 1].map(|host| cluster.came(host, from_ns));
        println!("the address came to the hosts {came:?} times, and is at {last}");
        assert!(came[0] == 0 && came[1] <= 1, "{came:?}\n{}", cluster.told());
    });
}

#[test]
fn a_primary_that_is_not_heard_gives_way() {
    lost(&[(Way::FromHost, ALL)], Some(1));
}

#[test]
fn a_primary_that_hears_nothing_stays() {
    lost(&[(Way::ToHost, ALL)], Some(0));
}

#[test]
fn after_a_partition_there_is_one_primary() {
    lost(&[(Way::FromHost, ALL), (Way::ToHost, ALL)], None);
}
