//! The hosts of other routers' masters, made of what the routers say of them.

use std::collections::BTreeMap;

use crate::status::Status;

/// A host on a segment, by its hardware address there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) mac: String,
    /// The address that it advertises from.
    pub(super) address: String,
    /// How many routers it is the master of.
    pub(super) routers: u64,
    /// How many sessions with it stand how.
    pub(super) sessions: BTreeMap<String, u64>,
    /// The slowest answer, microseconds.
    pub(super) worst_answer_us: u64,
    /// How many routers its keepalived does not run for, as it says.
    pub(super) ended: u64,
}

/// All peers, in the order of their hardware addresses.
pub(super) fn peers(status: &Status) -> Vec<Peer> {
    let mut peers: BTreeMap<&str, Peer> = BTreeMap::new();
    for router in &status.routers {
        let Some(master) = router.master.as_ref().filter(|it| !it.this_host) else {
            continue;
        };
        let peer = peers.entry(&master.mac).or_default();
        peer.mac.clone_from(&master.mac);
        peer.address.clone_from(&master.address);
        peer.routers += 1;
        if let Some(session) = &router.fast_path.session {
            *peer.sessions.entry(session.phase.clone()).or_default() += 1;
            peer.worst_answer_us = peer.worst_answer_us.max(session.worst_answer_us);
            peer.ended += u64::from(session.peer_keepalived.as_deref() == Some("ended"));
        }
    }
    peers.into_values().collect()
}
