//! The primary's power is cut.

use super::*;

/// How long a power cut may keep a client waiting that is noticed by probes; it is 4 to 12 ms on
/// a machine of one's own.
const SOON: Duration = Duration::from_millis(120);

/// Cuts the power of whoever is the primary so many times: the outage in the middle.
fn outages(what: &str, pair: &Pair, times: usize) -> Duration {
    let mut outages = Vec::new();
    for turn in 0..times {
        let (primary, backup) = roles(turn);
        pair.ready(primary, backup);
        let client = pair.client();
        pair.host(primary).cut().unwrap();
        let new = pair.daemon(backup);
        new.wait_state("r", "primary", LIMIT).unwrap();
        outages.push(outage(client));
        // What was leased is keepalived's own by now, and is not left to lapse.
        assert_eq!(lapsing(pair.host(backup)), Vec::<String>::new());
        pair.host(primary).restore().unwrap();
        let settled = turn / 2 + 1;
        wait::until("the end of the takeover", LIMIT, || {
            let count = events(new, "takeover_settled").len();
            (count == settled)
                .then_some(())
                .ok_or_else(|| count.to_string())
        })
        .unwrap();
    }
    median(what, outages)
}

#[test]
fn a_power_cut_is_over_in_milliseconds() {
    alone(|| {
        let pair = Pair::armed("");
        assert!(outages("power, version 3", &pair, 6) < SOON);
    });
}

#[test]
fn one_of_version_2_is_over_as_soon() {
    alone(|| {
        let pair = Pair::of(|host| Declaration {
            vrrp: "version = 2\n".to_owned(),
            ..fast(host, "mode = \"armed\"")
        });
        assert!(outages("power, version 2", &pair, 4) < SOON);
    });
}

#[test]
fn one_of_neutron_is_over_as_soon() {
    alone(|| {
        let pair = Pair::of(|host| fast_path(Declaration::neutron(host), "mode = \"armed\""));
        assert!(outages("power, neutron", &pair, 4) < SOON);
    });
}
