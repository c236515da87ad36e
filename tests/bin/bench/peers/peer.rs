//! Who is compared: what each is called, its configuration, and how it is run.

/// One that is compared with the others.
#[derive(Debug)]
pub(crate) struct Peer {
    /// A word for the command line and for JSON.
    pub(crate) key: &'static str,
    /// For people.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The text of its configuration, with names between `@` for what differs between hosts.
    pub(crate) configuration: &'static str,
    /// Where that is in the repository.
    pub(crate) file: &'static str,
    /// Whether a failover takes it so long that several pairs are watched side by side.
    pub(crate) slow: bool,
    /// Between two adverts, in milliseconds: the moments of the faults are spread over it.
    pub(crate) interval_ms: u64,
}

/// What runs on a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// keepalived alone.
    Keepalived,
    /// zebra and vrrpd of FRR.
    Frr,
    /// `keepfast run`, and the keepalived that it starts.
    Keepfast,
}

impl Peer {
    /// The configuration of the first `count` routers; `fill` replaces the names for one of them.
    /// What comes before the line `each router:` is there once.
    pub(crate) fn text(&self, count: usize, fill: impl Fn(usize, &str) -> String) -> String {
        let end = self.configuration.find("each router:\n");
        let end = end.map_or(0, |at| at + "each router:\n".len());
        let (once, each) = self.configuration.split_at(end);
        let mut text = fill(0, once);
        for number in 0..count {
            text += &fill(number, each);
        }
        text
    }
}

macro_rules! peer {
    ($key:literal, $name:literal, $kind:ident, $file:literal, $slow:literal, $interval:literal) => {
        Peer {
            key: $key,
            name: $name,
            kind: Kind::$kind,
            configuration: include_str!($file),
            file: $file,
            slow: $slow,
            interval_ms: $interval,
        }
    };
}

/// In the order of the table.
pub(crate) static PEERS: [Peer; 10] = [
    peer!(
        "keepalived-neutron",
        "keepalived, Neutron: v2, 2 s",
        Keepalived,
        "keepalived-neutron.conf",
        true,
        2000
    ),
    peer!(
        "keepalived-1s",
        "keepalived, v3, 1 s",
        Keepalived,
        "keepalived-1s.conf",
        true,
        1000
    ),
    peer!(
        "keepalived-bfd",
        "keepalived, v3, 1 s, its BFD",
        Keepalived,
        "keepalived-bfd.conf",
        true,
        1000
    ),
    peer!(
        "frr-1s",
        "FRR vrrpd, v3, 1 s",
        Frr,
        "frr-1s.conf",
        true,
        1000
    ),
    peer!(
        "keepalived-10ms",
        "keepalived, v3, 10 ms",
        Keepalived,
        "keepalived-10ms.conf",
        false,
        10
    ),
    peer!(
        "frr-10ms",
        "FRR vrrpd, v3, 10 ms",
        Frr,
        "frr-10ms.conf",
        false,
        10
    ),
    peer!(
        "keepfast-neutron",
        "keepfast, Neutron: v2, 2 s",
        Keepfast,
        "keepfast-neutron.toml",
        false,
        2000
    ),
    peer!(
        "keepfast-v2",
        "keepfast, v2, 1 s",
        Keepfast,
        "keepfast-v2.toml",
        false,
        1000
    ),
    peer!(
        "keepfast-v3",
        "keepfast, v3, 1 s",
        Keepfast,
        "keepfast-v3.toml",
        false,
        1000
    ),
    peer!(
        "keepfast-v3-quick",
        "keepfast, v3, 1 s, 1 ms x 3",
        Keepfast,
        "keepfast-v3-quick.toml",
        false,
        1000
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_each_router_is_repeated() {
        let peer = &PEERS[1];
        let text = peer.text(3, |number, text| {
            let number = (number + 1).to_string();
            text.replace("@vrid@", &number).replace("@number@", &number)
        });
        assert_eq!(text.matches("vrrp_instance VR_").count(), 3);
        assert_eq!(text.matches("global_defs").count(), 1);
        assert!(text.contains("virtual_router_id 3\n"));
    }
}
