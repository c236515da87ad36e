//! What radvd and conntrackd are told.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::check::Check;
use crate::config::form::{ConntrackdForm, RadvdForm, RadvdInterfaceForm};
use crate::config::{Cidr, Conntrackd, Radvd, RadvdInterface, Vrrp};

/// As many as fit into radvd's option and help a host.
const MOST_NAME_SERVERS: usize = 4;

pub(super) fn radvd(check: &mut Check, form: &RadvdForm) -> Option<Radvd> {
    let user = user(check, form.user.as_deref().unwrap_or_default());
    let forms = form.interface.as_deref()?;
    if forms.is_empty() {
        let message = "is empty: expected a table [[radvd.interface]]";
        check.wrong("radvd.interface", message);
    }
    let at = |index| format!("radvd.interface[{index}]");
    let interfaces: Vec<_> = forms
        .iter()
        .enumerate()
        .map(|(index, it)| radvd_interface(check, it, &at(index)))
        .collect();
    let named = forms.iter().enumerate();
    let named = named.filter_map(|(index, it)| {
        Some((format!("{}.interface", at(index)), it.interface.as_ref()?))
    });
    check.unique(named, |name, first| {
        format!("{name} is {first} too: expected each interface once")
    });
    let interfaces: Option<Vec<_>> = interfaces.into_iter().collect();
    Some(Radvd {
        user: user?,
        interfaces: interfaces?,
    })
}

fn user(check: &mut Check, user: &str) -> Option<String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let sound = user.len() <= 32 && user.bytes().all(known) && !user.starts_with(['-', '.']);
    let wrong = || {
        format!(
            "{user:?} is no user: expected at most 32 letters, digits, `-`, `_` or `.`, \
             beginning with none of `-` and `.`"
        )
    };
    check.take(
        "radvd.user",
        sound.then(|| user.to_owned()).ok_or_else(wrong),
    )
}

fn radvd_interface(
    check: &mut Check,
    form: &RadvdInterfaceForm,
    at: &str,
) -> Option<RadvdInterface> {
    let interface = check.parse(&format!("{at}.interface"), form.interface.as_deref());
    let intervals = intervals(check, form, at);
    let mtu = check.optional(form.mtu.as_ref(), |check, mtu| {
        check.number(&format!("{at}.mtu"), Some(*mtu), 0, 1280..=65535)
    });
    let prefixes = prefixes(check, form, &format!("{at}.prefixes"));
    let name_servers = name_servers(check, form, &format!("{at}.name_servers"));
    let (min_interval, max_interval) = intervals?;
    Some(RadvdInterface {
        interface: interface?,
        min_interval,
        max_interval,
        managed: form.managed.unwrap_or(false),
        other: form.other.unwrap_or(false),
        mtu: mtu?,
        prefixes: prefixes?,
        name_servers: name_servers?,
    })
}

/// The least and the most time between two advertisements, within the bounds of
/// RFC 4861 section 6.2.1.
fn intervals(
    check: &mut Check,
    form: &RadvdInterfaceForm,
    at: &str,
) -> Option<(Duration, Duration)> {
    let seconds = Duration::from_secs;
    let (least, usual) = (seconds(3), seconds(30));
    let field = format!("{at}.max_interval");
    let given = form.max_interval.as_ref();
    let max = check.seconds(&field, given, seconds(100), seconds(4)..=seconds(1800))?;
    let most = seconds(max.as_secs() * 3 / 4);
    let field = format!("{at}.min_interval");
    let given = form.min_interval.as_ref();
    let min = check.seconds(&field, given, usual.min(most), least..=most)?;
    Some((min, max))
}

fn prefixes(check: &mut Check, form: &RadvdInterfaceForm, field: &str) -> Option<Vec<Cidr>> {
    let prefixes: Vec<Cidr> = check.parse_all(field, &form.prefixes)?;
    for (index, prefix) in prefixes.iter().enumerate() {
        let message = match prefix.address() {
            IpAddr::V4(_) => format!("{prefix} is IPv4: expected an IPv6 prefix"),
            IpAddr::V6(it) if it.is_multicast() || it.is_unicast_link_local() => {
                format!("{prefix} is nothing to make addresses of: expected a unicast prefix")
            }
            IpAddr::V6(_) if *prefix != prefix.network() => {
                format!(
                    "{prefix} is within a network: expected {}",
                    prefix.network()
                )
            }
            IpAddr::V6(_) => continue,
        };
        check.wrong(format!("{field}[{index}]"), message);
    }
    let fields = prefixes.iter().enumerate();
    check.unique(
        fields.map(|(index, it)| (format!("{field}[{index}]"), *it)),
        |prefix, first| format!("{prefix} is {first} too: expected each prefix once"),
    );
    Some(prefixes)
}

fn name_servers(check: &mut Check, form: &RadvdInterfaceForm, field: &str) -> Option<Vec<IpAddr>> {
    let count = form.name_servers.len();
    if count > MOST_NAME_SERVERS {
        let message = format!("are {count}: expected at most {MOST_NAME_SERVERS}");
        check.wrong(field, message);
    }
    let servers: Vec<_> = form
        .name_servers
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let wrong = || format!("{text:?} is no name server: expected an IPv6 address");
            let usable = |it: &IpAddr| it.is_ipv6() && !it.is_multicast() && !it.is_unspecified();
            let server = text.parse().ok().filter(usable).ok_or_else(wrong);
            check.take(&format!("{field}[{index}]"), server)
        })
        .collect();
    servers.into_iter().collect()
}

pub(super) fn conntrackd(
    check: &mut Check,
    form: &ConntrackdForm,
    vrrp: Option<&Vrrp>,
) -> Option<Conntrackd> {
    if vrrp.is_some_and(|vrrp| !vrrp.addresses.iter().any(|it| it.address().is_ipv4())) {
        let message = "has no address to speak from: expected an IPv4 one in vrrp.addresses";
        check.wrong("conntrackd", message);
    }
    let mut number = |key: &str, given: Option<i64>, default: u32| {
        let range = 1..=i64::from(u32::MAX);
        check.number(&format!("conntrackd.{key}"), given, default, range)
    };
    let hash_size = number("hash_size", form.hash_size, 32768);
    let hash_limit = number("hash_limit", form.hash_limit, 131_072);
    let unix_backlog = number("unix_backlog", form.unix_backlog, 20);
    let socket_buffer_size = number("socket_buffer_size", form.socket_buffer_size, 262_142);
    let given = form.socket_buffer_size_max;
    let socket_buffer_size_max = number("socket_buffer_size_max", given, 655_355);
    let send_buffer = number("send_buffer", form.send_buffer, 24_985_600);
    let receive_buffer = number("receive_buffer", form.receive_buffer, 24_985_600);
    let multicast_address = multicast(check, form.multicast_address.as_deref());
    let most = i64::from(u16::MAX - u16::from(u8::MAX));
    let group: Option<u16> = check.number("conntrackd.group", form.group, 3780, 1..=most);
    Some(Conntrackd {
        hash_size: hash_size?,
        hash_limit: hash_limit?,
        unix_backlog: unix_backlog?,
        socket_buffer_size: socket_buffer_size?,
        socket_buffer_size_max: socket_buffer_size_max?,
        multicast_address: multicast_address?,
        port: group? + u16::from(vrrp?.vrid.get()),
        send_buffer: send_buffer?,
        receive_buffer: receive_buffer?,
    })
}

fn multicast(check: &mut Check, text: Option<&str>) -> Option<Ipv4Addr> {
    let Some(text) = text else {
        return Some(Ipv4Addr::new(225, 0, 0, 50));
    };
    let address = text.parse().ok().filter(Ipv4Addr::is_multicast);
    let wrong = || format!("{text:?} is no multicast address: expected one like 225.0.0.50");
    check.take("conntrackd.multicast_address", address.ok_or_else(wrong))
}
