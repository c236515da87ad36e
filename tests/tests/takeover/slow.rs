//! At a pace that an emulated machine keeps, too, which may stand still for half a second.

use super::*;

/// What is between two adverts. keepalived alone waits for more than three times as long.
const ADVERTS: Duration = Duration::from_secs(3);
/// Sooner than it, by far.
const SOON: Duration = Duration::from_secs(6);

/// Three probes of 200 ms are a silence.
fn slow(host: &Host) -> Declaration {
    Declaration {
        interval: ADVERTS,
        ..fast(
            host,
            "mode = \"armed\"\ninterval = \"200ms\"\nmultiplier = 3",
        )
    }
}

/// The primary's power is cut once: what the backup did, and that it was sooner than keepalived.
fn cut(declare: impl Fn(&Host) -> Declaration) {
    let pair = Pair::of(declare);
    pair.ready(1, 2);
    let client = pair.client();
    pair.host(1).cut().unwrap();
    pair.daemon(2).wait_state("r", "primary", LIMIT).unwrap();
    let outage = outage(client);
    println!("power, probes of 200 ms: {outage:?}");
    let told = pair.daemon(2).events("r").unwrap();
    assert!(outage < SOON, "{outage:?}: {told:#?}");
    wait_event(pair.daemon(2), "takeover_settled");
    assert_eq!(lapsing(pair.host(2)), Vec::<String>::new());
}

#[test]
fn a_power_cut_is_over_before_keepalived_would_notice() {
    alone(|| cut(slow));
}

#[test]
fn one_of_version_2_is_over_as_soon() {
    alone(|| {
        cut(|host| Declaration {
            vrrp: "version = 2\n".to_owned(),
            ..slow(host)
        });
    });
}
