//! Shadow mode: the same verdicts, and nothing done about them.

use super::*;
use lab::clock::monotonic_ns;

/// The backup in shadow, the primary armed or in shadow itself.
fn pair(primary: &'static str) -> Pair {
    Pair::of(move |host| {
        let mode = if host.number == 1 { primary } else { "shadow" };
        fast(host, &format!("mode = \"{mode}\""))
    })
}

/// The backup's verdict after `from_ns`, and when its keepalived took over by itself.
fn thought(pair: &Pair, from_ns: u64) -> (Duration, Duration) {
    pair.second.wait_state("r", "primary", LIMIT).unwrap();
    let would = wait_event(&pair.second, "would_take_over");
    let worth = wait_event(&pair.second, "would_have_mattered");
    let own = pair.second.events("r").unwrap();
    let own = own.iter().find(|event| event["event"] == "local_master");
    let (would, own) = (after(from_ns, &would), after(from_ns, own.unwrap()));
    println!(
        "shadow: {would:?}, keepalived itself {own:?}, {}",
        worth["detail"]
    );
    let worth = worth["detail"].as_str().unwrap();
    assert!(worth.ends_with(" would have been saved"), "{worth}");
    for event in ["takeover_begins", "took_over", "would_have_been_wrong"] {
        assert_eq!(events(&pair.second, event).len(), 0, "{event}");
    }
    (would, own)
}

#[test]
fn a_power_cut_is_noticed_as_soon_and_left_to_keepalived() {
    alone(|| {
        let pair = pair("armed");
        let client = pair.client();
        let cut_ns = monotonic_ns().unwrap();
        pair.host(1).cut().unwrap();
        let (would, own) = thought(&pair, cut_ns);
        let outage = outage(client);
        println!("shadow: outage {outage:?}");
        assert!(would < Duration::from_millis(120));
        // Three intervals since the last advert, and its skew.
        assert!(own > Duration::from_millis(2_600));
        assert!(outage > Duration::from_millis(2_600));
    });
}

#[test]
fn a_resignation_is_noticed_as_soon_and_left_to_keepalived() {
    alone(|| {
        let pair = pair("armed");
        let killed_ns = monotonic_ns().unwrap();
        pair.first.crash_keepalived("r").unwrap();
        let (would, own) = thought(&pair, killed_ns);
        assert!(would < Duration::from_millis(120));
        // The skew of its priority.
        assert!(own > Duration::from_millis(600));
    });
}

#[test]
fn a_primary_in_shadow_gives_up_nothing() {
    alone(|| {
        let pair = Pair::of(|host| {
            let mode = if host.number == 1 { "shadow" } else { "armed" };
            let keys = format!("mode = \"{mode}\"\ngateway_interval = \"10ms\"");
            fast(host, &keys)
        });
        pair.ready(1, 2);
        pair.first.ask(&["failover", "r"]).unwrap_err();
        pair.host(1).outer.block().unwrap();
        wait::until("two verdicts", LIMIT, || {
            let would = events(&pair.first, "would_hand_over");
            (would.len() == 2)
                .then_some(())
                .ok_or_else(|| format!("{would:?}"))
        })
        .unwrap();
        // Nothing is to happen: there is no condition to wait for.
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(pair.first.state_file("r").unwrap(), "primary");
        assert_eq!(pair.second.state_file("r").unwrap(), "backup");
        assert_eq!(events(&pair.first, "hands_over").len(), 0);
    });
}
