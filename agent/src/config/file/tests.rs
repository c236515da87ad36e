use std::time::Duration;

use super::*;
use crate::config::{
    Authentication, AuthenticationKind, HookTarget, Keepalived, Managed, NamespaceChoice, Profile,
    RunOn,
};

pub(crate) const EXAMPLES: [(&str, &str); 3] = [
    ("plain", include_str!("../../../examples/plain.toml")),
    ("neutron", include_str!("../../../examples/neutron.toml")),
    ("attached", include_str!("../../../examples/attached.toml")),
];

fn example(name: &str) -> Router {
    let (_, text) = EXAMPLES.iter().find(|(it, _)| *it == name).unwrap();
    parse(text, name, Some(name)).unwrap_or_else(|problems| panic!("{problems}"))
}

pub(crate) fn managed(router: &Router) -> &Managed {
    match &router.keepalived {
        Keepalived::Managed(managed) => managed,
        Keepalived::Attached(_) => panic!("attached: {router:?}"),
    }
}

#[test]
fn neutron_example_is_what_neutron_makes() {
    let router = example("neutron");
    assert_eq!(router.id.as_str(), "0c5e8a1f-3b7d-4a55-9d6e-2f1b8c9a7e10");
    assert_eq!(
        router.namespace_name(),
        Some("qrouter-0c5e8a1f-3b7d-4a55-9d6e-2f1b8c9a7e10")
    );
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
