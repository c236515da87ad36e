//! What is legitimate.

use std::net::IpAddr;

use super::check::Check;
use crate::config::form::ProtectForm;
use crate::config::{Keepalived, Protect, Protection};

/// What is legitimate for a router; `None` without a table.
pub(super) fn protect(
    check: &mut Check,
    form: Option<&ProtectForm>,
    keepalived: Option<&Keepalived>,
) -> Option<Option<Protect>> {
    check.optional(form, |check, form| {
        let peers = form.peers.iter().enumerate();
        let peers = peers.map(|(number, text)| {
            address(check, &format!("protect.peers[{number}]"), text, keepalived)
        });
        let peers: Vec<_> = peers.collect();
        check.unique(
            (0..)
                .zip(&form.peers)
                .map(|(number, text): (usize, _)| (format!("protect.peers[{number}]"), text)),
            |peer, first| format!("{peer} is {first} too: expected each peer once"),
        );
        if peers.len() > Protect::MOST_PEERS {
            let message = format!(
                "are {}: expected {} at the most",
                peers.len(),
                Protect::MOST_PEERS
            );
            check.wrong("protect.peers", message);
            return None;
        }
        let owner = check.optional(form.owner.as_ref(), |check, text| {
            address(check, "protect.owner", text, keepalived)
        });
        let peers: Option<Vec<IpAddr>> = peers.into_iter().collect();
        Some(Protect {
            mode: form.mode.unwrap_or(Protection::Observe),
            peers: peers?,
            owner: owner?,
        })
    })
}

/// An address that adverts come from: of the family that the router's do.
fn address(
    check: &mut Check,
    field: &str,
    text: &str,
    keepalived: Option<&Keepalived>,
) -> Option<IpAddr> {
    let address: Result<IpAddr, _> = text.parse();
    let wrong = || format!("{text:?} is no address: expected one without a prefix length");
    let address = check.take(field, address.map_err(|_| wrong()))?;
    // What an attached one advertises is known when its file is read.
    if let Some(Keepalived::Managed(managed)) = keepalived {
        let advertised = managed.vrrp.primary_address.address();
        if advertised.is_ipv4() != address.is_ipv4() {
            let family = if advertised.is_ipv4() { "IPv4" } else { "IPv6" };
            let message = format!(
                "{address} cannot send adverts of {advertised}: expected an address of {family}"
            );
            check.wrong(field, message);
            return None;
        }
    }
    Some(address)
}
