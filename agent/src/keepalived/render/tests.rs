use std::path::Path;

use super::*;
use crate::config::{
    Authentication, AuthenticationKind, Cidr, FastPath, InterfaceName, Keepalived, NamespaceChoice,
    VirtualAddress, VirtualRoute, Vrid, Vrrp,
};

const HA: &str = "ha-0b7f3a52-8c";
const QR: &str = "qr-11111111-11";
const QG: &str = "qg-22222222-22";
const QR2: &str = "qr-33333333-33";

fn interface(name: &str) -> InterfaceName {
    name.parse().unwrap()
}

/// A route as `to`, `to via NEXT_HOP`, or either with ` dev INTERFACE`.
fn route(text: &str) -> VirtualRoute {
    let mut words = text.split(' ');
    let to: Cidr = words.next().unwrap().parse().unwrap();
    let rest: Vec<_> = words.collect();
    let after = |key| {
        let at = rest.iter().position(|word| *word == key)?;
        rest.get(at + 1)
    };
    let via = after("via").map(|via| via.parse().unwrap());
    VirtualRoute {
        to,
        via,
        interface: after("dev").map(|name| interface(name)),
        link_scope: via.is_none(),
    }
}

/// A managed router that is built up step by step.
struct Case(Router, Managed);

impl Case {
    fn new(profile: Profile) -> Self {
        let vrrp = Vrrp {
            interface: interface(HA),
            addresses: Vec::new(),
            vrid: Vrid::new(5).unwrap(),
            priority: 50,
            advert_interval: Duration::from_secs(2),
            version: if profile == Profile::Neutron { 2 } else { 3 },
            preempt: false,
            authentication: None,
            primary_address: "169.254.0.5/24".parse().unwrap(),
            track_interfaces: vec![interface(HA)],
        };
        let managed = Managed {
            profile,
            vrrp,
            addresses: Vec::new(),
            routes: Vec::new(),
            gateway_check: None,
            announce_again: Duration::from_secs(60),
            radvd: None,
            conntrackd: None,
        };
        let router = Router {
            id: "R".parse().unwrap(),
            namespace: NamespaceChoice::Host,
            keepalived: Keepalived::Managed(Box::new(managed.clone())),
            fast_path: FastPath::OFF,
            protect: None,
            hooks: Vec::new(),
            children: Vec::new(),
        };
        Self(router, managed)
    }

    /// What most routers of Neutron have.
    fn usual() -> Self {
        Self::new(Profile::Neutron)
            .address("10.0.0.1/24", QR)
            .address("198.51.100.10/24", QG)
            .address("203.0.113.7/32", QG)
            .route(&format!("0.0.0.0/0 via 198.51.100.1 dev {QG}"))
    }

    /// All that a router of Neutron can have.
    fn full() -> Self {
        // Not in the order in which they are written.
        Self::usual()
            .address("fe80::f816:3eff:fe00:2/64", QG)
            .address("fe80::f816:3eff:fe00:1/64", QR)
            .address("2001:db8::10/64", QG)
            .route(&format!("203.0.113.0/24 dev {QG}"))
            .route("8.8.8.0/24 via 10.0.0.254")
            .route(&format!("::/0 via 2001:db8::1 dev {QG}"))
    }

    fn address(mut self, address: &str, name: &str) -> Self {
        self.1.addresses.push(VirtualAddress {
            interface: interface(name),
            address: address.parse().unwrap(),
            link_scope: address.starts_with("fe80"),
        });
        self
    }

    fn route(mut self, text: &str) -> Self {
        self.1.routes.push(route(text));
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Managed)) -> Self {
        change(&mut self.1);
        self
    }

    fn gateway_check(self) -> Self {
        self.with(|managed| managed.gateway_check = Some(Duration::from_secs(5)))
    }

    fn authentication(self, kind: AuthenticationKind) -> Self {
        self.with(|managed| {
            managed.vrrp.authentication = Some(Authentication {
                kind,
                secret_file: "/etc/keepfast/secret".into(),
            });
        })
    }

    fn fast_path(mut self, mode: Mode) -> Self {
        self.0.fast_path.mode = mode;
        self
    }

    fn vrid(self, vrid: i64, primary_address: &str) -> Self {
        self.with(|managed| {
            managed.vrrp.vrid = Vrid::new(vrid).unwrap();
            managed.vrrp.primary_address = primary_address.parse().unwrap();
        })
    }

    fn render(&self, no_track: bool) -> String {
        let Self(router, managed) = self;
        let vrid = managed.vrrp.vrid.get();
        let paths = Paths {
            check_script: format!("/var/lib/neutron/ha_confs/R/ha_check_script_{vrid}.sh").into(),
            raise: "/var/lib/keepfast/R/raise".into(),
        };
        let secret = managed.vrrp.authentication.as_ref().map(|_| "secret");
        render(router, managed, secret, &paths, Features { no_track })
    }

    fn script(&self) -> Option<String> {
        let state_file = Path::new("/var/lib/keepfast/it's/gateway");
        check_script(&self.1, Path::new("/usr/sbin/keepfast"), state_file)
    }
}

/// Compares with what Neutron's own code made of the same router.
macro_rules! golden {
    ($($name:literal: $case:expr;)*) => {
        [$((
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/neutron/", $name, ".conf")),
            $case,
        )),*]
    };
}

#[test]
fn what_neutron_writes_is_written_byte_for_byte() {
    let cases = golden! {
        "usual": Case::usual();
        "pass": Case::usual().authentication(AuthenticationKind::Pass);
        "ah": Case::usual().authentication(AuthenticationKind::Ah);
        "health-check": Case::usual().gateway_check();
        "no-track-unknown": Case::full();
        "all": Case::full().authentication(AuthenticationKind::Pass).gateway_check();
        "ipv6": Case::usual()
            .address("2001:db8::10/64", QG)
            .address("2001:db8:0:1::1/64", QR)
            .address("fe80::f816:3eff:fe00:1/64", QR)
            .address("fe80::f816:3eff:fe00:2/64", QG)
            .route(&format!("::/0 via fe80::1 dev {QG}"));
        "extra-routes": Case::usual()
            .route("8.8.8.0/24 via 10.0.0.254")
            .route("192.0.2.0/24 via 10.0.0.253")
            .route("2001:db8:9::/48 via 2001:db8::9");
        "on-link-subnets": Case::usual()
            .route(&format!("203.0.113.0/24 dev {QG}"))
            .route(&format!("192.0.2.128/25 dev {QG}"));
        "gateway-outside-subnet": Case::usual()
            .gateway_check()
            .with(|managed| managed.routes.clear())
            .route(&format!("0.0.0.0/0 via 192.0.2.1 dev {QG}"))
            .route(&format!("192.0.2.1/32 dev {QG}"));
        "gateway-outside-subnet-ipv6": Case::new(Profile::Neutron)
            .address("2001:db8::10/64", QG)
            .route(&format!("2001:db8:1::1/128 dev {QG}"))
            .route(&format!("::/0 via 2001:db8:1::1 dev {QG}"));
        "bare": Case::new(Profile::Neutron);
        "bare-health-check": Case::new(Profile::Neutron).gateway_check();
        "health-check-without-gateway": Case::new(Profile::Neutron)
            .gateway_check()
            .address("10.0.0.1/24", QR)
            .route("8.8.8.0/24 via 10.0.0.254");
        "many-addresses": many_addresses();
        "high-vrid-moved-range": Case::usual().vrid(200, "169.254.128.200/24");
        "several-interfaces": Case::usual()
            .address("10.1.0.1/24", QR2)
            .address("10.0.0.1/24", QR2)
            .address("169.254.192.9/32", HA);
    };
    for (name, golden, case) in cases {
        assert_eq!(case.render(name != "no-track-unknown"), golden, "{name}");
    }
}

fn many_addresses() -> Case {
    let mut case = Case::new(Profile::Neutron)
        .vrid(254, "169.254.0.254/24")
        .with(|managed| {
            managed.vrrp.advert_interval = Duration::from_secs(1);
            managed.vrrp.priority = 100;
        })
        .address("10.0.0.1/24", QR)
        .address("9.0.0.1/24", QR2);
    for last in [9, 10, 100, 2, 99, 11, 20, 1] {
        case = case.address(&format!("9.0.0.{last}/32"), QG);
    }
    for last in [9, 10, 100] {
        case = case.address(&format!("10.0.0.{last}/32"), QG);
    }
    case
}

#[test]
fn the_plain_style_has_what_is_declared_and_nothing_else() {
    let all = Case::new(Profile::Plain)
        .gateway_check()
        .address("10.0.0.1/24", QR)
        .address("fe80::1/64", QR)
        .route(&format!("192.0.2.1/32 dev {QG}"))
        .route("0.0.0.0/0 via 10.0.0.254")
        .with(|managed| {
            managed.vrrp.advert_interval = Duration::from_millis(250);
            managed.vrrp.track_interfaces.push(interface(QG));
        });
    assert_eq!(
        all.render(true),
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/golden/plain/all.conf"
        ))
    );
    let bare = Case::new(Profile::Plain)
        .authentication(AuthenticationKind::Pass)
        .gateway_check()
        .with(|managed| {
            managed.vrrp.version = 2;
            managed.vrrp.preempt = true;
        });
    assert_eq!(
        bare.render(true),
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/golden/plain/bare.conf"
        ))
    );
}

#[test]
fn a_fast_path_adds_its_file_to_either_style_and_nothing_else() {
    let global =
        "track_file keepfast {\n    file \"/var/lib/keepfast/R/raise\"\n    weight 1\n}\n\n";
    let instance = "    track_file {\n        keepfast weight 1\n    }\n";
    let cases: [fn() -> Case; 4] = [
        || Case::new(Profile::Plain),
        || {
            Case::new(Profile::Plain)
                .gateway_check()
                .route("0.0.0.0/0 via 10.0.0.254")
        },
        || Case::new(Profile::Neutron),
        || Case::full().gateway_check(),
    ];
    for case in cases {
        let (off, shadow) = (
            case().render(true),
            case().fast_path(Mode::Shadow).render(true),
        );
        // To arm it is no reload.
        assert_eq!(case().fast_path(Mode::Armed).render(true), shadow);
        assert!(
            shadow.contains(&format!("\n{global}vrrp_instance")),
            "{shadow}"
        );
        assert!(
            shadow.trim_end().ends_with(&format!("{instance}}}")),
            "{shadow}"
        );
        let without = shadow.replacen(global, "", 1).replacen(instance, "", 1);
        // Neutron's own stays Neutron's.
        assert_eq!(without.replacen("    vrrp_priority -20\n", "", 1), off);
        assert_eq!(without != off, off.contains("max_auto_priority"));
    }
}

#[test]
fn the_script_asks_every_gateway_once_and_quotes_what_it_says() {
    assert_eq!(Case::new(Profile::Plain).script(), None);
    let case = Case::usual()
        .route("0.0.0.0/0 via 10.0.0.254")
        .route(&format!("0.0.0.0/0 via 10.0.0.254 dev {QR}"))
        .route("0.0.0.0/0 via 192.0.2.77")
        .route("10.7.0.0/16 via 10.0.0.253")
        .route(&format!("::/0 via fe80::1 dev {QG}"));
    assert_eq!(
        case.script().unwrap(),
        "#!/bin/sh\n\
         exec '/usr/sbin/keepfast' gateway-check --state-file '/var/lib/keepfast/it'\\''s/gateway' \
         --gateway '198.51.100.1%qg-22222222-22' --gateway '10.0.0.254%qr-11111111-11' \
         --gateway 'fe80::1%qg-22222222-22' --holder '169.254.0.5%ha-0b7f3a52-8c'\n"
    );
}

#[test]
fn features_follow_the_version() {
    for (line, no_track) in [
        ("Keepalived v2.2.7 (01/16,2022)", true),
        ("Keepalived v2.0.3 (04/30,2018)", true),
        ("Keepalived v2.0.2", false),
        ("Keepalived v2.4.0 (01/01,2026), git commit v2.3.4", true),
        ("Keepalived v1.3.9 (10/21,2017)", false),
        ("Keepalived v10.0.0", true),
        ("Keepalived v2", false),
        ("", false),
    ] {
        assert_eq!(Features::of_version(line), Features { no_track }, "{line}");
    }
}

#[test]
fn seconds_are_written_as_keepalived_reads_them() {
    for (milliseconds, text) in [
        (1000, "1"),
        (2500, "2.5"),
        (250, "0.25"),
        (10, "0.01"),
        (40_950, "40.95"),
    ] {
        assert_eq!(seconds(Duration::from_millis(milliseconds)), text);
    }
}
