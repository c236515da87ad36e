//! The VRRP instance.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::check::Check;
use crate::config::form::{AuthenticationForm, Interval, VrrpForm};
use crate::config::{Authentication, Cidr, Profile, Vrid, Vrrp};

/// Where the primary address is, unless given, and never is: the metadata service
/// and what Neutron keeps for distributed routers.
const LINK_LOCAL: [u8; 2] = [169, 254];
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const DISTRIBUTED: Ipv4Addr = Ipv4Addr::new(169, 254, 64, 0);

pub(super) fn vrrp(check: &mut Check, form: &VrrpForm, profile: Profile) -> Option<Vrrp> {
    let interface = check.parse("vrrp.interface", form.interface.as_deref());
    let addresses = own_addresses(check, form);
    let vrid = form.vrid.map(Vrid::new);
    let vrid = vrid.and_then(|it| check.take("vrrp.vrid", it));
    let priority = priority(check, form, profile);
    let version = version(check, form, profile);
    let interval = version.and_then(|it| advert_interval(check, form, profile, it));
    let primary_address = primary_address(check, form, addresses.as_deref(), vrid, version);
    let track = match &form.track_interfaces {
        Some(names) => check.parse_all("vrrp.track_interfaces", names),
        None => interface.clone().map(|it| vec![it]),
    };
    let named = form.track_interfaces.iter().flatten().enumerate();
    check.unique(
        named.map(|(index, name)| (format!("vrrp.track_interfaces[{index}]"), name)),
        |name, first| format!("{name} is {first} too: expected each interface once"),
    );
    let authentication = check.optional(form.authentication.as_ref(), |check, it| {
        authentication(check, it, version)
    });
    Some(Vrrp {
        interface: interface?,
        addresses: addresses?,
        vrid: vrid?,
        priority: priority?,
        advert_interval: interval?,
        version: version?,
        preempt: form.preempt.unwrap_or(false),
        authentication: authentication?,
        primary_address: primary_address?,
        track_interfaces: track?,
    })
}

fn own_addresses(check: &mut Check, form: &VrrpForm) -> Option<Vec<Cidr>> {
    let addresses: Vec<_> = form
        .addresses
        .iter()
        .enumerate()
        .map(|(index, text)| check.host(&format!("vrrp.addresses[{index}]"), Some(text)))
        .collect();
    addresses.into_iter().collect()
}

fn priority(check: &mut Check, form: &VrrpForm, profile: Profile) -> Option<u8> {
    let message = match form.priority {
        None => {
            return Some(match profile {
                Profile::Plain => 100,
                Profile::Neutron => 50,
            });
        }
        Some(0) => "0 cannot work, it is how a primary resigns: expected 1 to 254".to_owned(),
        Some(255) => "255 cannot work, it is that of the addresses' owner, who never is a backup: \
             expected 1 to 254"
            .to_owned(),
        Some(priority) => match u8::try_from(priority) {
            Ok(priority) => return Some(priority),
            Err(_) => format!("{priority} is no priority: expected 1 to 254"),
        },
    };
    check.wrong("vrrp.priority", message);
    None
}

fn version(check: &mut Check, form: &VrrpForm, profile: Profile) -> Option<u8> {
    let message = match (form.version, profile) {
        (None | Some(2), Profile::Neutron) | (Some(2), Profile::Plain) => return Some(2),
        (None | Some(3), Profile::Plain) => return Some(3),
        (Some(3), Profile::Neutron) => {
            "3 is not what Neutron speaks: expected 2 with profile = \"neutron\"".to_owned()
        }
        (Some(version), _) => format!("{version} is no version of VRRP to speak: expected 2 or 3"),
    };
    check.wrong("vrrp.version", message);
    None
}

fn advert_interval(
    check: &mut Check,
    form: &VrrpForm,
    profile: Profile,
    version: u8,
) -> Option<Duration> {
    let field = "vrrp.advert_interval";
    let given = form.advert_interval.as_ref();
    let default = match profile {
        Profile::Plain => Duration::from_secs(1),
        Profile::Neutron => Duration::from_secs(2),
    };
    if version == 2 {
        let range = Duration::from_secs(1)..=Duration::from_secs(255);
        return check.seconds(field, given, default, range);
    }
    // Twelve bits of hundredths.
    let range = Duration::from_millis(10)..=Duration::from_millis(40_950);
    let interval = check.duration(field, given, default, range)?;
    if interval.subsec_nanos() % 10_000_000 == 0 {
        return Some(interval);
    }
    let message = format!(
        "{} is no multiple of 10ms: expected whole hundredths of a second in version 3",
        Interval::show(interval)
    );
    check.wrong(field, message);
    None
}

fn primary_address(
    check: &mut Check,
    form: &VrrpForm,
    addresses: Option<&[Cidr]>,
    vrid: Option<Vrid>,
    version: Option<u8>,
) -> Option<Cidr> {
    let field = "vrrp.primary_address";
    if form.primary_address.is_none() {
        let address = default_primary_address(addresses?, vrid?);
        return check.take(field, address);
    }
    let address = check.host(field, form.primary_address.as_deref())?;
    if let IpAddr::V6(v6) = address.address() {
        if version == Some(2) {
            let message = format!("{address} is IPv6: expected IPv4, or version = 3");
            check.wrong(field, message);
            return None;
        }
        if !v6.is_unicast_link_local() {
            let message = format!(
                "{address} is not link-local, as the first address of an IPv6 advert must be: \
                 expected one of fe80::/10"
            );
            check.wrong(field, message);
            return None;
        }
    }
    Some(address)
}

/// As Neutron finds it: in the first /24 of 169.254.0.0/16 that is free.
fn default_primary_address(own: &[Cidr], vrid: Vrid) -> Result<Cidr, String> {
    if !own.is_empty() && own.iter().all(|it| it.address().is_ipv6()) {
        return Err(
            "is missing: expected an IPv6 link-local one, since vrrp.addresses are all \
                    IPv6"
                .to_owned(),
        );
    }
    let mut taken = vec![
        Cidr::of_host(METADATA.into()),
        Cidr::new(DISTRIBUTED.into(), 18)?,
    ];
    taken.extend(own.iter().filter(|it| it.address().is_ipv4()));
    let [first, second] = LINK_LOCAL;
    for third in 0..=u8::MAX {
        let address = Ipv4Addr::new(first, second, third, vrid.get());
        let address = Cidr::new(address.into(), 24)?;
        if !taken.iter().any(|it| it.overlaps(&address)) {
            return address
                .check_host()
                .map(|()| address)
                .map_err(|message| format!("is missing, and for this VRID {message}"));
        }
    }
    Err(
        "is missing: expected one, since vrrp.addresses leave no /24 of 169.254.0.0/16 free"
            .to_owned(),
    )
}

fn authentication(
    check: &mut Check,
    form: &AuthenticationForm,
    version: Option<u8>,
) -> Option<Authentication> {
    if version == Some(3) {
        let message = "is for version 2, keepalived ignores it in version 3: expected version = 2 \
                       or no authentication";
        check.wrong("vrrp.authentication", message);
    }
    let field = "vrrp.authentication.secret_file";
    let secret_file = check.path(field, form.secret_file.as_deref());
    Some(Authentication {
        kind: form.r#type?,
        secret_file: secret_file?,
    })
}
