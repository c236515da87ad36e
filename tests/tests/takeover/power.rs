//! The primary's power is cut.

use super::*;

#[test]
fn a_power_cut_is_over_in_milliseconds() {
    alone(|| {
        let pair = Pair::armed("");
        let client = pair.client();
        pair.cut();
        pair.second.wait_state("r", "primary", LIMIT).unwrap();
        let outage = outage(client);
        println!("outage {outage:?}");
        assert!(outage < Duration::from_millis(500), "{outage:?}");
        assert_eq!(events(&pair.second, "took_over").len(), 1);
        assert_eq!(status(&pair.second)["mode"], "armed");
        let settled = wait_event(&pair.second, "takeover_settled");
        assert_eq!(settled["detail"], "the old master gave no sign");
    });
}
