//! The text of radvd.conf.

use crate::config::{Radvd, RadvdInterface};
use crate::lines::Lines;

/// radvd 2.19 takes so many addresses in one `RDNSS`, and several of those.
const SERVERS_AT_ONCE: usize = 3;

/// The radvd.conf of a router.
#[must_use]
pub fn config(radvd: &Radvd) -> String {
    let mut lines = Lines::new("};");
    for interface in &radvd.interfaces {
        lines.block(format_args!("interface {}", interface.interface), |lines| {
            advertise(lines, interface);
        });
    }
    lines.into_text()
}

fn advertise(lines: &mut Lines, interface: &RadvdInterface) {
    let switch = |on| if on { "on" } else { "off" };
    let seconds = [
        ("MinRtrAdvInterval", interface.min_interval),
        ("MaxRtrAdvInterval", interface.max_interval),
    ];
    let flags = [
        ("AdvManagedFlag", interface.managed),
        ("AdvOtherConfigFlag", interface.other),
    ];
    lines.line("AdvSendAdvert on;");
    for (key, time) in seconds {
        lines.line(format_args!("{key} {};", time.as_secs()));
    }
    for (key, on) in flags {
        lines.line(format_args!("{key} {};", switch(on)));
    }
    if let Some(mtu) = interface.mtu {
        lines.line(format_args!("AdvLinkMTU {mtu};"));
    }
    for prefix in &interface.prefixes {
        let uses = ["AdvOnLink on;", "AdvAutonomous on;"];
        lines.list(format_args!("prefix {prefix}"), uses);
    }
    for servers in interface.name_servers.chunks(SERVERS_AT_ONCE) {
        let servers: String = servers.iter().map(|server| format!(" {server}")).collect();
        lines.block(format_args!("RDNSS{servers}"), |_| ());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_field_reaches_the_file() {
        let interface = RadvdInterface {
            interface: "qr-1".parse().unwrap(),
            min_interval: Duration::from_secs(30),
            max_interval: Duration::from_secs(100),
            managed: false,
            other: true,
            mtu: Some(1450),
            prefixes: vec![
                "2001:db8::/64".parse().unwrap(),
                "2001:db8:0:1::/64".parse().unwrap(),
            ],
            name_servers: (1..=4)
                .map(|number| format!("2001:db8::{number}").parse().unwrap())
                .collect(),
        };
        let bare = RadvdInterface {
            interface: "qr-2".parse().unwrap(),
            managed: true,
            other: false,
            mtu: None,
            prefixes: Vec::new(),
            name_servers: Vec::new(),
            ..interface.clone()
        };
        let radvd = Radvd {
            user: String::new(),
            interfaces: vec![interface, bare],
        };
        let golden = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/golden/radvd/all.conf"
        ));
        assert_eq!(config(&radvd), golden);
    }
}
