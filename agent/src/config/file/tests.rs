use std::time::Duration;

use super::*;
use crate::config::render::render;
use crate::config::{
    Authentication, AuthenticationKind, FastPath, HookTarget, Keepalived, Managed, Mode,
    NamespaceChoice, Profile, Protect, Protection, RunOn, Sharing,
};

pub(in crate::config) const EXAMPLES: [(&str, &str); 4] = [
    ("plain", include_str!("../../../examples/plain.toml")),
    ("neutron", include_str!("../../../examples/neutron.toml")),
    ("fast", include_str!("../../../examples/fast.toml")),
    ("attached", include_str!("../../../examples/attached.toml")),
];

fn example(name: &str) -> Router {
    let (_, text) = EXAMPLES.iter().find(|(it, _)| *it == name).unwrap();
    parse(text, name, Some(name)).unwrap_or_else(|problems| panic!("{problems}"))
}

pub(in crate::config) fn managed(router: &Router) -> &Managed {
    match &router.keepalived {
        Keepalived::Managed(managed) => managed,
        Keepalived::Attached(_) => panic!("attached: {router:?}"),
    }
}

#[test]
fn neutron_example_is_what_neutron_makes() {
    let router = example("neutron");
    assert_eq!(router.namespace_name(), Some("qrouter-neutron"));
    let managed = managed(&router);
    assert_eq!(managed.profile, Profile::Neutron);
    let vrrp = &managed.vrrp;
    assert_eq!((vrrp.version, vrrp.priority, vrrp.preempt), (2, 50, false));
    assert_eq!(vrrp.advert_interval, Duration::from_secs(2));
    assert_eq!(vrrp.primary_address.to_string(), "169.254.0.5/24");
    assert_eq!(vrrp.track_interfaces, std::slice::from_ref(&vrrp.interface));
    assert_eq!(
        vrrp.authentication,
        Some(Authentication {
            kind: AuthenticationKind::Pass,
            secret_file: "/etc/keepfast/secrets/router-0c5e8a1f".into(),
        })
    );
    assert_eq!(managed.gateway_check, Some(Duration::from_secs(5)));
    assert_eq!(managed.announce_again, Duration::from_secs(60));
    let scopes: Vec<bool> = managed.addresses.iter().map(|it| it.link_scope).collect();
    assert_eq!(scopes, [false, false, false, false, true, true]);
    let conntrackd = managed.conntrackd.as_ref().unwrap();
    assert_eq!((conntrackd.port, conntrackd.hash_size), (3785, 32768));
    let radvd = managed.radvd.as_ref().unwrap();
    assert_eq!(radvd.user, "");
    assert_eq!(radvd.interfaces[0].min_interval, Duration::from_secs(30));
    assert_eq!(radvd.interfaces[0].max_interval, Duration::from_secs(100));
    assert!(matches!(
        &router.hooks[0].target,
        HookTarget::NeutronSocket(_)
    ));
    assert_eq!(router.hooks[0].timeout, Duration::from_secs(5));
    assert_eq!(router.children[0].run, RunOn::Primary);
}

#[test]
fn plain_example_is_version_3_in_the_host() {
    let router = example("plain");
    assert_eq!(router.id.as_str(), "plain");
    assert_eq!(router.namespace, NamespaceChoice::Host);
    let managed = managed(&router);
    assert_eq!(managed.profile, Profile::Plain);
    assert_eq!((managed.vrrp.version, managed.vrrp.priority), (3, 150));
    assert_eq!(managed.vrrp.advert_interval, Duration::from_millis(500));
    assert_eq!(managed.routes[0].to.to_string(), "0.0.0.0/0");
    assert_eq!(router.hooks[1].settle, Duration::from_secs(3));
}

#[test]
fn fast_example_has_a_fast_path_with_all_there_is() {
    let expected = FastPath {
        mode: Mode::Armed,
        interval: Duration::from_millis(1),
        multiplier: Some(4),
        liveness: Sharing::Host,
        solicit_interval: Duration::from_millis(20),
        witness: false,
        gateway_interval: Some(Duration::from_millis(50)),
        gateway_multiplier: 5,
    };
    assert_eq!(example("fast").fast_path, expected);
    for name in ["plain", "neutron", "attached"] {
        assert_eq!(example(name).fast_path, FastPath::OFF, "{name}");
    }
}

#[test]
fn what_is_legitimate_is_observed_unless_it_says_otherwise() {
    let protect = example("fast").protect.unwrap();
    assert_eq!(protect.mode, Protection::Enforce);
    assert_eq!(protect.peers.len(), 2);
    assert_eq!(example("plain").protect, None);
    for top in [
        "[vrrp]\ninterface = \"eth0\"\nvrid = 9\n",
        "[attached]\nconfig_file = \"/k.conf\"\ninstance = \"i\"\n",
    ] {
        let text = format!("{top}[protect]\npeers = [\"192.0.2.1\"]\nowner = \"192.0.2.2\"\n");
        let protect = parse(&text, "r.toml", Some("r")).unwrap().protect;
        let expected = Protect {
            mode: Protection::Observe,
            peers: vec!["192.0.2.1".parse().unwrap()],
            owner: Some("192.0.2.2".parse().unwrap()),
        };
        assert_eq!(protect, Some(expected), "{text}");
    }
}

#[test]
fn a_fast_path_is_in_shadow_unless_it_says_otherwise() {
    let shadow = FastPath {
        mode: Mode::Shadow,
        ..FastPath::OFF
    };
    let managed = "[vrrp]\ninterface = \"eth0\"\nvrid = 9\n";
    let attached = "[attached]\nconfig_file = \"/k.conf\"\ninstance = \"i\"\n";
    for beginning in [managed, attached] {
        for (mode, expected) in [("", &shadow), ("mode = \"off\"\n", &FastPath::OFF)] {
            let text = format!("{beginning}[fast_path]\n{mode}");
            let router = parse(&text, "r.toml", Some("r")).unwrap();
            assert_eq!(&router.fast_path, expected, "{text}");
        }
    }
    let text = format!("{managed}[fast_path]\ninterval = \"250us\"\n");
    let router = parse(&text, "r.toml", Some("r")).unwrap();
    assert_eq!(router.fast_path.interval, Duration::from_micros(250));
}

#[test]
fn attached_example_names_somebody_elses_keepalived() {
    let router = example("attached");
    let Keepalived::Attached(attached) = router.keepalived else {
        panic!("{router:?}")
    };
    assert_eq!(attached.instance, "VI_1");
    assert_eq!(attached.pid_file, Some("/run/keepalived.pid".into()));
}

#[test]
fn least_router_has_the_defaults_of_its_profile() {
    let least = "[vrrp]\ninterface = \"eth0\"\nvrid = 9\n";
    let router = parse(least, "r.toml", Some("r")).unwrap();
    assert_eq!(router.namespace_name(), Some("qrouter-r"));
    let vrrp = &managed(&router).vrrp;
    assert_eq!((vrrp.version, vrrp.priority), (3, 100));
    assert_eq!(vrrp.advert_interval, Duration::from_secs(1));
    assert_eq!(vrrp.primary_address.to_string(), "169.254.0.9/24");
}

#[test]
fn primary_address_avoids_the_subnets_of_the_ha_interface() {
    for (own, expected) in [
        ("169.254.192.11/18", "169.254.0.9/24"),
        ("169.254.7.1/18", "169.254.128.9/24"),
        ("169.254.0.3/24", "169.254.1.9/24"),
        ("169.254.3.3/22", "169.254.4.9/24"),
        ("10.0.0.1/8", "169.254.0.9/24"),
    ] {
        let text = format!("[vrrp]\ninterface = \"e\"\nvrid = 9\naddresses = [\"{own}\"]\n");
        let router = parse(&text, "r.toml", Some("r")).unwrap();
        let address = managed(&router).vrrp.primary_address;
        assert_eq!(address.to_string(), expected, "{own}");
    }
}

#[test]
fn times_are_text_with_units_or_seconds() {
    for (written, milliseconds) in [
        ("2", 2_000),
        ("\"2s\"", 2_000),
        ("\"500ms\"", 500),
        ("\"1m 30s\"", 90_000),
        ("\"PT3S\"", 3_000),
        ("\"1.5s\"", 1_500),
    ] {
        let text = format!(
            "[attached]\nconfig_file = \"/k.conf\"\ninstance = \"i\"\n\
             [[hook]]\nname = \"h\"\nsocket = \"/s\"\ntimeout = {written}\n"
        );
        let router = parse(&text, "r.toml", Some("r")).unwrap();
        let expected = Duration::from_millis(milliseconds);
        assert_eq!(router.hooks[0].timeout, expected, "{written}");
    }
}

#[test]
fn next_hops_may_be_where_nothing_is_known_of_subnets() {
    for (top, after) in [
        // By a route to it on the link, wherever that stands.
        (
            "",
            "[[address]]\ninterface = \"wan0\"\naddress = \"10.0.0.1/24\"\n\
             [[route]]\nto = \"default\"\nvia = \"192.0.2.1\"\ninterface = \"wan0\"\n\
             [[route]]\nto = \"192.0.2.1\"\ninterface = \"wan0\"\n",
        ),
        // The address of a single host is on a subnet that is not told.
        (
            "",
            "[[address]]\ninterface = \"wan0\"\naddress = \"192.0.2.7/32\"\n\
             [[route]]\nto = \"default\"\nvia = \"192.0.2.1\"\ninterface = \"wan0\"\n",
        ),
        // The host has interfaces that the router does not name.
        (
            "host = true\n",
            "[[address]]\ninterface = \"wan0\"\naddress = \"10.0.0.1/24\"\n\
             [[route]]\nto = \"default\"\nvia = \"192.0.2.1\"\n",
        ),
        // On the subnet of the interface for adverts.
        (
            "",
            "addresses = [\"10.9.0.2/24\"]\n\
             [[address]]\ninterface = \"ha0\"\naddress = \"10.0.0.1/24\"\n\
             [[route]]\nto = \"default\"\nvia = \"10.9.0.1\"\ninterface = \"ha0\"\n",
        ),
        // A link-local one is on every link.
        (
            "",
            "[[address]]\ninterface = \"wan0\"\naddress = \"2001:db8::1/64\"\n\
             [[route]]\nto = \"default\"\nvia = \"fe80::1\"\ninterface = \"wan0\"\n",
        ),
    ] {
        let text = format!("{top}[vrrp]\ninterface = \"ha0\"\nvrid = 9\n{after}");
        if let Err(problems) = parse(&text, "r.toml", Some("r")) {
            panic!("{problems}\n{text}");
        }
    }
}

#[test]
fn no_damage_to_a_file_is_too_much() {
    const SCRAPS: [&str; 16] = [
        "[",
        "]",
        "[[route]]\n",
        "\"",
        "'",
        "=",
        ".",
        "\n",
        "{",
        "}",
        "#",
        "\0",
        "é",
        "-1",
        "9999999999999999999999",
        "via = \"::\"\n",
    ];
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let (mut good, mut bad) = (0, 0);
    for round in 0..6_000 {
        let mut text = EXAMPLES[round % EXAMPLES.len()].1.to_owned();
        for _ in 0..=numbers.below(4) {
            let mut place = numbers.below(text.len());
            while !text.is_char_boundary(place) {
                place -= 1;
            }
            match numbers.below(8) {
                0 => text.truncate(place),
                1..=3 => drop(text.remove(place)),
                _ => text.insert_str(place, SCRAPS[numbers.below(SCRAPS.len())]),
            }
            text.push('\n');
        }
        match parse(&text, "r.toml", Some("r")) {
            Ok(router) => {
                good += 1;
                assert_eq!(
                    parse(&render(&router), "r.toml", None),
                    Ok(router),
                    "{text}"
                );
            }
            Err(problems) => {
                bad += 1;
                assert!(problems.iter().count() > 0, "{text}");
                let lines = text.lines().count() + 1;
                for problem in &problems {
                    assert!((1..=lines).contains(&problem.line), "{problem}\n{text}");
                }
            }
        }
    }
    // Both were tried.
    assert!(good > 500 && bad > 1000, "{good} good, {bad} bad");
}

/// Numbers that look random and are the same each time (xorshift64).
pub(in crate::config) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(in crate::config) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}
