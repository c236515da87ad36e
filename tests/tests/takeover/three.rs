//! Three hosts: when the primary's power is cut exactly one of the others takes over.

use crate::cluster::{Cluster, median_and_worst, rounds};
use crate::*;
use lab::clock::monotonic_ns;
use std::thread;

/// For how long two may be primary at a time.
const OVERLAP: Duration = Duration::from_millis(5);

/// Waits until each of two backups knows its place in line.
fn wait_ranks(cluster: &Cluster, backups: &[usize]) {
    wait::until("ranks 0 and 1", LIMIT, || {
        let rank = |host: &usize| status(&cluster.daemons[*host])["rank"].as_u64();
        let mut ranks: Vec<_> = backups.iter().map(rank).collect();
        ranks.sort_unstable();
        if ranks == [Some(0), Some(1)] {
            Ok(())
        } else {
            Err(format!("{ranks:?}"))
        }
    })
    .unwrap();
}

#[test]
fn exactly_one_of_two_backups_takes_over() {
    alone(|| {
        let rounds = rounds("KEEPFAST_POWER_CUTS", 5);
        let cluster = Cluster::start(3, |host| fast(host, "mode = \"armed\""));
        let (mut primary, mut outages, mut overlaps) = (0, Vec::new(), Vec::new());
        for round in 0..rounds {
            let others: Vec<_> = (0..3).filter(|host| *host != primary).collect();
            let before: Vec<_> = (0..3)
                .map(|host| cluster.count(host, "took_over"))
                .collect();
            wait_ranks(&cluster, &others);
            let client = cluster.client();
            let cut_ns = monotonic_ns().unwrap();
            cluster.topology.hosts[primary].cut().unwrap();
            outages.push(outage(client));
            // Longer than the other one would have waited for.
            thread::sleep(Duration::from_millis(500));
            let took = |host: &usize| cluster.count(*host, "took_over") > before[*host];
            let heirs: Vec<_> = others.iter().copied().filter(took).collect();
            let masters = |host: &usize| !cluster.owned(*host, cut_ns).is_empty();
            let masters: Vec<_> = others.iter().copied().filter(masters).collect();
            overlaps.push(cluster.overlap(&others, cut_ns));
            assert_eq!(heirs.len(), 1, "round {round}:\n{}", cluster.told());
            assert_eq!(masters, heirs, "round {round}:\n{}", cluster.told());
            assert!(overlaps[round] <= OVERLAP, "round {round}: {overlaps:?}");
            cluster.topology.hosts[primary].restore().unwrap();
            primary = heirs[0];
            assert_eq!(cluster.wait_one_owner(LIMIT), primary);
            // Its priority is what it was again.
            cluster.wait_count(primary, "takeover_settled", before[primary] + 1);
            cluster.wait_sessions(primary);
        }
        let overlap = overlaps.iter().max().unwrap();
        println!(
            "power cuts with two backups: exactly one took over in {rounds} of {rounds}, \
             two primaries for {overlap:?} at most; outage {}",
            median_and_worst(outages.clone())
        );
        assert!(
            outages.iter().max() < Some(&Duration::from_millis(500)),
            "{outages:?}"
        );
    });
}
