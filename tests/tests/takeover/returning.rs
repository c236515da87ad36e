//! An old primary that is back in the midst of the takeover from it.

use crate::cluster::{Cluster, median_and_worst, rounds, unanswered};
use crate::*;
use lab::clock::monotonic_ns;
use lab::fault::{ALL, Way};
use std::thread;
use std::time::Instant;

/// A takeover is over by then.
const LAST: Duration = Duration::from_millis(20);
/// Longer than any advert takes to come.
const CALM: Duration = Duration::from_millis(1_500);

#[test]
fn an_old_primary_may_return_at_any_moment() {
    alone(|| {
        let steps = u32::try_from(rounds("KEEPFAST_RETURNS", 5)).unwrap();
        let mut cluster = Cluster::start(2, |host| fast(host, "mode = \"armed\""));
        let (mut primary, mut outages, mut moved, mut wrong) = (0, Vec::new(), 0, 0);
        for step in 0..steps {
            let backup = 1 - primary;
            let client = cluster.client();
            let wrong_before = cluster.count(backup, "takeover_wrong");
            let from_ns = monotonic_ns().unwrap();
            let start = Instant::now();
            cluster.lose(primary, &[(Way::FromHost, ALL), (Way::ToHost, ALL)]);
            let until = start + LAST * step / steps;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            cluster.heal(primary);
            let away = start.elapsed();
            thread::sleep(CALM);
            let owner = cluster.wait_one_owner(LIMIT);
            let out = unanswered(client);
            let came = [0, 1].map(|host| cluster.came(host, from_ns));
            println!("away for {away:?}: {out:?} without answers, came {came:?}");
            assert!(
                came[backup] <= 1 && came[primary] <= 1,
                "{came:?}\n{}",
                cluster.told()
            );
            outages.push(out.saturating_sub(away));
            moved += usize::from(owner != primary);
            primary = owner;
            if cluster.count(backup, "takeover_wrong") > wrong_before {
                wrong += 1;
                cluster.restart(backup, primary);
            } else {
                cluster.wait_sessions(primary);
            }
        }
        println!(
            "returns within {LAST:?}: {steps}, of which {moved} found their place taken and \
             {wrong} were seen at once; without answers besides {}",
            median_and_worst(outages.clone())
        );
        assert!(
            outages.iter().max() < Some(&Duration::from_millis(500)),
            "{outages:?}"
        );
    });
}
