//! What each captured frame says, read from its bytes by a parser that shares no code with this one.

/// File name without `.bin`, and what the frame says, in the words of `in_words`.
pub(crate) const TABLE: &[(&str, &str)] = &[
    (
        "arp-gratuitous-reply",
        "10.99.0.1 is at 02:4b:46:00:00:01, unasked",
    ),
    (
        "arp-gratuitous-request",
        "10.99.0.100 is at 02:4b:46:00:00:01, unasked",
    ),
    (
        "arp-gratuitous-vmac",
        "10.99.0.100 is at 00:00:5e:00:01:07, unasked",
    ),
    ("arp-reply", "10.99.0.2 is at 02:4b:46:00:00:02"),
    (
        "arp-request",
        "10.99.0.1 is at 02:4b:46:00:00:01, asks for 10.99.0.2",
    ),
    (
        "frr-arp-gratuitous",
        "10.99.0.100 is at 00:00:5e:00:01:07, unasked",
    ),
    (
        "frr-nd-advertisement",
        "fd99::100 is at 00:00:5e:00:02:07, unasked",
    ),
    (
        "frr-v2-resign",
        "v2 VRID 7 priority 0 every 100 cs from 10.99.0.1 at 00:00:5e:00:01:07 for 10.99.0.100 [virtual MAC]",
    ),
    (
        "frr-v2",
        "v2 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 00:00:5e:00:01:07 for 10.99.0.100 [virtual MAC]",
    ),
    (
        "frr-v3-resign",
        "v3 VRID 7 priority 0 every 100 cs from 10.99.0.1 at 00:00:5e:00:01:07 for 10.99.0.100 [virtual MAC]",
    ),
    (
        "frr-v3",
        "v3 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 00:00:5e:00:01:07 for 10.99.0.100 [virtual MAC]",
    ),
    (
        "frr-v6-resign",
        "v3 VRID 7 priority 0 every 100 cs from fe80::200:5eff:fe00:207 at 00:00:5e:00:02:07 for fd99::100 [virtual MAC]",
    ),
    (
        "frr-v6",
        "v3 VRID 7 priority 100 every 100 cs from fe80::200:5eff:fe00:207 at 00:00:5e:00:02:07 for fd99::100 [virtual MAC]",
    ),
    ("icmp-echo-request", "other"),
    ("icmp-fragment-first", "other"),
    ("icmp-fragment-last", "other"),
    ("icmpv6-echo-request", "other"),
    ("igmp-v3-join", "other"),
    ("mld-v2-report", "other"),
    (
        "nd-advertisement-solicited",
        "fd99::2 is at 02:4b:46:00:00:02",
    ),
    (
        "nd-advertisement-unsolicited",
        "fd99::100 is at 02:4b:46:00:00:01, unasked",
    ),
    (
        "nd-router-advertisement",
        "fe80::4b:46ff:fe00:1 is at 02:4b:46:00:00:01",
    ),
    (
        "nd-solicitation",
        "fd99::1 is at 02:4b:46:00:00:01, asks for fd99::2",
    ),
    ("tcp-syn", "other"),
    ("udp", "other"),
    (
        "vrrp-v2-20-addresses",
        "v2 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 20 from 10.99.0.100 to 10.99.0.119",
    ),
    (
        "vrrp-v2-ah-resign",
        "v2 VRID 7 priority 0 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100 [AH]",
    ),
    (
        "vrrp-v2-ah",
        "v2 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100 [AH]",
    ),
    (
        "vrrp-v2-neutron",
        "v2 VRID 1 priority 50 every 200 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 169.254.0.1",
    ),
    (
        "vrrp-v2-pass-resign",
        "v2 VRID 7 priority 0 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100 [password]",
    ),
    (
        "vrrp-v2-pass",
        "v2 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100 [password]",
    ),
    (
        "vrrp-v2-resign",
        "v2 VRID 7 priority 0 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100",
    ),
    (
        "vrrp-v2-unicast",
        "v2 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100 [unicast]",
    ),
    (
        "vrrp-v2-vmac",
        "v2 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 00:00:5e:00:01:07 for 10.99.0.100 [virtual MAC]",
    ),
    (
        "vrrp-v2",
        "v2 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100",
    ),
    (
        "vrrp-v3-1cs",
        "v3 VRID 7 priority 100 every 1 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100",
    ),
    (
        "vrrp-v3-20-addresses",
        "v3 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 20 from 10.99.0.100 to 10.99.0.119",
    ),
    (
        "vrrp-v3-owner",
        "v3 VRID 7 priority 255 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100",
    ),
    (
        "vrrp-v3-resign",
        "v3 VRID 7 priority 0 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100",
    ),
    (
        "vrrp-v3-unicast",
        "v3 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100 [unicast]",
    ),
    (
        "vrrp-v3-vmac-base",
        "v3 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100",
    ),
    (
        "vrrp-v3-vmac",
        "v3 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 00:00:5e:00:01:07 for 10.99.0.100 [virtual MAC]",
    ),
    (
        "vrrp-v3",
        "v3 VRID 7 priority 100 every 100 cs from 10.99.0.1 at 02:4b:46:00:00:01 for 10.99.0.100",
    ),
    (
        "vrrp-v6-20-addresses",
        "v3 VRID 7 priority 100 every 100 cs from fe80::4b:46ff:fe00:1 at 02:4b:46:00:00:01 for 20 from fe80::100 to fe80::119",
    ),
    (
        "vrrp-v6-resign",
        "v3 VRID 7 priority 0 every 100 cs from fe80::4b:46ff:fe00:1 at 02:4b:46:00:00:01 for 2 from fe80::100 to fd99::100",
    ),
    (
        "vrrp-v6-unicast",
        "v3 VRID 7 priority 100 every 100 cs from fd99::1 at 02:4b:46:00:00:01 for 2 from fe80::100 to fd99::100 [unicast]",
    ),
    (
        "vrrp-v6-vmac",
        "v3 VRID 7 priority 100 every 100 cs from fe80::4b:46ff:fe00:1 at 00:00:5e:00:02:07 for 2 from fe80::100 to fd99::100 [virtual MAC]",
    ),
    (
        "vrrp-v6",
        "v3 VRID 7 priority 100 every 100 cs from fe80::4b:46ff:fe00:1 at 02:4b:46:00:00:01 for 2 from fe80::100 to fd99::100",
    ),
];
