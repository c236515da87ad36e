//! A takeover from a primary that lives: what it costs, and how it ends.

use crate::cluster::{Cluster, median_and_worst, rounds, unanswered};
use crate::*;
use lab::clock::monotonic_ns;
use lab::fault::{ALL, PROBES, SOLICITATIONS, Way};

/// An old primary that is heard this soon after it was replaced was alive.
const SOON: Duration = Duration::from_millis(30);

/// What makes the primary seem dead.
#[derive(Clone, Copy, Debug)]
enum Why {
    /// Probes and questions are lost, adverts are not.
    Probes,
    /// Nothing of it is heard, and it hears all.
    Mute,
    /// It is cut off from the other router, but not from the clients.
    CutOff,
}

const ALL_WHYS: [Why; 3] = [Why::Probes, Why::Mute, Why::CutOff];

impl Why {
    const fn lost(self) -> &'static [(Way, &'static str)] {
        match self {
            Self::Probes => &[(Way::ToHost, PROBES), (Way::ToHost, SOLICITATIONS)],
            Self::Mute => &[(Way::FromHost, ALL)],
            Self::CutOff => &[(Way::FromHost, ALL), (Way::ToHost, ALL)],
        }
    }
}

/// Has the backup take over from a primary that lives, and returns for how long the client was
/// without answers. The backup must not back off when it begins, and does so in the end.
fn take_wrongly(cluster: &mut Cluster, primary: usize, why: Why) -> Duration {
    let backup = 1 - primary;
    let client = cluster.client();
    let [took, wrong] = ["took_over", "takeover_wrong"].map(|name| cluster.count(backup, name));
    let from_ns = monotonic_ns().unwrap();
    cluster.faults[primary][0].lose(why.lost()).unwrap();
    cluster.wait_count(backup, "took_over", took + 1);
    cluster.faults[primary][0].heal().unwrap();
    let events = events(&cluster.daemons[backup], "took_over");
    let took_ns = events.last().unwrap()["monotonic_ns"].as_u64().unwrap();
    let healed_ns = monotonic_ns().unwrap();
    // One that was away for longer may have been dead.
    if Duration::from_nanos(healed_ns.saturating_sub(took_ns)) < SOON {
        cluster.wait_count(backup, "takeover_wrong", wrong + 1);
    }
    cluster.wait_one_owner(Duration::from_secs(3));
    let lost = unanswered(client);
    // Whatever would come later.
    cluster.wait_count(backup, "takeover_settled", took + 1);
    // Back to the first one at most, if that is preferred.
    let came = [0, 1].map(|host| cluster.came(host, from_ns));
    assert!(
        came[backup] == 1 && came[primary] <= 1,
        "{came:?}\n{}",
        cluster.told()
    );
    lost
}

fn forced(preempt: bool, rounds: usize) -> Vec<Duration> {
    let mut cluster = Cluster::start(2, |host| Declaration {
        priority: if host.number == 1 { 150 } else { 100 },
        vrrp: format!("preempt = {preempt}\n"),
        ..fast(host, "mode = \"armed\"")
    });
    let mut primary = 0;
    let round = |round: usize| {
        let why = ALL_WHYS[round % ALL_WHYS.len()];
        let lost = take_wrongly(&mut cluster, primary, why);
        println!(
            "preempt {preempt}, priority of the primary {}, {why:?}: {lost:?}",
            [150, 100][primary]
        );
        let backup = 1 - primary;
        if preempt {
            cluster.daemons[primary]
                .wait_state("r", "primary", LIMIT)
                .unwrap();
        } else {
            primary = backup;
        }
        cluster.restart(backup, primary);
        lost
    };
    (0..rounds).map(round).collect()
}

#[test]
fn a_wrong_takeover_costs_little_and_ends_with_one_owner() {
    alone(|| {
        let rounds = rounds("KEEPFAST_WRONG_TAKEOVERS", 8);
        // Each second one of these has the backup ranked above.
        let mut losses = forced(false, rounds - rounds / 4);
        losses.extend(forced(true, rounds / 4));
        println!(
            "wrong takeovers: without answers {}",
            median_and_worst(losses.clone())
        );
        assert!(
            losses.iter().max() < Some(&Duration::from_millis(100)),
            "{losses:?}"
        );
    });
}
